// As much of a browser as the page at /docs needs. Arguments: the page's script, and the document that it
// shows. Prints every command that the page offers, as a JSON list.

import fs from "node:fs";
import { pathToFileURL } from "node:url";

class Element {
  children = [];
  attributes = {};
  value = "";
  constructor(name) { this.name = name; }
  setAttribute(key, value) { this.attributes[key] = value; if (key === "value") this.value = value; }
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.children = children; }
  addEventListener() {}
  scrollIntoView() {}
  set textContent(text) { this.children = [text]; }
  get textContent() {
    return this.children.map((child) => (typeof child === "string" ? child : child.textContent)).join("");
  }
  *all() {
    yield this;
    for (const child of this.children) if (typeof child !== "string") yield* child.all();
  }
}

const [script, spec] = process.argv.slice(2);
const parts = { main: new Element("main"), nav: new Element("nav"), state: new Element("p") };
globalThis.document = {
  createElement: (name) => new Element(name),
  querySelector: (name) => parts[name],
  getElementById: (id) => (id === "state" ? parts.state : null),
};
globalThis.location = new URL("http://127.0.0.1:8080/docs");
globalThis.fetch = async () => ({ ok: true, json: async () => JSON.parse(fs.readFileSync(spec, "utf8")) });
await import(pathToFileURL(script).href);
const failed = parts.state.textContent;
const texts = [...parts.main.all()].filter(({ name }) => name === "pre").map((pre) => pre.textContent);
console.log(JSON.stringify({ failed, commands: texts.filter((text) => text.startsWith("curl")) }));
