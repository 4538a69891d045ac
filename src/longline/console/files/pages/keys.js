// Named keys: of operators, which reach all apps, and of one app. A key's text is shown once.

import { del, get, path, post } from "../api.js";
import { ago, badge, button, checkbox, confirm, copyable, dialog, field, form, h, heading, notice, pagedTable, select, time, toast } from "../dom.js";

const SCOPES = {
  send: "send messages, calls and schedules, and change shadows",
  read: "read all that is listed and shown, and events",
  manage: "manage apps, devices, groups, rules, webhooks, and keys of apps",
  operate: "operate nodes and settings, profiles, limits, keys of all apps, the audit log",
};
const LIVES = [["", "as long as your own"], ["1", "1 day"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "1 year"]];

export async function page({ app }, { session, signal }) {
  const base = app === undefined ? "keys" : path("apps", app, "keys");
  const allowed = app === undefined ? ["send", "read", "manage", "operate"] : ["send", "read", "manage"];
  const needs = app === undefined ? "operate" : "manage";
  const title = app === undefined ? "Keys" : `Keys of ${app}`;
  if (!session.scopes.includes(needs)) {
    return h("div", {}, heading(title), notice("info", `Keys are for who has a key with the scope ${needs}.`));
  }
  const rows = await pagedTable(
    {
      caption: "Named keys",
      empty: "There are no named keys yet: make one for each program and person, with no more scopes than it needs.",
      columns: [
        { title: "Name", header: true, cell: (key) => [key.name, key.key_id === session.key_id ? [" ", badge("this session", "accent")] : null] },
        { title: "May", cell: (key) => h("span", { class: "badges" }, key.scopes.map((scope) => badge(scope))) },
        { title: "Made", cell: (key) => ago(key.created_at) },
        { title: "By", cell: (key) => h("span", { class: "mono", title: key.created_by }, key.created_by.slice(0, 8)) },
        { title: "Ends", cell: (key) => end(key) },
        { title: "Id", cell: (key) => h("span", { class: "mono" }, key.key_id) },
        { title: "Do", hidden: true, cell: (key) => button("Revoke…", () => revoke(key), { kind: "danger small", label: `Revoke ${key.name}` }) },
      ],
    },
    async (cursor) => {
      const told = await get(base, { parameters: { limit: 100, cursor }, signal });
      return { rows: told.keys, next: told.next_cursor };
    },
  );

  async function revoke(key) {
    const mine = key.key_id === session.key_id ? [h("p", {}, h("b", {}, "It is the key of this session, which ends with it."))] : [];
    const go = await confirm(`Revoke ${key.name}`, [h("p", {}, "It stops working at once here, and within a second on all other centers. Sessions, streams and requests that wait end with it."), ...mine], { action: "Revoke", danger: true });
    if (!go) return;
    await del(`${base}/${encodeURIComponent(key.key_id)}`);
    toast(`${key.name} is revoked.`);
    await rows.reload();
  }

  async function create() {
    const made = await dialog("Make a key", (close) => {
      const name = h("input", { type: "text", required: true, autocomplete: "off", maxlength: "100" });
      const boxes = allowed.map((scope) => checkbox(`${scope}: ${SCOPES[scope].replace(/^\w+ /, "")}`, { value: scope, disabled: !session.scopes.includes(scope) }));
      const life = select(LIVES, { value: "90" });
      return form(
        {
          submit: "Make it",
          run: async () => {
            const body = { name: name.value.trim(), scopes: boxes.filter((box) => box.input.checked).map((box) => box.input.value) };
            if (!body.scopes.length) throw new Error("Choose at least one scope.");
            if (life.value) body.expires_at = new Date(Date.now() + Number(life.value) * 86_400_000).toISOString();
            close(await post(base, body));
          },
          extra: [h("button", { type: "button", onclick: () => close() }, "Cancel")],
        },
        field("Name", name, { name: "name", hint: "For what, or for whom." }),
        h("fieldset", {}, h("legend", {}, "What it may do"), boxes),
        field("It ends after", life, { name: "expires_at" }),
      );
    });
    if (made) await showOnce(`The key ${made.name}`, made.key, rows);
  }

  async function rotate() {
    const go = await confirm(`Rotate the server key of ${app}`, "The server key that there is stops working at once, in all programs that use it.", { action: "Rotate", danger: true });
    if (!go) return;
    const made = await post(`${path("apps", app)}/keys:rotate`, { server_key: true, device_secret: false });
    await showOnce(`The server key of ${app}`, made.server_key, rows);
  }

  const actions = [button("Make a key…", create, { kind: "primary" })];
  if (app !== undefined && ["send", "read", "manage"].every((scope) => session.scopes.includes(scope))) {
    actions.push(button("Rotate the server key…", rotate, { kind: "danger" }));
  }
  const about = app === undefined ? "Keys that reach all apps. Those of one app are on its own page." : "They reach this app alone.";
  return h("div", {}, heading(title, { about, actions }), h("div", { class: "panel" }, rows));
}

async function showOnce(title, text, rows) {
  await dialog(title, (close) =>
    h(
      "div",
      { class: "dialog-body" },
      notice("warning", "It is shown now and never again: the server keeps only its hash."),
      copyable(text),
      h("div", { class: "actions" }, button("I have it", () => close(true), { kind: "primary" })),
    ),
  );
  await rows.reload();
}

function end(key) {
  if (!key.expires_at) return "never";
  return new Date(key.expires_at) < new Date() ? badge("over", "bad") : time(key.expires_at);
}
