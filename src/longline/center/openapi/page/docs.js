// Shows openapi.json: every operation with its parameters, bodies, answers and errors, the command that calls
// it, and a form to try it.

const METHODS = ["get", "put", "post", "patch", "delete"];

// An element with attributes and children; text is always text, never markup.
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== undefined && child !== ""));
  return node;
}

// The spec's prose uses `code` and blank lines, and nothing else of Markdown.
function prose(text) {
  return (text ?? "").split(/\n\n+/).filter(Boolean).map((paragraph) => {
    const pieces = paragraph.split("`").map((piece, index) => (index % 2 ? el("code", {}, piece) : piece));
    return el("p", {}, ...pieces);
  });
}

function resolve(spec, schema) {
  if (!schema?.$ref) return schema ?? {};
  return spec.components.schemas[schema.$ref.split("/").pop()] ?? {};
}

// One line that says what a value may be.
function typeOf(spec, schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map((choice) => typeOf(spec, choice)).join(" or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(spec, schema.items ?? {})}`;
  const words = [schema.format ?? schema.contentEncoding ?? schema.type ?? "any JSON"];
  if (schema.minimum !== undefined) words.push(`≥ ${schema.minimum}`);
  if (schema.maximum !== undefined) words.push(`≤ ${schema.maximum}`);
  if (schema.maxLength !== undefined) words.push(`at most ${schema.maxLength} characters`);
  return words.join(", ");
}

// The named types inside a schema, which have a table of their own.
function inner(schema) {
  if (schema.$ref) return [schema];
  return [...(schema.anyOf ?? []), ...(schema.items ? [schema.items] : [])].flatMap(inner);
}

function fields(spec, schema, depth = 0) {
  const whole = resolve(spec, schema);
  const required = new Set(whole.required ?? []);
  const rows = Object.entries(whole.properties ?? {}).map(([name, field]) => {
    const about = el("td", {}, el("span", { class: "dim" }, typeOf(spec, field)));
    if (field.default !== undefined && typeof field.default !== "object") {
      about.append(el("span", { class: "dim" }, `; default ${JSON.stringify(field.default)}`));
    }
    about.append(...prose(field.description));
    if (depth < 4) {
      for (const part of inner(field)) {
        if (!resolve(spec, part).properties) continue;
        const title = el("summary", {}, part.$ref.split("/").pop());
        about.append(el("details", {}, title, fields(spec, part, depth + 1)));
      }
    }
    const label = el("td", {}, el("code", {}, name));
    if (required.has(name)) label.append(el("span", { class: "dim" }, " required"));
    return el("tr", {}, label, about);
  });
  return el("table", {}, ...rows);
}

function body(spec, title, content) {
  const [type, { schema, example } = {}] = Object.entries(content ?? {})[0] ?? [];
  if (!type) return [];
  const shown = [el("h4", {}, `${title} (${type})`)];
  if (example !== undefined) shown.push(el("pre", {}, JSON.stringify(example, null, 2)));
  if (resolve(spec, schema).properties) shown.push(fields(spec, schema));
  return shown;
}

// A text inside single quotes of a shell.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function field(label, value, attributes = {}) {
  const input = el("input", { value, spellcheck: "false", autocomplete: "off", ...attributes });
  return { input, row: el("label", {}, el("code", {}, label), input) };
}

// The key is kept by the page, as long as it is open, and nowhere else.
const key = field("key", "", { type: "password", placeholder: "llk_… or the admin key" });

// The request that a form describes now.
function request(path, method, entry, inputs, text) {
  const query = new URLSearchParams();
  let address = path;
  const headers = {};
  for (const { name, in: where } of entry.parameters) {
    const value = inputs.get(name).value.trim();
    if (where === "path") address = address.replace(`{${name}}`, encodeURIComponent(value));
    else if (value !== "" && where === "query") query.set(name, value);
    else if (value !== "") headers[name] = value;
  }
  const search = query.size ? `?${query}` : "";
  if (entry.security?.length) headers.Authorization = `Bearer ${key.input.value.trim()}`;
  return { method: method.toUpperCase(), url: new URL(`.${address}${search}`, location).href, headers, body: text?.value };
}

// The key is not part of the command, so that it is not in anybody's history.
function curl({ method, url, headers, body }) {
  const words = ["curl -sS", method === "GET" ? "" : `-X ${method}`, quoted(url)];
  for (const [name, value] of Object.entries(headers)) {
    words.push(name === "Authorization" ? '-H "Authorization: Bearer $KEY"' : `-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body) words.push(`-d ${quoted(body)}`);
  return words.filter(Boolean).join(" \\\n  ");
}

async function send(asked, output) {
  output.textContent = "…";
  try {
    const { method, url, headers, body } = asked;
    const answer = await fetch(url, { method, headers, body: body || undefined, cache: "no-store" });
    const text = await answer.text();
    let shown = text;
    if (answer.headers.get("content-type")?.startsWith("application/json")) {
      shown = JSON.stringify(JSON.parse(text), null, 2);
    }
    output.textContent = `${answer.status} ${answer.statusText}\n${shown}`;
  } catch (error) {
    output.textContent = `No answer: ${error.message}`;
  }
}

function trial(path, method, entry) {
  const form = el("form", {});
  const inputs = new Map();
  for (const { name, in: where, example } of entry.parameters) {
    const { input, row } = field(name, where === "path" ? example : "", where === "path" ? { required: "" } : {});
    inputs.set(name, input);
    form.append(row);
  }
  const example = entry.requestBody?.content?.["application/json"]?.example;
  const text = entry.requestBody && el("textarea", { rows: "8", spellcheck: "false", "aria-label": "Body" });
  if (text) {
    text.value = example === undefined ? "" : JSON.stringify(example, null, 2);
    form.append(text);
  }
  const command = el("pre", {});
  const output = el("pre", { "aria-live": "polite" });
  const show = () => { command.textContent = curl(request(path, method, entry, inputs, text)); };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(request(path, method, entry, inputs, text), output);
  });
  form.append(el("button", {}, "Send"));
  show();
  return el("details", {}, el("summary", {}, "Try it"), command, form, output);
}

function operation(spec, path, method, entry) {
  const section = el("section", { class: "operation", id: entry.operationId });
  section.append(el("h3", {}, el("span", { class: "method" }, method.toUpperCase()), " ", el("code", {}, path)));
  section.append(el("p", {}, el("strong", {}, entry.summary)), ...prose(entry.description));
  if (entry.security?.length === 0) section.append(el("p", { class: "dim" }, "Needs no key."));
  if (entry.parameters.length) {
    const rows = entry.parameters.map((parameter) => {
      const about = el("td", {}, el("span", { class: "dim" }, `${parameter.in}; ${typeOf(spec, parameter.schema)}`));
      about.append(...prose(parameter.description));
      return el("tr", {}, el("td", {}, el("code", {}, parameter.name)), about);
    });
    section.append(el("h4", {}, "Parameters"), el("table", {}, ...rows));
  }
  if (entry.requestBody) {
    section.append(...body(spec, entry.requestBody.required ? "Body" : "Body, optional", entry.requestBody.content));
  }
  for (const [status, response] of Object.entries(entry.responses)) {
    if (status < "400") section.append(...body(spec, `Answer ${status}`, response.content));
    if (status < "400" && !response.content) section.append(el("h4", {}, `Answer ${status}, without a body`));
  }
  const errors = Object.entries(entry.responses).filter(([status]) => status >= "400");
  if (errors.length) {
    const rows = errors.map(([status, { description }]) =>
      el("tr", {}, el("td", {}, status), el("td", {}, ...prose(description))));
    section.append(el("details", {}, el("summary", {}, "Errors"), el("table", {}, ...rows)));
  }
  section.append(trial(path, method, entry));
  return section;
}

function show(spec) {
  const main = document.querySelector("main");
  const nav = document.querySelector("nav");
  const title = el("h1", {}, `${spec.info.title} API ${spec.info.version}`);
  const link = el("p", {}, el("a", { href: "openapi.json" }, "openapi.json"));
  main.replaceChildren(title, ...prose(spec.info.description), link, el("form", {}, key.row));
  for (const { name } of spec.tags) {
    main.append(el("h2", {}, name));
    nav.append(el("h2", {}, name));
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const method of METHODS) {
        const entry = methods[method];
        if (!entry?.tags.includes(name)) continue;
        main.append(operation(spec, path, method, entry));
        const label = el("span", { class: "method" }, method.toUpperCase());
        nav.append(el("a", { href: `#${entry.operationId}` }, label, path.replace("/v1/apps/{app}", "…")));
      }
    }
  }
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  show(await answer.json());
} catch (error) {
  document.getElementById("state").textContent = `This page could not be shown: ${error.message}`;
}
