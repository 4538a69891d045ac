// One request of the HTTP API over fetch: a value or a `LonglineError`, and retries with a budget.
//
// Only a request that may be repeated without harm is repeated: one that reads, one that replaces, or one that carries
// an Idempotency-Key. Anything else is tried once, because after a broken connection nobody can say whether the server
// has done it.

import { Backoff, RetryBudget } from "./backoff.js";
import { LonglineError, said, type ErrorCode, type FieldFault } from "./errors.js";
import { sleep } from "./waiting.js";

const LONGEST_WAIT = 30; // s: a server that asks for more is reported to the caller instead

// A proxy before the server answers without our codes: the status still says which kind of failure it is.
const OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: "bad_request",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  405: "method_not_allowed",
  413: "body_too_large",
  422: "invalid",
  429: "rate_limited",
  502: "unavailable",
  503: "unavailable",
  504: "unavailable",
};

export interface Asked {
  method: string;
  path: string;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  body?: unknown;
  /** May be repeated. */
  safe: boolean;
  /** Seconds for each try, where that is not what all calls have. */
  within?: number;
  signal?: AbortSignal | undefined;
  /** Whether the answer is text, and no JSON. */
  text?: boolean;
}

export class Http {
  private readonly budget = new RetryBudget();
  private readonly base: URL;
  private readonly key: string;

  constructor(
    url: string,
    key: string,
    readonly timeout: number,
    private readonly retries: number,
    private readonly fetch: typeof globalThis.fetch,
  ) {
    this.base = checkedUrl(url);
    this.key = key.trim(); // without the newline of the file that it was read from
    // The message does not repeat it: what fetch says of a header that it refuses, does.
    if (!/^[!-~]{1,512}$/.test(this.key)) throw new RangeError("a key is 1 to 512 visible ASCII characters");
  }

  /** Makes the request and gives what was answered; undefined where that has no body. */
  async call(asked: Asked): Promise<unknown> {
    const backoff = new Backoff(0.1, 5);
    while (true) {
      try {
        const answer = await this.once(asked);
        this.budget.succeeded();
        return answer;
      } catch (error) {
        if (!(error instanceof LonglineError)) throw error;
        const wait = error.retryAfter ?? 0;
        const again = asked.safe && error.retryable && backoff.attempt < this.retries && wait <= LONGEST_WAIT;
        if (!again || !this.budget.take()) throw error;
        // The server's word is the least wait; jitter on top keeps a crowd from obeying in step.
        await sleep((wait + backoff.next()) * 1000, asked.signal);
      }
    }
  }

  private async once(asked: Asked): Promise<unknown> {
    const url = new URL(this.base);
    url.pathname = `${this.base.pathname.replace(/\/+$/, "")}${asked.path}`;
    for (const [name, value] of Object.entries(asked.query ?? {})) url.searchParams.set(name, value);
    const headers: Record<string, string> = {
      Accept: "application/json",
      Authorization: `Bearer ${this.key}`,
      ...asked.headers,
    };
    const init: RequestInit = { method: asked.method, headers };
    if (asked.body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(asked.body);
    }
    const patience = new AbortController();
    const withdraw = () => patience.abort();
    const timer = setTimeout(withdraw, (asked.within ?? this.timeout) * 1000);
    asked.signal?.throwIfAborted();
    asked.signal?.addEventListener("abort", withdraw);
    try {
      const response = await this.fetch(url, { ...init, signal: patience.signal });
      const body = await response.text();
      if (!response.ok) throw errorIn(response, body);
      return read(body, asked.text ?? false, url);
    } catch (error) {
      if (error instanceof LonglineError) throw error;
      asked.signal?.throwIfAborted();
      const place = `${asked.method} ${url.origin}${asked.path}`;
      const words = patience.signal.aborted ? "did not answer in time" : `cannot be reached: ${reason(error)}`;
      throw new LonglineError("unavailable", `${place} ${words}`, { cause: error });
    } finally {
      clearTimeout(timer);
      asked.signal?.removeEventListener("abort", withdraw);
    }
  }
}

/** The error that an answer stands for. */
export function errorIn(response: Response, body: string): LonglineError {
  const value = response.headers.get("retry-after") ?? "";
  // [RFC 9110, 10.2.3] also allows a date; our server never sends one, and a proxy's is not worth a parser.
  const retryAfter = /^\d{1,9}$/.test(value) ? Number(value) : null;
  let told: unknown;
  try {
    told = (JSON.parse(body) as { error?: unknown } | null)?.error;
  } catch {
    told = undefined;
  }
  return errorOf(told, response.status, retryAfter);
}

/** The error that the API has named, by the inside of `{"error": {…}}`. */
export function errorOf(told: unknown, status: number, retryAfter: number | null = null): LonglineError {
  const { code, message, details } = (told ?? {}) as { code?: unknown; message?: unknown; details?: unknown };
  const faults: FieldFault[] = [];
  for (const fault of Array.isArray(details) ? details : []) {
    const { field, message: words } = (fault ?? {}) as Record<string, unknown>;
    faults.push({ field: String(field ?? ""), message: String(words ?? "") });
  }
  const kind = typeof code === "string" && code ? code : (OF_STATUS[status] ?? "internal");
  let words = typeof message === "string" && message ? message : `the server answered ${status}`;
  const unsaid = faults.filter((fault) => !words.includes(fault.message));
  if (unsaid.length > 0) words += ` (${unsaid.map((fault) => `${fault.field}: ${fault.message}`).join("; ")})`;
  return new LonglineError(kind, words, { status, retryAfter, details: faults });
}

function checkedUrl(url: string): URL {
  let read: URL;
  try {
    read = new URL(url);
  } catch {
    throw new RangeError("that is no URL");
  }
  if (read.username || read.password) throw new RangeError("a URL with a user name or a password is not taken");
  if (read.protocol !== "http:" && read.protocol !== "https:") {
    throw new RangeError(`${url} is no URL of HTTP, such as http://127.0.0.1:8080`);
  }
  return read;
}

function read(body: string, text: boolean, url: URL): unknown {
  if (text) return body;
  if (body === "") return undefined;
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new LonglineError("internal", `the answer of ${url.origin} is no JSON`, { cause: error });
  }
}

// Of Node's "fetch failed", the cause has what happened.
function reason(error: unknown): string {
  const { cause } = (error ?? {}) as { cause?: unknown };
  return cause instanceof Error && cause.message ? cause.message : said(error);
}
