// Settings that change at run time: what each is, on trial for some nodes, for all, and as it was before.

import { del, every, get, path, post, put } from "../api.js";
import { badge, button, checkbox, confirm, dialog, failed, field, fill, form, h, heading, panel, select, table, time, toast } from "../dom.js";

const SECONDS = 3000; // ms between two looks

export async function page(parameters, { signal, query }) {
  let config = await get("config", { signal });
  const said = h("div", { "aria-live": "polite" });
  const trial = h("div", {});
  const sections = h("div", {});
  const nodes = table({
    caption: "Which node has which version",
    columns: [
      { title: "Node", header: true, cell: (node) => h("a", { href: `#/nodes/${encodeURIComponent(node.node)}` }, node.node) },
      { title: "Version", cell: (node) => node.settings_version },
      { title: "State", cell: (node) => (node.settings_version === config.version ? badge("in force", "good") : badge("behind", "warning")) },
      { title: "On trial", cell: (node) => (config.gray?.nodes.some((each) => each === node.node || hostOf.get(node.node) === each) ? badge("on trial", "accent") : "") },
    ],
  });
  const hostOf = new Map();
  const versions = h("div", {});
  const find = h("input", { type: "search", value: query.get("find") ?? "", autocomplete: "off", spellcheck: "false" });
  let shown = "";

  async function change(work, done) {
    config = await work();
    shown = "";
    show();
    toast(done);
  }

  function source(name) {
    if (config.gray && name in config.gray.settings) return badge("on trial", "accent");
    if (name in config.settings) return badge("all nodes", "good");
    return badge("each node's own");
  }

  function value(name, entry) {
    const rows = [];
    if (name in config.settings) rows.push(h("b", {}, plain(config.settings[name])));
    else rows.push(h("span", { class: "muted" }, `default ${plain(entry.default)}`));
    if (config.gray && name in config.gray.settings) rows.push(h("div", {}, h("b", {}, plain(config.gray.settings[name])), " on ", config.gray.nodes.join(", ")));
    return rows;
  }

  function actions(entry) {
    const { name } = entry;
    const row = [button("Change…", () => edit(entry), { kind: "small", label: `Change ${name}` })];
    if (name in config.settings || (config.gray && name in config.gray.settings)) {
      row.push(button("Leave to nodes", () => leaveToNodes(name), { kind: "small", label: `Leave to nodes: ${name}` }));
    }
    if (config.history.some((past) => JSON.stringify(past.settings[name]) !== JSON.stringify(config.settings[name]))) {
      row.push(button("Undo", () => undo(name), { kind: "small", label: `Undo: ${name}`, title: "Its former value, on all nodes" }));
    }
    return h("div", { class: "actions" }, row);
  }

  async function leaveToNodes(name) {
    const go = await confirm("Leave it to the nodes", `${name} is then what each node's own file, environment or default says.`, { action: "Leave it to them" });
    if (go) await change(() => del(path("config", name)), `${name} is each node's own again.`);
  }

  async function undo(name) {
    const go = await confirm("Undo", `${name} gets the value that it had before, on all nodes.`, { action: "Undo" });
    if (go) await change(() => post(`${path("config", name)}:rollback`), `${name} has its former value.`);
  }

  async function edit(entry) {
    const before = config.gray && entry.name in config.gray.settings ? config.gray.settings[entry.name] : (config.settings[entry.name] ?? entry.default);
    const changed = await dialog(entry.name, (close) => {
      const input = inputFor(entry, before);
      const boxes = config.nodes.map((node) => checkbox(node.node, { value: node.node, checked: config.gray?.nodes.includes(node.node) ?? false }));
      const some = h("div", { class: "checks" }, boxes);
      const forSome = select([["all", "all nodes, at once"], ["some", "some nodes, on trial"]], { value: config.gray ? "some" : "all" });
      const chooser = h("fieldset", { hidden: !config.gray }, h("legend", {}, "Nodes on trial"), some);
      forSome.addEventListener("change", () => {
        chooser.hidden = forSome.value === "all";
      });
      return form(
        {
          submit: "Put it in force",
          run: async () => {
            const body = { value: input.read(), version: config.version };
            if (forSome.value === "some") {
              body.nodes = boxes.filter((box) => box.input.checked).map((box) => box.input.value);
              if (!body.nodes.length) throw new Error("Choose at least one node.");
            }
            close(await put(path("config", entry.name), body));
          },
          extra: [h("button", { type: "button", onclick: () => close() }, "Cancel")],
        },
        h("p", {}, worded(entry.meaning)),
        field("Value", input, { name: "value", hint: `${entry.type.replaceAll("`", "")}; default ${plain(entry.default)}` }),
        field("For", forSome, { hint: "A trial ends when it is promoted to all nodes, or rolled back." }),
        chooser,
      );
    });
    if (changed) await change(() => Promise.resolve(changed), `${entry.name} is changed.`);
  }

  function showTrial() {
    if (!config.gray) {
      fill(trial);
      return;
    }
    fill(
      trial,
      panel(
        "On trial",
        {
          class: "trial",
          actions: [
            button("Promote to all nodes", async () => {
              const go = await confirm("Promote", "All nodes get the settings that are on trial.", { action: "Promote" });
              if (go) await change(() => post("config:promote"), "All nodes have the settings of the trial.");
            }, { kind: "primary" }),
            button("Roll back", async () => {
              const go = await confirm("Roll back", "The trial ends, and its nodes go back to what all others have.", { action: "Roll back" });
              if (go) await change(() => post("config:rollback"), "The trial is over.");
            }, { kind: "danger" }),
          ],
        },
        h("p", {}, "On ", h("b", {}, config.gray.nodes.join(", ")), ":"),
        h("ul", {}, Object.entries(config.gray.settings).map(([name, given]) => h("li", {}, h("code", {}, name), " = ", h("b", {}, plain(given))))),
      ),
    );
  }

  function showSections() {
    const wanted = find.value.trim().toLowerCase();
    const bySection = new Map();
    for (const entry of config.available) {
      if (wanted && !`${entry.name} ${entry.meaning}`.toLowerCase().includes(wanted)) continue;
      const section = entry.name.split(".")[0];
      if (!bySection.has(section)) bySection.set(section, []);
      bySection.get(section).push(entry);
    }
    fill(
      sections,
      bySection.size ? null : h("p", { class: "empty" }, "No setting has this in its name or meaning."),
      [...bySection].map(([section, entries]) =>
        h("div", { class: "panel settings" }, table({
          caption: section,
          columns: [
            { title: "Setting", header: true, cell: (entry) => h("code", {}, entry.name) },
            { title: "Meaning", class: "wide", cell: (entry) => [worded(entry.meaning), h("div", { class: "hint" }, entry.type.replaceAll("`", ""))] },
            { title: "Value", class: "value", cell: (entry) => value(entry.name, entry) },
            { title: "From", cell: (entry) => source(entry.name) },
            { title: "Do", hidden: true, cell: actions },
          ],
          rows: entries,
        })),
      ),
    );
  }

  function showVersions() {
    const all = [config, ...config.history];
    if (all.length < 2) {
      fill(versions, h("p", { class: "empty" }, "Nothing was changed yet."));
      return;
    }
    const names = all.map((one) => [one.version, `version ${one.version}${one.version === config.version ? ", in force" : ""}`]);
    const older = select(names, { value: all[1].version });
    const newer = select(names, { value: all[0].version });
    const shownDifference = h("div", { "aria-live": "polite" });
    const compare = () => {
      const one = all.find((each) => String(each.version) === older.value);
      const other = all.find((each) => String(each.version) === newer.value);
      fill(shownDifference, difference(one, other));
    };
    older.addEventListener("change", compare);
    newer.addEventListener("change", compare);
    compare();
    fill(
      versions,
      table({
        caption: "Versions, the latest first",
        columns: [
          { title: "Version", header: true, cell: (one) => one.version },
          { title: "Since", cell: (one) => (one.at ? time(one.at) : "–") },
          { title: "What it changed", class: "wide", cell: (one) => changes(all[all.indexOf(one) + 1], one) },
        ],
        rows: all,
      }),
      h("div", { class: "actions" }, field("Compare", older), field("with", newer)),
      shownDifference,
    );
  }

  function show() {
    const now = JSON.stringify(config);
    if (now === shown) return;
    shown = now;
    showTrial();
    showSections();
    nodes.update(config.nodes);
    showVersions();
  }

  find.addEventListener("input", showSections);
  show();
  every(SECONDS, signal, async () => {
    const members = (await get("nodes", { signal })).nodes;
    for (const member of members) hostOf.set(member.node, member.host);
    const latest = await get("config", { signal });
    fill(said);
    // What somebody is about to use is not taken from under the pointer, unless something has changed.
    if (JSON.stringify(latest) === JSON.stringify(config)) return;
    config = latest;
    show();
  }, (error) => fill(said, failed(error, "The settings cannot be read.")));

  const back = button("Roll back the latest change", async () => {
    const go = await confirm("Roll back", "All dynamic settings go back to what they were before the latest change. Doing it twice brings the change back.", { action: "Roll back" });
    if (go) await change(() => post("config:rollback"), "The latest change is rolled back.");
  }, { kind: "danger" });
  return h(
    "div",
    {},
    heading("Settings", {
      about: "Those that change while nodes run. All others are in each node's own file: longline config show.",
      actions: [back],
    }),
    said,
    trial,
    h("form", { class: "row finder", role: "search", onsubmit: (event) => event.preventDefault() }, field("Find a setting", find)),
    sections,
    h("div", { class: "panel" }, nodes),
    panel("Versions", {}, versions),
    h("p", { class: "hint" }, "Who changed what stands in the ", h("a", { href: "#/audit" }, "audit log"), "."),
  );
}

/** A text with what is between `backticks` as code. */
function worded(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
}

function plain(value) {
  if (value === null || value === undefined) return "none";
  if (Array.isArray(value)) return value.length ? value.join(", ") : "none";
  return typeof value === "number" ? value.toLocaleString("en") : String(value);
}

function changes(before, after) {
  if (!before) return "";
  const rows = differing(before, after);
  return rows.length ? rows.map(([name, one, other]) => h("div", {}, h("code", {}, name), ` ${one} → `, h("b", {}, other))) : "nothing but the version";
}

function differing(before, after) {
  const flat = (one) => ({ ...one.settings, ...Object.fromEntries(Object.entries(one.gray?.settings ?? {}).map(([name, value]) => [`${name} (trial on ${one.gray.nodes.join(", ")})`, value])) });
  const [one, other] = [flat(before), flat(after)];
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])].sort();
  const said = (values, name) => (name in values ? plain(values[name]) : "each node's own");
  return names.filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name])).map((name) => [name, said(one, name), said(other, name)]);
}

function difference(one, other) {
  return table({
    caption: `From version ${one.version} to version ${other.version}`,
    empty: "They say the same.",
    columns: [
      { title: "Setting", header: true, cell: ([name]) => h("code", {}, name) },
      { title: `Version ${one.version}`, cell: ([, value]) => value },
      { title: `Version ${other.version}`, cell: ([, , value]) => h("b", {}, value) },
    ],
    rows: differing(one, other),
  });
}

/** What a setting's value is typed or chosen in; `read()` gives it as JSON has it. */
function inputFor(entry, before) {
  const choices = [...entry.type.matchAll(/`([^`]+)`/g)].map((found) => found[1]);
  if (choices.length) {
    const input = select(choices, { value: before });
    input.read = () => input.value;
    return input;
  }
  if (entry.type.startsWith("list")) {
    const input = h("textarea", { value: (before ?? []).join("\n"), rows: "4", spellcheck: "false" });
    input.read = () => input.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return input;
  }
  if (/^(integer|number)/.test(entry.type)) {
    const input = h("input", { type: "text", inputmode: "decimal", autocomplete: "off", value: String(before ?? "") });
    input.read = () => {
      const number = Number(input.value.replaceAll(",", ""));
      return input.value.trim() === "" || Number.isNaN(number) ? input.value : number;
    };
    return input;
  }
  if (/^(boolean|true|yes)/.test(entry.type)) {
    const input = select([["true", "on"], ["false", "off"]], { value: String(before) });
    input.read = () => input.value === "true";
    return input;
  }
  const input = h("input", { type: "text", autocomplete: "off", spellcheck: "false", value: before ?? "" });
  input.read = () => input.value;
  return input;
}
