// What a device remembers beyond its process or page: which messages it has handled, what it has learnt of networks,
// and what was posted.

import { Networks, readNetwork, type KnownNetwork } from "./networks.js";
import { base64, unbase64 } from "./shapes.js";
import { isTopic } from "./topics.js";

/** A message that is to reach the server, by its number; `sendId` is what app servers know it by. */
export interface PostedMessage {
  number: number;
  topic: string;
  payload: Uint8Array;
  sendId: string;
}

/** What a store gives back: each list in the order in which it was put in. */
export interface Remembered {
  handled: string[];
  networks: [string, KnownNetwork][];
  posted: PostedMessage[];
}

/**
 * Where a device keeps what it remembers; one store is one device's. `add` is called before a message is
 * acknowledged, and the acknowledgement waits for it: what is stored then is dropped when it comes again, also in
 * another process. A store bounds itself: it may forget the oldest of more than `REMEMBERED` messages, and what was
 * learnt of networks. It forgets nothing that was posted before that is settled; what it cannot keep it throws for,
 * and `device.post` rejects. Whatever else throws is told to the log, and the device goes by its own memory.
 */
export interface DeviceStore {
  /** What was stored. */
  load(): Promise<Remembered> | Remembered;
  /** A message was handled. */
  add(message: string): Promise<void> | void;
  /** Something was learnt of a network. */
  learn(network: string, known: KnownNetwork): Promise<void> | void;
  /** Keeps what was posted; it is there for the next process, or page, when this settles. */
  post(message: PostedMessage): Promise<void> | void;
  /** The server has it, or will never take it. */
  settled(number: number): Promise<void> | void;
  /** The device has ended; another one may load what is there. */
  close?(): Promise<void> | void;
}

/** How many handled messages a device knows. */
export const REMEMBERED = 1000;

/** Remembers as long as it lives: for several `Device`s of a process, one after the other. */
export class MemoryStore implements DeviceStore {
  private readonly handled = new Recent(REMEMBERED);
  private readonly networks = new Networks();
  private readonly posted = new Map<number, PostedMessage>();

  load(): Remembered {
    return { handled: this.handled.all(), networks: this.networks.all(), posted: [...this.posted.values()] };
  }

  add(message: string): void {
    this.handled.add(message);
  }

  learn(network: string, known: KnownNetwork): void {
    this.networks.set(network, known);
  }

  post(message: PostedMessage): void {
    this.posted.set(message.number, message);
  }

  settled(number: number): void {
    this.posted.delete(number);
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
  private readonly networks = new Networks();
  private posted: number[] = [];

  constructor(
    private readonly name: string,
    private readonly storage: Pick<Storage, "getItem" | "setItem" | "removeItem"> = localStorage,
  ) {}

  load(): Remembered {
    const written = Number(this.storage.getItem(`${this.name}:part`));
    this.part = Number.isInteger(written) && written >= 0 ? written : 0;
    const handled: string[] = [];
    for (let part = Math.max(0, this.part - PARTS + 1); part < this.part; part += 1) handled.push(...this.read(part));
    this.inPart = this.read(this.part);
    for (const network of this.list("networks").map(readNetwork)) if (network !== null) this.networks.set(...network);
    const posted = this.list("posted")
      .map((number) => readPosted(parse(this.storage.getItem(`${this.name}:posted:${number}`))))
      .filter((message) => message !== null);
    this.posted = posted.map((message) => message.number);
    return { handled: [...handled, ...this.inPart], networks: this.networks.all(), posted };
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

  learn(network: string, known: KnownNetwork): void {
    this.networks.set(network, known);
    this.storage.setItem(`${this.name}:networks`, JSON.stringify(this.networks.all()));
  }

  post(message: PostedMessage): void {
    // Whichever of the two is not done any more, the other one does no harm.
    this.storage.setItem(`${this.name}:posted:${message.number}`, JSON.stringify(writtenPosted(message)));
    this.posted.push(message.number);
    try {
      this.storage.setItem(`${this.name}:posted`, JSON.stringify(this.posted));
    } catch (error) {
      this.posted.pop();
      throw error;
    }
  }

  settled(number: number): void {
    this.posted = this.posted.filter((other) => other !== number);
    this.storage.setItem(`${this.name}:posted`, JSON.stringify(this.posted));
    this.storage.removeItem(`${this.name}:posted:${number}`);
  }

  private key(part: number): string {
    return `${this.name}:${part % PARTS}`;
  }

  private read(part: number): string[] {
    const value = parse(this.storage.getItem(this.key(part)));
    return Array.isArray(value) ? value.filter((id) => typeof id === "string") : [];
  }

  private list(what: string): unknown[] {
    const value = parse(this.storage.getItem(`${this.name}:${what}`));
    return Array.isArray(value) ? (value as unknown[]) : [];
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

/** What is to be sent, as JSON can have it. */
export function writtenPosted({ number, topic, payload, sendId }: PostedMessage): unknown {
  return [number, topic, base64(payload), sendId];
}

/** What was read as JSON, where it is that; anybody may have written it. */
export function readPosted(value: unknown): PostedMessage | null {
  const [number, topic, payload, sendId] = Array.isArray(value) ? (value as unknown[]) : [];
  if (!Number.isSafeInteger(number) || (number as number) < 0 || !isTopic(topic)) return null;
  if (typeof payload !== "string" || typeof sendId !== "string") return null;
  try {
    return { number: number as number, topic, payload: unbase64(payload), sendId };
  } catch {
    return null;
  }
}

function parse(text: string | null): unknown {
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
