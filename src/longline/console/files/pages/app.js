// An app: what goes on in it, its latest messages, and what it may do.

import { del, get, patch, path, post, put } from "../api.js";
import { checkbox, confirm, count, dialog, facts, failed, field, form, h, heading, panel, table, tiles, time, toast } from "../dom.js";
import { link, messageColumns, rights, wrong } from "../apps.js";
import { showKeys } from "./apps.js";

const LATEST = 10; // messages in each of the lists here

export async function page({ app }, { session, signal, show }) {
  const at = path("apps", app);
  const ask = (rest, options) => get(`${at}${rest}`, { signal, ...options });
  const may = rights(session);
  // One after the other would be slow; what cannot be had is told in its place.
  const [known, size, statistics, latest, missed, limits, acl, tokens] = await Promise.all([
    ask(""),
    settled(post(`${at}/audiences:estimate`, { audience: "all" }, { signal })),
    settled(ask("/statistics")),
    settled(ask("/messages", { parameters: { limit: LATEST } })),
    settled(ask("/messages", { parameters: { limit: LATEST, missed: "true" } })),
    settled(ask("/limits")),
    settled(ask("/acl")),
    settled(ask("/tokens")),
  ]);

  const actions = [
    may.button("Send a message", "send", () => (location.hash = link(app, ["send"])), { kind: "primary" }),
    may.button("Change", "manage", () => change(at, known, show)),
    may.button("Replace keys", "manage", () => rotate(at, app)),
  ];
  if (session.app === null) actions.push(may.button("Delete", "manage", () => remove(at, app), { kind: "danger" }));

  const messages = (caption, found, empty) =>
    found.error ? failed(found.error, "") : table({ caption, hideCaption: true, columns: messageColumns(app), rows: found.value.messages, empty });
  return h(
    "div",
    {},
    heading(known.name, { back: session.app === null ? { href: "#/apps", text: "Apps" } : null, about: known.name === app ? null : app, actions }),
    may.reasons,
    figures(size, statistics),
    panel("Messages that somebody missed", { actions: [h("a", { href: link(app, ["messages"], { missed: "true" }) }, "All of them")] }, messages("Those that somebody missed, one a row", missed, "None among the latest.")),
    panel("Latest messages", { actions: [h("a", { href: link(app, ["messages"]) }, "All of them")] }, messages("The latest, one a row", latest, "Nothing was sent yet.")),
    h("div", { class: "grid" }, about(known, tokens), rules(at, acl, known.pubsub, may, show)),
    limitsOf(at, limits, may, show),
  );
}

/** {value}, or {error} of what failed. */
async function settled(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { error };
  }
}

function figures(size, statistics) {
  const entries = [];
  if (size.value) entries.push({ name: "Devices", value: count(size.value.devices) }, { name: "Connected", value: count(size.value.online), about: "Of many devices it is estimated from 10,000 of them." });
  if (statistics.value) {
    const sum = (of) => count(statistics.value.statistics.reduce((whole, row) => whole + of(row), 0));
    entries.push(
      { name: "Messages", value: sum((row) => row.messages), unit: "in 24 hours" },
      { name: "Acknowledged", value: sum((row) => row.deliveries), unit: "in 24 hours" },
      { name: "Shown", value: sum((row) => row.shown), unit: "in 24 hours" },
      { name: "Opened", value: sum((row) => row.opened), unit: "in 24 hours" },
    );
  }
  return entries.length ? tiles(entries) : null;
}

function about(known, tokens) {
  const issuer = tokens.value;
  return panel(
    "What it is",
    {},
    facts([
      ["App", known.app],
      ["Name", known.name],
      ["Plain MQTT topics", known.pubsub ? "allowed" : "off"],
      ["Client certificates", known.client_certificates ? "stand in for tokens" : "off"],
      ["When a token ends", known.end_at_expiry ? "its connection ends" : "its connection stays"],
      ["Made", time(known.created_at)],
      issuer && ["Identity provider", issuer.issuer || "keys of its own"],
      issuer && ["Its keys", issuer.jwks_url ?? `${count(issuer.keys?.length ?? 0)} given here`],
    ]),
  );
}

// --- changing it ----------------------------------------------------------------------------------------------

async function change(at, known, show) {
  const name = h("input", { type: "text", value: known.name, maxlength: "200", autocomplete: "off" });
  const boxes = {
    pubsub: checkbox("Devices may use plain MQTT topics", { checked: known.pubsub }),
    client_certificates: checkbox("A TLS client certificate stands in for a device's token", { checked: known.client_certificates }),
    end_at_expiry: checkbox("A connection ends when its token does; of those made from now on", { checked: known.end_at_expiry }),
  };
  const done = await dialog("Change the app", (close) =>
    form(
      {
        submit: "Save",
        run: async () => {
          const body = Object.fromEntries(Object.entries(boxes).map(([field, box]) => [field, box.input.checked]));
          close(await patch(at, { name: name.value.trim(), ...body }));
        },
      },
      field("Name for people", name, { name: "name" }),
      Object.values(boxes),
    ),
  );
  if (done) await show();
}

async function rotate(at, app) {
  const server = checkbox("The server key", { checked: true });
  const secret = checkbox("The device secret: tokens made before are worth nothing for the next connection");
  const disconnect = checkbox("End the connections that were let in by the former secret");
  const grace = h("input", { type: "number", min: "0", max: "2592000", value: "0" });
  const keys = await dialog("Replace keys", (close) =>
    form(
      {
        submit: "Replace",
        kind: "danger",
        run: async () => {
          if (!server.input.checked && !secret.input.checked) throw wrong("grace_seconds", "Tick what is to be replaced.");
          close(
            await post(`${at}/keys:rotate`, {
              server_key: server.input.checked,
              device_secret: secret.input.checked,
              disconnect: disconnect.input.checked,
              grace_seconds: Number(grace.value),
            }),
          );
        },
      },
      server,
      secret,
      disconnect,
      field("Seconds for which the former ones are good, too", grace, { name: "grace_seconds", hint: "0: they stop at once. Up to 30 days: 2592000." }),
    ),
  );
  if (keys) await showKeys(`The keys of ${app}`, keys);
}

async function remove(at, app) {
  const sure = await confirm("Delete the app", ["Its devices are disconnected, and all that it has is removed. This cannot be undone."], { action: "Delete it", danger: true, word: app });
  if (!sure) return;
  await del(at);
  toast(`${app} is deleted.`);
  location.hash = "#/apps";
}

// --- rules ----------------------------------------------------------------------------------------------------

function rules(at, acl, pubsub, may, show) {
  if (acl.error) return panel("Rules of topics", {}, failed(acl.error, ""));
  const edit = may.button("Change", "manage", async () => {
    const text = h("textarea", { spellcheck: "false", rows: "8", value: acl.value.rules.map((rule) => `${rule.allow} ${rule.filter}`).join("\n") });
    const done = await dialog("Rules of topics", (close) =>
      form(
        { submit: "Save", run: async () => close(await put(`${at}/acl`, { rules: rulesIn(text.value) })) },
        field("One rule a line", text, { name: "rules", hint: "publish, subscribe or both, and a topic filter. {device} stands for the device. No line: everything is allowed." }),
      ),
    );
    if (done) await show();
  });
  return panel(
    "Rules of topics",
    { actions: [edit], about: !pubsub ? "Plain MQTT topics are off: no device may publish or subscribe to any." : acl.value.rules.length ? null : "There are none: devices may publish and subscribe to everything." },
    acl.value.rules.length > 0 &&
      table({
        caption: "What is allowed, one rule a row",
        hideCaption: true,
        columns: [
          { title: "Allows", cell: (rule) => rule.allow },
          { title: "Filter", header: true, class: "wide", cell: (rule) => h("code", {}, rule.filter) },
        ],
        rows: acl.value.rules,
      }),
  );
}

function rulesIn(text) {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line, number) => {
      const [, allow, filter] = /^(publish|subscribe|both)\s+(.+)$/.exec(line) ?? [];
      if (!allow) throw wrong("rules", `Line ${number + 1}: publish, subscribe or both is wanted, and then a filter.`);
      return { allow, filter };
    });
}

// --- limits ---------------------------------------------------------------------------------------------------

function limitsOf(at, limits, may, show) {
  if (limits.error) return panel("Limits", {}, failed(limits.error, ""));
  const { in_force: inForce, ...own } = limits.value;
  const rows = Object.keys(inForce).map((name) => ({ name, own: own[name], inForce: inForce[name] }));
  const edit = may.button("Change", "operate", async () => {
    const inputs = new Map(rows.map((row) => [row.name, h("input", { type: "number", min: "0", value: row.own === null ? "" : String(row.own), placeholder: `${row.inForce}` })]));
    const done = await dialog("Limits", (close) =>
      form(
        {
          submit: "Save",
          run: async () => {
            const body = Object.fromEntries([...inputs].map(([name, input]) => [name, input.value === "" ? null : Number(input.value)]));
            close(await put(`${at}/limits`, body));
          },
        },
        h("p", { class: "hint" }, "Empty: the default. 0: without limit."),
        [...inputs].map(([name, input]) => field(name, input, { name })),
      ),
    );
    if (done) await show();
  });
  return panel(
    "Limits",
    { actions: [edit] },
    table({
      caption: "Limits of the app",
      hideCaption: true,
      columns: [
        { title: "Limit", header: true, cell: (row) => row.name },
        { title: "In force", class: "number", cell: (row) => (row.inForce === 0 ? "none" : count(row.inForce)) },
        { title: "Its own", class: "number", cell: (row) => (row.own === null ? "default" : count(row.own)) },
      ],
      rows,
    }),
  );
}
