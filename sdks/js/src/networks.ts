// What a device has learnt of the networks that it was on, by their names.

import type { Endpoint } from "./endpoints.js";

/**
 * What is known of a network: where dispatchers said to connect, until when that is good (ms since 1970), and how long
 * a connection may be idle there (s), null where nothing was learnt.
 */
export interface KnownNetwork {
  endpoints: Endpoint[];
  until: number;
  idle: number | null;
}

const MOST = 16; // networks, of which the latest are remembered

export class Networks {
  private readonly known = new Map<string, KnownNetwork>();

  /** What is known of one; nothing is where it is new. */
  get(name: string): KnownNetwork {
    return this.known.get(name) ?? { endpoints: [], until: 0, idle: null };
  }

  set(name: string, known: KnownNetwork): void {
    this.known.delete(name);
    this.known.set(name, known);
    if (this.known.size > MOST) this.known.delete(this.known.keys().next().value!);
  }

  /** The one learnt of first, first. */
  all(): [string, KnownNetwork][] {
    return [...this.known];
  }
}

/**
 * What the platform tells of the network that this is on: `wifi`, `cellular`, …; empty where it tells nothing, as in
 * Node and in most browsers on desks.
 */
export function currentNetwork(): string {
  const { navigator } = globalThis as { navigator?: { connection?: { type?: unknown } } };
  const type = navigator?.connection?.type;
  return typeof type === "string" ? type : "";
}

/** A name and what is known, where what was read as JSON is that; anybody may have written it. */
export function readNetwork(value: unknown): [string, KnownNetwork] | null {
  const [name, known] = Array.isArray(value) ? (value as unknown[]) : [];
  const { endpoints, until, idle } = (known ?? {}) as { [field in keyof KnownNetwork]?: unknown };
  if (typeof name !== "string" || !Array.isArray(endpoints) || typeof until !== "number") return null;
  const good = endpoints.filter(
    (place): place is Endpoint =>
      typeof (place as Endpoint | null)?.host === "string" && Number.isInteger((place as Endpoint).port),
  );
  return [name, { endpoints: good, until, idle: typeof idle === "number" && idle > 0 ? idle : null }];
}
