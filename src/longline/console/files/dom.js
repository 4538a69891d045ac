// What pages are built from. Text gets into a page as text alone: nothing here takes markup, so that no
// device's name, tag or payload can be anything but letters.

const SVG = "http://www.w3.org/2000/svg";
let ids = 0;

/** An id that nothing else on the page has. */
export function uniqueId(prefix = "x") {
  ids += 1;
  return `${prefix}-${ids}`;
}

/**
 * An element: `h("button", {class: "primary", onclick: save}, "Save")`.
 *
 * Attributes: `on…` with a function listens; `style` is an object of properties; `dataset` likewise; `value`,
 * `checked`, `selected`, `disabled`, `open`, `indeterminate` are properties; true is an attribute without a value; false, null
 * and undefined are none. Children: text, numbers, nodes, lists of them; null, undefined and false are none.
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes ?? {}, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes ?? {}, children);
}

const PROPERTIES = new Set(["value", "checked", "selected", "disabled", "open", "indeterminate"]);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) {
      if (typeof value !== "function") throw new TypeError(`${name} is no function`);
      element.addEventListener(name.slice(2), value);
    } else if (name === "style") {
      for (const [property, setting] of Object.entries(value)) element.style.setProperty(property, setting);
    } else if (name === "dataset") Object.assign(element.dataset, value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) {
      // An address that runs something is none that we link to.
      if ((name === "href" || name === "src") && /^\s*(javascript|data|vbscript):/i.test(value)) continue;
      element.setAttribute(name, String(value));
    }
  }
  put(element, ...children);
  return element;
}

function put(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === true) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Puts these children in the place of those that an element has. */
export function fill(element, ...children) {
  element.replaceChildren();
  put(element, ...children);
  return element;
}

// --- figures in words -----------------------------------------------------------------------------------------

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const FINE = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const NONE = "–";

/** 12,345; – for nothing. */
export function count(value) {
  return isNumber(value) ? WHOLE.format(value) : NONE;
}

/** A number in few letters: 0.42, 8.1, 950, 12.3k, 4.5M. */
export function short(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e9) return `${SHORT.format(value / 1e9)}G`;
  if (size >= 1e6) return `${SHORT.format(value / 1e6)}M`;
  if (size >= 1e4) return `${SHORT.format(value / 1e3)}k`;
  if (size >= 100) return WHOLE.format(value);
  if (size >= 1 || size === 0) return SHORT.format(value);
  return FINE.format(value);
}

/** 1.5 MiB. */
export function bytes(value) {
  if (!isNumber(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit ? SHORT.format(size) : WHOLE.format(size)} ${units[unit]}`;
}

/** 37 % of 0.37. */
export function share(value) {
  return isNumber(value) ? `${SHORT.format(value * 100)} %` : NONE;
}

/** Seconds in words: 120 µs, 35 ms, 4.2 s, 3 min 5 s, 2 h 10 min, 5 d 3 h. */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size === 0) return "0 s";
  if (size < 0.001) return `${FINE.format(seconds * 1e6)} µs`;
  if (size < 1) return `${size < 0.01 ? FINE.format(seconds * 1e3) : WHOLE.format(seconds * 1e3)} ms`;
  if (size < 60) return `${SHORT.format(seconds)} s`;
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([length]) => size >= length);
  const [length, unit] = parts[first];
  const whole = Math.floor(size / length);
  const [below, smaller] = parts[first + 1] ?? [1, ""];
  const rest = first < 3 ? Math.floor((size - whole * length) / below) : 0;
  return `${seconds < 0 ? "−" : ""}${whole} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** A moment (RFC 3339, or ms) in the reader's zone, as `<time>`; today's only by the clock. */
export function time(value) {
  const at = value === null || value === undefined || value === "" ? null : new Date(value);
  if (at === null || Number.isNaN(at.getTime())) return h("span", {}, NONE);
  const today = at.toDateString() === new Date().toDateString();
  const iso = at.toISOString();
  return h("time", { datetime: iso, title: iso }, (today ? CLOCK : DAY).format(at));
}

/** How long ago a moment is, as `<time>`. */
export function ago(value) {
  const at = value === null || value === undefined || value === "" ? null : new Date(value);
  if (at === null || Number.isNaN(at.getTime())) return h("span", {}, NONE);
  const seconds = Math.round((Date.now() - at.getTime()) / 1000);
  const words = Math.abs(seconds) < 2 ? "now" : seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
  return h("time", { datetime: at.toISOString(), title: at.toISOString() }, words);
}

// --- pieces of pages ------------------------------------------------------------------------------------------

/** The heading of a page: its title gets the focus when the page is shown. `actions` stand at its end. */
export function heading(title, { about = null, actions = [], back = null } = {}) {
  return h(
    "header",
    { class: "heading" },
    h(
      "div",
      {},
      back && h("p", { class: "back" }, h("a", { href: back.href }, `‹ ${back.text}`)),
      h("h1", { tabindex: "-1" }, title),
      about && h("p", { class: "about" }, about),
    ),
    actions.length ? h("div", { class: "actions" }, actions) : null,
  );
}

/** A part of a page with a heading of its own; `actions` stand beside that. */
export function panel(title, { actions = [], about = null, class: kind = "" } = {}, ...children) {
  const id = uniqueId("panel");
  return h(
    "section",
    { class: `panel ${kind}`.trim(), "aria-labelledby": id },
    h("div", { class: "panel-head" }, h("h2", { id }, title), actions.length ? h("div", { class: "actions" }, actions) : null),
    about && h("p", { class: "about" }, about),
    children,
  );
}

/** A button. `kind`: "", "primary", "danger", "quiet". `run` may be async: the button waits for it. */
export function button(text, run, { kind = "", label = null, disabled = false, title = null } = {}) {
  const element = h("button", { type: "button", class: kind || null, "aria-label": label, disabled, title }, text);
  element.addEventListener("click", async (event) => {
    const result = run(event);
    if (!(result instanceof Promise)) return;
    element.setAttribute("aria-busy", "true");
    element.disabled = true;
    try {
      await result;
    } catch (error) {
      if (error.name !== "AbortError") complain(error);
    } finally {
      element.removeAttribute("aria-busy");
      element.disabled = false;
    }
  });
  return element;
}

/** A word that says how something is. `kind`: "", "good", "warning", "bad", "accent". */
export function badge(text, kind = "") {
  return h("span", { class: `badge ${kind}`.trim() }, text);
}

/** What the reader should know. `kind`: "info", "good", "warning", "bad". Bad ones are said at once. */
export function notice(kind, text, hint = null) {
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" },
    h("p", {}, text),
    hint && h("p", { class: "hint" }, hint),
  );
}

/** What went wrong, as a notice: an `ApiError`, or anything else that was thrown. */
export function failed(error, what = "This could not be done.") {
  const code = error?.code ? ` (${error.code})` : "";
  const said = error?.message ?? String(error);
  const box = notice("bad", `${what} ${said}${code}`, hintFor(error));
  if (error?.details?.length) {
    box.append(h("ul", {}, error.details.map((detail) => h("li", {}, detail.field ? `${detail.field}: ${detail.message}` : detail.message))));
  }
  return box;
}

function hintFor(error) {
  if (error?.status === 403) return "The key that you have logged in with may not do this. Another one may.";
  if (error?.status === 404 && error.code === "not_found") return "This node's version has no such call yet.";
  if (error?.status === 429) return "Wait a moment, then try again.";
  if (error?.status === 0) return "It is tried again. Look whether the node runs, and whether you are connected.";
  return null;
}

/** A list of names and values. Entries are [name, value], null ones are left out. */
export function facts(entries) {
  return h(
    "dl",
    { class: "facts" },
    entries.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? NONE))),
  );
}

/** Figures in large letters. Entries: {name, value, unit?, about?, kind?}; `update(name, value)` changes one. */
export function tiles(entries) {
  const values = new Map();
  const element = h(
    "dl",
    { class: "tiles" },
    entries.map((entry) => {
      const value = h("dd", { class: "value" }, entry.value ?? NONE);
      values.set(entry.name, value);
      return h("div", { class: "tile", title: entry.about ?? null }, h("dt", {}, entry.name), value, entry.unit && h("dd", { class: "unit" }, entry.unit));
    }),
  );
  element.update = (name, value) => {
    const found = values.get(name);
    if (found && found.textContent !== String(value)) found.textContent = String(value);
  };
  return element;
}

/**
 * A table. `columns`: {title, cell: (row) => text or node or list, class?: "number" | "wide" | "narrow",
 * header?: true for the cell that names its row, hidden?: true for a title that only readers of screens get,
 * sort?: (row) => number or text or null, by which rows can be put in order}. `update(rows)` of what is returned shows
 * others. `last(row)`: rows that stay below all others, however these are sorted.
 * It scrolls by itself where it is wider than the page, by keyboard too.
 */
export function table({ caption, columns, rows = [], empty = "There is nothing here.", hideCaption = false, last = () => false }) {
  const body = h("tbody");
  const id = uniqueId("table");
  const nothing = h("p", { class: "empty" }, empty);
  let shown = rows;
  let by = null; // the column that rows are sorted by
  let descending = false;

  const heads = columns.map((column) => h("th", { scope: "col", class: column.class ?? null }, title(column)));
  function title(column) {
    if (column.hidden) return h("span", { class: "unseen" }, column.title);
    if (!column.sort) return column.title;
    return h("button", { type: "button", class: "sort", onclick: () => sortBy(column) }, column.title);
  }

  function sortBy(column) {
    // What is a number is first shown from the largest on.
    descending = by === column ? !descending : column.class === "number";
    by = column;
    for (const [place, head] of heads.entries()) {
      if (columns[place] === by) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    show();
  }

  function inOrder() {
    const below = (one, other) => last(one) - last(other);
    if (!by) return [...shown].sort(below);
    const way = descending ? -1 : 1;
    return [...shown].sort((one, other) => below(one, other) || compared(by.sort(one), by.sort(other), way));
  }

  const inner = h("table", {}, h("caption", { id, class: hideCaption ? "unseen" : null }, caption), h("thead", {}, h("tr", {}, heads)), body);
  const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": id }, inner);
  const element = h("div", { class: "table" }, scroll, nothing);
  function show() {
    // Who has gone to a link by keyboard stays there when figures change around it.
    const held = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    fill(
      body,
      inOrder().map((row) =>
        h(
          "tr",
          {},
          columns.map((column) => {
            const content = column.cell(row);
            const attributes = { class: column.class ?? null };
            return column.header ? h("th", { scope: "row", ...attributes }, content) : h("td", attributes, content ?? NONE);
          }),
        ),
      ),
    );
    if (held !== null) [...body.querySelectorAll("a")].find((link) => link.getAttribute("href") === held)?.focus({ preventScroll: true });
    nothing.hidden = shown.length > 0;
    scroll.hidden = shown.length === 0;
  }
  element.update = (newRows) => {
    shown = newRows;
    show();
  };
  show();
  return element;
}

/** Numbers, or texts, in order; what is not known comes last, whichever way. */
function compared(one, other, way) {
  const unknown = (value) => value === null || value === undefined;
  if (unknown(one) || unknown(other)) return unknown(one) - unknown(other);
  if (typeof one === "string") return way * one.localeCompare(other);
  return way * (one - other);
}

/**
 * A list that is read page by page: `load(cursor)` gives {rows, next}. The table has a button for more.
 * `reload` begins anew, `refresh` only where the first page is another than the one that is shown.
 */
export async function pagedTable(options, load) {
  let rows = [];
  let next = null;
  const element = table(options);
  const more = button("Show more", async () => show(await load(next)));
  const foot = h("div", { class: "more" }, more);
  function show(page) {
    rows = rows.concat(page.rows);
    next = page.next;
    element.update(rows);
    foot.hidden = !next;
  }
  element.append(foot);
  element.reload = async () => {
    rows = [];
    show(await load(null));
  };
  element.refresh = async () => {
    const first = await load(null);
    const shown = rows.slice(0, Math.max(1, first.rows.length));
    if (JSON.stringify(first.rows) === JSON.stringify(shown)) return;
    rows = [];
    show(first);
  };
  show(await load(null));
  return element;
}

// --- forms ----------------------------------------------------------------------------------------------------

/**
 * A field of a form: `input` with its label, a hint, and room for what is wrong with it. `name` is the field as
 * the API names it in an error's details.
 */
export function field(label, input, { hint = null, name = null, hideLabel = false } = {}) {
  const id = input.id || uniqueId("field");
  input.id = id;
  if (name) input.name = name;
  const hintId = hint ? `${id}-hint` : null;
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  input.setAttribute("aria-describedby", [hintId, wrong.id].filter(Boolean).join(" "));
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id, class: hideLabel ? "unseen" : null }, label),
    input,
    hint && h("p", { class: "hint", id: hintId }, hint),
    wrong,
  );
  element.fieldName = name;
  element.complain = (message) => {
    wrong.textContent = message ?? "";
    wrong.hidden = !message;
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  return element;
}

/** A box to tick, with its words. */
export function checkbox(text, attributes = {}) {
  const input = h("input", { type: "checkbox", ...attributes });
  const element = h("label", { class: "check" }, input, h("span", {}, text));
  element.input = input;
  return element;
}

/** One of several, as `<select>`; options are texts, or [value, text]. */
export function select(options, attributes = {}) {
  const { value, ...others } = attributes;
  const element = h(
    "select",
    others,
    options.map((option) => {
      const [given, text] = Array.isArray(option) ? option : [option, option];
      return h("option", { value: given, selected: value !== undefined && String(given) === String(value) }, text);
    }),
  );
  return element;
}

/**
 * A form. `submit` is the text of its button; `run()` does the work, and what it throws is shown: at the fields
 * that the error's details name, and in words. `extra`: further buttons.
 */
export function form({ submit, run, kind = "primary", extra = [] }, ...children) {
  const said = h("div", { class: "said", "aria-live": "polite" });
  const send = h("button", { type: "submit", class: kind }, submit);
  const element = h("form", { novalidate: true }, children, said, h("div", { class: "actions" }, send, extra));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = [...element.querySelectorAll(".field")];
    for (const each of fields) each.complain?.(null);
    fill(said);
    send.disabled = true;
    send.setAttribute("aria-busy", "true");
    try {
      await run();
    } catch (error) {
      if (error.name === "AbortError") return;
      let first = null;
      const unsaid = [];
      for (const detail of error.details ?? []) {
        const found = fields.find((each) => each.fieldName && detail.field === each.fieldName);
        if (found) {
          found.complain(detail.message);
          first ??= found.querySelector("input, select, textarea");
        } else unsaid.push(detail);
      }
      fill(said, failed({ message: error.message, code: error.code, status: error.status, details: unsaid }));
      first?.focus();
    } finally {
      send.disabled = false;
      send.removeAttribute("aria-busy");
    }
  });
  return element;
}

// --- dialogs and words ----------------------------------------------------------------------------------------

/**
 * A modal dialog. `content` is a node, or a function of `close(value)` that makes one. Resolves with what `close` was
 * given, null when it was dismissed. The focus goes back to where it was.
 */
export function dialog(title, content, { wide = false } = {}) {
  return new Promise((resolve) => {
    const id = uniqueId("dialog");
    let result = null;
    const close = (value = null) => {
      result = value;
      element.close();
    };
    const dismiss = h("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: () => close() }, "×");
    const element = h("dialog", { "aria-labelledby": id, class: wide ? "wide" : null }, h("div", { class: "dialog-head" }, h("h2", { id }, title), dismiss));
    put(element, typeof content === "function" ? content(close) : content);
    element.addEventListener("close", () => {
      element.remove();
      resolve(result);
    });
    document.body.append(element);
    element.showModal();
  });
}

/** Asks before something is done. `word`: what has to be typed first. Resolves with true or false. */
export async function confirm(title, text, { action = "Go on", danger = false, word = null } = {}) {
  const answer = await dialog(title, (close) => {
    const typed = word === null ? null : h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
    const go = h("button", { type: "submit", class: danger ? "danger" : "primary", disabled: word !== null }, action);
    typed?.addEventListener("input", () => {
      go.disabled = typed.value !== word;
    });
    return h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          close(true);
        },
      },
      (Array.isArray(text) ? text : [text]).map((each) => (each instanceof Node ? each : h("p", {}, each))),
      typed && field(`Type ${word} to go on`, typed),
      h("div", { class: "actions" }, go, h("button", { type: "button", onclick: () => close(false) }, "Cancel")),
    );
  });
  return answer === true;
}

let voice = null;
let shelf = null;

/** Where what happens is said: made once by the frame. */
export function speakers() {
  voice = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
  shelf = h("div", { class: "shelf" });
  return [voice, shelf];
}

/** Says something to readers of screens, and to nobody else. */
export function say(text) {
  if (voice) voice.textContent = text;
}

/** Shows for a few seconds that something was done. */
export function toast(text) {
  const element = h("div", { class: "toast", role: "status" }, text);
  shelf?.append(element);
  setTimeout(() => element.remove(), 6000);
}

/** Shows what went wrong where no form has room for it; it stays until it is closed. */
export function complain(error) {
  const box = failed(error);
  const element = h("div", { class: "toast bad" }, box, h("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: () => element.remove() }, "×"));
  shelf?.append(element);
}

/** A text in a box with a button that copies it. */
export function copyable(text, label = "Copy") {
  const shown = h("code", { class: "secret" }, text);
  return h(
    "div",
    { class: "copyable" },
    shown,
    button(label, async () => {
      try {
        await navigator.clipboard.writeText(text);
        toast("Copied.");
      } catch {
        const range = document.createRange(); // no clipboard without TLS: select it at least
        range.selectNodeContents(shown);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        toast("Selected: copy it with the keyboard.");
      }
    }),
  );
}

/** JSON, indented. */
export function json(value) {
  return h("pre", { class: "json", tabindex: "0" }, JSON.stringify(value, null, 2));
}

/** Something is under way. */
export function loading(text = "Loading…") {
  return h("p", { class: "loading", role: "status" }, text);
}
