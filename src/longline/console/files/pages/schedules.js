// Messages that are sent again and again.

import { del, path, post } from "../api.js";
import { badge, confirm, dialog, field, form, h, heading, json, pagedTable, panel, time, toast } from "../dom.js";
import { back, link, loader, rights } from "../apps.js";
import { composer } from "../composer.js";

export async function page({ app }, { session, signal, show }) {
  const at = path("apps", app, "schedules");
  const may = rights(session);
  const list = await pagedTable(
    {
      caption: "Schedules, one a row",
      hideCaption: true,
      empty: "There is no schedule.",
      columns: [
        { title: "When", header: true, cell: (row) => h("span", {}, h("code", {}, row.cron), ` ${row.timezone === "device" ? "in each device's time zone" : row.timezone}`) },
        { title: "State", cell: (row) => (row.paused ? badge("paused", "warning") : badge("runs", "good")) },
        { title: "Next", cell: (row) => lines(row.next.slice(0, 3).map((at) => (/(Z|[+-]\d\d:\d\d)$/.test(at) ? time(at) : at))) },
        { title: "Latest", cell: (row) => lines(row.firings.slice(-3).reverse().map((each) => fired(app, each))) },
        { title: "Message", cell: (row) => h("details", {}, h("summary", {}, "Show"), json(row.message)) },
        {
          title: "Actions",
          hidden: true,
          cell: (row) =>
            h(
              "span",
              { class: "actions" },
              row.paused
                ? may.button("Resume", "send", () => act(`${at}/${row.schedule_id}:resume`, show), { label: `Resume ${row.cron}` })
                : may.button("Pause", "send", () => act(`${at}/${row.schedule_id}:pause`, show), { label: `Pause ${row.cron}` }),
              may.button("Delete", "send", () => remove(`${at}/${row.schedule_id}`, show), { kind: "danger", label: `Delete ${row.cron}` }),
            ),
        },
      ],
    },
    loader(at, "schedules", { signal, parameters: { limit: 50 } }),
  );
  const make = may.button("New schedule", "send", () => create(app, at, signal, show), { kind: "primary" });
  return h("div", {}, heading("Schedules", { back: back(app, [], app), actions: [make] }), may.reasons, panel("Schedules", {}, list));
}

const lines = (items) => h("ul", {}, items.map((item) => h("li", {}, item)));

function fired(app, each) {
  if (each.message_id) return h("a", { href: link(app, ["messages", each.message_id]) }, /Z$/.test(each.at) ? time(each.at) : each.at);
  return h("span", {}, each.at, " ", badge(each.error ?? "nothing was sent", "bad"));
}

async function act(at, show) {
  await post(at);
  await show();
}

async function remove(at, show) {
  if (!(await confirm("Delete the schedule", ["What it has sent stays sent."], { action: "Delete it", danger: true }))) return;
  await del(at);
  toast("The schedule is deleted.");
  await show();
}

async function create(app, at, signal, show) {
  const cron = h("input", { type: "text", required: true, value: "0 9 * * 1-5", autocomplete: "off", spellcheck: "false" });
  const zone = h("input", { type: "text", value: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC", autocomplete: "off" });
  const message = composer(app, { later: false, signal });
  const made = await dialog(
    "New schedule",
    (close) =>
      form(
        { submit: "Make it", run: async () => close(await post(at, { message: message.read(), cron: cron.value.trim(), timezone: zone.value.trim() })) },
        field("When, as cron has it", cron, { name: "cron", hint: "Minute, hour, day of month, month, day of week." }),
        field("Time zone", zone, { name: "timezone", hint: "A name such as Europe/Berlin, or device: each device's own." }),
        message.element,
      ),
    { wide: true },
  );
  if (made) await show();
}
