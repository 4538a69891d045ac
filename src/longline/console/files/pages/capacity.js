// How full each bound is, and when it will be full if it goes on like this.

import { every, get } from "../api.js";
import { ago, bytes, failed, fill, h, heading, notice, share, short, table } from "../dom.js";

const EVERY = 15_000; // ms

export async function page(parameters, { signal }) {
  const said = h("div", { "aria-live": "polite" });
  const verdict = h("div", {});
  const rows = table({
    caption: "Bounds, the fullest first",
    empty: "No node has told its bounds yet.",
    columns: [
      { title: "What", header: true, cell: (bound) => h("code", {}, bound.name) },
      { title: "Node", cell: (bound) => (bound.node ? h("a", { href: `#/nodes/${encodeURIComponent(bound.node)}` }, bound.node) : "all") },
      { title: "How full", cell: (bound) => meter(bound.share) },
      { title: "Used", class: "number", cell: (bound) => amount(bound, bound.used) },
      { title: "Bound", class: "number", cell: (bound) => amount(bound, bound.limit) },
      { title: "Growth a day", class: "number", cell: (bound) => (bound.growth_per_day === null || bound.growth_per_day === undefined ? "–" : `${bound.growth_per_day > 0 ? "+" : ""}${amount(bound, bound.growth_per_day)}`) },
      { title: "Full", cell: (bound) => (bound.full_at ? fullAt(bound.full_at) : h("span", { class: "muted" }, "not in sight")) },
    ],
  });
  const look = async () => {
    const { bounds } = await get("capacity", { signal });
    const sorted = bounds.toSorted((one, other) => (other.share ?? 0) - (one.share ?? 0));
    rows.update(sorted);
    const near = sorted.filter((bound) => (bound.share ?? 0) > 0.8);
    fill(said);
    fill(
      verdict,
      near.length
        ? notice("warning", `${near.length} ${near.length === 1 ? "bound is" : "bounds are"} more than 80 % full: ${[...new Set(near.map((bound) => bound.name))].join(", ")}.`)
        : sorted.length ? notice("good", `Nothing is more than 80 % full; the fullest is ${sorted[0].name} with ${share(sorted[0].share)}.`) : null,
    );
  };
  every(EVERY, signal, look, (error) => fill(said, failed(error, "The bounds cannot be shown.")));
  return h(
    "div",
    {},
    heading("Capacity", { about: "Every queue and pool has a bound. Growth is that of the last days." }),
    said,
    h("div", { class: "problem-part" }, verdict),
    h("div", { class: "panel" }, rows),
  );
}

function fullAt(at) {
  const days = (new Date(at) - Date.now()) / 86_400_000;
  return h("span", { class: days < 7 ? "bad-text" : days < 30 ? "warning-text" : "" }, ago(at));
}

function meter(part) {
  if (part === null || part === undefined) return "–";
  const kind = part > 0.9 ? "bad" : part > 0.75 ? "warning" : "";
  return h("span", {}, h("span", { class: `meter ${kind}`.trim(), role: "presentation" }, h("span", { style: { width: `${Math.min(1, part) * 100}%` } })), ` ${share(part)}`);
}

function amount(bound, value) {
  return bound.name.includes("bytes") || bound.name.includes("memory") ? bytes(value) : short(value);
}
