// Asks dispatchers where to connect: `GET /v1/dispatch`, described in docs/api.md.

import { LonglineError, said } from "./errors.js";
import { isPort, type Endpoint, type Transport } from "./endpoints.js";
import { errorIn } from "./http.js";
import { quiet } from "./told.js";

const PATIENCE = 3000; // ms for one dispatcher to answer
const LONGEST = 64 * 1024; // bytes of an answer

/** Where to connect, best first; what is 0 was not said. Times in seconds. */
export interface Dispatch {
  endpoints: Endpoint[];
  expiresIn: number;
  keepAlive: number;
  after: number;
  initial: number;
  longest: number;
}

/**
 * Base URLs of dispatchers, each of which may carry a query: `?region=north&network=red`. Which of them is asked
 * first is drawn, so that a crowd does not begin with the same one; later it is the one that answered last.
 */
export class Dispatchers {
  private readonly urls: URL[];

  constructor(urls: readonly string[], app: string, device: string, transport: Transport) {
    const first = Math.floor(Math.random() * urls.length);
    this.urls = [...urls.slice(first), ...urls.slice(0, first)].map((base) => {
      const url = new URL(base);
      if (url.protocol !== "http:" && url.protocol !== "https:") throw new RangeError(`${base} is no URL of HTTP`);
      if (url.username || url.password) throw new RangeError("a URL with a user name or a password is not taken");
      url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/dispatch`;
      for (const [name, value] of Object.entries({ app, device, transport })) url.searchParams.set(name, value);
      return url;
    });
  }

  /** The first answer; every dispatcher is asked once. Throws `unavailable` when none gives one. */
  async lookUp(closing: AbortSignal): Promise<Dispatch> {
    let problem: LonglineError | null = null;
    for (let asked = 0; asked < this.urls.length; asked += 1) {
      try {
        return await ask(this.urls[0]!, closing);
      } catch (error) {
        problem = error as LonglineError;
        this.urls.push(this.urls.shift()!);
      }
    }
    throw new LonglineError("unavailable", `no dispatcher answers: ${problem?.message}`, {
      retryAfter: problem?.retryAfter ?? null,
    });
  }
}

async function ask(url: URL, closing: AbortSignal): Promise<Dispatch> {
  const patience = new AbortController();
  const giveUp = () => patience.abort();
  const timer = setTimeout(giveUp, PATIENCE);
  closing.addEventListener("abort", giveUp);
  try {
    const response = await fetch(url, { headers: { Accept: "application/json" }, signal: patience.signal });
    const body = await bounded(response, url);
    if (!response.ok) throw errorIn(response, body);
    return read(JSON.parse(body), url);
  } catch (error) {
    if (error instanceof LonglineError) throw error;
    throw new LonglineError("unavailable", `${url.origin} cannot be asked: ${said(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    closing.removeEventListener("abort", giveUp);
  }
}

/** What is answered, but not more than an answer can have, however fast the rest of it may come. */
async function bounded(response: Response, url: URL): Promise<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let size = 0;
  let text = "";
  while (reader !== undefined) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > LONGEST) {
      quiet(reader.cancel());
      throw new LonglineError("unavailable", `${url.origin} answers without end`);
    }
    text += decoder.decode(value, { stream: true });
  }
  return text + decoder.decode();
}

function read(value: unknown, url: URL): Dispatch {
  const answer = (value ?? {}) as Record<string, unknown>;
  const endpoints: Endpoint[] = [];
  for (const place of Array.isArray(answer["endpoints"]) ? answer["endpoints"] : []) {
    const { host, port, path } = (place ?? {}) as Record<string, unknown>;
    if (typeof host !== "string" || !host || !isPort(port)) continue;
    endpoints.push(typeof path === "string" ? { host, port, path } : { host, port });
  }
  if (endpoints.length === 0) throw new LonglineError("unavailable", `the answer of ${url.origin} names no endpoint`);
  const hints = (answer["backoff"] ?? {}) as Record<string, unknown>;
  const heartbeat = (answer["heartbeat"] ?? {}) as Record<string, unknown>;
  return {
    endpoints,
    expiresIn: count(answer["expires_in"]),
    keepAlive: count(heartbeat["keep_alive"]),
    after: count(hints["after_ms"]) / 1000,
    initial: count(hints["initial_ms"]) / 1000,
    longest: count(hints["max_ms"]) / 1000,
  };
}

function count(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0;
}
