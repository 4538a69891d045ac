// An app's devices: found by how their names begin, by alias, by tag, by whether they are connected.

import { path, put } from "../api.js";
import { badge, dialog, field, form, h, heading, pagedTable, panel, select, time, ago } from "../dom.js";
import { back, deviceLink, link, loader, parsedJson, rights } from "../apps.js";

const FIELDS = ["prefix", "tag", "alias", "online", "parked"];

export async function page({ app }, { session, signal, query, show }) {
  const may = rights(session);
  const asked = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
  const list = await pagedTable(
    {
      caption: "Devices that were found",
      hideCaption: true,
      empty: "No device was found. Where few have what is asked for, there may be some further on.",
      columns: [
        { title: "Device", header: true, cell: (row) => deviceLink(app, row.device) },
        { title: "Presence", cell: presence },
        { title: "Since", cell: (row) => (row.online ? time(row.since) : row.last_seen ? ago(row.last_seen) : "never came") },
        { title: "Node", cell: (row) => row.room ?? "" },
        { title: "Aliases", class: "wide", cell: (row) => row.aliases.join(", ") },
        { title: "Tags", class: "wide", cell: (row) => h("span", { class: "badges" }, row.tags.map((tag) => badge(tag))) },
        { title: "Platform", cell: (row) => row.platform ?? "" },
      ],
    },
    loader(`${path("apps", app, "devices")}`, "devices", { signal, parameters: { ...asked, limit: 50 } }),
  );
  const actions = [may.button("Register a device", "manage", () => register(app))];
  return h(
    "div",
    {},
    heading("Devices", { back: back(app, [], app), actions }),
    may.reasons,
    panel("Find devices", { about: "Without a name they are in the order in which they were registered." }, search(app, asked, show)),
    panel("Devices", {}, list),
  );
}

/** How a device is, in words. */
export function presence(row) {
  return h(
    "span",
    { class: "badges" },
    row.online ? badge("online", "good") : badge("offline"),
    row.parked && badge("parked", "warning"),
    row.banned_until && badge("banned", "bad"),
  );
}

function search(app, asked, show) {
  const text = (name) => h("input", { type: "search", value: asked[name], maxlength: "128", autocomplete: "off", spellcheck: "false" });
  const inputs = {
    prefix: text("prefix"),
    tag: text("tag"),
    alias: text("alias"),
    online: select([["", "all"], ["true", "connected"], ["false", "not connected"]], { value: asked.online }),
    parked: select([["", "all"], ["true", "parked"], ["false", "not parked"]], { value: asked.parked }),
  };
  const find = async () => {
    const wanted = Object.fromEntries(FIELDS.map((name) => [name, inputs[name].value.trim()]));
    const next = link(app, ["devices"], wanted);
    if (location.hash === next) await show();
    else location.hash = next;
  };
  const made = h(
    "form",
    {
      class: "row",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        find();
      },
    },
    field("Name begins with", inputs.prefix),
    field("Tag", inputs.tag),
    field("Alias", inputs.alias),
    field("Connection", inputs.online),
    field("Pushes", inputs.parked),
    h("button", { type: "submit", class: "primary" }, "Find"),
  );
  return made;
}

async function register(app) {
  const name = h("input", { type: "text", required: true, maxlength: "128", autocomplete: "off", spellcheck: "false" });
  const profile = profileFields({ aliases: [], tags: [], platform: null, timezone: null, attributes: {} });
  const made = await dialog("Register a device", (close) =>
    form(
      { submit: "Register", run: async () => close(await put(path("apps", app, "devices", name.value), profile.read())) },
      h("p", { class: "hint" }, "Of a device that is registered already, what is known of it is replaced."),
      field("Device", name, { name: "device", hint: "Its MQTT client id." }),
      profile.fields,
    ),
  );
  if (made) location.hash = link(app, ["devices", made.device]);
}

/** The fields of what is known of a device, and what they say. */
export function profileFields(known) {
  const text = (value) => h("input", { type: "text", value, autocomplete: "off", spellcheck: "false" });
  const aliases = h("textarea", { rows: "2", spellcheck: "false", value: known.aliases.join("\n") });
  const tags = h("textarea", { rows: "2", spellcheck: "false", value: known.tags.join("\n") });
  const platform = text(known.platform ?? "");
  const timezone = text(known.timezone ?? "");
  const attributes = h("textarea", { rows: "4", spellcheck: "false", value: JSON.stringify(known.attributes, null, 2) });
  return {
    fields: [
      field("Aliases", aliases, { name: "aliases", hint: "One a line." }),
      field("Tags", tags, { name: "tags", hint: "One a line." }),
      field("Platform", platform, { name: "platform" }),
      field("Time zone", timezone, { name: "timezone", hint: "A name such as Europe/Berlin." }),
      field("Attributes, as JSON", attributes, { name: "attributes" }),
    ],
    read: () => ({
      aliases: lines(aliases.value),
      tags: lines(tags.value),
      platform: platform.value.trim() || null,
      timezone: timezone.value.trim() || null,
      attributes: parsedJson(attributes.value, "attributes"),
    }),
  };
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
