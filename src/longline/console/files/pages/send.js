// Send a message: compose it, see whom it would reach, and watch its ledger fill.

import { del, every, get, path, post } from "../api.js";
import { confirm, count, form, h, heading, fill, notice, panel, toast } from "../dom.js";
import { back, link, rights } from "../apps.js";
import { composer } from "../composer.js";
import { ledgerTiles } from "./message.js";

const ASK_ABOVE = 100; // devices: more are asked about before they are sent to
const TYPE_ABOVE = 10_000; // and of more, the number has to be typed
const LOOK = 500; // ms

export async function page({ app }, { session, signal, query }) {
  const at = path("apps", app);
  const may = rights(session);
  const made = composer(app, { given: query, signal });
  const outcome = h("div", { "aria-live": "polite" });
  const check = may.button("Check", "send", async () => {
    const reach = await post(`${at}/messages`, made.read(), { parameters: { validate: "true" }, signal });
    fill(outcome, notice("good", `It is right. It would be for ${count(reach.targeted)} devices, of which ${count(reach.online)} are connected. Nothing was sent.`));
  });
  // One key for as long as the message is the same: whoever presses twice sends once.
  let key = null;
  let before = null;
  const send = async () => {
    const body = made.read();
    const reach = await post(`${at}/messages`, body, { parameters: { validate: "true" }, signal });
    if (reach.targeted > ASK_ABOVE) {
      const word = reach.targeted > TYPE_ABOVE ? String(reach.targeted) : null;
      const sure = await confirm("Send it", [`This is for ${count(reach.targeted)} devices, of which ${count(reach.online)} are connected.`], { action: "Send it", word });
      if (!sure) return;
    }
    const text = JSON.stringify(body);
    if (text !== before) [before, key] = [text, newKey()];
    const sent = await post(`${at}/messages`, body, { headers: { "Idempotency-Key": key }, signal });
    [before, key] = [null, null];
    watch(outcome, app, sent.message_id, may, signal);
  };
  const compose = form({ submit: "Send", run: send, extra: [check] }, made.element);
  if (!may.may("send")) {
    const off = compose.querySelector("button[type=submit]");
    off.disabled = true;
    off.title = "This needs a key with the scope send.";
    off.setAttribute("aria-describedby", may.reasons.id);
  }
  return h("div", {}, heading("Send", { back: back(app, [], app) }), may.reasons, panel("Message", {}, compose), outcome);
}

function newKey() {
  return `console-${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The ledger of a message that was just sent, until nothing is pending or one leaves. */
function watch(box, app, id, may, signal) {
  const at = path("apps", app, "messages", id);
  const ledger = h("div");
  const cancel = may.button("Cancel", "send", async () => {
    await del(at);
    toast("It was cancelled.");
  }, { kind: "danger" });
  const title = h("span", {}, "It is stored as ", h("a", { class: "mono", href: link(app, ["messages", id]) }, id), ".");
  fill(box, panel("Sent", { actions: [cancel] }, notice("good", title), ledger));
  const ended = new AbortController();
  signal.addEventListener("abort", () => ended.abort(), { once: true });
  let tiles = null;
  every(LOOK, ended.signal, async () => {
    const known = await get(at, { signal: ended.signal });
    if (tiles === null) fill(ledger, (tiles = ledgerTiles(known.ledger)));
    else tiles.show(known.ledger);
    if (known.status !== "scheduled" && known.ledger.pending === 0) {
      cancel.hidden = true;
      ended.abort();
    }
  });
}
