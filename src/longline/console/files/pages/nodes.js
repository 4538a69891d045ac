// All nodes: what each is, carries and lags, and draining; the hosts that have an agent, and rolling restarts.

import { agentPanels } from "../agents.js";
import { every, get, stream } from "../api.js";
import { ago, badge, count, duration, failed, fill, h, heading, share, short, table } from "../dom.js";
import { drainButton, drainState } from "../drain.js";
import { Live } from "../figures.js";
import { problemList } from "../problems.js";

export async function page(parameters, { signal }) {
  const live = new Live();
  const said = h("div", { "aria-live": "polite" });
  let [{ nodes }, { agents }] = await ask();
  let shownAs = "";
  const figures = (node) => live.nodes.find((each) => each.node === node.node);
  const measure = (name, format) => (node) => {
    const found = figures(node);
    return found ? format(live.of(found, name)) : "–";
  };
  const latest = () => Math.max(...nodes.map((node) => node.settings_version));
  const versions = () => new Set(nodes.map((node) => node.version)).size;
  const orders = table({
    caption: "Service",
    columns: [
      { title: "Node", header: true, cell: link },
      { title: "State", cell: drainState },
      { title: "Do", hidden: true, cell: (node) => drainButton(node, look) },
    ],
  });
  const loads = table({
    caption: "Load",
    columns: [
      { title: "Node", header: true, cell: link },
      { title: "Connections", class: "number", cell: (node) => count(node.load.connections) },
      { title: "of", class: "number", cell: (node) => (node.load.capacity ? h("span", {}, meter(node.load.connections / node.load.capacity), ` ${short(node.load.capacity)}`) : "–") },
      { title: "Processor", class: "number", cell: (node) => share(node.load.cpu) },
      { title: "Loop lag, p99", class: "number", cell: measure("lag", duration) },
      { title: "GC pause, p99", class: "number", cell: measure("pause", duration) },
      { title: "Store, p99", class: "number", cell: measure("store", duration) },
      { title: "Store calls/s", class: "number", cell: (node) => short(storeCalls(figures(node))) },
      { title: "Memory", class: "number", cell: (node) => memory(figures(node)) },
      { title: "Tasks", class: "number", cell: measure("tasks", count) },
    ],
  });
  const known = table({
    caption: "What they are",
    columns: [
      { title: "Node", header: true, cell: link },
      { title: "Host", cell: (node) => node.host },
      { title: "Roles", cell: (node) => h("span", { class: "badges" }, node.roles.map((role) => badge(role))) },
      { title: "Version", cell: (node) => (versions() > 1 ? badge(node.version, "warning") : node.version) },
      { title: "Settings", cell: (node) => (node.settings_version < latest() ? badge(`version ${node.settings_version}, behind`, "warning") : `version ${node.settings_version}`) },
      { title: "Region", cell: (node) => node.region || "–" },
      { title: "Pool", cell: (node) => node.pool || "–" },
      { title: "Up since", cell: (node) => ago(node.since) },
      { title: "Addresses", cell: (node) => h("span", { class: "mono" }, Object.values(node.addresses).join(", ")) },
    ],
  });

  const hosts = agentPanels(look);

  function ask() {
    return Promise.all([get("nodes", { signal }), get("agents", { signal })]);
  }
  function show() {
    hosts.update(agents);
    loads.update(nodes);
    known.update(nodes);
    // A button that is made anew loses the focus.
    const now = JSON.stringify(nodes.map((node) => [node.node, node.draining, node.drain]));
    if (now !== shownAs) {
      shownAs = now;
      orders.update(nodes);
    }
  }
  async function look() {
    [{ nodes }, { agents }] = await ask();
    fill(said);
    show();
  }
  show();
  every(2000, signal, look, (error) => fill(said, failed(error, "The nodes cannot be listed.")));
  stream("figures", ({ event, data }) => {
    if (event !== "figures") return;
    live.take(data);
    loads.update(nodes);
  }, { signal, pause: true });
  return h(
    "div",
    {},
    heading("Nodes", { about: `${nodes.length} in the cluster.` }),
    said,
    problemList(signal, { filter: (problem) => problem.node, quiet: true }),
    h("div", { class: "panel" }, loads),
    h("div", { class: "panel" }, orders),
    hosts,
    h("div", { class: "panel" }, known),
  );
}

function link(node) {
  return h("a", { href: `#/nodes/${encodeURIComponent(node.node)}` }, node.node);
}

function meter(part) {
  const kind = part > 0.9 ? "bad" : part > 0.75 ? "warning" : "";
  return h("span", { class: `meter ${kind}`.trim(), role: "img", "aria-label": share(part) }, h("span", { style: { width: `${Math.min(1, part) * 100}%` } }));
}

function memory(found) {
  const value = found?.figures.process_resident_memory_bytes;
  return value === undefined ? "–" : `${short(value / 1048576)} MiB`;
}

/** Calls a second to the store: of a cluster's, or to SQLite. */
export function storeCalls(found) {
  if (!found) return null;
  const { rates } = found;
  if (rates.store_calls !== undefined) return rates.store_calls + (rates.store_urgent_calls ?? 0);
  if (rates.saver_reads === undefined) return null;
  return rates.saver_reads + rates.saver_writes;
}
