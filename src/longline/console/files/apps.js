// What the pages of an app have in common: links, states in words, payloads, and what the key may do.

import { get, path } from "./api.js";
import { badge, button, count, h, notice, time } from "./dom.js";

const SHOWN = 4096; // characters of a payload
const ROUNDS = 2; // pages of the API that one page of a table may take, when few have what is asked for

/** The address of an app's page: `link("news", "devices", "d1")`. `query` is an object. */
export function link(app, parts = [], query = {}) {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const end = words.toString();
  return `#/${path("apps", app, ...parts)}${end && `?${end}`}`;
}

export const back = (app, parts, text) => ({ href: link(app, parts), text });

// --- what the key may do --------------------------------------------------------------------------------------

/** Makes buttons that stay off, with the reason, where the session's key lacks a scope. */
export function rights(session) {
  const missing = new Set();
  const reasons = h("div", { id: "missing-scopes" });
  const show = () => {
    const names = [...missing].sort();
    reasons.replaceChildren(
      ...(names.length ? [notice("info", `The key that you have logged in with lacks the scope ${names.join(" and ")}, so some actions are off.`)] : []),
    );
  };
  return {
    reasons,
    may: (scope) => session.scopes.includes(scope),
    button(text, scope, run, options = {}) {
      if (session.scopes.includes(scope)) return button(text, run, options);
      missing.add(scope);
      show();
      const off = button(text, () => {}, { ...options, disabled: true, title: `This needs a key with the scope ${scope}.` });
      off.setAttribute("aria-describedby", reasons.id);
      return off;
    },
  };
}

// --- messages -------------------------------------------------------------------------------------------------

const KINDS = { acked: "good", done: "good", pending: "", accepted: "", scheduled: "accent", delivering: "accent", expired: "warning", collapsed: "warning", dropped: "bad", cancelled: "warning" };

/** A state of a message, or of a message for a device. */
export function stateBadge(state, reason = null) {
  return badge(reason ? `${state}: ${reason}` : state, KINDS[state] ?? "");
}

/** What became of a message, in few words. */
export function ledgerWords(ledger) {
  const parts = [];
  if (ledger.acked) parts.push(badge(`${count(ledger.acked)} acked`, "good"));
  if (ledger.pending) parts.push(badge(`${count(ledger.pending)} pending`));
  if (ledger.expired) parts.push(badge(`${count(ledger.expired)} expired`, "warning"));
  if (ledger.collapsed) parts.push(badge(`${count(ledger.collapsed)} collapsed`, "warning"));
  for (const [reason, number] of Object.entries(ledger.dropped)) parts.push(badge(`${count(number)} ${reason}`, "bad"));
  return h("span", { class: "badges" }, parts.length ? parts : h("span", { class: "muted" }, "nobody"));
}

/** The columns of a table of messages. */
export function messageColumns(app) {
  return [
    { title: "Message", header: true, cell: (row) => h("a", { href: link(app, ["messages", row.message_id]), class: "mono" }, row.message_id) },
    { title: "Handed in", cell: (row) => time(row.created_at) },
    { title: "Status", cell: (row) => stateBadge(row.status) },
    { title: "For", class: "number", cell: (row) => count(row.ledger.targeted) },
    { title: "Became", cell: (row) => ledgerWords(row.ledger) },
    { title: "Label", cell: (row) => row.label ?? "" },
  ];
}

/** Loads pages of a list until there is a row, or the list ends, or it has looked often enough. */
export function loader(where, name, { parameters = {}, signal, filter = () => true, rounds = ROUNDS } = {}) {
  return async (cursor) => {
    const rows = [];
    let next = cursor;
    for (let round = 0; round < rounds; round += 1) {
      const page = await get(where, { parameters: { ...parameters, cursor: next }, signal });
      rows.push(...page[name].filter(filter));
      next = page.next_cursor;
      if (rows.length || !next) break;
    }
    return { rows, next };
  };
}

const MOMENT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** A sentence of the API, its times as the reader's clock has them. */
export function sentence(text) {
  return h("span", {}, text.split(MOMENT).map((part, place) => (place % 2 ? time(part) : part)));
}

// --- payloads -------------------------------------------------------------------------------------------------

/** A payload as text, or its bytes as hexadecimal digits; of a long one the beginning. */
export function payload({ payload: text, payload_base64: base64 }) {
  if (text === undefined && base64 === undefined) return null;
  let shown = text;
  let whole = text?.length ?? 0;
  let unit = "characters";
  if (text === undefined) {
    const bytes = Uint8Array.from(atob(base64.slice(0, 4 * Math.ceil(SHOWN / 6))), (letter) => letter.charCodeAt(0));
    whole = Math.floor((base64.length * 3) / 4) - (base64.match(/=*$/)?.[0].length ?? 0);
    unit = "bytes";
    shown = hex(bytes);
  }
  const cut = unit === "bytes" ? whole > Math.ceil(SHOWN / 2) : whole > SHOWN;
  return h(
    "div",
    {},
    h("pre", { class: "payload", tabindex: "0" }, unit === "bytes" ? shown : shown.slice(0, SHOWN)),
    cut && h("p", { class: "hint" }, `The beginning of ${count(whole)} ${unit}.`),
    unit === "bytes" && !cut && h("p", { class: "hint" }, `${count(whole)} bytes, as hexadecimal digits.`),
  );
}

/** Rows of 16 bytes: where they begin, their digits, and those that are letters. */
function hex(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const some = [...bytes.slice(at, at + 16)];
    const digits = some.map((each) => each.toString(16).padStart(2, "0")).join(" ");
    const letters = some.map((each) => (each >= 32 && each < 127 ? String.fromCharCode(each) : ".")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${digits.padEnd(47)}  ${letters}`);
  }
  return lines.join("\n");
}

/** JSON of a text field; an error that names the field where it is none. */
export function parsedJson(text, name) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrong(name, `This is no JSON: ${error.message}`);
  }
}

/** An error about a field of a form. */
export function wrong(name, message) {
  return Object.assign(new Error("A field is not right."), { details: [{ field: name, message }] });
}

/** The words of a text, which commas or line ends part. */
export function words(text) {
  return text.split(/[,\n]/).map((word) => word.trim()).filter(Boolean);
}

/** The name of a device, with a link to its page. */
export function deviceLink(app, device) {
  return h("a", { href: link(app, ["devices", device]) }, device);
}

