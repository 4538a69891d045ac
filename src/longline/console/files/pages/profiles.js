// Profiles of processes: take one, and those that are kept.

import { del, get, path } from "../api.js";
import { badge, button, bytes, checkbox, confirm, duration, failed, field, fill, form, h, heading, notice, pagedTable, select, time, toast } from "../dom.js";

export const KINDS = {
  cpu: "Processor: where it computes",
  heap: "Heap: what allocates and keeps",
  tasks: "Tasks: what waits, and where",
  loop: "Event loop: what held it up",
  queues: "Queues and locks: what waits",
};
const SECONDS = [["5", "5 s"], ["10", "10 s"], ["30", "30 s"], ["60", "1 min"]];
const LIMIT = 50;

export async function page(parameters, { signal, query }) {
  const nodes = (await get("nodes", { signal })).nodes;
  const names = nodes.map((node) => node.node);
  const node = select(names, { value: query.get("node") ?? names[0] });
  const kind = select(Object.entries(KINDS), { value: query.get("kind") ?? "cpu" });
  const seconds = select(SECONDS, { value: "10" });
  const said = h("div", { "aria-live": "polite" });
  const chosen = new Map();
  const compare = button("Compare", () => {
    const [one, other] = [...chosen.values()].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
    location.hash = `#/profiles/${encodeURIComponent(other.profile)}/difference/${encodeURIComponent(one.profile)}`;
  }, { disabled: true });
  const hint = h("span", { class: "hint", role: "status" }, "Choose two of one kind to compare them.");

  const filterNode = select([["", "all nodes"], ...names], { value: query.get("node") ?? "" });
  const filterKind = select([["", "all kinds"], ...Object.keys(KINDS)], { value: "" });
  let rows;
  try {
    rows = await pagedTable(
      {
        caption: "Profiles that are kept, the latest first",
        empty: "There are none. Take one above; telemetry.profile_every takes them by itself.",
        columns: [
          { title: "Choose", hidden: true, cell: choose },
          { title: "When", header: true, cell: (one) => h("a", { href: `#/profiles/${encodeURIComponent(one.profile)}` }, time(one.at)) },
          { title: "Kind", cell: (one) => badge(one.kind, "accent") },
          { title: "Node", cell: (one) => one.node },
          { title: "Host", cell: (one) => one.host },
          { title: "Version", cell: (one) => one.version },
          { title: "Took", class: "number", cell: (one) => duration(one.seconds) },
          { title: "Size", class: "number", cell: (one) => bytes(one.size) },
          { title: "Do", hidden: true, cell: (one) => button("Delete", () => remove(one), { kind: "small", label: `Delete the ${one.kind} profile of ${one.at}` }) },
        ],
      },
      async (cursor) => {
        const told = await get("profiles", { parameters: { node: filterNode.value, kind: filterKind.value, limit: LIMIT, cursor }, signal });
        return { rows: told.profiles, next: told.next_cursor };
      },
    );
  } catch (error) {
    if (error.status !== 404) throw error;
    return h("div", {}, heading("Profiles"), failed(error, "This node's version takes no profiles."));
  }
  for (const filter of [filterNode, filterKind]) {
    filter.addEventListener("change", () => rows.reload().catch((error) => fill(said, failed(error))));
  }

  function choose(one) {
    const box = checkbox(h("span", { class: "unseen" }, `Choose the ${one.kind} profile of ${one.at}`), { checked: chosen.has(one.profile) });
    box.input.addEventListener("change", () => {
      if (box.input.checked) chosen.set(one.profile, one);
      else chosen.delete(one.profile);
      const [first, second] = chosen.values();
      const fits = chosen.size === 2 && first.kind === second.kind;
      compare.disabled = !fits;
      hint.textContent = fits ? "The older one is the base." : chosen.size === 2 ? "They are of different kinds." : "Choose two of one kind to compare them.";
    });
    return box;
  }

  async function remove(one) {
    if (!(await confirm("Delete a profile", `The ${one.kind} profile of ${one.node} is deleted for everybody.`, { action: "Delete", danger: true }))) return;
    await del(path("profiles", one.profile));
    chosen.delete(one.profile);
    toast("Deleted.");
    await rows.reload();
  }

  const take = form(
    {
      submit: "Take a profile",
      run: async () => {
        fill(said, notice("info", `${node.value} is watched${kind.value === "tasks" ? "" : ` for ${seconds.value} seconds`}…`));
        try {
          const made = await get(`${path("nodes", node.value)}/profile`, { parameters: { kind: kind.value, seconds: kind.value === "tasks" ? 1 : seconds.value }, signal });
          location.hash = `#/profiles/${encodeURIComponent(made.profile)}`;
        } finally {
          fill(said);
        }
      },
    },
    field("Node", node),
    field("What", kind),
    field("For", seconds),
  );
  take.classList.add("row");
  return h(
    "div",
    {},
    heading("Profiles", { about: "Where a running process spends its time and memory, and what it waits for. Taking one costs a little while it runs, and nothing otherwise." }),
    h("div", { class: "panel" }, take, said),
    h("div", { class: "panel" }, h("div", { class: "actions" }, field("Node", filterNode, { hideLabel: true }), field("Kind", filterKind, { hideLabel: true }), compare, hint), rows),
  );
}
