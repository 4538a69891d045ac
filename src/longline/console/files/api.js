// The public API, as the pages call it. The key is in a cookie that scripts cannot read.

const BASE = new URL("../v1/", new URL(".", document.baseURI));
const FIRST_PAUSE = 500; // ms until a stream that broke is opened again; twice as long each time
const LONGEST_PAUSE = 15_000;
const SILENCE = 40_000; // ms without a byte, not even a heartbeat, after which a stream is taken for dead

/** An answer with a status of 400 or more, or none at all (status 0, code `unreachable`). */
export class ApiError extends Error {
  constructor(status, code, message, details = [], retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.retryAfter = retryAfter; // s
  }
}

/** Called when the session is over, whatever found it. */
let onLost = () => {};

export function whenSessionEnds(call) {
  onLost = call;
}

/** `/v1/…` or what is below it, with parameters that are left out where they are empty. */
export function address(path, parameters = {}) {
  const below = path.replace(/^\/(v1\/)?/, "");
  // A URL takes `.` and `..` for steps, also percent-encoded: the device `..` would be its app.
  const none = below.split("/").find((part) => ["", ".", ".."].includes(part));
  if (none !== undefined) throw new ApiError(422, "invalid", `Nothing can be called "${none}".`);
  // "./": else `config:promote` would be an address of a scheme of its own.
  const url = new URL(`./${below}`, BASE);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** A path from parts, each of which may be any text: `path("apps", app, "devices", device)`. */
export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

async function failure(response) {
  let told = null;
  try {
    told = (await response.json()).error;
  } catch {
    // not ours, such as a proxy's page
  }
  const retry = Number(response.headers.get("Retry-After")) || null;
  const message = told?.message ?? `The server answered ${response.status}.`;
  return new ApiError(response.status, told?.code ?? "unknown", message, told?.details ?? [], retry);
}

async function fetched(url, options) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", cache: "no-store", redirect: "error", ...options });
  } catch (error) {
    if (options.signal?.aborted || error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server cannot be reached.");
  }
  if (response.ok) return response;
  const error = await failure(response);
  if (error.status === 401 && options.quiet !== true) onLost(error);
  throw error;
}

/**
 * Asks the API. `options`: `parameters` of the query, `body` (becomes JSON), `headers`, `signal`, and `quiet`:
 * a 401 is this caller's to deal with. Returns the JSON; null for an answer without any.
 */
export async function call(method, path, options = {}) {
  const headers = { "X-Longline-Console": "1", Accept: "application/json", ...options.headers };
  const made = { method, headers, signal: options.signal, quiet: options.quiet };
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    made.body = JSON.stringify(options.body);
  }
  const response = await fetched(address(path, options.parameters), made);
  const text = await response.text();
  return text === "" ? null : JSON.parse(text);
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { ...options, body });
export const put = (path, body, options) => call("PUT", path, { ...options, body });
export const patch = (path, body, options) => call("PATCH", path, { ...options, body });
export const del = (path, options) => call("DELETE", path, options);

/** All pages of a list that has them under `name`, at most `most` entries. */
export async function pages(path, name, { most = 1000, parameters = {}, signal } = {}) {
  const found = [];
  let cursor;
  do {
    const page = await get(path, { parameters: { ...parameters, cursor }, signal });
    found.push(...page[name]);
    cursor = page.next_cursor;
  } while (cursor && found.length < most);
  return found.slice(0, most);
}

/** Has the browser keep an answer of the API as a file. */
export async function download(path, name, { parameters, signal } = {}) {
  const headers = { "X-Longline-Console": "1" };
  const response = await fetched(address(path, parameters), { headers, signal });
  keep(await response.blob(), name);
}

/** Has the browser keep a blob, or a text, as a file. */
export function keep(content, name, type = "application/octet-stream") {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * Server-sent events, by `fetch`: `EventSource` cannot send the header that the session's cookie needs.
 *
 * `onEvent({event, id, data})` gets each, `data` from its JSON. It is opened again when it breaks, behind the
 * last event. `options`: `signal` ends it; `parameters`; `onState("open" | "broken" | "ended", error)`; `pause`: it
 * rests while nobody sees the page. Returns what ends it. A refusal (4xx but 408 and 429) ends it, too.
 */
export function stream(path, onEvent, { signal, parameters, onState = () => {}, pause = false } = {}) {
  const whole = new AbortController();
  signal?.addEventListener("abort", () => whole.abort(), { once: true });
  let last = null;
  let wait = FIRST_PAUSE;
  let one = null;

  const seen = () => {
    if (document.hidden) one?.abort();
  };
  if (pause) document.addEventListener("visibilitychange", seen, { signal: whole.signal });

  async function once() {
    one = new AbortController();
    const end = () => one.abort();
    whole.signal.addEventListener("abort", end, { once: true });
    let watchdog = setTimeout(end, SILENCE);
    try {
      const headers = { Accept: "text/event-stream", "X-Longline-Console": "1" };
      if (last !== null) headers["Last-Event-ID"] = last;
      const response = await fetched(address(path, parameters), { headers, signal: one.signal });
      onState("open");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(end, SILENCE);
        const blocks = (rest + value).split(/\r?\n\r?\n/);
        rest = blocks.pop();
        for (const block of blocks) {
          const event = parsed(block);
          if (event === null) continue;
          if (event.id !== null) last = event.id;
          wait = FIRST_PAUSE;
          if (event.event === "error") throw refused(event.data);
          onEvent(event);
        }
      }
    } finally {
      clearTimeout(watchdog);
      whole.signal.removeEventListener("abort", end);
      one.abort();
    }
  }

  (async () => {
    while (!whole.signal.aborted) {
      if (pause && document.hidden) await shown(whole.signal);
      if (whole.signal.aborted) return;
      try {
        await once();
      } catch (error) {
        if (whole.signal.aborted) return;
        if (pause && document.hidden) continue;
        if (error instanceof ApiError && error.status >= 400 && error.status < 500 && ![408, 429].includes(error.status)) {
          onState("ended", error);
          return;
        }
        if (!(error instanceof ApiError) && error.name !== "AbortError" && !(error instanceof TypeError)) throw error;
        onState("broken", error);
      }
      await sleep(wait, whole.signal);
      wait = Math.min(2 * wait, LONGEST_PAUSE);
    }
  })();
  return () => whole.abort();
}

function refused(data) {
  const told = data?.error ?? {};
  if (told.code === "unauthorized") {
    const error = new ApiError(401, told.code, told.message);
    onLost(error);
    return error;
  }
  return new ApiError(503, told.code ?? "unknown", told.message ?? "The stream has ended.", told.details);
}

function parsed(block) {
  let event = "message";
  let id = null;
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon === 0) continue; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") event = value;
    else if (name === "id") id = value;
    else if (name === "data") data.push(value);
  }
  return data.length ? { event, id, data: JSON.parse(data.join("\n")) } : null;
}

function shown(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (!document.hidden) resolve();
    };
    document.addEventListener("visibilitychange", look, { signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}

/** Resolves after so many ms, or as soon as the signal fires. */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done); // a page that is open for days sleeps often by one signal
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}

/**
 * Does `work` now and every `ms` until `signal` fires; not while nobody sees the page. Errors go to `onError`;
 * after one of them it goes on.
 */
export async function every(ms, signal, work, onError = () => {}) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await work();
      } catch (error) {
        if (signal.aborted || error.name === "AbortError") return;
        onError(error);
        if (error instanceof ApiError && [401, 403, 404].includes(error.status)) return;
      }
    }
    await sleep(ms, signal);
  }
}
