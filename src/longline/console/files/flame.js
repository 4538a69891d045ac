// A flame graph: each frame as wide as its part of the samples, what it called above it. By mouse and by keyboard:
// arrows go to who called, what was called, and what stands beside; Enter widens a frame to the whole.

import { fill, h, share, svg } from "./dom.js";

const ROW = 19; // px
const LEAST = 1.2; // px: narrower frames are left out
const LETTER = 6.7; // px, about
const MOST_ROWS = 90;

class Frame {
  constructor(name, parent) {
    this.name = name;
    this.parent = parent;
    this.samples = 0;
    this.own = 0;
    this.children = new Map();
    this.row = parent ? parent.row + 1 : 0;
  }
}

/** The tree of stacks: [{frames, samples}], outermost first. */
export function treeOf(stacks) {
  const root = new Frame("all", null);
  for (const { frames, samples } of stacks) {
    let at = root;
    at.samples += samples;
    for (const name of frames) {
      let next = at.children.get(name);
      if (!next) {
        next = new Frame(name, at);
        at.children.set(name, next);
      }
      next.samples += samples;
      at = next;
    }
    at.own += samples;
  }
  return root;
}

/** Functions by their own samples, and by those of what they called: [{name, own, samples}]. */
export function functionsOf(stacks) {
  const found = new Map();
  for (const { frames, samples } of stacks) {
    const own = frames.at(-1);
    for (const name of new Set(frames)) {
      if (!found.has(name)) found.set(name, { name, own: 0, samples: 0 });
      const one = found.get(name);
      one.samples += samples;
      if (name === own) one.own += samples;
    }
  }
  return [...found.values()].sort((one, other) => other.own - one.own || other.samples - one.samples);
}

function kindOf(name) {
  if (name === "all") return "all";
  if (/\(longline\//.test(name)) return "longline";
  if (/\.py:\d+\)|<frozen /.test(name)) return "python";
  return "native";
}

/** The graph. `update(root)` is not needed: a graph is of one profile. `signal`: when the page is left. */
export function flameGraph(root, signal) {
  const said = h("p", { class: "flame-said", "aria-live": "polite" }, "Point at a frame, or go to one with the keyboard, to see all of its name.");
  const room = h("div", { class: "flame" });
  const find = h("input", { type: "search", "aria-label": "Find functions", placeholder: "Find functions", spellcheck: "false", autocomplete: "off" });
  const whole = h("button", { type: "button", onclick: () => widen(root) }, "Show all");
  let top = root;
  let at = root;
  let drawn = new Map();

  function tell(frame) {
    said.textContent = `${frame.name}: ${share(frame.samples / root.samples)} of all samples, ${frame.samples}; itself ${frame.own}`;
  }

  function widen(frame) {
    top = frame;
    at = frame;
    draw();
  }

  function draw(focus = false) {
    const width = room.clientWidth;
    if (!width) return;
    drawn = new Map();
    const wanted = find.value.trim().toLowerCase();
    const line = [];
    for (let frame = top; frame; frame = frame.parent) line.unshift(frame);
    const shapes = [];
    let rows = line.length;
    const place = (frame, left, size) => {
      if (size < LEAST || frame.row >= MOST_ROWS) return;
      rows = Math.max(rows, frame.row + 1);
      shapes.push(shape(frame, left, size, wanted));
      let next = left;
      for (const child of [...frame.children.values()].sort((one, other) => other.samples - one.samples)) {
        const wide = (child.samples / frame.samples) * size;
        place(child, next, wide);
        next += wide;
      }
    };
    for (const frame of line.slice(0, -1)) shapes.push(shape(frame, 0, width, wanted));
    place(top, 0, width);
    const height = rows * ROW;
    fill(room, svg("svg", { width, height, role: "group", "aria-label": "Flame graph: who called is above, what was called below" }, shapes));
    const focusable = drawn.get(at) ?? drawn.get(root);
    focusable.setAttribute("tabindex", "0");
    if (focus) focusable.focus();
  }

  function shape(frame, left, size, wanted) {
    const letters = Math.floor((size - 6) / LETTER);
    const text = letters < 3 ? "" : frame.name.length <= letters ? frame.name : `${frame.name.slice(0, letters - 1)}…`;
    const hit = wanted && frame.name.toLowerCase().includes(wanted);
    const element = svg(
      "g",
      {
        class: `frame ${kindOf(frame.name)}${hit ? " hit" : ""}`,
        role: "button",
        tabindex: "-1",
        "aria-label": `${frame.name}, ${share(frame.samples / root.samples)}`,
        onclick: () => widen(frame),
        onpointerenter: () => tell(frame),
        onfocus: () => {
          drawn.get(at)?.setAttribute("tabindex", "-1");
          at = frame;
          element.setAttribute("tabindex", "0");
          tell(frame);
        },
        onkeydown: (event) => key(event, frame),
      },
      svg("rect", { width: Math.max(0.5, size - 0.6).toFixed(1), height: ROW - 1, rx: 2 }),
    );
    drawn.set(frame, element);
    // What is seen of a long name is not its label: it lies over the button, and is not in it.
    return svg(
      "g",
      { transform: `translate(${left.toFixed(1)} ${frame.row * ROW})` },
      element,
      text ? svg("text", { x: 4, y: ROW - 6, "aria-hidden": "true" }, text) : null,
    );
  }

  function key(event, frame) {
    const beside = () => [...frame.parent.children.values()].sort((one, other) => other.samples - one.samples).filter((each) => drawn.has(each));
    let next = null;
    if (event.key === "ArrowUp") next = frame.parent;
    else if (event.key === "ArrowDown") next = [...frame.children.values()].sort((one, other) => other.samples - one.samples)[0];
    else if (event.key === "ArrowRight" && frame.parent) next = beside()[beside().indexOf(frame) + 1];
    else if (event.key === "ArrowLeft" && frame.parent) next = beside()[beside().indexOf(frame) - 1];
    else if (event.key === "Enter" || event.key === " ") {
      top = frame;
      at = frame;
      draw(true);
      event.preventDefault();
      return;
    } else if (event.key === "Escape" || event.key === "Home") {
      top = root;
      at = root;
      draw(true);
      event.preventDefault();
      return;
    } else return;
    event.preventDefault();
    const element = next && drawn.get(next);
    if (element) element.focus();
  }

  find.addEventListener("input", () => {
    draw();
    const wanted = find.value.trim().toLowerCase();
    if (!wanted) return;
    let samples = 0;
    const sum = (frame) => {
      if (frame.name.toLowerCase().includes(wanted)) samples += frame.samples; // what it calls is in that
      else for (const child of frame.children.values()) sum(child);
    };
    sum(root);
    said.textContent = `Functions with “${find.value.trim()}” have ${share(samples / root.samples)} of all samples.`;
  });
  const observer = new ResizeObserver(() => draw());
  observer.observe(room);
  signal.addEventListener("abort", () => observer.disconnect());
  const legend = h("p", { class: "flame-legend hint" }, ["longline", "python", "native"].map((kind) => h("span", {}, h("span", { class: `key ${kind}` }), { longline: "Longline", python: "other Python", native: "native" }[kind])));
  return h("div", {}, h("div", { class: "actions flame-tools" }, find, whole, legend), room, said);
}
