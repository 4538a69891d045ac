// How the cluster is, now and in the last hours. For an app's key: how its app is.

import { every, get, stream } from "../api.js";
import { chart } from "../chart.js";
import { badge, count, duration, failed, fill, h, heading, notice, select, share, short, table, tiles } from "../dom.js";
import { Live, namesOf, overTime, Ring } from "../figures.js";
import { problemList } from "../problems.js";
import { page as appOverview } from "./app_overview.js";

export const RANGES = [
  ["live", "Live, 3 minutes"],
  ["1", "1 hour"],
  ["3", "3 hours"],
  ["24", "24 hours"],
  ["168", "7 days"],
];
const TILES = {
  connections: ["Connections", count],
  connects: ["Connects/s", short],
  accepted: ["Accepted/s", short, "Messages that the API accepted"],
  sent: ["Sent/s", short, "Pushes written to devices"],
  acked: ["Acknowledged/s", short, "Pushes that devices acknowledged"],
  upstream: ["Upstream/s", short, "Messages of devices to their app"],
  errors: ["Errors/s", short, "What failed by our fault, or for want of the store"],
  refused: ["Refused/s", short, "Connections, CONNECTs and requests that were refused"],
  lag: ["Loop lag, p99", duration, "Of the worst node"],
  store: ["Store, p99", duration, "Until it answers, of the worst node"],
};
const CHARTS = [
  ["Connections", count, [["connections", "", 1]]],
  ["Connects a second", short, [["connects", "connects", 1], ["refused", "refused", 5]]],
  ["Pushes a second", short, [["accepted", "accepted", 4], ["sent", "sent", 1], ["acked", "acknowledged", 3]]],
  ["Upstream a second", short, [["upstream", "upstream", 1], ["published", "published", 2]]],
  ["Errors a second", short, [["errors", "", 5]]],
  ["Latencies, 99th percentile", duration, [["lag", "loop", 1], ["store", "store", 2], ["wait", "CONNECT", 4]]],
];
const APPS = 10;

/** Charts of measures with a choice of the span: live ones are fed by `live(at, read, nodes)`. */
export function charts(definitions, signal, { node = null } = {}) {
  const measures = [...new Set(definitions.flatMap(([, , series]) => series.map(([measure]) => measure)))];
  const ring = new Ring(measures);
  const known = new Set(); // names of figures
  const drawn = definitions.map(([title, format, series]) => ({
    series,
    element: chart({ title, format, signal, group: node ?? "overview", series: series.map(([, label, colour]) => ({ label, colour })) }),
  }));
  const range = select(RANGES, { "aria-label": "Span of the charts" });
  const said = h("div", { "aria-live": "polite" });
  let fetching = new AbortController();

  const show = (times, values) => {
    for (const one of drawn) one.element.update(times, one.series.map(([measure]) => values.get(measure)));
  };

  async function choose() {
    fetching.abort();
    fetching = new AbortController();
    fill(said);
    if (range.value === "live") {
      show(ring.times, ring.values);
      return;
    }
    const hours = Number(range.value);
    const inner = AbortSignal.any([signal, fetching.signal]);
    await every(hours > 3 ? 60_000 : 10_000, inner, async () => {
      const from = new Date(Date.now() - hours * 3_600_000).toISOString();
      const names = namesOf(measures, known).join(",");
      const told = await get("figures/history", { parameters: { from, names, node }, signal: inner });
      const { times, values } = overTime(told, measures);
      fill(said);
      show(times, values);
    }, (error) => fill(said, failed(error, "The last hours cannot be shown.")));
  }
  range.addEventListener("change", choose);
  const element = h("div", {}, said, h("div", { class: "grid" }, drawn.map((one) => h("div", { class: "panel" }, one.element))));
  element.range = range;
  element.live = (at, read, nodes) => {
    for (const one of nodes) for (const name of Object.keys(one.figures)) known.add(name);
    ring.add(at, read);
    if (range.value === "live") show(ring.times, ring.values);
  };
  return element;
}

export async function page(parameters, context) {
  const { session, signal } = context;
  if (session.app !== null) return appOverview({ app: session.app }, context);
  if (!session.scopes.includes("operate")) {
    return h("div", {}, heading("Overview"), notice("info", "Figures of the cluster need a key with the scope operate.", "The pages of apps are in the menu."));
  }
  const live = new Live();
  const state = badge("connecting");
  const problems = problemList(signal, { filter: () => true });
  const numbers = tiles(Object.entries(TILES).map(([, [name, , about]]) => ({ name, about })));
  const drawn = charts(CHARTS, signal);
  const measured = (title, measure, format = short) => ({
    title,
    class: "number",
    cell: (node) => format(live.of(node, measure)),
    sort: (node) => live.of(node, measure),
  });
  const byNode = table({
    caption: "By node, now",
    empty: "No node has told its figures yet.",
    columns: [
      { title: "Node", header: true, sort: (node) => node.node, cell: (node) => h("a", { href: `#/nodes/${encodeURIComponent(node.node)}` }, node.node) },
      { title: "Version", sort: (node) => node.version, cell: (node) => (node.silent ? badge("silent", "bad") : badge(node.version)) },
      measured("Connections", "connections", count),
      measured("Connects/s", "connects"),
      measured("Accepted/s", "accepted"),
      measured("Sent/s", "sent"),
      measured("Acked/s", "acked"),
      measured("Upstream/s", "upstream"),
      measured("Errors/s", "errors"),
      measured("Processor", "cpu", share),
      measured("Lag, p99", "lag", duration),
      measured("Store, p99", "store", duration),
      measured("API, p99", "request", duration),
    ],
  });
  const done = (title, name, format = short) => ({ title, class: "number", cell: (load) => format(load[name]), sort: (load) => load[name] });
  const byApp = table({
    caption: "By app, now",
    empty: "No app has anything to do, and no device is connected.",
    last: (load) => load.app === null,
    columns: [
      { title: "App", header: true, sort: (load) => load.app, cell: (load) => appName(load, session.scopes.includes("read")) },
      done("Connections", "connections", count),
      done("Connects/s", "connects"),
      done("Accepted/s", "accepted"),
      done("Sent/s", "sent"),
      done("Acked/s", "acked"),
      done("Upstream/s", "upstream"),
      done("Requests/s", "requests"),
      done("Refused/s", "refused"),
      done("Errors/s", "errors"),
      done("API, mean", "request_seconds", duration),
    ],
  });
  const inThisHour = session.scopes.includes("read") ? appsNow(context, live) : null;

  stream(
    "figures",
    ({ event, data }) => {
      if (event !== "figures") return;
      live.take(data);
      for (const [measure, [name, format]] of Object.entries(TILES)) numbers.update(name, format(live.all(measure)));
      drawn.live(live.at, (measure) => live.all(measure), live.nodes);
      byNode.update(live.nodes);
      byApp.update(live.byApp());
      fill(state, `live, ${live.nodes.length} ${live.nodes.length === 1 ? "node" : "nodes"}`);
      state.className = "badge good";
    },
    {
      signal,
      pause: true,
      onState: (what, error) => {
        if (what === "open") return;
        state.className = "badge bad";
        fill(state, what === "ended" ? "no figures" : "not connected");
        if (what === "ended" && error) fill(problems.said, failed(error, "There are no live figures."));
      },
    },
  );

  return h(
    "div",
    {},
    heading("Overview", { actions: [state, drawn.range] }),
    problems,
    numbers,
    drawn,
    h("div", { class: "panel" }, byNode),
    h("div", { class: "panel" }, byApp, h("p", { class: "hint" }, "The 20 busiest of each node; what an app does where it is not among them is in the others’ row.")),
    inThisHour,
  );
}

function appName(load, reads) {
  if (load.app === null) return `${count(load.apps)} others`;
  return reads ? h("a", { href: `#/apps/${encodeURIComponent(load.app)}` }, load.app) : load.app;
}

/** What was counted of the busiest apps; of the first by name, where nothing is known of how busy they are. */
function appsNow({ apps, signal }, live) {
  if (!apps().length) return null;
  const all = new Set(apps().map((each) => each.app));
  const wanted = () => [...new Set([...live.byApp().map((load) => load.app).filter((app) => all.has(app)), ...all])].slice(0, APPS);
  const link = (row) => h("a", { href: `#/apps/${encodeURIComponent(row.app)}` }, row.app);
  const rows = table({
    caption: "By app, in this hour",
    columns: [
      { title: "App", header: true, cell: link },
      { title: "Messages", class: "number", cell: (row) => count(row.messages) },
      { title: "Deliveries", class: "number", cell: (row) => count(row.deliveries) },
      { title: "Shown", class: "number", cell: (row) => count(row.shown) },
      { title: "Opened", class: "number", cell: (row) => count(row.opened) },
      { title: "Devices active", class: "number", cell: (row) => count(row.devices?.active) },
      { title: "new", class: "number", cell: (row) => count(row.devices?.new) },
      { title: "gone", class: "number", cell: (row) => count(row.devices?.gone) },
    ],
    rows: wanted().map((app) => ({ app })),
  });
  every(10_000, signal, async () => {
    const names = wanted();
    const hour = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000).toISOString();
    const told = await Promise.all(names.map((app) => get(`apps/${encodeURIComponent(app)}/statistics`, { parameters: { from: hour }, signal }).catch(() => null)));
    rows.update(names.map((app, place) => ({ app, messages: 0, deliveries: 0, shown: 0, opened: 0, ...told[place]?.statistics?.at(-1) })));
  });
  const more = apps().length > APPS ? h("p", { class: "hint" }, h("a", { href: "#/apps" }, "All apps")) : null;
  return h("div", { class: "panel" }, rows, more);
}
