// How an app is, for its own people.

import { every, get } from "../api.js";
import { chart } from "../chart.js";
import { count, failed, fill, h, heading, notice, select, share, short, table, tiles, time } from "../dom.js";

const NOW = 2000; // ms between two looks at what is now
const SPANS = [["24", "24 hours"], ["168", "7 days"], ["720", "30 days"]];
const CHARTS = [
  ["Messages and deliveries", [["messages", "messages", 4], ["deliveries", "deliveries", 1]]],
  ["Shown and opened", [["shown", "shown", 1], ["opened", "opened", 3]]],
  ["Devices", [["active", "active", 1], ["new", "new", 3], ["gone", "gone", 5]]],
];

export async function page({ app }, { session, signal }) {
  if (!session.scopes.includes("read")) {
    return h("div", {}, heading("Overview"), notice("info", "Figures need a key with the scope read."));
  }
  const base = `apps/${encodeURIComponent(app)}`;
  const said = h("div", { "aria-live": "polite" });
  const numbers = tiles([
    { name: "Messages" }, { name: "Deliveries" }, { name: "Shown" }, { name: "Opened" },
    { name: "Devices active" }, { name: "New devices" }, { name: "Gone" },
  ]);
  const drawn = CHARTS.map(([title, series]) => ({ series, element: chart({ title, format: short, signal, group: "app", series: series.map(([, label, colour]) => ({ label, colour })) }) }));
  const span = select(SPANS, { "aria-label": "Span" });
  const rows = table({
    caption: "By time",
    columns: [
      { title: "From", header: true, cell: (row) => time(row.at) },
      { title: "Messages", class: "number", cell: (row) => count(row.messages) },
      { title: "Deliveries", class: "number", cell: (row) => count(row.deliveries) },
      { title: "Shown", class: "number", cell: (row) => count(row.shown) },
      { title: "Opened", class: "number", cell: (row) => count(row.opened) },
      { title: "Active", class: "number", cell: (row) => count(row.active) },
      { title: "New", class: "number", cell: (row) => count(row.new) },
      { title: "Gone", class: "number", cell: (row) => count(row.gone) },
    ],
    empty: "Nothing was counted in this time.",
  });

  async function look() {
    const hours = Number(span.value);
    const by = hours > 168 ? "day" : "hour";
    const told = await get(`${base}/statistics`, { parameters: { from: new Date(Date.now() - hours * 3_600_000).toISOString(), by }, signal });
    const found = told.statistics.map((one) => ({ ...one, ...one.devices }));
    const total = (name) => found.reduce((sum, one) => sum + one[name], 0);
    const of = (part, whole) => (whole ? ` (${share(part / whole)})` : "");
    numbers.update("Messages", count(total("messages")));
    numbers.update("Deliveries", count(total("deliveries")));
    numbers.update("Shown", count(total("shown")) + of(total("shown"), total("deliveries")));
    numbers.update("Opened", count(total("opened")) + of(total("opened"), total("shown")));
    numbers.update("Devices active", count(found.at(-1)?.active ?? 0));
    numbers.update("New devices", count(total("new")));
    numbers.update("Gone", count(total("gone")));
    const times = found.map((one) => Date.parse(one.at) / 1000);
    for (const one of drawn) one.element.update(times, one.series.map(([name]) => found.map((each) => each[name])));
    rows.update(found.toReversed());
    fill(said);
  }
  const now = tiles([{ name: "Connected" }, { name: "Messages/s" }, { name: "Deliveries/s" }, { name: "Waiting", about: "Deliveries of the latest messages that devices have not taken yet" }, { name: "Messages, this hour" }, { name: "Deliveries, this hour" }]);
  now.hidden = true;
  every(NOW, signal, async () => {
    const told = await get(`${base}/figures`, { signal });
    now.hidden = false;
    now.update("Connected", count(told.connected));
    now.update("Messages/s", short(told.messages_per_second));
    now.update("Deliveries/s", short(told.deliveries_per_second));
    now.update("Waiting", count(told.waiting.deliveries));
    now.update("Messages, this hour", count(told.messages));
    now.update("Deliveries, this hour", count(told.deliveries));
  }, () => {
    now.hidden = true; // a node of another version, or none: what is counted by hours says so
  });
  span.addEventListener("change", () => look().catch((error) => fill(said, failed(error))));
  every(10_000, signal, look, (error) => fill(said, failed(error, "The figures cannot be shown.")));
  return h(
    "div",
    {},
    heading("Overview", { about: `What app ${app} sends, and what becomes of it.`, actions: [h("a", { href: `#/${base}/messages` }, "Its messages"), span] }),
    said,
    now,
    numbers,
    h("div", { class: "grid" }, drawn.map((one) => h("div", { class: "panel" }, one.element))),
    h("div", { class: "panel" }, rows),
  );
}
