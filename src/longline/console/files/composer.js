// The fields of a message: to whom, what, and how. `read()` gives the body that the API takes.

import { path, post, sleep } from "./api.js";
import { checkbox, count, field, fill, h, select } from "./dom.js";
import { parsedJson, words, wrong } from "./apps.js";

const PAUSE = 350; // ms without a key after which the audience is counted
const AUDIENCES = [
  ["devices", "Devices by name"],
  ["aliases", "Devices by alias"],
  ["tags", "Devices by tag and platform"],
  ["group", "A group"],
  ["expression", "An expression, as JSON"],
  ["all", "Everyone"],
  ["reply", "Who is answered"],
];

/** `given`: what a link says beforehand (device, group, tag). `later`: with a time, too. */
export function composer(app, { given = new URLSearchParams(), later = true, signal }) {
  const audience = audienceFields(app, given, signal);
  const content = payloadFields();
  const options = optionFields(later);
  return {
    element: h("div", { class: "stack" }, audience.element, content.element, options.element),
    read: () => {
      const body = { audience: audience.read(), ...content.read() };
      const chosen = options.read();
      if (Object.keys(chosen).length) body.options = chosen;
      return body;
    },
  };
}

// --- to whom --------------------------------------------------------------------------------------------------

function audienceFields(app, given, signal) {
  const area = (value = "") => h("textarea", { rows: "3", spellcheck: "false", value });
  const line = (value = "") => h("input", { type: "text", autocomplete: "off", spellcheck: "false", value });
  const first = given.get("group") ? "group" : given.get("tag") ? "tags" : "devices";
  const kind = select(AUDIENCES, { value: first });
  const inputs = {
    devices: area(given.get("device") ?? ""),
    aliases: area(),
    tag: line(given.get("tag") ?? ""),
    tag_and: line(),
    tag_not: line(),
    platform: line(),
    group: line(given.get("group") ?? ""),
    expression: area('{"tag": ["beta"], "attributes": {"age": {"gte": 18}}}'),
    reply: line(),
  };
  const parts = {
    devices: [field("Devices", inputs.devices, { name: "audience.devices", hint: "One a line, at most 1000." })],
    aliases: [field("Aliases", inputs.aliases, { name: "audience.aliases", hint: "One a line." })],
    tags: [
      field("One of these tags", inputs.tag, { name: "audience.tag", hint: "Commas between." }),
      field("All of these tags", inputs.tag_and, { name: "audience.tag_and" }),
      field("None of these tags", inputs.tag_not, { name: "audience.tag_not" }),
      field("One of these platforms", inputs.platform, { name: "audience.platform" }),
    ],
    group: [field("Group", inputs.group, { name: "audience.group" })],
    expression: [field("Expression", inputs.expression, { name: "audience", hint: "As `audience` of the API." })],
    all: [],
    reply: [field("reply_to of an upstream message", inputs.reply, { name: "audience.reply" })],
  };
  const shown = h("div", { class: "stack" });
  const estimate = h("p", { class: "estimate", role: "status" });

  function read() {
    const list = (text) => [...new Set(text.split("\n").map((name) => name.trim()).filter(Boolean))];
    switch (kind.value) {
      case "all":
        return "all";
      case "devices":
      case "aliases": {
        const names = list(inputs[kind.value].value);
        if (!names.length) throw wrong(`audience.${kind.value}`, "Name one at least.");
        return { [kind.value]: names };
      }
      case "group":
      case "reply":
        if (inputs[kind.value].value === "") throw wrong(`audience.${kind.value}`, "This is wanted.");
        return { [kind.value]: inputs[kind.value].value };
      case "expression":
        return parsedJson(inputs.expression.value, "audience");
      default: {
        const names = ["tag", "tag_and", "tag_not", "platform"].map((name) => [name, words(inputs[name].value)]);
        const asked = Object.fromEntries(names.filter(([, list]) => list.length));
        if (!Object.keys(asked).length) throw wrong("audience.tag", "Name one at least.");
        return asked;
      }
    }
  }

  // The one asked for last is the one that is shown, in whichever order answers come.
  let latest = null;
  async function recount() {
    latest?.abort();
    const mine = new AbortController();
    latest = mine;
    signal.addEventListener("abort", () => mine.abort(), { once: true });
    let asked;
    try {
      asked = read();
    } catch {
      fill(estimate, "Nobody yet.");
      return;
    }
    await sleep(PAUSE, mine.signal);
    if (mine.signal.aborted) return;
    try {
      const size = await post(`${path("apps", app)}/audiences:estimate`, { audience: asked }, { signal: mine.signal });
      fill(estimate, h("b", {}, count(size.devices)), size.devices === 1 ? " device, " : " devices, ", h("b", {}, count(size.online)), " connected.");
    } catch (error) {
      if (mine.signal.aborted || error.name === "AbortError") return;
      fill(estimate, `Not to be counted: ${error.message}`);
    }
  }

  function show() {
    fill(shown, parts[kind.value]);
    recount();
  }
  kind.addEventListener("change", show);
  const element = h("fieldset", { class: "stack", oninput: recount }, h("legend", {}, "To whom"), field("Audience", kind), shown, estimate);
  show();
  return { element, read };
}

// --- what -----------------------------------------------------------------------------------------------------

function payloadFields() {
  const kind = select([["json", "JSON"], ["text", "Text"], ["base64", "Bytes, in base64"]], { value: "json" });
  const text = h("textarea", { rows: "6", spellcheck: "false", value: '{"title": "Hello"}' });
  const shown = field("Payload", text, { name: "payload" });
  return {
    element: h("fieldset", { class: "stack" }, h("legend", {}, "What"), field("Kind of payload", kind), shown),
    read: () => {
      if (kind.value === "json") return { payload: parsedJson(text.value, "payload") };
      if (kind.value === "base64") return { payload_base64: text.value.replace(/\s/g, "") };
      if (text.value === "") throw wrong("payload", "One character at least is wanted.");
      return { payload: text.value };
    },
  };
}

// --- how ------------------------------------------------------------------------------------------------------

function optionFields(later) {
  const number = (most) => h("input", { type: "number", min: "0", max: String(most), placeholder: "default" });
  const ttl = number(2_419_200);
  const qos = select([["", "default (1)"], "0", "1", "2"]);
  const priority = select(["normal", "high"]);
  const collapse = h("input", { type: "text", maxlength: "64", autocomplete: "off" });
  const label = h("input", { type: "text", maxlength: "64", autocomplete: "off" });
  const spread = number(86_400);
  const onlineOnly = checkbox("Only who is connected now gets it");
  const at = h("input", { type: "datetime-local", step: "1" });
  const zone = select([["here", "by the clock of this browser"], ["device", "by each device's own clock"]]);
  return {
    element: h(
      "details",
      {},
      h("summary", {}, "Options"),
      h(
        "div",
        { class: "options" },
        field("Time to live, in seconds", ttl, { name: "options.ttl" }),
        field("QoS", qos, { name: "options.qos" }),
        field("Priority", priority, { name: "options.priority" }),
        field("Collapse key", collapse, { name: "options.collapse_key" }),
        field("Label", label, { name: "options.label", hint: "By which it is found again." }),
        field("Spread over seconds", spread, { name: "options.spread_over", hint: "Of messages to everyone and to expressions." }),
        later && field("Send at", at, { name: "options.send_at", hint: "Empty: now." }),
        later && field("That time is", zone),
        onlineOnly,
      ),
    ),
    read: () => {
      const made = {};
      if (ttl.value !== "") made.ttl = Number(ttl.value);
      if (qos.value !== "") made.qos = Number(qos.value);
      if (priority.value !== "normal") made.priority = priority.value;
      if (collapse.value !== "") made.collapse_key = collapse.value;
      if (label.value !== "") made.label = label.value;
      if (spread.value !== "") made.spread_over = Number(spread.value);
      if (onlineOnly.input.checked) made.online_only = true;
      if (later && at.value !== "") made.send_at = zone.value === "device" ? local(at.value) : new Date(at.value).toISOString();
      return made;
    },
  };
}

/** With its seconds, which browsers leave out where they are 0. */
function local(value) {
  return value.length === 16 ? `${value}:00` : value;
}
