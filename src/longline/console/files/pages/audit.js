// Who changed what, the latest first.

import { get, keep, pages } from "../api.js";
import { badge, button, field, form, h, heading, pagedTable, time, toast } from "../dom.js";

const MOST = 10_000; // entries in an export
const LIMIT = 50;

export async function page(parameters, { signal, query }) {
  const from = h("input", { type: "datetime-local", value: query.get("from") ?? "" });
  const to = h("input", { type: "datetime-local", value: query.get("to") ?? "" });
  const app = h("input", { type: "text", value: query.get("app") ?? "", autocomplete: "off", spellcheck: "false", size: "14" });
  const wanted = () => ({ from: moment(from.value), to: moment(to.value), app: app.value.trim() });

  const rows = await pagedTable(
    {
      caption: "Changes",
      empty: "There are no changes of this kind, or they are so old that they are not kept any more.",
      columns: [
        { title: "When", cell: (one) => time(one.at) },
        { title: "Who", cell: (one) => h("span", { title: one.key_id }, one.key_name || one.key_id) },
        { title: "From", cell: (one) => h("span", { class: "mono" }, one.address) },
        { title: "What", header: true, cell: (one) => h("code", {}, `${one.method} ${one.path.replace(/^\/v1\//, "")}`) },
        { title: "App", cell: (one) => one.app ?? "" },
        { title: "Subject", class: "wide", cell: (one) => one.subject ?? "" },
        { title: "To", class: "wide", cell: (one) => one.detail ?? "" },
        { title: "Outcome", cell: outcome },
      ],
    },
    async (cursor) => {
      const told = await get("audit", { parameters: { ...wanted(), limit: LIMIT, cursor }, signal });
      return { rows: told.changes, next: told.next_cursor };
    },
  );

  async function exported(kind) {
    const { from: start, to: end, app: of } = wanted();
    const found = await pages("audit", "changes", { most: MOST, parameters: { from: start, to: end, app: of, limit: 1000 }, signal });
    if (kind === "json") keep(JSON.stringify(found, null, 1), "audit.json", "application/json");
    else keep(csv(found), "audit.csv", "text/csv");
    toast(`${found.length} changes${found.length === MOST ? ", the latest of them" : ""}.`);
  }

  const finder = form({ submit: "Show", run: () => rows.reload() }, field("From", from, { name: "from" }), field("To", to, { name: "to" }), field("App", app, { name: "app" }));
  finder.classList.add("row");
  return h(
    "div",
    {},
    heading("Audit log", {
      about: "Changes through the API, the console and the commands: by which key, from where, and what became of them.",
      actions: [button("Export CSV", () => exported("csv")), button("Export JSON", () => exported("json"))],
    }),
    h("div", { class: "panel" }, finder),
    h("div", { class: "panel" }, rows),
  );
}

function outcome(one) {
  if (one.status === null || one.status === undefined) return badge("not known", "warning");
  return one.status < 400 ? badge(one.status, "good") : badge(`${one.status} ${one.error ?? ""}`.trim(), "bad");
}

/** What a field for a local time has, as the API takes it. */
function moment(text) {
  return text ? new Date(text).toISOString() : "";
}

const COLUMNS = ["at", "key_id", "key_name", "address", "request_id", "method", "path", "app", "subject", "detail", "status", "error"];

function csv(rows) {
  // A spreadsheet takes what begins so for a formula.
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return `"${safe.replaceAll('"', '""')}"`;
  };
  return [COLUMNS, ...rows.map((row) => COLUMNS.map((name) => row[name]))].map((row) => row.map(cell).join(",")).join("\r\n");
}
