// One device: where it is, what it has and what waits for it, and what can be done about it.

import { del, every, get, patch, path, post, put, stream } from "../api.js";
import { ago, badge, button, confirm, copyable, count, dialog, duration, facts, failed, field, fill, form, h, heading, json, notice, pagedTable, panel, select, table, time, toast } from "../dom.js";
import { back, link, loader, parsedJson, payload, rights, stateBadge } from "../apps.js";
import { presence, profileFields } from "./devices.js";

const LOOK = 5000; // ms until the page looks again where the device is
const MOST = 100; // events that the page holds
const CONNECTIONS = 10; // on one page of them
const ENDS = {
  disconnected: "it said that it goes",
  connection_lost: "the connection broke",
  taken_over: "its next connection took over",
  keep_alive_timeout: "it was silent for too long",
  server_shutting_down: "its node was stopped",
  slow_consumer: "it did not take what it was sent",
  kicked: "it was disconnected by the API",
  banned: "it is banned",
  moved: "it was sent to another node",
  node_died: "its node died",
  key_rotated: "its token is of a key that was replaced",
  token_expired: "its token ran out",
  unknown: "nobody could tell",
};

export async function page({ app, device }, { session, signal, query, show }) {
  const at = path("apps", app, "devices", device);
  const may = rights(session);
  const known = await get(at, { signal });
  const [shadow, subscriptions] = await Promise.all([outcome(get(`${at}/shadow`, { signal })), outcome(get(`${at}/subscriptions`, { signal }))]);

  const connections = await pagedTable(
    {
      caption: "Its latest connections",
      hideCaption: true,
      empty: "None is known.",
      columns: [
        { title: "Connected", header: true, cell: (row) => time(row.connected_at) },
        { title: "Ended", cell: (row) => (row.ended_at ? time(row.ended_at) : row.reason ? "not known" : badge("connected", "good")) },
        { title: "For", cell: (row) => (row.ended_at ? duration((Date.parse(row.ended_at) - Date.parse(row.connected_at)) / 1000) : "") },
        { title: "Why it ended", class: "wide", cell: (row) => (row.reason ? ENDS[row.reason] ?? row.reason : "") },
        { title: "Node", cell: (row) => row.room },
        { title: "Address", cell: (row) => row.address },
        { title: "Protocol", cell: (row) => row.protocol },
        { title: "Program", cell: (row) => row.client && `${row.client.name} ${row.client.version}` },
      ],
    },
    loader(`${at}/connections`, "connections", { signal, parameters: { limit: CONNECTIONS } }),
  );

  const now = h("div", {}, standing(known));
  every(LOOK, signal, async () => {
    fill(now, standing(await get(at, { signal })));
    await connections.refresh(); // of a device that has gone it is stored a moment later
  });

  const state = query.get("state") ?? "";
  const messages = await pagedTable(
    {
      caption: "Messages for this device",
      hideCaption: true,
      empty: "None was found. Where few of the app's messages are for this device, there may be some further on.",
      columns: [
        { title: "Message", header: true, cell: (row) => h("a", { class: "mono", href: link(app, ["messages", row.message_id], { device }) }, row.message_id) },
        { title: "State", cell: (row) => stateBadge(row.state, row.reason) },
        { title: "Why", class: "wide", cell: (row) => row.why },
        { title: "Accepted", cell: (row) => time(row.accepted_at) },
        { title: "Written", cell: (row) => time(row.sent_at) },
        { title: "Settled", cell: (row) => time(row.settled_at) },
        { title: "Label", cell: (row) => row.label ?? "" },
      ],
    },
    loader(`${at}/messages`, "messages", { signal, parameters: { state, limit: 20 } }),
  );
  const states = select([["", "all states"], ["pending", "waiting"], "acked", "expired", "collapsed", "dropped"], { value: state });
  states.addEventListener("change", () => (location.hash = link(app, ["devices", device], { state: states.value })));

  const actions = [
    may.button("Send to it", "send", () => (location.hash = link(app, ["send"], { device })), { kind: "primary" }),
    may.button("Call it", "send", () => call(at)),
    may.button("Token", "manage", () => token(at)),
    may.button("Disconnect", "manage", () => kick(at, device, show)),
    may.button("Ban", "manage", () => ban(at, device, show)),
  ];
  if (known.banned_until) actions.push(may.button("Lift the ban", "manage", () => lift(at, show)));
  if (known.parked) actions.push(may.button("Release", "manage", () => release(at, show)));
  actions.push(may.button("Change", "manage", () => change(at, known, show)), may.button("Delete", "manage", () => remove(at, app, device), { kind: "danger" }));

  return h(
    "div",
    {},
    heading(device, { back: back(app, ["devices"], "Devices"), actions }),
    may.reasons,
    panel("Where it is", {}, now),
    panel("Connections", { about: "The latest first, as many and for as long as the settings saver.connections_… say." }, connections),
    panel("Messages", { actions: [field("State", states, { hideLabel: true })], about: "The latest first. “Waiting” is its inbox." }, messages),
    h(
      "div",
      { class: "grid" },
      panel("What is known of it", {}, profile(known)),
      shadowPanel(at, shadow, may, show),
      subscriptionsPanel(subscriptions),
      happenings(app, device, signal),
    ),
  );
}

async function outcome(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { error };
  }
}

function standing(known) {
  return h(
    "div",
    { class: "stack" },
    known.banned_until && notice("warning", h("span", {}, "It is banned until ", time(known.banned_until), ": it is not let in before.")),
    known.parked && notice("warning", h("span", {}, "It is parked since ", time(known.parked_since), ": it has acknowledged nothing for long, and is sent no pushes.")),
    facts([
      ["Presence", presence(known)],
      known.online ? ["Connected since", time(known.since)] : ["Last seen", known.last_seen ? h("span", {}, time(known.last_seen), " (", ago(known.last_seen), ")") : "it never came"],
      ["Node", known.room],
      ["Messages that wait", count(known.pending)],
      ["Address", known.address],
      ["Protocol", known.protocol],
      ["Program", known.client && `${known.client.name} ${known.client.version}`],
      ["Epoch", known.epoch === null ? null : String(known.epoch)],
      ["MQTT session", known.session === null ? "none is kept" : known.session.expires_at ? h("span", {}, "kept until ", time(known.session.expires_at)) : "kept"],
    ]),
  );
}

function profile(known) {
  return h(
    "div",
    { class: "stack" },
    facts([
      ["Aliases", known.aliases.join(", ") || null],
      ["Tags", known.tags.length ? h("span", { class: "badges" }, known.tags.map((tag) => badge(tag))) : null],
      ["Platform", known.platform],
      ["Time zone", known.timezone],
      ["Registered", time(known.created_at)],
    ]),
    Object.keys(known.attributes).length > 0 && h("div", {}, h("h3", {}, "Attributes"), json(known.attributes)),
  );
}

function shadowPanel(at, shadow, may, show) {
  if (shadow.error) return panel("Shadow", {}, failed(shadow.error, ""));
  const { desired, reported, version } = shadow.value;
  const edit = may.button("Change what is desired", "send", async () => {
    const text = h("textarea", { rows: "8", spellcheck: "false", value: "{}" });
    const done = await dialog("What is desired", (close) =>
      form(
        {
          submit: "Merge",
          run: async () => close(await patch(`${at}/shadow`, { desired: parsedJson(text.value, "desired") }, { headers: { "If-Match": `"${version}"` } })),
        },
        json(desired),
        field("JSON to merge into it", text, { name: "desired", hint: "null removes a name; what is not named stays. The device is told the whole of it." }),
      ),
    );
    if (done) await show();
  });
  return panel("Shadow", { actions: [edit], about: `Version ${version}` }, h("div", { class: "stack" }, h("h3", {}, "Desired"), json(desired), h("h3", {}, "Reported"), json(reported)));
}

function subscriptionsPanel(found) {
  if (found.error) return panel("Subscriptions", {}, failed(found.error, ""));
  if (!found.value.kept) return panel("Subscriptions", { about: "No MQTT session is kept for it. Those of a session that ends with its connection are known to its node alone." });
  const option = (row) => [row.no_local && "no local", row.retain_as_published && "retain as published", row.shared && "shared"].filter(Boolean).join(", ");
  return panel(
    "Subscriptions",
    {},
    table({
      caption: "Subscriptions of its kept session",
      hideCaption: true,
      empty: "Its session has none.",
      columns: [
        { title: "Filter", header: true, class: "wide", cell: (row) => h("code", {}, row.filter) },
        { title: "QoS", class: "number", cell: (row) => String(row.qos) },
        { title: "Options", cell: option },
      ],
      rows: found.value.subscriptions,
    }),
  );
}

/** What happens to the device while one looks. What was before is in the app's stream of events, for all devices together. */
function happenings(app, device, signal) {
  const events = [];
  const list = table({
    caption: "What happened to it since",
    hideCaption: true,
    empty: "Nothing happened yet.",
    columns: [
      { title: "At", cell: (event) => time(event.at) },
      { title: "What", header: true, cell: (event) => event.state ?? event.name ?? event.topic ?? event.type },
      { title: "Node", cell: (event) => event.room ?? "" },
    ],
  });
  list.hidden = true;
  const said = h("p", { class: "hint", role: "status" }, "What comes is shown here when you follow it.");
  const follow = button("Follow", () => {
    follow.disabled = true;
    list.hidden = false;
    stream(
      `${path("apps", app)}/upstream`,
      ({ data }) => {
        if (data.device !== device) return;
        events.unshift(data);
        events.splice(MOST);
        list.update(events);
      },
      {
        signal,
        parameters: { tail: "true" },
        onState: (how, error) => (said.textContent = how === "open" ? "Events of this device, the latest first." : `The stream is ${how}: ${error?.message ?? ""}`),
      },
    );
  });
  return panel("What happens to it", { actions: [follow] }, said, list);
}

// --- what can be done -----------------------------------------------------------------------------------------

async function call(at) {
  const kind = select([["json", "JSON"], ["text", "Text"]]);
  const text = h("textarea", { rows: "4", spellcheck: "false", value: "{}" });
  const timeout = h("input", { type: "number", min: "1", max: "60", value: "10" });
  const said = h("div", { "aria-live": "polite" });
  await dialog("Call the device", () =>
    h(
      "div",
      { class: "stack" },
      form(
        {
          submit: "Call",
          run: async () => {
            fill(said);
            const given = kind.value === "json" ? parsedJson(text.value, "payload") : text.value;
            const answer = await post(`${at}:call`, { payload: given, timeout: Number(timeout.value) });
            fill(said, notice("good", h("span", {}, "It answered at ", time(answer.at), ".")), payload(answer));
          },
        },
        field("Kind", kind),
        field("Command", text, { name: "payload" }),
        field("Seconds to wait for the answer", timeout, { name: "timeout" }),
      ),
      said,
    ),
  );
}

async function token(at) {
  const life = h("input", { type: "number", min: "1", max: "315360000", placeholder: "no end" });
  const made = await dialog("Make a token", (close) =>
    form(
      { submit: "Make it", run: async () => close(await post(`${at}/token`, life.value === "" ? {} : { expires_in: Number(life.value) })) },
      h("p", {}, "Whoever has it can connect as this device. Nothing is stored of it."),
      field("Seconds that it is good for", life, { name: "expires_in", hint: "Empty: until the app's device secret is replaced." }),
    ),
  );
  if (made === null) return;
  await dialog("The device's token", () =>
    h(
      "div",
      { class: "stack" },
      facts([["Client identifier", made.client_id], ["User name", made.username]]),
      h("div", {}, h("h3", {}, "Password"), copyable(made.password)),
    ),
  );
}

async function kick(at, device, show) {
  if (!(await confirm("Disconnect the device", [`The connection of ${device} ends. It may come back at once.`], { action: "Disconnect" }))) return;
  await del(`${at}/connection`);
  toast("Its connection was ended.");
  await show();
}

async function ban(at, device, show) {
  const seconds = h("input", { type: "number", min: "1", max: "315360000", value: "3600", required: true });
  const done = await dialog("Ban the device", (close) =>
    form(
      {
        submit: "Ban it",
        kind: "danger",
        run: async () => {
          await del(`${at}/connection`, { parameters: { ban_seconds: Number(seconds.value) } });
          close(true);
        },
      },
      h("p", {}, `${device} is disconnected, and not let in for so long. What is sent to it waits until its time to live is over.`),
      field("Seconds", seconds, { name: "ban_seconds" }),
    ),
  );
  if (!done) return;
  toast(`It is banned for ${duration(Number(seconds.value))}.`);
  await show();
}

async function lift(at, show) {
  await del(`${at}/connection`, { parameters: { ban_seconds: 0 } });
  toast("It may come again.");
  await show();
}

async function release(at, show) {
  await post(`${at}:release`);
  toast("It is sent pushes again.");
  await show();
}

async function change(at, known, show) {
  const fields = profileFields(known);
  const done = await dialog("Change what is known", (close) => form({ submit: "Save", run: async () => close(await put(at, fields.read())) }, fields.fields));
  if (done) await show();
}

async function remove(at, app, device) {
  const sure = await confirm("Delete the device", ["It is disconnected, what waits for it is dropped, and all that there is of it is removed. With a good token it may register anew."], { action: "Delete it", danger: true, word: device });
  if (!sure) return;
  await del(at);
  toast("The device is deleted.");
  location.hash = link(app, ["devices"]);
}
