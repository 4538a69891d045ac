// What a device remembers beyond its process or page: which messages it has handled, and where it connected.

import type { Endpoint } from "./endpoints.js";

/** What dispatchers said last. `until` is in milliseconds since 1970. */
export interface KnownEndpoints {
  endpoints: Endpoint[];
  until: number;
}

/**
 * Where a device keeps what it remembers; one store is one device's. `add` is called before a message is
 * acknowledged, and the acknowledgement waits for it: what is stored then is dropped when it comes again, also in
 * another process. A store bounds itself: it may forget the oldest of more than `REMEMBERED` messages. One that
 * throws is told to the log, and the device goes by its own memory.
 */
export interface DeviceStore {
  /** What was stored, the oldest message first. */
  load(): Promise<Remembered> | Remembered;
  /** A message was handled. */
  add(message: string): Promise<void> | void;
  /** Where to connect, from now on. */
  keep(known: KnownEndpoints): Promise<void> | void;
  /** The device has ended; another one may load what is there. */
  close?(): Promise<void> | void;
}

export interface Remembered {
  handled: string[];
  known: KnownEndpoints | null;
}

/** How many handled messages a device knows. */
export const REMEMBERED = 1000;

/** Remembers as long as it lives: for several `Device`s of a process, one after the other. */
export class MemoryStore implements DeviceStore {
  private readonly handled = new Recent(REMEMBERED);
  private known: KnownEndpoints | null = null;

  load(): Remembered {
    return { handled: this.handled.all(), known: this.known };
  }

  add(message: string): void {
    this.handled.add(message);
  }

  keep(known: KnownEndpoints): void {
    this.known = known;
  }
}

const PART = 50; // messages under one key: what one `add` writes is at most that
const PARTS = REMEMBERED / PART;

/**
 * Remembers in a page's `localStorage`, or whatever has its methods, under keys that begin with `name`: a name for
 * each device.
 */
export class WebStore implements DeviceStore {
  private part = 0;
  private inPart: string[] = [];

  constructor(
    private readonly name: string,
    private readonly storage: Pick<Storage, "getItem" | "setItem"> = localStorage,
  ) {}

  load(): Remembered {
    const written = Number(this.storage.getItem(`${this.name}:part`));
    this.part = Number.isInteger(written) && written >= 0 ? written : 0;
    const handled: string[] = [];
    for (let part = Math.max(0, this.part - PARTS + 1); part < this.part; part += 1) handled.push(...this.read(part));
    this.inPart = this.read(this.part);
    return { handled: [...handled, ...this.inPart], known: this.readKnown() };
  }

  add(message: string): void {
    if (this.inPart.length >= PART) {
      this.part += 1;
      this.inPart = [];
      this.storage.setItem(`${this.name}:part`, String(this.part));
    }
    this.inPart.push(message);
    this.storage.setItem(this.key(this.part), JSON.stringify(this.inPart));
  }

  keep(known: KnownEndpoints): void {
    this.storage.setItem(`${this.name}:endpoints`, JSON.stringify(known));
  }

  private key(part: number): string {
    return `${this.name}:${part % PARTS}`;
  }

  private read(part: number): string[] {
    const value = parse(this.storage.getItem(this.key(part)));
    return Array.isArray(value) ? value.filter((id) => typeof id === "string") : [];
  }

  private readKnown(): KnownEndpoints | null {
    return readKnown(parse(this.storage.getItem(`${this.name}:endpoints`)));
  }
}

/** The latest of many words. */
export class Recent {
  private readonly words = new Set<string>();

  constructor(private readonly most: number) {}

  has(word: string): boolean {
    return this.words.has(word);
  }

  add(word: string): void {
    this.words.delete(word);
    this.words.add(word);
    if (this.words.size > this.most) this.words.delete(this.words.values().next().value!);
  }

  all(): string[] {
    return [...this.words];
  }
}

/** What was read as JSON, where it is what dispatchers said; anybody may have written it. */
export function readKnown(value: unknown): KnownEndpoints | null {
  const { endpoints, until } = (value ?? {}) as { endpoints?: unknown; until?: unknown };
  if (!Array.isArray(endpoints) || typeof until !== "number") return null;
  const good = endpoints.filter(
    (place): place is Endpoint =>
      typeof (place as Endpoint | null)?.host === "string" && Number.isInteger((place as Endpoint).port),
  );
  return good.length > 0 ? { endpoints: good, until } : null;
}

function parse(text: string | null): unknown {
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
