// Where a device connects next, and when: what dispatchers and rooms say, what it has learnt of its networks, and what
// became of its connections.

import type { Backoff } from "./backoff.js";
import type { Dispatch, Dispatchers } from "./dispatch.js";
import type { Endpoint, Endpoints } from "./endpoints.js";
import { LonglineError, said } from "./errors.js";
import type { LearntHeartbeat } from "./heartbeat.js";
import type { Ended } from "./link.js";
import { Networks, type KnownNetwork } from "./networks.js";
import { inBrowser } from "./platform.js";
import type { Counted } from "./statistics.js";
import type { Tokens } from "./tokens.js";
import { quiet, unforeseen } from "./told.js";
import { sleep } from "./waiting.js";

const STABLE_AFTER = 10; // s a connection must live before the next failure counts as the first
const HAUNTED = 60; // s in which a room that was paused may still carry out a CONNECT that we gave up
const LONGEST_AFTER = 3600; // s that anybody may keep a device waiting
const LONGEST_KNOWN = 3600; // s that what was remembered is gone by, whatever the clock on the wall says
const CACHED = 8; // endpoints of a network that are remembered

/** Speaks with the server until the connection ends; says why it did. */
export type Converse = (token: string, endpoint: Endpoint) => Promise<Ended>;

/** The parts of a device that decide it, and what they have to tell. */
export interface Surroundings {
  readonly endpoints: Endpoints;
  readonly dispatchers: Dispatchers | null;
  readonly tokens: Tokens;
  readonly backoff: Backoff;
  /** s: the shortest wait is drawn from below it. */
  readonly base: number;
  readonly heartbeat: LearntHeartbeat;
  readonly counted: Counted;
  readonly closing: AbortSignal;
  network(): string;
  /** Something was learnt of a network. */
  learnt(network: string, known: KnownNetwork): Promise<void>;
  /** A dispatcher recommends a keep alive, in seconds. */
  recommended(keepAlive: number): void;
  note(line: string): void;
}

export class WayBack {
  private readonly networks = new Networks();
  private onNetwork: string | null = null;
  private knownUntil = -Infinity; // s, by a clock that nobody sets: until when to go by what a dispatcher said
  private moved = false; // sent elsewhere by the server, and no connection has lasted since
  private unanswered = -Infinity; // when the last CONNECT was sent of which nothing was heard

  constructor(private readonly of: Surroundings) {}

  /** What was learnt in the life before this one. */
  recall(networks: readonly [string, KnownNetwork][]): void {
    for (const [name, known] of networks) this.networks.set(name, known);
  }

  /**
   * One connection, from where to connect to the wait after it; gives why it was the last, where it was, and throws only
   * when the device is closed. What nobody has foreseen is a failure that passes: what has gone wrong once may go well the
   * next time, and a device that ends by itself is away for good.
   */
  async go(converse: Converse): Promise<LonglineError | null> {
    try {
      await this.find();
      return await this.connectOnce(converse);
    } catch (error) {
      this.of.closing.throwIfAborted();
      const problem = unforeseen(error);
      this.failed(problem);
      this.of.note(`a failure that nobody has foreseen: ${traced(error)}`);
    }
    await this.pause(this.of.backoff.next());
    return null;
  }

  /** Asks the dispatchers where to connect, if there are any and it is time to. */
  private async find(): Promise<void> {
    const { dispatchers, endpoints, backoff, counted, closing } = this.of;
    this.lookWhereWeAre();
    if (dispatchers === null || endpoints.sent) return;
    if (seconds() < this.knownUntil && !endpoints.usedUp) return;
    let answer: Dispatch | null = null;
    while (answer === null) {
      try {
        answer = await dispatchers.lookUp(closing);
      } catch (error) {
        closing.throwIfAborted();
        const problem = error as LonglineError;
        this.of.note(problem.message);
        counted.lastError = problem;
        if (endpoints.current !== undefined) return;
        this.failed(problem);
        await this.pause(Math.max(backoff.next(), Math.min(problem.retryAfter ?? 0, LONGEST_AFTER)));
      }
    }
    this.knownUntil = seconds() + answer.expiresIn;
    endpoints.feed(answer.endpoints);
    if (answer.initial > 0 && answer.initial <= answer.longest) {
      backoff.bound(Math.min(answer.initial, LONGEST_AFTER), Math.min(answer.longest, LONGEST_AFTER));
    }
    if (answer.keepAlive) this.of.recommended(answer.keepAlive);
    const until = Date.now() + answer.expiresIn * 1000;
    await this.learn({ endpoints: answer.endpoints.slice(0, CACHED), until });
    await sleep(Math.min(answer.after, LONGEST_AFTER) * 1000, closing);
  }

  /** One connection from its token to its end, and the wait after it; gives why it was the last, if it was. */
  private async connectOnce(converse: Converse): Promise<LonglineError | null> {
    const { counted, endpoints, tokens, backoff, closing, heartbeat } = this.of;
    const began = seconds();
    const connects = counted.connects;
    const { interval } = heartbeat;
    const before = this.unanswered;
    let token: string | null = null;
    let ended: Ended;
    try {
      token = await unless(closing, tokens.current());
      this.unanswered = seconds();
      ended = await unless(closing, converse(token, endpoints.current!));
    } catch (error) {
      closing.throwIfAborted();
      // From the source of tokens, and whatever it is, it may pass.
      const problem = error instanceof LonglineError ? error : unforeseen(error);
      if (problem !== error) this.of.note(`a failure that nobody has foreseen: ${traced(error)}`);
      ended = { error: problem, verdict: "retry", endpoints: [], after: 0 };
    }
    if (heartbeat.interval !== interval) await this.learn({ idle: heartbeat.interval });
    counted.lastError = ended.error;
    this.of.note(`not connected: ${ended.error.message}`);
    // A server that lets us in and throws us out at once is not a success: only a connection that lasted makes the
    // next wait short again.
    const letIn = counted.connects > connects;
    if (letIn) {
      this.unanswered = before;
      endpoints.worked();
      tokens.taken();
    }
    if (letIn && seconds() - began >= STABLE_AFTER) {
      backoff.reset();
      this.moved = false;
    }
    if (ended.verdict === "move") {
      await this.move(ended);
      return null;
    }
    this.failed(ended.error);
    if (ended.verdict === "stop" && !this.wasUs(ended.error)) return ended.error;
    if (ended.verdict === "refresh") {
      if (!tokens.refused()) return ended.error;
      if (!letIn) return null; // else it is thrown out together with others, such as all devices of its app
    }
    if (token !== null && !letIn) endpoints.failed();
    const asked = Math.min(ended.error.retryAfter ?? 0, LONGEST_AFTER); // by whoever was to give a token
    await this.pause(Math.max(backoff.next(), asked));
    return null;
  }

  private failed(error: LonglineError): void {
    this.of.counted.failures += 1;
    this.of.counted.lastError = error;
  }

  /** The network's name. Where the application's function has none, it is the one that it was. */
  private named(): string {
    let problem: unknown;
    try {
      const name: unknown = this.of.network();
      if (typeof name === "string") return name;
      quiet(name);
      problem = new TypeError(`it gave ${typeof name}, not a text`);
    } catch (error) {
      problem = error;
    }
    this.of.note(`the name of the network is not to be had: ${said(problem)}`);
    return this.onNetwork ?? "";
  }

  /** On another network, goes by what was learnt there. */
  private lookWhereWeAre(): void {
    const { dispatchers, endpoints, heartbeat } = this.of;
    const network = this.named();
    if (network === this.onNetwork) return;
    const former = this.onNetwork;
    this.onNetwork = network;
    const known = this.networks.get(network);
    heartbeat.interval = known.idle;
    if (dispatchers === null || endpoints.sent) return;
    if (known.endpoints.length > 0) {
      endpoints.feed(known.endpoints);
      // The clock on the wall may have been set back since: a device without a battery wakes up in 1970.
      this.knownUntil = seconds() + Math.min((known.until - Date.now()) / 1000, LONGEST_KNOWN);
    } else if (former !== null) {
      this.knownUntil = -Infinity;
    }
  }

  private async learn(news: Partial<KnownNetwork>): Promise<void> {
    const network = this.onNetwork ?? "";
    const known = { ...this.networks.get(network), ...news };
    this.networks.set(network, known);
    await this.of.learnt(network, known);
  }

  /** Whether who took over may be a CONNECT of ours that we had given up. Each excuses one takeover. */
  private wasUs(error: LonglineError): boolean {
    if (error.code !== "taken_over" || seconds() - this.unanswered > HAUNTED) return false;
    this.unanswered = -Infinity;
    return true;
  }

  /** Goes where the server wants this device, at the time it wants it there. */
  private async move(ended: Ended): Promise<void> {
    const { endpoints } = this.of;
    this.of.counted.moves += 1;
    const path = endpoints.current?.path; // a server that is named has the path of the one that names it
    const places = path === undefined ? ended.endpoints : ended.endpoints.map((place) => ({ path, ...place }));
    endpoints.sendTo(places);
    if (places.length === 0) this.knownUntil = -Infinity; // it came from there; where to, a dispatcher knows
    let wait = ended.after;
    if (this.moved) wait = Math.max(wait, this.of.backoff.next()); // to and fro is not worth a hurry
    this.moved = true;
    await sleep(wait * 1000, this.of.closing);
  }

  /** Waits after a failure. A browser that says it is online again has the wait cut to the shortest one. */
  private async pause(wait: number): Promise<void> {
    const { closing } = this.of;
    const cut = new AbortController();
    const stop = () => cut.abort();
    const target = inBrowser() ? globalThis : null;
    target?.addEventListener("online", stop);
    closing.addEventListener("abort", stop);
    try {
      await sleep(wait * 1000, cut.signal).catch(() => {});
    } finally {
      target?.removeEventListener("online", stop);
      closing.removeEventListener("abort", stop);
    }
    closing.throwIfAborted();
    // Not all at once: a whole cell of a network comes back in the same moment.
    if (cut.signal.aborted) await sleep(Math.min(wait, Math.random() * this.of.base) * 1000, closing);
  }
}

/** A failure that passes, where a connection could not even be begun. */
export function unreachable(endpoint: Endpoint, error: unknown): Ended {
  const problem = new LonglineError("unavailable", `${endpoint.host}:${endpoint.port}: ${said(error)}`);
  return { error: problem, verdict: "retry", endpoints: [], after: 0 };
}

function traced(error: unknown): string {
  return error instanceof Error ? (error.stack ?? said(error)) : said(error);
}

/** What a promise gives, or the reason of a device that is closed first. */
export function unless<Value>(closing: AbortSignal, promise: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(closing.reason as Error);
    if (closing.aborted) stop();
    closing.addEventListener("abort", stop);
    // Also when nobody waits for it any more: a promise that rejects and that nobody hears ends a process of Node.
    promise.then(resolve, reject).finally(() => closing.removeEventListener("abort", stop));
  });
}

function seconds(): number {
  return performance.now() / 1000;
}
