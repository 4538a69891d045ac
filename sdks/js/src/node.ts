// What there is in Node (and Deno, Bun) alone: `import { FileStore } from "longline/node"`.

import { open, readFile, rename, writeFile, type FileHandle } from "node:fs/promises";

import { readKnown, Recent, REMEMBERED, type DeviceStore, type KnownEndpoints, type Remembered } from "./stores.js";

type Line = { handled?: unknown; known?: unknown };

/**
 * Remembers in a file, a line for each message; it is written anew when it has twice as many as are remembered. A last
 * line that was cut off when the process was killed is passed over. Two devices, or two processes, cannot share one.
 */
export class FileStore implements DeviceStore {
  private readonly handled = new Recent(REMEMBERED);
  private known: KnownEndpoints | null = null;
  private file: FileHandle | null = null;
  private lines = 0;
  private waiting: Line[] = []; // for the next write, which takes all of them
  private turn: Promise<void> = Promise.resolve(); // one write after the other
  private next: Promise<void> | null = null;

  constructor(private readonly path: string) {}

  async load(): Promise<Remembered> {
    await this.inTurn(async () => {
      if (this.file !== null) return;
      for (const text of (await this.contents()).split("\n")) {
        const line = read(text);
        if (typeof line?.handled === "string") this.handled.add(line.handled);
        this.known = readKnown(line?.known) ?? this.known;
      }
      await this.rewrite();
    });
    return { handled: this.handled.all(), known: this.known };
  }

  add(message: string): Promise<void> {
    this.handled.add(message);
    return this.append({ handled: message });
  }

  keep(known: KnownEndpoints): Promise<void> {
    this.known = known;
    return this.append({ known });
  }

  async close(): Promise<void> {
    await this.inTurn(async () => {
      await this.file?.close();
      this.file = null;
    });
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
    if (this.file === null || this.lines >= 2 * REMEMBERED) {
      await this.rewrite();
      return;
    }
    await this.file.appendFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    this.lines += lines.length;
  }

  private async rewrite(): Promise<void> {
    await this.file?.close();
    this.file = null;
    const lines: Line[] = this.handled.all().map((handled) => ({ handled }));
    if (this.known !== null) lines.push({ known: this.known });
    // Whoever is killed in between finds the old file whole, or the new one.
    await writeFile(`${this.path}.new`, lines.map((line) => `${JSON.stringify(line)}\n`).join(""), { mode: 0o600 });
    await rename(`${this.path}.new`, this.path);
    this.file = await open(this.path, "a");
    this.lines = lines.length;
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

function read(text: string): Line | null {
  try {
    return JSON.parse(text) as Line | null;
  } catch {
    return null;
  }
}
