// An app's groups for chat.

import { path, put } from "../api.js";
import { count, dialog, field, form, h, heading, pagedTable, panel, time } from "../dom.js";
import { back, link, loader, rights } from "../apps.js";

export async function page({ app }, { session, signal }) {
  const may = rights(session);
  const list = await pagedTable(
    {
      caption: "Groups, by name",
      hideCaption: true,
      empty: "There is no group.",
      columns: [
        { title: "Group", header: true, cell: (row) => h("a", { href: link(app, ["groups", row.group]) }, row.group) },
        { title: "Members", class: "number", cell: (row) => count(row.size) },
        { title: "Messages", class: "number", cell: (row) => count(row.sequence) },
        { title: "Made", cell: (row) => time(row.created_at) },
      ],
    },
    loader(path("apps", app, "groups"), "groups", { signal, parameters: { limit: 50 } }),
  );
  const make = may.button("New group", "manage", () => create(app), { kind: "primary" });
  return h("div", {}, heading("Groups", { back: back(app, [], app), actions: [make] }), may.reasons, panel("Groups", {}, list));
}

async function create(app) {
  const name = h("input", { type: "text", required: true, maxlength: "128", autocomplete: "off", spellcheck: "false" });
  const made = await dialog("New group", (close) =>
    form({ submit: "Make it", run: async () => close(await put(path("apps", app, "groups", name.value), {})) }, field("Group", name, { name: "group" })),
  );
  if (made) location.hash = link(app, ["groups", made.group]);
}
