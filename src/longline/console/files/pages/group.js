// A group for chat: its members, and what was said in it.

import { del, get, path, post } from "../api.js";
import { badge, button, confirm, count, dialog, field, fill, form, h, heading, panel, table, time, toast } from "../dom.js";
import { back, deviceLink, link, payload, rights } from "../apps.js";

const AT_ONCE = 500; // members that are shown without being asked for: the API answers with all of them
const SAID = 50; // messages of a page of the history

export async function page({ app, group }, { session, signal, show }) {
  const at = path("apps", app, "groups", group);
  const may = rights(session);
  const size = await post(`${path("apps", app)}/audiences:estimate`, { audience: { group } }, { signal });
  const actions = [
    may.button("Send to it", "send", () => (location.hash = link(app, ["send"], { group })), { kind: "primary" }),
    may.button("Add members", "manage", () => changed(at, "add", "Add members", show)),
    may.button("Remove members", "manage", () => changed(at, "remove", "Remove members", show)),
    may.button("Delete", "manage", () => remove(at, app, group), { kind: "danger" }),
  ];
  const members = h("div");
  const load = async () => fill(members, await memberTable(app, at, signal));
  if (size.devices <= AT_ONCE) await load();
  else fill(members, button(`Show all ${count(size.devices)} members`, load));
  return h(
    "div",
    {},
    heading(group, { back: back(app, ["groups"], "Groups"), about: `${count(size.devices)} members, ${count(size.online)} connected`, actions }),
    may.reasons,
    panel("What was said", {}, await history(app, at, signal)),
    panel("Members", {}, members),
  );
}

async function memberTable(app, at, signal) {
  const known = await get(at, { signal });
  const online = new Set(known.online);
  let shown = AT_ONCE;
  const list = table({
    caption: "Members, by name",
    hideCaption: true,
    empty: "It has no members.",
    columns: [
      { title: "Device", header: true, cell: (name) => deviceLink(app, name) },
      { title: "Presence", cell: (name) => (online.has(name) ? badge("online", "good") : badge("offline")) },
    ],
    rows: known.members.slice(0, shown),
  });
  if (known.members.length > shown) {
    const more = button("Show more", () => {
      shown += AT_ONCE;
      list.update(known.members.slice(0, shown));
      more.hidden = shown >= known.members.length;
    });
    list.append(h("div", { class: "more" }, more));
  }
  return list;
}

/** The latest first; earlier ones as far as they are kept. */
async function history(app, at, signal) {
  const ask = (after, limit) => get(`${at}/messages`, { signal, parameters: { after, limit } });
  const { sequence } = await ask(0, 1);
  let rows = [];
  let first = sequence + 1;
  const list = table({
    caption: "What was said, the latest first",
    hideCaption: true,
    empty: "Nothing was said, or nothing of it is kept any more.",
    columns: [
      { title: "No.", class: "number", header: true, cell: (row) => count(row.sequence) },
      { title: "At", cell: (row) => time(row.at) },
      { title: "By", cell: (row) => (row.sender === null ? "the app server" : deviceLink(app, row.sender)) },
      { title: "What", class: "wide", cell: payload },
      { title: "Message", cell: (row) => h("a", { class: "mono", href: link(app, ["messages", row.message_id]) }, row.message_id) },
    ],
  });
  const more = button("Show earlier ones", () => load());
  async function load() {
    const after = Math.max(first - 1 - SAID, 0);
    const page = await ask(after, SAID);
    const found = page.messages.filter((row) => row.sequence < first);
    rows = rows.concat(found.reverse());
    first = after + 1;
    list.update(rows);
    more.hidden = after === 0 || found.length === 0;
  }
  await load();
  list.append(h("div", { class: "more" }, more));
  return list;
}

async function changed(at, how, title, show) {
  const names = h("textarea", { rows: "6", spellcheck: "false" });
  const done = await dialog(title, (close) =>
    form(
      {
        submit: title,
        run: async () => close(await post(`${at}/members:${how}`, { members: names.value.split("\n").map((name) => name.trim()).filter(Boolean) })),
      },
      field("Devices", names, { name: "members", hint: "One a line, at most 1000." }),
    ),
  );
  if (done === null) return;
  toast(`${count(done.added ?? done.removed)} of them; it has ${count(done.size)} members now.`);
  await show();
}

async function remove(at, app, group) {
  if (!(await confirm("Delete the group", ["Its history goes, and what waits for its members is dropped."], { action: "Delete it", danger: true, word: group }))) return;
  await del(at);
  toast("The group is deleted.");
  location.hash = link(app, ["groups"]);
}
