// The apps, and how a new one is made.

import { post } from "../api.js";
import { checkbox, copyable, dialog, field, form, h, heading, notice, pagedTable, panel, time } from "../dom.js";
import { link, loader, rights } from "../apps.js";

export async function page(parameters, { session, signal }) {
  const may = rights(session);
  const list = await pagedTable(
    {
      caption: "Apps, by name",
      hideCaption: true,
      empty: "There is no app yet.",
      columns: [
        { title: "App", header: true, cell: (row) => h("a", { href: link(row.app) }, row.app) },
        { title: "Name", class: "wide", cell: (row) => row.name },
        { title: "Devices' topics", cell: (row) => (row.pubsub ? "yes" : "no") },
        { title: "Made", cell: (row) => time(row.created_at) },
      ],
    },
    loader("apps", "apps", { signal, parameters: { limit: 100 } }),
  );
  const make = may.button("New app", "manage", () => create(list), { kind: "primary" });
  return h("div", {}, heading("Apps", { actions: [make] }), may.reasons, panel("All apps", {}, list));
}

async function create(list) {
  const app = h("input", { type: "text", required: true, autocomplete: "off", spellcheck: "false", maxlength: "64" });
  const name = h("input", { type: "text", autocomplete: "off", maxlength: "200" });
  const pubsub = checkbox("Devices may use plain MQTT topics");
  const certificates = checkbox("A TLS client certificate stands in for a device's token");
  const made = await dialog("New app", (close) =>
    form(
      {
        submit: "Make it",
        run: async () => {
          const body = { app: app.value.trim(), pubsub: pubsub.input.checked, client_certificates: certificates.input.checked };
          if (name.value.trim()) body.name = name.value.trim();
          close(await post("apps", body));
        },
      },
      field("App", app, { name: "app", hint: "a-z, 0-9, _ and -; at most 64. It cannot be changed." }),
      field("Name for people", name, { name: "name" }),
      pubsub,
      certificates,
    ),
  );
  if (made === null) return;
  await Promise.all([list.reload(), showKeys(`${made.app} was made`, made)]);
}

/** Shows secrets, once. */
export function showKeys(title, keys) {
  return dialog(title, () =>
    h(
      "div",
      { class: "stack" },
      notice("warning", "The server key is shown now and never again."),
      keys.server_key !== null && h("div", {}, h("h3", {}, "Server key"), copyable(keys.server_key)),
      h("div", {}, h("h3", {}, "Device secret, which signs devices' tokens"), copyable(keys.device_secret)),
    ),
  );
}
