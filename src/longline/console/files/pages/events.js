// What happens to an app's devices, as it happens; and how its webhook fares.

import { del, get, path, post, put, stream } from "../api.js";
import { badge, button, checkbox, confirm, count, dialog, duration, facts, failed, field, form, h, heading, notice, pagedTable, panel, select, table, time, toast } from "../dom.js";
import { back, deviceLink, link, loader, payload, rights, wrong } from "../apps.js";

const MOST = 200; // events that the page holds; the oldest go
const KINDS = ["upstream", "presence", "receipt", "device"];

export async function page({ app }, { session, signal, show }) {
  const may = rights(session);
  const hook = await webhook(app, may, signal, show);
  return h("div", {}, heading("Events", { back: back(app, [], app) }), may.reasons, tail(app, signal), hook);
}

// --- the tail -------------------------------------------------------------------------------------------------

const COLUMNS = (app) => [
  { title: "At", cell: (event) => time(event.at) },
  { title: "Type", cell: (event) => badge(event.type, "accent") },
  { title: "Device", header: true, cell: (event) => deviceLink(app, event.device) },
  { title: "What", class: "wide", cell: (event) => what(app, event) },
];

function what(app, event) {
  const parts = [];
  if (event.state) parts.push(badge(event.state, event.state === "online" ? "good" : ""));
  if (event.room) parts.push(h("span", {}, `on node ${event.room}`));
  if (event.name) parts.push(h("span", {}, event.name));
  if (event.message_id) parts.push(h("a", { class: "mono", href: link(app, ["messages", event.message_id], { device: event.device }) }, event.message_id));
  if (event.topic) parts.push(h("code", {}, event.topic));
  if (event.content_type) parts.push(h("span", { class: "muted" }, event.content_type));
  if (event.repeated) parts.push(badge("repeated", "warning"));
  for (const [name, value] of event.user_properties ?? []) parts.push(h("span", { class: "muted" }, `${name}: ${value}`));
  return h("div", {}, h("span", { class: "badges" }, parts), payload(event));
}

function tail(app, signal) {
  let events = [];
  let waiting = false;
  let stop = null;
  const list = table({ caption: "Events, the latest first", hideCaption: true, empty: "Nothing has happened since this page was opened.", columns: COLUMNS(app) });
  const said = h("p", { class: "hint", role: "status" }, "Connecting…");
  const kind = select([["", "all types"], ...KINDS]);
  const draw = () => {
    waiting = false;
    list.update(events.filter((event) => kind.value === "" || event.type === kind.value));
  };
  kind.addEventListener("change", draw);
  const told = ({ event, data }) => {
    if (event === "gap") {
      said.textContent = "More came than could be kept: some events were not shown.";
      return;
    }
    events.unshift(data);
    events.splice(MOST);
    if (!waiting) {
      // However many come, the page is drawn twice a second.
      waiting = true;
      setTimeout(draw, 500);
    }
  };
  const start = () => {
    stop = stream(`${path("apps", app)}/upstream`, told, {
      signal,
      parameters: { tail: "true" },
      onState: (how, error) => {
        said.textContent = how === "open" ? `Events as they happen, the latest ${MOST}.` : `The stream is ${how}. ${error?.message ?? ""}`;
      },
    });
    toggle.textContent = "Stop";
  };
  const toggle = button("Stop", () => {
    if (stop === null) start();
    else {
      stop();
      stop = null;
      toggle.textContent = "Go on";
      said.textContent = "Stopped. What happens meanwhile is not shown.";
    }
  });
  const clear = button("Clear", () => {
    events = [];
    draw();
  });
  start();
  return panel("As they happen", { actions: [field("Type", kind, { hideLabel: true }), toggle, clear] }, said, list);
}

// --- the webhook ----------------------------------------------------------------------------------------------

async function webhook(app, may, signal, show) {
  const at = path("apps", app, "webhook");
  let known = null;
  try {
    known = await get(at, { signal });
  } catch (error) {
    if (error.code !== "webhook_not_found") {
      if (error.name === "AbortError") throw error;
      return panel("Webhook", {}, failed(error, ""));
    }
  }
  const set = may.button(known ? "Change" : "Set a webhook", "manage", () => change(at, known, show));
  if (known === null) return panel("Webhook", { actions: [set], about: "The app's events are sent nowhere." });
  const remove = may.button("Remove", "manage", async () => {
    if (!(await confirm("Remove the webhook", ["Events are sent nowhere any more, and those that are dead are forgotten."], { action: "Remove it", danger: true }))) return;
    await del(at);
    toast("The webhook is removed.");
    await show();
  }, { kind: "danger" });
  const { status } = known;
  return h(
    "div",
    {},
    panel(
      "Webhook",
      { actions: [set, remove] },
      status.state !== "active" && notice("bad", status.state === "gone" ? "The target answered 410: nothing is sent to it until it is set anew." : `It fails: ${status.last_error ?? "for a reason that is not known"}`),
      facts([
        ["URL", known.url],
        ["Types", known.events.join(", ")],
        ["State", badge(status.state, status.state === "active" ? "good" : "bad")],
        ["Circuit", badge(status.circuit.replace("_", " "), status.circuit === "closed" ? "good" : "warning")],
        ["Failures in a row", count(status.failures)],
        ["Failing since", time(status.failing_since)],
        ["Tried again at", time(status.next_try_at)],
        ["Last taken", time(status.last_success_at)],
        ["Oldest event waits", duration(status.lag_seconds)],
        ["Events taken", count(status.taken)],
        ["Gaps", count(status.gaps)],
        ["Dead events", count(status.dead.events)],
        ["Dead and not kept", count(status.dead.dropped)],
        known.former_secret_until && ["Former secret signs until", time(known.former_secret_until)],
      ]),
    ),
    await dead(app, at, status, may, signal, show),
  );
}

async function dead(app, at, status, may, signal, show) {
  const list = await pagedTable(
    {
      caption: "Events that the target never took",
      hideCaption: true,
      empty: "There is none.",
      columns: [
        ...COLUMNS(app),
        { title: "Given up", cell: (event) => time(event.given_up_at) },
        { title: "Because", class: "wide", cell: (event) => `${event.reason}: ${event.error}` },
        {
          title: "Again",
          hidden: true,
          cell: (event) =>
            event.replaying ? badge("is sent again", "accent") : may.button("Send again", "manage", () => replay(at, show, [event.cursor]), { label: `Send the event of ${event.device} again` }),
        },
      ],
    },
    loader(`${at}/dead`, "events", { signal, parameters: { limit: 20 } }),
  );
  const all = may.button("Send all again", "manage", () => replay(at, show));
  return panel("Dead events", { actions: status.dead.events ? [all] : [], about: "What the target refused, or did not take for too long." }, list);
}

async function replay(at, show, cursors = undefined) {
  const answer = await post(`${at}:replay`, cursors ? { cursors } : {});
  toast(`${count(answer.replaying)} events are sent again.`);
  await show();
}

async function change(at, known, show) {
  const url = h("input", { type: "url", required: true, value: known?.url ?? "", placeholder: "https://app.example.org/longline" });
  const secret = h("input", { type: "text", autocomplete: "off", spellcheck: "false", value: known ? "" : newSecret() });
  const boxes = KINDS.map((kind) => checkbox(kind, { checked: known === null || known.events.includes(kind), value: kind }));
  const grace = h("input", { type: "number", min: "0", max: "2592000", value: "86400" });
  const done = await dialog("Webhook", (close) =>
    form(
      {
        submit: "Save",
        run: async () => {
          const events = boxes.filter((box) => box.input.checked).map((box) => box.input.value);
          if (!events.length) throw wrong("events", "Tick one at least.");
          const body = { url: url.value.trim(), events };
          if (secret.value.trim() !== "") Object.assign(body, { secret: secret.value.trim(), grace_seconds: Number(grace.value) });
          close(await put(at, body));
        },
      },
      field("URL", url, { name: "url" }),
      field("Secret", secret, { name: "secret", hint: known ? "Empty: the present one stays." : "Keep it: it is shown to nobody again." }),
      field("Seconds for which the former secret signs, too", grace, { name: "grace_seconds" }),
      h("fieldset", {}, h("legend", {}, "Types of events"), h("div", { class: "checks" }, boxes)),
    ),
  );
  if (done) await show();
}

function newSecret() {
  return `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))}`;
}
