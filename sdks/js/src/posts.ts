// What an application has posted, from `post` until the server has taken it, or never will.

import { LonglineError, said } from "./errors.js";
import { newSendId } from "./sendids.js";
import type { DeviceStore, PostedMessage } from "./stores.js";
import { told } from "./told.js";
import { checkedTopic, UP } from "./topics.js";
import { sleep } from "./waiting.js";

const POST_AGAIN = 5000; // ms, after the server has refused for now what was posted
const MOST = 1000; // messages
const MOST_BYTES = 1024 * 1024; // of all of them: names and payloads
const UTF8 = new TextEncoder();

/** Called with what the server will never take: its name, its payload, and why. */
export type OnRefused = (name: string, payload: Uint8Array, error: LonglineError) => void;

/** The device, as far as it is needed here. */
export interface Sender {
  /** Settles when the server has taken it, on however many connections; rejects with its refusal. */
  send(message: PostedMessage): Promise<void>;
  /** Aborts when the device is at its end. */
  readonly ended: AbortSignal;
  log(line: string): void;
}

export class Posts {
  private readonly kept = new Map<number, PostedMessage>();
  private bytes = 0;
  private storing = 0; // messages that the store has not taken yet; their bytes are counted
  private turn: Promise<unknown> = Promise.resolve(); // they are sent in the order in which they were posted
  private latest = 0;

  constructor(
    private readonly store: DeviceStore,
    private readonly sender: Sender,
    private readonly onRefused: OnRefused | undefined,
  ) {}

  /** How many the server has not taken yet. */
  get unsent(): number {
    return this.kept.size;
  }

  /** What was posted in the life before this one. */
  recall(posted: readonly PostedMessage[]): void {
    for (const message of posted) {
      this.latest = Math.max(this.latest, message.number);
      this.bytes += size(message);
      this.take(message);
    }
  }

  /**
   * Settles when it is kept; rejects with `overloaded` when as many as may are, `unavailable` when the store fails: then
   * it is not sent, now or later, and whoever posts it again sends it once.
   */
  async post(name: string, payload: Uint8Array | string): Promise<void> {
    const bytes = typeof payload === "string" ? UTF8.encode(payload) : payload.slice();
    const message = { number: this.latest + 1, topic: checkedTopic(UP + name), payload: bytes, sendId: newSendId() };
    const waiting = this.kept.size + this.storing;
    if (waiting >= MOST || this.bytes + size(message) > MOST_BYTES) {
      throw new LonglineError("overloaded", `${waiting} messages of ${this.bytes} bytes wait to be sent`);
    }
    this.latest = message.number;
    this.bytes += size(message);
    this.storing += 1;
    const before = this.turn;
    const stored = this.stored(message);
    this.turn = stored.catch(() => {}).then(() => before);
    try {
      await stored;
      await before;
      this.take(message);
    } catch (error) {
      this.bytes -= size(message);
      await this.forget(message); // of which the store may have kept a part
      throw new LonglineError("unavailable", `the message cannot be kept: ${said(error)}`, { cause: error });
    } finally {
      this.storing -= 1;
    }
  }

  private async stored(message: PostedMessage): Promise<void> {
    await this.store.post(message);
  }

  private take(message: PostedMessage): void {
    this.kept.set(message.number, message);
    void this.deliver(message);
  }

  private async forget(message: PostedMessage): Promise<void> {
    try {
      await this.store.settled(message.number);
    } catch (error) {
      this.sender.log(`what was sent, or refused, may be sent again: ${said(error)}`);
    }
  }

  private async deliver(message: PostedMessage): Promise<void> {
    const { ended } = this.sender;
    while (true) {
      try {
        await this.sender.send(message);
        break;
      } catch (error) {
        if (ended.aborted) return; // it is in the store
        const problem = error instanceof LonglineError ? error : new LonglineError("internal", said(error));
        if (!problem.retryable) {
          this.refused(message, problem);
          break;
        }
      }
      try {
        await sleep(POST_AGAIN, ended);
      } catch {
        return;
      }
    }
    this.kept.delete(message.number);
    this.bytes -= size(message);
    await this.forget(message);
  }

  private refused(message: PostedMessage, problem: LonglineError): void {
    const name = message.topic.slice(UP.length);
    this.sender.log(`the server does not take ${JSON.stringify(name)}, which was posted: ${problem.message}`);
    told(
      () => this.onRefused?.(name, message.payload, problem),
      (error) => this.sender.log(`onRefused has failed: ${said(error)}`),
    );
  }
}

function size({ topic, payload }: PostedMessage): number {
  return topic.length + payload.length;
}
