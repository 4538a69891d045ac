// Where a device may connect, and where it tries next.
//
// There is a list, in the order to try it, and there may be a place that the device was sent to by the server. That
// comes first, and stays first for as long as it works; when a connection cannot be made there, it is forgotten, and
// the list is next.

/** How a device's bytes travel. */
export type Transport = "tcp" | "tls" | "ws" | "wss";

/** A place to connect to. `path` is that of a WebSocket. */
export interface Endpoint {
  host: string;
  port: number;
  path?: string;
}

export const PORTS: Readonly<Record<Transport, number>> = { tcp: 1883, tls: 8883, ws: 8083, wss: 8084 };
export const PATH = "/mqtt";
const LONGEST = 64; // endpoints in the list
const MAX_REFERENCES = 16; // endpoints of one move that are looked at
const MAX_AFTER = 60_000; // ms that a device lets itself be kept away

const SCHEMES: Readonly<Record<string, Transport>> = { "mqtt:": "tcp", "mqtts:": "tls", "ws:": "ws", "wss:": "wss" };

export class Endpoints {
  private listed: Endpoint[];
  private sentTo: Endpoint[] = [];
  private failures = 0; // of the list, since it is as it is or one of them worked

  constructor(listed: readonly Endpoint[]) {
    this.listed = listed.slice(0, LONGEST);
  }

  /** Where to connect now; undefined when nothing is known. */
  get current(): Endpoint | undefined {
    return this.sentTo[0] ?? this.listed[0];
  }

  /** Whether the device is where the server sent it, or on its way. */
  get sent(): boolean {
    return this.sentTo.length > 0;
  }

  /** Whether every endpoint of the list has failed. */
  get usedUp(): boolean {
    return this.failures >= this.listed.length;
  }

  /** Replaces the list, best first. */
  feed(listed: readonly Endpoint[]): void {
    this.listed = listed.slice(0, LONGEST);
    this.failures = 0;
  }

  /** The server wants the device there; with none, anywhere but where it is, if there is a choice. */
  sendTo(endpoints: readonly Endpoint[]): void {
    this.sentTo = [...endpoints];
    if (endpoints.length === 0) this.failed();
  }

  /** The current endpoint cannot be reached, or lets nobody in: the next one is tried. */
  failed(): void {
    if (this.sentTo.length > 0) {
      this.sentTo.shift();
    } else {
      const first = this.listed.shift();
      if (first === undefined) return;
      this.listed.push(first);
      this.failures += 1;
    }
  }

  /** The current endpoint has let the device in. */
  worked(): void {
    this.failures = 0;
  }
}

/** `mqtt://HOST:PORT`, `mqtts://…`, `ws://HOST:PORT/PATH` or `wss://…`; RangeError for anything else. */
export function parsed(url: string): { transport: Transport; endpoint: Endpoint } {
  let read: URL;
  try {
    read = new URL(url);
  } catch {
    throw new RangeError("that is no URL");
  }
  const transport = SCHEMES[read.protocol];
  if (read.username || read.password) throw new RangeError("a URL with a user name or a password is not taken");
  if (transport === undefined || !read.hostname) {
    throw new RangeError("a device needs a URL that begins with mqtt://, mqtts://, ws:// or wss://");
  }
  // For a WebSocket without a port, browsers mean those of the web; a page behind one proxy relies on it.
  const of = transport === "ws" ? 80 : transport === "wss" ? 443 : PORTS[transport];
  const endpoint: Endpoint = { host: bare(read.hostname), port: read.port ? Number(read.port) : of };
  if (transport === "ws" || transport === "wss") endpoint.path = `${read.pathname === "/" ? PATH : read.pathname}${read.search}`;
  return { transport, endpoint };
}

/** Where DISCONNECT or CONNACK sends a device: `host:port` or `host`, with spaces between them. */
export function readReference(text: string, port: number): Endpoint[] {
  const found: Endpoint[] = [];
  for (const word of text.split(/\s+/).filter(Boolean).slice(0, MAX_REFERENCES)) {
    const [, host, number] = /^(\[[^\]]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(word) ?? [];
    const at = number === undefined ? port : Number(number);
    if (host !== undefined && at > 0 && at <= 65_535) found.push({ host: bare(host), port: at });
  }
  return found;
}

/** How MQTT 3.1.1 is sent elsewhere: the payload of a message on `$link/moved`. `after` is in seconds. */
export function readMoved(payload: string): { endpoints: Endpoint[]; after: number } {
  let notice: unknown;
  try {
    notice = JSON.parse(payload);
  } catch {
    return { endpoints: [], after: 0 };
  }
  const { endpoints, after_ms: after } = (notice ?? {}) as { endpoints?: unknown; after_ms?: unknown };
  const found: Endpoint[] = [];
  for (const place of Array.isArray(endpoints) ? endpoints.slice(0, MAX_REFERENCES) : []) {
    const { host, port } = (place ?? {}) as { host?: unknown; port?: unknown };
    if (typeof host === "string" && host && isPort(port)) found.push({ host, port });
  }
  return { endpoints: found, after: bounded(after) };
}

/** Milliseconds of a server's word, as seconds within bounds. */
export function bounded(milliseconds: unknown): number {
  const asked = typeof milliseconds === "string" && /^\d{1,9}$/.test(milliseconds) ? Number(milliseconds) : milliseconds;
  return typeof asked === "number" && asked > 0 ? Math.min(asked, MAX_AFTER) / 1000 : 0;
}

export function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= 65_535;
}

function bare(host: string): string {
  return host.startsWith("[") ? host.slice(1, -1) : host;
}
