// What there is in Node (and Deno, Bun) alone: `import { FileStore } from "longline/node"`.

import { open, readFile, rename, writeFile, type FileHandle } from "node:fs/promises";

import { Networks, readNetwork, type KnownNetwork } from "./networks.js";
import { readPosted, Recent, REMEMBERED, writtenPosted, type DeviceStore, type PostedMessage, type Remembered } from "./stores.js";

type Line = { handled?: unknown; network?: unknown; posted?: unknown; settled?: unknown };

const LEAST = 256 * 1024; // characters that the file may have, whatever is worth keeping

/**
 * Remembers in a file, a line for each thing learnt; it is written anew when most of it is of no use any more. A last
 * line that was cut off when the process was killed is passed over. What was posted is on the disk when `post` settles.
 * Two devices, or two processes, cannot share one.
 */
export class FileStore implements DeviceStore {
  private readonly handled = new Recent(REMEMBERED);
  private readonly networks = new Networks();
  private readonly posted = new Map<number, PostedMessage>();
  private owned = false; // from `load` to `close`; at other times the file may be another's, or have more than is known
  private file: FileHandle | null = null;
  private lines = 0;
  private size = 0;
  private sizeAnew = 0; // of the file when it was written anew
  private waiting: Line[] = []; // for the next write, which takes all of them
  private turn: Promise<void> = Promise.resolve(); // one write after the other
  private next: Promise<void> | null = null;

  constructor(private readonly path: string) {}

  async load(): Promise<Remembered> {
    await this.inTurn(async () => {
      if (this.owned) return;
      for (const text of (await this.contents()).split("\n")) this.take(read(text));
      this.owned = true;
      await this.rewrite().catch(() => {}); // on a full disk, say: what was read is good all the same, and the next write tells
    });
    return { handled: this.handled.all(), networks: this.networks.all(), posted: [...this.posted.values()] };
  }

  add(message: string): Promise<void> {
    this.handled.add(message);
    return this.append({ handled: message });
  }

  learn(network: string, known: KnownNetwork): Promise<void> {
    this.networks.set(network, known);
    return this.append({ network: [network, known] });
  }

  async post(message: PostedMessage): Promise<void> {
    this.posted.set(message.number, message);
    await this.append({ posted: writtenPosted(message) });
  }

  settled(number: number): Promise<void> {
    this.posted.delete(number);
    return this.append({ settled: number });
  }

  async close(): Promise<void> {
    await this.inTurn(async () => {
      this.owned = false;
      await this.file?.close();
      this.file = null;
    });
  }

  private take(line: Line | null): void {
    if (typeof line?.handled === "string") this.handled.add(line.handled);
    const network = readNetwork(line?.network);
    if (network !== null) this.networks.set(...network);
    const posted = readPosted(line?.posted);
    if (posted !== null) this.posted.set(posted.number, posted);
    if (typeof line?.settled === "number") this.posted.delete(line.settled);
  }

  private append(line: Line): Promise<void> {
    this.waiting.push(line);
    this.next ??= this.inTurn(() => {
      this.next = null;
      return this.write();
    });
    return this.next;
  }

  private async write(): Promise<void> {
    const lines = this.waiting;
    this.waiting = [];
    if (!this.owned) throw new Error(`${this.path} is not open`);
    const full = this.lines >= 2 * REMEMBERED + 2 * this.posted.size || this.size > Math.max(LEAST, 4 * this.sizeAnew);
    if (this.file === null || full) {
      await this.rewrite();
      return;
    }
    const text = lines.map(written).join("");
    try {
      await this.file.appendFile(text);
      if (lines.some((line) => line.posted !== undefined)) await this.file.sync();
    } catch (error) {
      // The disk may have taken a piece of a line: the next write is a file of its own, with all that is known.
      await this.file.close().catch(() => {});
      this.file = null;
      throw error;
    }
    this.lines += lines.length;
    this.size += text.length;
  }

  private async rewrite(): Promise<void> {
    await this.file?.close();
    this.file = null;
    const lines: Line[] = [
      ...this.handled.all().map((handled) => ({ handled })),
      ...this.networks.all().map((network) => ({ network })),
      ...[...this.posted.values()].map((posted) => ({ posted: writtenPosted(posted) })),
    ];
    const text = lines.map(written).join("");
    // Whoever is killed in between finds the old file whole, or the new one.
    await writeFile(`${this.path}.new`, text, { mode: 0o600, flush: true } as Parameters<typeof writeFile>[2]);
    await rename(`${this.path}.new`, this.path);
    this.file = await open(this.path, "a");
    this.lines = lines.length;
    this.size = this.sizeAnew = text.length;
  }

  private async contents(): Promise<string> {
    try {
      return await readFile(this.path, "utf8");
    } catch (error) {
      if ((error as { code?: unknown }).code === "ENOENT") return "";
      throw error;
    }
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => {});
    return done;
  }
}

function written(line: Line): string {
  return `${JSON.stringify(line)}\n`;
}

function read(text: string): Line | null {
  try {
    return JSON.parse(text) as Line | null;
  } catch {
    return null;
  }
}
