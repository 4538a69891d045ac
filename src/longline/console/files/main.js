// The frame around all pages, and which page an address shows.

import { del, get, pages, whenSessionEnds } from "./api.js";
import { button, complain, failed, fill, h, loading, say, select, speakers } from "./dom.js";

// What is behind the # of an address, with the module below `pages/` that shows it, and who may see it: "all"
// needs a key that reaches all apps, "operate" one with this scope, "app" one that reaches the app.
const ROUTES = [
  ["overview", "overview", "any"],
  ["nodes", "nodes", "operate"],
  ["nodes/:node", "node", "operate"],
  ["settings", "settings", "operate"],
  ["profiles", "profiles", "operate"],
  ["profiles/:profile", "profile", "operate"],
  ["profiles/:profile/difference/:base", "difference", "operate"],
  ["audit", "audit", "operate"],
  ["keys", "keys", "operate"],
  ["capacity", "capacity", "operate"],
  ["apps", "apps", "all"],
  ["apps/:app", "app", "app"],
  ["apps/:app/devices", "devices", "app"],
  ["apps/:app/devices/:device", "device", "app"],
  ["apps/:app/messages", "messages", "app"],
  ["apps/:app/messages/:id", "message", "app"],
  ["apps/:app/send", "send", "app"],
  ["apps/:app/schedules", "schedules", "app"],
  ["apps/:app/groups", "groups", "app"],
  ["apps/:app/groups/:group", "group", "app"],
  ["apps/:app/events", "events", "app"],
  ["apps/:app/keys", "keys", "app"],
];

const CLUSTER = [
  ["overview", "Overview", "any"],
  ["nodes", "Nodes", "operate"],
  ["settings", "Settings", "operate"],
  ["profiles", "Profiles", "operate"],
  ["capacity", "Capacity", "operate"],
  ["keys", "Keys", "operate"],
  ["audit", "Audit log", "operate"],
  ["apps", "Apps", "all"],
];
const OF_APP = [
  ["", "About"],
  ["devices", "Devices"],
  ["messages", "Messages"],
  ["send", "Send"],
  ["schedules", "Schedules"],
  ["groups", "Groups"],
  ["events", "Events"],
  ["keys", "Keys"],
];

const THEMES = { auto: "System colours", light: "Light", dark: "Dark" };
const MOST_APPS = 200; // in the menu; others are found on the page of apps

const frame = document.getElementById("frame");
const main = h("main", { id: "main", tabindex: "-1" });
const clusterList = h("ul");
const appList = h("ul");
const appChooser = h("div", { class: "chooser" });
const appPart = h("div", { class: "nav-part" });
const menu = h("nav", { id: "menu", "aria-label": "Pages" });
const menuButton = h("button", { type: "button", class: "menu-button quiet", "aria-expanded": "false", "aria-controls": "menu" }, "Menu");
const who = h("p", { class: "who" });

let session = null;
let apps = [];
let leave = new AbortController();
let endTimer = 0;

// --- light and dark -------------------------------------------------------------------------------------------

function theme(chosen) {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  document.dispatchEvent(new Event("themechange"));
}

function stored(name, fallback) {
  try {
    return localStorage.getItem(`longline.${name}`) ?? fallback;
  } catch {
    return fallback; // storage is switched off
  }
}

function store(name, value) {
  try {
    localStorage.setItem(`longline.${name}`, value);
  } catch {
    // then it is for this page only
  }
}

// Whoever cannot see which one is on is told by the chooser's value.
const themeChooser = select(Object.entries(THEMES), { value: stored("theme", "auto"), "aria-label": "Colours", class: "quiet" });
themeChooser.addEventListener("change", () => {
  store("theme", themeChooser.value);
  theme(themeChooser.value);
});
theme(themeChooser.value);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));

// --- the frame ------------------------------------------------------------------------------------------------

menuButton.addEventListener("click", () => openMenu(menuButton.getAttribute("aria-expanded") !== "true"));
menu.addEventListener("click", (event) => {
  if (event.target.closest("a")) openMenu(false);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menuButton.getAttribute("aria-expanded") === "true") {
    openMenu(false);
    menuButton.focus();
  }
});

function openMenu(open) {
  menuButton.setAttribute("aria-expanded", String(open));
  document.body.classList.toggle("menu-open", open);
}

function build() {
  fill(
    menu,
    h("div", { class: "nav-part" }, h("h2", { class: "nav-title" }, session.app === null ? "Cluster" : "Console"), clusterList),
    appPart,
    h("div", { class: "nav-foot" }, who, themeChooser, button("Log out", logOut, { kind: "quiet" })),
  );
  fill(
    frame,
    h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to the page"),
    h("header", { class: "bar" }, h("a", { class: "brand", href: "#/overview" }, brand(), "Longline"), menuButton),
    h("div", { class: "columns" }, menu, main),
    speakers(),
  );
}

function brand() {
  return h("img", { src: "icon.svg", alt: "", width: "22", height: "22" });
}

function skip(event) {
  event.preventDefault(); // the address is the page's
  (main.querySelector("h1") ?? main).focus();
}

function may(need, app) {
  if (need === "any") return true;
  if (need === "app") return session.app === null || session.app === app;
  if (session.app !== null) return false;
  return need === "all" || session.scopes.includes(need);
}

function showMenu(current, app) {
  const item = (href, text, on) => h("li", {}, h("a", { href, "aria-current": on ? "page" : null }, text));
  fill(clusterList, CLUSTER.filter(([, , need]) => may(need)).map(([page, text]) => item(`#/${page}`, text, current[0] === page && (page !== "apps" || current.length === 1))));
  const chosen = app ?? session.app ?? stored("app", "");
  if (!chosen) {
    fill(appPart);
    return;
  }
  if (app) store("app", app);
  fill(appList, OF_APP.map(([page, text]) => item(`#/apps/${encodeURIComponent(chosen)}${page && `/${page}`}`, text, app === chosen && (current[2] ?? "") === page)));
  fill(appPart, h("h2", { class: "nav-title" }, session.app === null ? "App" : chosen), chooser(chosen), appList);
}

function chooser(chosen) {
  if (session.app !== null) return null;
  const names = apps.some((each) => each.app === chosen) ? apps : [{ app: chosen }, ...apps];
  const input = select(names.map((each) => [each.app, each.app]), { value: chosen, "aria-label": "App" });
  input.addEventListener("change", () => {
    const parts = location.hash.split("?")[0].split("/");
    const page = parts[1] === "apps" && parts.length > 3 ? parts[3] : "";
    location.hash = `#/apps/${encodeURIComponent(input.value)}${page && `/${page}`}`;
  });
  return fill(appChooser, input);
}

// --- pages ----------------------------------------------------------------------------------------------------

/** Why a page is not shown. */
class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function found(parts) {
  for (const [pattern, module, need] of ROUTES) {
    const names = pattern.split("/");
    if (names.length !== parts.length) continue;
    const parameters = {};
    const fits = names.every((name, place) => {
      if (!name.startsWith(":")) return name === parts[place];
      parameters[name.slice(1)] = parts[place];
      return parts[place] !== "";
    });
    if (fits) return { module, need, parameters };
  }
  return null;
}

function parsed() {
  const [where, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  let parts;
  try {
    parts = where.split("/").map(decodeURIComponent);
  } catch {
    parts = ["?"];
  }
  if (parts.length === 1 && parts[0] === "") parts = ["overview"];
  return { parts, query: new URLSearchParams(query) };
}

/** Shows the page of the address. `focus`: its heading gets it, which says where one is now. */
async function show(focus = true) {
  if (session === null) return;
  const { parts, query } = parsed();
  const address = location.hash;
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const page = found(parts);
  showMenu(parts, page?.parameters.app);
  main.setAttribute("aria-busy", "true");
  const waiting = setTimeout(() => fill(main, loading()), 150); // quicker ones do not flash
  signal.addEventListener("abort", () => clearTimeout(waiting)); // the next page may be there before this one is given up
  let element;
  try {
    if (page === null) throw new Refusal("no_such_page", "There is no such page.");
    if (!may(page.need, page.parameters.app)) throw new Refusal("not_reached", "The key that you have logged in with does not reach this page.");
    const module = await import(`./pages/${page.module}.js`);
    element = await module.page(page.parameters, { signal, session, query, show, apps: () => apps });
  } catch (error) {
    if (signal.aborted) return;
    element = h("div", {}, h("h1", { tabindex: "-1" }, "This page cannot be shown"), failed(error, ""));
    if (!error.code) console.warn(error);
  } finally {
    clearTimeout(waiting);
  }
  if (signal.aborted) return;
  fill(main, element);
  main.dataset.address = address; // whose page it is: that of `location.hash` comes later
  main.removeAttribute("aria-busy");
  const title = main.querySelector("h1");
  document.title = `${title?.textContent ?? "Console"} – Longline`;
  scrollTo(0, 0);
  if (focus) title?.focus({ preventScroll: true });
  say(title?.textContent ?? "");
}

// --- the session ----------------------------------------------------------------------------------------------

async function begin(given, focus = true) {
  session = given;
  clearTimeout(endTimer);
  if (session.expires_at) {
    const left = new Date(session.expires_at).getTime() - Date.now();
    endTimer = setTimeout(() => lost({ message: "The session has ended." }), Math.min(left, 2 ** 31 - 1));
  }
  fill(who, session.name || { admin: "Admin key", server: "Server key" }[session.key_id] || "Key", session.app && ` of ${session.app}`);
  if (session.app === null && session.scopes.includes("read")) apps = await pages("apps", "apps", { most: MOST_APPS }).catch(() => []);
  build();
  await show(focus);
}

async function askForKey(why = null) {
  leave.abort();
  session = null;
  apps = [];
  openMenu(false);
  const { login } = await import("./pages/login.js");
  fill(frame, login(begin, why), speakers());
  document.title = "Log in – Longline";
}

function lost(error) {
  if (session !== null) askForKey(error.message);
}

async function logOut() {
  let why = null;
  try {
    await del("session", { quiet: true });
  } catch (error) {
    why = error.message; // the cookie is gone all the same, if the server could be asked
  }
  await askForKey(why);
}

whenSessionEnds(lost);
addEventListener("hashchange", () => {
  if (location.hash !== "#main") show();
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") event.preventDefault();
  else if (event.reason?.code) {
    event.preventDefault();
    complain(event.reason);
  }
});

try {
  await begin(await get("session", { quiet: true }), false); // who has just opened it begins at the top
} catch (error) {
  if (error.status === 401) await askForKey();
  else fill(frame, h("main", {}, h("h1", {}, "Longline"), failed(error, ""), button("Try again", () => location.reload())));
}
