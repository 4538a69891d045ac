// One node: its load, its store's connections, its tasks, and what can be done with it.

import { every, get, stream } from "../api.js";
import { ago, badge, bytes, count, duration, facts, failed, fill, h, heading, notice, panel, share, short, table, tiles } from "../dom.js";
import { drainButton, drainState } from "../drain.js";
import { Live } from "../figures.js";
import { problemList } from "../problems.js";
import { storeCalls } from "./nodes.js";
import { charts } from "./overview.js";

const CHARTS = [
  ["Connections", count, [["connections", "", 1]]],
  ["Pushes a second", short, [["accepted", "accepted", 4], ["sent", "sent", 1], ["acked", "acknowledged", 3]]],
  ["Processor", share, [["cpu", "", 2]]],
  ["Latencies, 99th percentile", duration, [["lag", "loop", 1], ["pause", "GC", 5], ["store", "store", 2]]],
  ["Memory", bytes, [["memory", "", 4]]],
  ["Tasks", count, [["tasks", "", 3]]],
];

// What the store's panel shows: a cluster's store, or SQLite. [words, figure, format, rate?]
const STORE = [
  ["Servers known", "store_servers", count],
  ["Servers connected", "store_connected", count],
  ["Calls waiting", "store_waiting", count],
  ["Bytes waiting", "store_waiting_bytes", bytes],
  ["Answer, median", "store_call_seconds_p50", duration],
  ["Answer, p99", "store_call_seconds_p99", duration],
  ["Repeated a second", "store_repeated", short, true],
  ["Timed out a second", "store_timed_out", short, true],
  ["Moved a second", "store_moved", short, true],
  ["Reconnects", "store_reconnects", count],
  ["Urgent calls waiting", "store_urgent_waiting", count],
  ["Commits a second", "saver_commits", short, true],
  ["Writes a second", "saver_writes", short, true],
  ["Reads a second", "saver_reads", short, true],
  ["Writes waiting", "saver_write_queue", count],
  ["Bytes waiting", "saver_write_queue_bytes", bytes],
  ["Reads waiting", "saver_read_queue", count],
  ["Commit, p99", "saver_commit_seconds_p99", duration],
  ["Failed transactions", "saver_failed_transactions", count],
  ["Pages in the WAL", "saver_wal_pages", count],
];

export async function page({ node: name }, { signal }) {
  const live = new Live();
  const find = async () => (await get("nodes", { signal })).nodes.find((each) => each.node === name) ?? null;
  let member = await find();
  const said = h("div", { "aria-live": "polite" });
  const state = h("div", {});
  const about = h("div", {});
  const numbers = tiles(["Connections", "Processor", "Loop lag, p99", "GC pause, p99", "Memory", "Tasks", "Store calls/s", "Requests"].map((each) => ({ name: each })));
  const drawn = charts(CHARTS, signal, { node: name });
  const store = h("div", {}, h("p", { class: "empty" }, "Nothing was told yet."));
  const tasks = table({
    caption: "Tasks, by name",
    empty: "Nothing was told yet.",
    columns: [
      { title: "Name", header: true, cell: (kind) => h("code", {}, kind.name) },
      { title: "Count", class: "number", cell: (kind) => count(kind.count) },
      { title: "Oldest", class: "number", cell: (kind) => duration(kind.oldest_seconds) },
    ],
  });
  let stateShown = "";

  function show() {
    if (member === null) {
      fill(said, notice("warning", `${name} is not a member of the cluster now.`, "A process that starts again after it was taken for dead has another name."));
      fill(state);
      return;
    }
    fill(said);
    const now = JSON.stringify([member.draining, member.drain]);
    if (now !== stateShown) {
      stateShown = now;
      fill(state, h("div", { class: "actions" }, drainState(member), drainButton(member, look)));
    }
    fill(about, facts([
      ["Host", member.host],
      ["Roles", h("span", { class: "badges" }, member.roles.map((role) => badge(role)))],
      ["Version", member.version],
      ["Up since", ago(member.since)],
      ["Settings", `version ${member.settings_version}`],
      ["Capacity", member.load.capacity ? `${count(member.load.capacity)} connections` : "–"],
      ["Weight", count(member.weight)],
      member.region && ["Region", member.region],
      member.pool && ["Pool", member.pool],
      ["Addresses", h("span", { class: "mono" }, Object.entries(member.addresses).map(([kind, where]) => `${kind} ${where}`).join(", "))],
    ]));
  }

  async function look() {
    member = await find();
    show();
  }

  function told(found) {
    const { figures } = found;
    const put = (what, value) => numbers.update(what, value);
    put("Connections", count(live.of(found, "connections")));
    put("Processor", share(live.of(found, "cpu")));
    put("Loop lag, p99", duration(live.of(found, "lag")));
    put("GC pause, p99", duration(live.of(found, "pause")));
    put("Memory", bytes(live.of(found, "memory")));
    put("Tasks", count(live.of(found, "tasks")));
    put("Store calls/s", short(storeCalls(found)));
    put("Requests", count(figures.center_requests_running));
    drawn.live(Date.parse(found.at) / 1000, (measure) => live.of(found, measure), [found]);
    const shown = STORE.filter(([, figure]) => figure in figures).map(([words, figure, format, rate]) => [words, format(rate ? (found.rates[figure] ?? 0) : figures[figure])]);
    fill(store, facts(shown));
    tasks.update(found.tasks.toSorted((one, other) => other.count - one.count || other.oldest_seconds - one.oldest_seconds));
  }

  show();
  every(2000, signal, look, (error) => fill(said, failed(error, "The node cannot be looked at.")));
  stream("figures", ({ event, data }) => {
    if (event !== "figures") return;
    live.take(data);
    const found = live.nodes.find((each) => each.node === name);
    if (found) told(found);
  }, { signal, pause: true });

  return h(
    "div",
    {},
    heading(name, {
      back: { href: "#/nodes", text: "Nodes" },
      actions: [h("a", { class: "button", href: `#/profiles?node=${encodeURIComponent(name)}` }, "Profiles"), drawn.range],
    }),
    said,
    problemList(signal, { filter: (problem) => problem.node === name, quiet: true }),
    panel("Service", {}, state, about),
    numbers,
    drawn,
    panel("Store", { about: "What this process has asked its store, and what waits for an answer." }, store),
    h("div", { class: "panel tall" }, tasks),
  );
}
