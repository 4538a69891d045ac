// What a device has to say and the server has not answered: in its order, across connections, within bounds.

import { LonglineError } from "./errors.js";
import type { Granted, Link, PacketIds } from "./link.js";
import { refused } from "./refusals.js";
import { newSendId, tellsAppServer } from "./sendids.js";

const MAX_SENDS = 5; // connections on which one publish may go unanswered before it is given up
const HEADER = 48; // bytes at most that a PUBLISH has beside its topic and payload: lengths, identifiers
const UTF8 = new TextEncoder();

interface Outgoing {
  topic: string;
  payload: Uint8Array | string;
  qos: 0 | 1;
  sendId: string | null;
  size: number;
  sends: number;
  packetId: number;
  dup: boolean;
  kept: boolean; // never given up
  settled: boolean;
  settle(error: Error | null): void;
}

/** How something is to be published, 1 unless `qos` says otherwise; `signal` gives up waiting. */
export interface Manner {
  qos?: 0 | 1;
  signal?: AbortSignal | undefined;
  sendId?: string;
}

export class Outbox {
  private readonly waiting: Outgoing[] = [];
  private unanswered: Outgoing[] = [];
  private readonly writing = new Set<Outgoing>(); // with QoS 0, which nobody answers
  private count = 0;
  private bytes = 0;
  private granted: Granted = { sessionPresent: false, window: 0, maxPacket: 0 };
  published = 0;

  constructor(
    private readonly ids: PacketIds,
    private readonly most: number,
    private readonly mostBytes: number,
  ) {}

  /** How many publishes are not settled. */
  get size(): number {
    return this.count;
  }

  /**
   * Takes a publish; `overloaded` at once when as much as may waits already. One with a `sendId` of its own was posted:
   * it is bounded elsewhere, and sent on as many connections as it takes.
   */
  add(topic: string, payload: Uint8Array | string, { qos = 1, signal, sendId }: Manner = {}): Promise<void> {
    const kept = sendId !== undefined;
    const size = UTF8.encode(topic).length + (typeof payload === "string" ? UTF8.encode(payload).length : payload.length) + HEADER;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!kept && (this.count >= this.most || this.bytes + size > this.mostBytes)) {
      const words = `${this.count} publishes of ${this.bytes} bytes wait for the server already`;
      return Promise.reject(new LonglineError("overloaded", words));
    }
    const counted = kept ? { count: 0, bytes: 0 } : { count: 1, bytes: size };
    this.count += counted.count;
    this.bytes += counted.bytes;
    return new Promise((resolve, reject) => {
      const outgoing: Outgoing = {
        topic,
        // A copy: the caller may use its buffer again, and this may be sent much later.
        payload: typeof payload === "string" ? payload : payload.slice(),
        qos,
        sendId: sendId ?? (qos === 1 && tellsAppServer(topic) ? newSendId() : null),
        size,
        sends: 0,
        packetId: 0,
        dup: false,
        kept,
        settled: false,
        settle: (error) => {
          if (outgoing.settled) return;
          outgoing.settled = true;
          this.count -= counted.count;
          this.bytes -= counted.bytes;
          signal?.removeEventListener("abort", withdraw);
          if (error === null) resolve();
          else reject(error);
        },
      };
      // Whoever gives up is not waited for; one that is on its way may be taken all the same.
      const withdraw = () => outgoing.settle(signal!.reason as Error);
      signal?.addEventListener("abort", withdraw);
      this.waiting.push(outgoing);
    });
  }

  /** The server has let the device in: what was not answered is sent again, first and in its order. */
  opened(granted: Granted): void {
    this.granted = granted;
    // [MQTT-3.3.1-1] a copy is marked; in a new session it is the first of its kind again.
    for (const outgoing of this.unanswered) outgoing.dup = granted.sessionPresent;
    this.waiting.unshift(...this.unanswered.filter((outgoing) => !outgoing.settled));
    this.unanswered = [];
    this.ids.keep(this.waiting.map((outgoing) => outgoing.packetId).filter((id) => id > 0));
  }

  /** The connection is gone, and what was being written with QoS 0 went with it. */
  lost(): void {
    for (const outgoing of this.writing) outgoing.settle(null);
    this.writing.clear();
  }

  /** Writes what the server's window allows, of topics that may be used now. */
  pump(link: Link | null, mayUse: (topic: string) => boolean): void {
    const held: Outgoing[] = [];
    while (link?.open && this.waiting.length > 0 && this.unanswered.length < this.granted.window) {
      const outgoing = this.waiting.shift()!;
      if (outgoing.settled) {
        if (outgoing.packetId) this.ids.deallocate(outgoing.packetId);
      } else if (!mayUse(outgoing.topic)) {
        held.push(outgoing);
      } else if (this.granted.maxPacket && outgoing.size > this.granted.maxPacket) {
        const words = `the server takes ${this.granted.maxPacket} bytes a packet`;
        outgoing.settle(new LonglineError("payload_too_large", words));
      } else if (outgoing.sends >= MAX_SENDS && !outgoing.kept) {
        outgoing.settle(new LonglineError("unavailable", `sent ${outgoing.sends} times and never answered`));
      } else {
        this.write(outgoing, link, mayUse);
      }
    }
    this.waiting.unshift(...held);
  }

  /** What there is for topics that begin so is not sent any more. */
  drop(prefix: string, reason: Error): void {
    for (const outgoing of [...this.waiting, ...this.unanswered, ...this.writing]) {
      if (outgoing.topic.startsWith(prefix)) outgoing.settle(reason);
    }
  }

  private write(outgoing: Outgoing, link: Link, mayUse: (topic: string) => boolean): void {
    if (outgoing.qos === 1) {
      // [MQTT-4.4.0-1] with its original identifier
      if (outgoing.packetId) this.ids.next(outgoing.packetId);
      outgoing.sends += 1;
      this.unanswered.push(outgoing);
    } else {
      this.writing.add(outgoing);
    }
    link.publish(outgoing.topic, outgoing.payload, outgoing, (reason, words) => {
      this.writing.delete(outgoing);
      this.unanswered = this.unanswered.filter((other) => other !== outgoing);
      if (reason >= 0x80) {
        outgoing.settle(refused(`publish to ${JSON.stringify(outgoing.topic)}`, reason, words));
      } else {
        this.published += 1;
        outgoing.settle(null);
      }
      this.pump(link, mayUse);
    });
    if (outgoing.qos === 1) outgoing.packetId = link.latestId;
  }
}
