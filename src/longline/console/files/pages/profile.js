// One profile.

import { download, get, path } from "../api.js";
import { chart } from "../chart.js";
import { badge, button, bytes, count, duration, facts, field, h, heading, notice, panel, select, share, svg, table, time } from "../dom.js";
import { flameGraph, functionsOf, treeOf } from "../flame.js";
import { KINDS } from "./profiles.js";

const FUNCTIONS = 200; // in the table
const COMPARED = 100; // profiles to choose from
const DRAWN = 6; // series of a chart
const COMPARABLE = ["cpu", "heap", "queues"];

export async function page({ profile: id }, { signal }) {
  const profile = await get(path("profiles", id), { signal });
  const { content, kind } = profile;
  const file = `${profile.node}-${kind}-${profile.at.slice(0, 19).replaceAll(":", "")}`;
  const keepAs = (format, name) => button(`Download ${format}`, () => download(path("profiles", id), name, { parameters: { format }, signal }));
  const actions = [keepAs("json", `${file}.json`)];
  if (kind === "cpu" || kind === "heap") actions.push(keepAs("speedscope", `${file}.speedscope.json`), keepAs("pprof", `${file}.pb.gz`));
  return h(
    "div",
    {},
    heading(`${KINDS[kind].split(":")[0]} of ${profile.node}`, { back: { href: "#/profiles", text: "Profiles" }, actions }),
    h("div", { class: "panel" }, facts([
      ["Taken", time(profile.at)],
      ["For", duration(profile.seconds)],
      ["Version", profile.version],
      ["Host", profile.host],
      ...more(kind, content),
    ])),
    content.limitation ? notice("warning", content.limitation.message, content.limitation.hint) : null,
    await comparison(profile, signal),
    shown(profile, signal),
  );
}

function more(kind, content) {
  if (kind === "cpu") {
    return [["Samples", `${count(content.samples)}, ${content.rate} a second`], ["Taken by", content.by], ["Compiled code", content.native ? badge("with native frames", "good") : badge("Python only", "warning")], content.left_out ? ["Left out", `${count(content.left_out)} samples of rare stacks`] : null];
  }
  if (kind === "heap") return [["Allocated and kept", bytes(content.bytes)], ["Memory of the process", bytes(content.process_bytes)], content.ended_early ? ["Ended early", "as many allocations were alive as one can look at"] : null];
  if (kind === "tasks") return [["Tasks", count(content.kinds.reduce((sum, each) => sum + each.count, 0))]];
  if (kind === "queues") return [["Looks", count(content.at.length)], ["Locks in use", count(content.locks.length)], content.left_out ? ["Left out", `${count(content.left_out)} tasks at once`] : null];
  return [["Stalls", count(content.stalls.length)], ["Latest lag", duration(content.lag.highest)], ["Longest GC pause", duration(content.gc.highest)]];
}

async function comparison(profile, signal) {
  if (!COMPARABLE.includes(profile.kind)) return null;
  const others = (await get("profiles", { parameters: { kind: profile.kind, limit: COMPARED }, signal })).profiles.filter((one) => one.profile !== profile.profile);
  if (!others.length) return null;
  const base = select(others.map((one) => [one.profile, `${one.at.slice(0, 19).replace("T", " ")}  ${one.node}  ${one.version}`]));
  return panel("Compare", {}, h("div", { class: "actions" }, field("With", base, { hideLabel: true }), button("Show what changed", () => {
    location.hash = `#/profiles/${encodeURIComponent(profile.profile)}/difference/${encodeURIComponent(base.value)}`;
  })));
}

function shown(profile, signal) {
  const { content, kind } = profile;
  if (kind === "cpu") return cpu(content, signal);
  if (kind === "heap") return heap(content);
  if (kind === "tasks") return tasks(content);
  if (kind === "queues") return queues(profile, content, signal);
  return loop(content);
}

function cpu(content, signal) {
  if (!content.stacks.length) return h("div", {}, notice("info", "The process did nothing while it was watched."), threads(content.threads ?? []));
  const root = treeOf(content.stacks);
  const rows = functionsOf(content.stacks).slice(0, FUNCTIONS);
  return h(
    "div",
    {},
    panel("Flame graph", {}, flameGraph(root, signal)),
    h("div", { class: "panel tall" }, table({
      caption: "Functions, by what they did themselves",
      columns: [
        { title: "Function", header: true, class: "wide", cell: (one) => h("code", {}, one.name) },
        { title: "Itself", class: "number", cell: (one) => share(one.own / root.samples) },
        { title: "With what it called", class: "number", cell: (one) => share(one.samples / root.samples) },
        { title: "Samples", class: "number", cell: (one) => count(one.own) },
      ],
      rows,
    })),
    threads(content.threads ?? []),
  );
}

function threads(found) {
  return h("div", { class: "panel" }, table({
    caption: "Threads, by the processor's time that they had",
    empty: "None had any.",
    columns: [
      { title: "Thread", header: true, cell: (one) => one.name },
      { title: "Processor", class: "number", cell: (one) => duration(one.seconds) },
    ],
    rows: found,
  }));
}

function heap(content) {
  return h("div", { class: "panel tall" }, table({
    caption: "Places that allocate, by what grew",
    empty: "Nothing was allocated and kept while it was watched.",
    columns: [
      { title: "Place", header: true, class: "wide", cell: (one) => h("code", {}, one.place) },
      { title: "Grown since half time", class: "number", cell: (one) => bytes(one.grown) },
      { title: "Kept", class: "number", cell: (one) => bytes(one.bytes) },
      { title: "Allocations", class: "number", cell: (one) => count(one.blocks) },
    ],
    rows: content.places,
  }));
}

function tasks(content) {
  return h("div", { class: "panel" }, table({
    caption: "Tasks by name",
    columns: [
      { title: "Name", header: true, cell: (one) => h("code", {}, one.name) },
      { title: "Count", class: "number", cell: (one) => count(one.count) },
      { title: "Oldest", class: "number", cell: (one) => duration(one.oldest_seconds) },
      { title: "Where most of them wait", class: "wide", cell: (one) => h("code", {}, one.where) },
    ],
    rows: content.kinds,
  }));
}

function loop(content) {
  return h(
    "div",
    {},
    panel("Stalls", { about: "What ran in the loop's thread when it was late, the latest first." },
      content.stalls.length
        ? content.stalls.map((stall) => h("details", { class: "stall" },
            h("summary", {}, time(stall.at), " ", h("b", {}, duration(stall.seconds)), stall.gc_seconds ? ` of which ${duration(stall.gc_seconds)} GC` : "", " ", h("code", {}, stall.stack.at(-1) ?? "")),
            h("ol", { class: "stack" }, stall.stack.map((frame) => h("li", {}, h("code", {}, frame))))))
        : h("p", { class: "empty" }, "The loop was not late.")),
    h("div", { class: "grid" }, h("div", { class: "panel" }, waits("Lag of the loop", content.lag)), h("div", { class: "panel" }, waits("Pauses of the garbage collector", content.gc))),
  );
}

function waits(caption, found) {
  let before = 0;
  const rows = found.buckets.map((bucket) => {
    const own = bucket.count - before;
    before = bucket.count;
    return { upTo: bucket.seconds === "+Inf" ? "more" : `up to ${duration(Number(bucket.seconds))}`, own };
  }).filter((row) => row.own > 0);
  return table({
    caption,
    empty: `${caption}: none.`,
    columns: [
      { title: "Seconds", header: true, cell: (row) => row.upTo },
      { title: "Count", class: "number", cell: (row) => count(row.own) },
      { title: "Part", cell: (row) => h("span", {}, h("span", { class: "meter", role: "presentation" }, h("span", { style: { width: `${(row.own / found.count) * 100}%` } })), ` ${share(row.own / found.count)}`) },
    ],
    rows,
  });
}

// --- queues and locks -----------------------------------------------------------------------------------------

const most = (series) => Math.max(0, ...series);
const sum = (series) => series.reduce((whole, value) => whole + value, 0);

function queues(profile, content, signal) {
  const start = Date.parse(profile.at) / 1000;
  const times = content.at.map((seconds) => start + seconds);
  const fullest = content.queues.filter((queue) => most(queue.depth) > 0).toSorted((one, other) => sum(other.depth) - sum(one.depth));
  const waitedFor = content.locks.filter((lock) => most(lock.waiting) > 0);
  return h(
    "div",
    {},
    h("div", { class: "grid" },
      // Bytes and what is counted have no scale in common.
      drawn("Fullest queues", count, times, fullest.filter((queue) => !inBytes(queue)).map((queue) => [queue.name, queue.depth]), signal),
      drawn("Bytes that wait", bytes, times, fullest.filter(inBytes).map((queue) => [queue.name, queue.depth]), signal),
      drawn("Tasks that wait for a lock", count, times, waitedFor.map((lock) => [lock.name, lock.waiting]), signal),
    ),
    h("div", { class: "panel tall" }, table({
      caption: "Locks, the most waited for first",
      empty: "None was held or waited for in a look.",
      columns: [
        { title: "Lock", header: true, class: "wide", cell: (one) => h("code", {}, one.name) },
        { title: "Waiting", cell: (one) => line(one.waiting) },
        { title: "Most", class: "number", cell: (one) => count(most(one.waiting)) },
        { title: "Longest wait", class: "number", cell: (one) => duration(one.longest_wait) },
        { title: "Held", class: "number", cell: (one) => share(one.held.filter(Boolean).length / one.held.length) },
        { title: "Longest hold", class: "number", cell: (one) => duration(one.longest_hold) },
        { title: "Who waits, and where", class: "wide", cell: (one) => users(one.waiters) },
        { title: "Who holds it, and where", class: "wide", cell: (one) => users(one.holders) },
      ],
      rows: content.locks,
    })),
    h("div", { class: "panel tall" }, table({
      caption: "Queues",
      empty: "None was watched.",
      columns: [
        { title: "Queue", header: true, cell: (one) => h("code", {}, one.name) },
        { title: "Depth", cell: (one) => line(one.depth) },
        { title: "Least", class: "number", cell: (one) => amount(one, Math.min(...one.depth)) },
        { title: "Most", class: "number", cell: (one) => amount(one, most(one.depth)) },
        { title: "Last", class: "number", cell: (one) => amount(one, one.depth.at(-1)) },
      ],
      rows: content.queues.toSorted((one, other) => most(other.depth) - most(one.depth)),
    })),
  );
}

const inBytes = (queue) => queue.name.endsWith("_bytes");
const amount = (queue, value) => (inBytes(queue) ? bytes : count)(value);

/** A chart of the first few; nothing where there are none. */
function drawn(title, format, times, named, signal) {
  const chosen = named.slice(0, DRAWN);
  if (!chosen.length) return null;
  const element = chart({ title, format, signal, group: "queues", series: chosen.map(([label], place) => ({ label, colour: place + 1 })) });
  element.update(times, chosen.map(([, series]) => series));
  return h("div", { class: "panel" }, element);
}

function users(found) {
  return h("ul", {}, found.map((one) => h("li", {}, h("code", {}, one.task), " at ", h("code", {}, one.where))));
}

function line(depth) {
  if (depth.length < 2) return "–";
  const most = Math.max(1, ...depth);
  const points = depth.map((value, place) => `${((place / (depth.length - 1)) * 160).toFixed(1)},${(22 - (value / most) * 20).toFixed(1)}`).join(" ");
  return svg("svg", { class: "line", width: 160, height: 24, role: "img", "aria-label": `From ${depth[0]} to ${depth.at(-1)}, at most ${Math.max(...depth)}` }, svg("polyline", { points }));
}
