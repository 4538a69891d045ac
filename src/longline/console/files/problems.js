// What is wrong now, in words.

import { every, get } from "./api.js";
import { ago, badge, failed, fill, h } from "./dom.js";

const EVERY = 10_000; // ms
const ORDER = { critical: 0, warning: 1 };

/** A list that keeps itself up to date; `filter(problem)` says which. `said` is room for what else is wrong. */
export function problemList(signal, { filter = () => true, quiet = false } = {}) {
  const list = h("div", { class: "problems" });
  const said = h("div", {});
  let shown = "";
  every(
    EVERY,
    signal,
    async () => {
      const { problems } = await get("problems", { signal });
      const found = problems.filter(filter).sort((one, other) => ORDER[one.severity] - ORDER[other.severity]);
      const now = JSON.stringify(found);
      if (now === shown) return; // nothing is said twice
      shown = now;
      fill(list, found.length ? found.map(entry) : quiet ? null : h("div", { class: "notice good" }, h("p", {}, "Nothing is wrong.")));
    },
    (error) => fill(list, failed(error, "What is wrong cannot be told.")),
  );
  const element = h("section", { class: "problem-part", "aria-label": "What is wrong now", "aria-live": "polite" }, said, list);
  element.said = said;
  return element;
}

function entry(problem) {
  const bad = problem.severity === "critical";
  const where = [
    problem.node && h("a", { href: `#/nodes/${encodeURIComponent(problem.node)}` }, problem.node),
    problem.app && h("a", { href: `#/apps/${encodeURIComponent(problem.app)}` }, problem.app),
  ].filter(Boolean);
  return h(
    "div",
    { class: `notice ${bad ? "bad" : "warning"}` },
    h("p", {}, badge(problem.severity, bad ? "bad" : "warning"), " ", problem.message),
    h("p", { class: "hint" }, problem.hint, " ", where.flatMap((link) => [link, " "]), problem.since && ["since ", ago(problem.since)], " ", h("code", {}, problem.code)),
  );
}
