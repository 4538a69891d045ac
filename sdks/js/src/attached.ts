// Another app on a device's connection: `$link/attach` and what follows, see docs/mqtt.md.

import { Backoff } from "./backoff.js";
import { LonglineError, said } from "./errors.js";
import type { Message, Missed } from "./message.js";
import { judge, MAXIMUM_CONNECT_TIME } from "./refusals.js";
import { Speaker, type PublishOptions } from "./speaker.js";
import { Tokens, type Token } from "./tokens.js";
import { prefixOf } from "./topics.js";

const BASE = 0.5; // s within which a request that was refused for now is made again, and twice that, up to
const CAP = 60;
const ANSWER_WITHIN = 30; // s, after which a request is made again

/** What `$link/reply` says. */
export interface LinkAnswer {
  status: string;
  app: string;
  code: string;
  reason: number;
  message: string;
  retryable: boolean;
}

export function readLinkAnswer(payload: string): LinkAnswer | null {
  try {
    const read = JSON.parse(payload) as Partial<LinkAnswer> | null;
    if (typeof read?.status !== "string") return null;
    return { app: "", code: "", reason: 0, message: "", retryable: false, ...read, status: read.status };
  } catch {
    return null;
  }
}

/** The device on whose connection it is. */
export interface Carrier {
  readonly closed: boolean;
  ask(app: string, device: string, token: string): void;
  letGo(app: string, reason: LonglineError): void;
  handOut(message: Message): Promise<boolean>;
  note(line: string): void;
  publish(topic: string, payload: Uint8Array | string, options?: PublishOptions): Promise<void>;
  subscribe(filter: string, options?: { qos?: 0 | 1 }): Promise<void>;
}

// What no other token can help against, though the reason is the same.
const OUR_OWN = new Set(["app_attached", "attached_to_itself", "not_attached", "attachments_off"]);

/**
 * Made by `device.attach`, and in use until `detach`.
 *
 * It is attached again whenever the device has a new connection. It stops for good, and everything rejects, when that
 * cannot help: `bad_token` (when one more token is refused, too), `banned`, `taken_over` when the same device of the
 * app connects elsewhere, or what stopped the device itself. One that is kicked comes back, unless it is banned.
 */
export class AttachedApp extends Speaker {
  private readonly prefix: string;
  private readonly tokens: Tokens;
  private readonly backoff = new Backoff(BASE, CAP);
  private isAttached = false;
  private over = false;
  private failure: LonglineError | null = null;
  private answered: LinkAnswer | null = null;
  private connection = 0; // counts them: a request belongs to one

  /** @internal */
  constructor(
    private readonly carrier: Carrier,
    readonly app: string,
    readonly device: string,
    token: Token,
    /** @internal */
    readonly onGap: ((missed: Missed) => void) | undefined,
  ) {
    super();
    this.prefix = prefixOf(app);
    this.tokens = new Tokens(token);
  }

  /** Whether the server has let it in, as far as is known. */
  get attached(): boolean {
    return this.isAttached;
  }

  override get closed(): boolean {
    return this.over && this.failure === null;
  }

  /** Settles once it is attached; rejects when it never will be. */
  async whenAttached(): Promise<void> {
    while (!this.isAttached) {
      this.checkAlive();
      await this.changed.wait();
    }
  }

  /** Ends it. What was not acknowledged comes again, when the app is attached the next time. */
  detach(): void {
    if (this.over) return;
    this.stop(null);
    this.carrier.letGo(this.app, new LonglineError("unavailable", "this app is detached"));
  }

  /** @internal */
  override handOut(message: Message): Promise<boolean> {
    return this.carrier.handOut(message);
  }

  /** @internal */
  override note(line: string): void {
    this.carrier.note(`${this.app}: ${line}`);
  }

  override async publish(topic: string, payload: Uint8Array | string, options?: PublishOptions): Promise<void> {
    this.checkAlive();
    await this.carrier.publish(this.prefix + topic, payload, options);
  }

  override async subscribe(filter: string, options?: { qos?: 0 | 1 }): Promise<void> {
    this.checkAlive();
    await this.carrier.subscribe(this.prefix + filter, options);
  }

  // --- what the device tells ---------------------------------------------------------------------

  /** @internal Has it attached for as long as this connection lasts. */
  async keep(): Promise<void> {
    const connection = ++this.connection;
    const mine = () => !this.over && this.connection === connection;
    while (mine()) {
      let wait = true;
      try {
        const token = await this.tokens.current();
        if (!mine()) return;
        this.answered = null;
        this.carrier.ask(this.app, this.device, token);
        const until = performance.now() + ANSWER_WITHIN * 1000; // of which setting the clock changes nothing
        while (mine() && this.answered === null && performance.now() < until) {
          await this.changed.wait(until - performance.now());
        }
        while (mine() && this.isAttached) await this.changed.wait();
        if (!mine()) return;
        if (this.answered === null) continue;
        wait = this.judge(this.answered);
      } catch (error) {
        this.note(`is not attached: ${said(error)}`); // by its source of tokens, or by a mistake of ours: it may pass
      }
      if (this.failure !== null) {
        this.stop(this.failure);
        this.carrier.letGo(this.app, this.failure);
      } else if (wait) {
        const until = performance.now() + this.backoff.next() * 1000;
        while (mine() && performance.now() < until) await this.changed.wait(until - performance.now());
      }
    }
  }

  /** @internal The server has said something of it. */
  told(answer: LinkAnswer): void {
    if (this.over) return;
    this.answered = answer;
    this.isAttached = answer.status === "attached";
    if (this.isAttached) {
      this.tokens.taken();
      this.backoff.reset();
    }
    this.changed.wake();
  }

  /** @internal The connection is gone, and it with it. */
  lost(): void {
    this.isAttached = false;
    this.connection += 1;
    this.changed.wake();
  }

  /** @internal The device is not coming back. */
  ended(reason: LonglineError): void {
    this.stop(this.carrier.closed ? null : reason);
  }

  // Makes of what the server said what to do; whether to wait before asking again.
  private judge(answer: LinkAnswer): boolean {
    const words = answer.message ? `${answer.code}: ${answer.message}` : answer.code;
    const { error, verdict } = judge(answer.reason, words);
    if (verdict === "refresh" && OUR_OWN.has(answer.code)) {
      this.failure = new LonglineError("forbidden", words);
    } else if (verdict === "refresh" || answer.reason === MAXIMUM_CONNECT_TIME) {
      if (!this.tokens.refused()) this.failure = new LonglineError("bad_token", words);
      return false;
    } else if (verdict === "stop" || (answer.status === "refused" && !answer.retryable)) {
      this.failure = error;
    }
    return true;
  }

  private stop(failure: LonglineError | null): void {
    this.over = true;
    this.isAttached = false;
    this.failure = failure;
    this.inbox.length = 0;
    this.changed.wake();
  }

  /** @internal */
  override checkAlive(): void {
    if (this.failure !== null) throw this.failure;
    if (this.over) throw new LonglineError("unavailable", "this app is detached");
  }
}
