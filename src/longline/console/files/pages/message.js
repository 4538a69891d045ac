// One message: its ledger as it fills, each of its devices, and why one of them has it not.

import { del, every, get, path } from "../api.js";
import { badge, confirm, count, facts, failed, field, fill, h, heading, notice, pagedTable, panel, select, table, tiles, time, toast } from "../dom.js";
import { back, deviceLink, link, loader, rights, sentence, stateBadge } from "../apps.js";

const LOOK = 1000; // ms until a ledger that fills is looked at again

export async function page({ app, id }, { session, signal, query, show }) {
  const at = path("apps", app, "messages", id);
  const may = rights(session);
  const device = query.get("device");
  let known = await get(at, { signal });

  const ledger = ledgerTiles(known.ledger);
  const status = h("div", {}, standing(known));
  if (moves(known)) {
    const watch = new AbortController();
    signal.addEventListener("abort", () => watch.abort(), { once: true });
    every(LOOK, watch.signal, async () => {
      known = await get(at, { signal: watch.signal });
      ledger.show(known.ledger);
      fill(status, standing(known));
      if (!moves(known)) watch.abort();
    });
  }

  const cancel = may.button("Cancel", "send", async () => {
    if (!(await confirm("Cancel the message", ["What is not delivered yet is taken back. What is on its way may still arrive."], { action: "Cancel it", danger: true }))) return;
    await del(at);
    toast("It was cancelled.");
    await show();
  }, { kind: "danger" });

  const trace = h("div");
  if (device !== null) await showTrace(trace, app, id, device, signal);
  return h(
    "div",
    {},
    heading("Message", { back: back(app, ["messages"], "Messages"), about: id, actions: moves(known) ? [cancel] : [] }),
    may.reasons,
    trace,
    panel("Where it stands", {}, h("div", { class: "stack" }, status, ledger)),
    known.firings?.length > 0 && firings(app, known),
    await devices(app, id, at, query, signal),
  );
}

const moves = (known) => known.status === "scheduled" || known.ledger.pending > 0;

function standing(known) {
  return facts([
    ["Status", stateBadge(known.status)],
    ["Handed in", time(known.created_at)],
    known.send_at && ["To be sent", known.send_at],
    known.label && ["Label", known.label],
    known.error && ["Nothing was sent", badge(known.error, "bad")],
  ]);
}

/** The ledger in large figures; `show` puts another in its place. */
export function ledgerTiles(ledger) {
  const element = h("div");
  element.show = (told) => {
    const dropped = Object.entries(told.dropped);
    fill(
      element,
      tiles([
        { name: "For devices", value: count(told.targeted) },
        { name: "Acknowledged", value: count(told.acked) },
        { name: "Pending", value: count(told.pending) },
        { name: "Expired", value: count(told.expired) },
        { name: "Collapsed", value: count(told.collapsed) },
        { name: "Dropped", value: count(dropped.reduce((sum, [, number]) => sum + number, 0)) },
        { name: "Routed to a node", value: count(told.routed) },
        { name: "Written", value: count(told.sent) },
      ]),
      dropped.length > 0 && h("p", { class: "badges" }, dropped.map(([reason, number]) => badge(`${count(number)} ${reason}`, "bad"))),
    );
  };
  element.show(ledger);
  return element;
}

function firings(app, known) {
  return panel(
    "Times at which it was sent",
    {},
    table({
      caption: "Each of these times",
      hideCaption: true,
      columns: [
        { title: "At", header: true, cell: (row) => row.at },
        { title: "Message", cell: (row) => (row.message_id ? h("a", { class: "mono", href: link(app, ["messages", row.message_id]) }, row.message_id) : "") },
        { title: "Not sent, because", cell: (row) => row.error ?? "" },
      ],
      rows: known.firings,
    }),
  );
}

// --- its devices ----------------------------------------------------------------------------------------------

async function devices(app, id, at, query, signal) {
  const state = query.get("state") ?? "";
  const list = await pagedTable(
    {
      caption: "Devices of this message",
      hideCaption: true,
      empty: state ? "None of its devices is in this state." : "It is for no device, or its time has not come.",
      columns: [
        { title: "Device", header: true, cell: (row) => h("a", { href: link(app, ["messages", id], { device: row.device, state }) }, row.device) },
        { title: "State", cell: (row) => stateBadge(row.state, row.reason) },
        { title: "Why", class: "wide", cell: (row) => sentence(row.why) },
        { title: "Accepted", cell: (row) => time(row.accepted_at) },
        { title: "Written", cell: (row) => time(row.sent_at) },
        { title: "Settled", cell: (row) => time(row.settled_at) },
      ],
    },
    loader(`${at}/deliveries`, "deliveries", { signal, parameters: { limit: state ? 1000 : 100 }, filter: (row) => !state || row.state === state }),
  );
  const states = select([["", "all states"], "pending", "acked", "expired", "collapsed", "dropped"], { value: state });
  states.addEventListener("change", () => (location.hash = link(app, ["messages", id], { state: states.value })));
  const name = h("input", { type: "search", maxlength: "128", autocomplete: "off", spellcheck: "false" });
  const find = h(
    "form",
    {
      class: "row",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        if (name.value !== "") location.hash = link(app, ["messages", id], { device: name.value, state });
      },
    },
    field("Device", name),
    h("button", { type: "submit" }, "Why did it not get it?"),
  );
  return panel("Devices", { actions: [field("State", states, { hideLabel: true })] }, find, list);
}

/** What became of the message for one device, step by step. */
async function showTrace(box, app, id, device, signal) {
  let told;
  try {
    told = await get(path("apps", app, "messages", id, "deliveries", device), { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    fill(box, panel("Trace", {}, failed(error, "")));
    return;
  }
  const kind = { acked: "good", pending: "info" }[told.state] ?? "warning";
  // The node is known where the device has been connected to it since before the message was written.
  const same = told.online && told.sent_at && told.since <= told.sent_at;
  const steps = [
    ["Accepted", time(told.accepted_at), "It was stored at the same moment."],
    ["Routed", same ? h("span", {}, `to node ${told.room}`) : "", same ? "" : told.sent_at ? "To the node that the device was connected to then; which that was is not kept." : routedWords(told)],
    ["Written", time(told.sent_at), told.sent_at ? "To the device's connection." : told.state === "acked" ? "When is not known: of messages to everyone and to expressions no times are kept." : "Not yet, as far as nodes have told."],
    [told.state === "acked" ? "Acknowledged" : told.state === "pending" ? "Not settled yet" : told.state[0].toUpperCase() + told.state.slice(1), told.settled_at ? time(told.settled_at) : "", told.reason ? `Reason: ${told.reason}` : ""],
  ];
  fill(
    box,
    panel(
      `Why: ${device}`,
      { actions: [h("a", { href: link(app, ["devices", device]) }, "The device"), h("a", { href: link(app, ["messages", id]) }, "Close")] },
      notice(kind, sentence(told.why)),
      h(
        "ol",
        { class: "steps" },
        steps.map(([name, at, words]) => h("li", {}, h("b", {}, name), " ", at, " ", h("span", { class: "muted" }, words))),
      ),
      facts([
        ["State", stateBadge(told.state, told.reason)],
        ["Device", deviceLink(app, device)],
        ["It is", told.online ? badge("online", "good") : badge("offline")],
        told.online ? ["On node", told.room] : ["Last seen", time(told.last_seen)],
        told.online && ["Since", time(told.since)],
        told.banned_until && ["Banned until", time(told.banned_until)],
        told.parked_since && ["Parked since", time(told.parked_since)],
      ]),
    ),
  );
}

function routedWords(told) {
  if (told.reason === "offline") return "To no node: the device was not connected.";
  if (told.state === "pending" && !told.online) return "To no node yet: the device is not connected.";
  return told.online ? `The device is connected to node ${told.room} now.` : "Nothing of that is kept.";
}
