// An app's messages, the latest first: all, or those that do badly.

import { path } from "../api.js";
import { field, h, heading, pagedTable, panel, select } from "../dom.js";
import { back, link, loader, messageColumns, rights } from "../apps.js";

const FIELDS = ["missed", "status", "label", "from", "to"];

export async function page({ app }, { session, signal, query, show }) {
  const may = rights(session);
  const asked = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
  const parameters = { ...asked, from: moment(asked.from), to: moment(asked.to), limit: 50 };
  const list = await pagedTable(
    { caption: "Messages that were found", hideCaption: true, empty: "No message was found. Where few have what is asked for, there may be some further on.", columns: messageColumns(app) },
    loader(path("apps", app, "messages"), "messages", { signal, parameters }),
  );
  const actions = [may.button("Send a message", "send", () => (location.hash = link(app, ["send"])), { kind: "primary" })];
  return h("div", {}, heading("Messages", { back: back(app, [], app), actions }), may.reasons, panel("Which", {}, search(app, asked, show)), panel("Messages", {}, list));
}

/** A local time of a field as the API has it. */
function moment(local) {
  const at = new Date(local);
  return local === "" || Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

function search(app, asked, show) {
  const inputs = {
    missed: select([["", "all"], ["true", "that somebody missed"], ["false", "that nobody missed"]], { value: asked.missed }),
    status: select([["", "any"], "accepted", "delivering", "done"], { value: asked.status }),
    label: h("input", { type: "search", value: asked.label, maxlength: "64", autocomplete: "off" }),
    from: h("input", { type: "datetime-local", value: asked.from }),
    to: h("input", { type: "datetime-local", value: asked.to }),
  };
  return h(
    "form",
    {
      class: "row",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        const wanted = Object.fromEntries(FIELDS.map((name) => [name, inputs[name].value.trim()]));
        const next = link(app, ["messages"], wanted);
        if (location.hash === next) show();
        else location.hash = next;
      },
    },
    field("Messages", inputs.missed),
    field("Status", inputs.status),
    field("Label", inputs.label),
    field("From", inputs.from),
    field("To", inputs.to),
    h("button", { type: "submit", class: "primary" }, "Find"),
  );
}
