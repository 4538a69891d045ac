// `Device`: a device's end of Longline.
//
//     const device = new Device("wss://push.example.org/mqtt", { app: "news", device: "d1", token });
//     for await (const message of device) console.log(message.text);

import { AttachedApp, readLinkAnswer, type Carrier } from "./attached.js";
import { Backoff } from "./backoff.js";
import { Dispatchers, type Dispatch } from "./dispatch.js";
import { Endpoints, parsed, readMoved, type Endpoint, type Transport } from "./endpoints.js";
import { LonglineError, said } from "./errors.js";
import { Link, PacketIds, type Ended, type Granted, type Identity, type Incoming, type TlsFiles } from "./link.js";
import { Message, readMissed, type Missed } from "./message.js";
import { Outbox } from "./outbox.js";
import { refused } from "./refusals.js";
import { Speaker, type CallHandler, type PublishOptions } from "./speaker.js";
import { MemoryStore, Recent, REMEMBERED, type DeviceStore } from "./stores.js";
import { NoToken, Tokens, type Token } from "./tokens.js";
import { ANSWER, ATTACH, DETACH, GAP, GROUP, LINK, MOVED, PUSH, prefixOf } from "./topics.js";
import { Signal, sleep } from "./waiting.js";

const STABLE_AFTER = 10; // s a connection must live before the next failure counts as the first
const HAUNTED = 60; // s in which a room that was paused may still carry out a CONNECT that we gave up
const KEEP_ALIVE = 60; // s, unless the caller or a dispatcher says otherwise
const LONGEST_AFTER = 3600; // s that a server may keep a device waiting
const AT_ONCE = { qos: 0, dup: false, sendId: null } as const;
const TEXT = new TextDecoder();

/** What a `Device` needs to know, and may be told. Durations are in seconds. */
export interface DeviceOptions {
  app: string;
  device: string;
  /** A token, or a function that gives one: asked at first, and when the server refuses the one at hand. */
  token: Token;
  /** Base URLs of dispatchers, which say where to connect: `["https://push.example.org"]`. */
  dispatchers?: readonly string[];
  /** Further URLs to connect to, as the first argument. All have one scheme. */
  endpoints?: readonly string[];
  /** What dispatchers are asked for, where no URL says it: `wss` in a browser, `tcp` else. */
  transport?: Transport;
  /** 5 (MQTT 5.0) or 4 (3.1.1). */
  protocol?: 4 | 5;
  /** Bounds how long a dead connection goes unnoticed. Unless given: what a dispatcher recommends, or 60. */
  keepAlive?: number;
  /** How many messages may be under way to this device unacknowledged; 100 unless given. */
  receiveMaximum?: number;
  /** How long the server keeps subscriptions, and what is published to them, when the device is away; 0 unless given. */
  sessionExpiry?: number;
  connectTimeout?: number;
  backoffBase?: number;
  backoffCap?: number;
  /** How many publishes may wait for the server; one more is rejected with `overloaded`. 1000 unless given. */
  outboxMessages?: number;
  /** How many bytes of them; 4 MiB unless given. */
  outboxBytes?: number;
  /** Where it remembers what it has handled, and where it connected. Unless given: in memory. */
  store?: DeviceStore;
  /** Called when messages for this device have ended without reaching it, before the next message is handed out. */
  onGap?: (missed: Missed) => void;
  /** Answers calls, as `device.onCall`. */
  onCall?: CallHandler;
  /** Called with a line for whatever the device does by itself: connected, not connected and why. */
  log?: (line: string) => void;
  /** PEM text of authorities, and of what the device shows of itself. In Node; a browser has its own. */
  tls?: TlsFiles;
}

/** Counters since the device was made, and the last error. `duplicates` were dropped, `received` were handed out. */
export interface Statistics {
  connects: number;
  failures: number;
  moves: number;
  received: number;
  duplicates: number;
  acked: number;
  published: number;
  overflowed: number;
  gaps: number;
  lastError: LonglineError | null;
}

interface Wanted {
  qos: 0 | 1;
  settle: ((error: LonglineError | null) => void) | null;
}

/**
 * One device of an app. It begins to connect at once, and stays connected until `close`.
 *
 * A message is acknowledged when the next one is asked for, or by `await message.ack()`. Delivery is at least once, and
 * copies of what was handled are dropped.
 *
 * Whatever breaks the connection, the device comes back: after a wait drawn from [0, `backoffBase`), then from twice
 * that, up to `backoffCap`. A server that wants the device elsewhere says where and when. With `dispatchers` it asks
 * them before it connects, again when what they said has expired or none of it works, and goes by their word on the
 * waits too; while none answers it goes on with what it has. It stops for good, and everything rejects, when coming
 * back cannot help: `bad_token` (when one more token is refused, too), `banned`, `not_supported`, and `taken_over` when
 * the same device connects elsewhere.
 */
export class Device extends Speaker {
  private readonly identity: Identity;
  private readonly transport: Transport;
  private readonly endpoints: Endpoints;
  private readonly dispatchers: Dispatchers | null;
  private readonly recommended: boolean;
  private readonly tokens: Tokens;
  private readonly backoff: Backoff;
  private readonly base: number;
  private readonly store: DeviceStore;
  private readonly handled = new Recent(REMEMBERED);
  private readonly onGap: ((missed: Missed) => void) | undefined;
  private readonly log: (line: string) => void;
  private readonly ids = new PacketIds();
  private readonly outbox: Outbox;
  private readonly wanted = new Map<string, Wanted>();
  private readonly apps = new Map<string, AttachedApp>();
  private readonly letInApps = new Set<string>();
  private readonly inbox: Message[] = [];
  private readonly changed = new Signal();
  private readonly closing = new AbortController();
  private readonly owner: Promise<void>;
  private readonly carrier: Carrier;
  private readonly counted: Omit<Statistics, "published">;
  private keepAlive: number;
  private link: Link | null = null;
  private acks: Promise<void> = Promise.resolve(); // PUBACKs leave in the order in which messages are done with
  private knownUntil = 0; // ms since 1970: until when to go by what a dispatcher said
  private moved = false; // sent elsewhere by the server, and no connection has lasted since
  private unanswered = -Infinity; // when the last CONNECT was sent of which nothing was heard
  private over = false;
  private failure: LonglineError | null = null;

  constructor(url: string | null, options: DeviceOptions) {
    super();
    const places = [...(url === null ? [] : [url]), ...(options.endpoints ?? [])].map(parsed);
    const transports = new Set(places.map((place) => place.transport));
    if (transports.size > 1) throw new RangeError("all endpoints of a device have one scheme");
    const [first] = transports;
    this.transport = first ?? options.transport ?? (inBrowser() ? "wss" : "tcp");
    if (inBrowser() && (this.transport === "tcp" || this.transport === "tls")) {
      throw new RangeError("a browser connects by ws:// or wss://");
    }
    if (places.length === 0 && !options.dispatchers?.length) {
      throw new RangeError("a device needs a URL, endpoints or dispatchers");
    }
    const receiveMaximum = options.receiveMaximum ?? 100;
    if (!(Number.isInteger(receiveMaximum) && receiveMaximum > 0 && receiveMaximum <= 65_535)) {
      throw new RangeError("receiveMaximum is from 1 to 65535");
    }
    const protocol = options.protocol ?? 5;
    if (protocol !== 4 && protocol !== 5) throw new RangeError("protocol is 4 (MQTT 3.1.1) or 5 (MQTT 5.0)");
    this.endpoints = new Endpoints(places.map((place) => place.endpoint));
    this.dispatchers = options.dispatchers?.length
      ? new Dispatchers(options.dispatchers, options.app, options.device, this.transport)
      : null;
    this.recommended = options.keepAlive === undefined;
    this.keepAlive = Math.ceil(options.keepAlive ?? KEEP_ALIVE);
    this.identity = {
      app: options.app,
      device: options.device,
      protocol,
      keepAlive: this.keepAlive,
      receiveMaximum,
      sessionExpiry: Math.ceil(options.sessionExpiry ?? 0),
      connectTimeout: options.connectTimeout ?? 10,
      tls: options.tls ?? {},
    };
    this.tokens = new Tokens(options.token);
    this.base = options.backoffBase ?? 0.5;
    this.backoff = new Backoff(this.base, options.backoffCap ?? 60);
    this.store = options.store ?? new MemoryStore();
    this.onGap = options.onGap;
    this.callHandler = options.onCall ?? null;
    this.log = options.log ?? (() => {});
    this.outbox = new Outbox(this.ids, options.outboxMessages ?? 1000, options.outboxBytes ?? 4 * 1024 * 1024);
    this.counted = {
      connects: 0,
      failures: 0,
      moves: 0,
      received: 0,
      duplicates: 0,
      acked: 0,
      overflowed: 0,
      gaps: 0,
      lastError: null,
    };
    this.carrier = this.asCarrier();
    this.owner = this.run();
  }

  /** What it is called in its app. */
  get name(): string {
    return this.identity.device;
  }

  // --- life --------------------------------------------------------------------------------------

  /** Whether the server has let the device in, as far as is known. */
  get connected(): boolean {
    return this.link?.open ?? false;
  }

  override get closed(): boolean {
    return this.over && this.failure === null;
  }

  get statistics(): Statistics {
    return { ...this.counted, published: this.outbox.published };
  }

  /** Settles once the device is connected; rejects when it never will be. */
  async whenConnected(): Promise<void> {
    while (!this.connected) {
      this.checkAlive();
      await this.changed.wait();
    }
  }

  /**
   * Says good-bye and stops; settles when nothing of it is left. Loops over the device end, what waits for the server
   * rejects with `unavailable`, and what was not acknowledged comes again.
   */
  async close(): Promise<void> {
    this.closing.abort(new LonglineError("unavailable", "this device is closed"));
    await this.owner;
  }

  // --- messages ----------------------------------------------------------------------------------

  override async receive(): Promise<Message> {
    while (true) {
      while (this.inbox.length === 0) {
        this.checkAlive();
        await this.changed.wait();
      }
      const message = this.inbox.shift()!;
      if (await this.handOut(message)) return message;
    }
  }

  /**
   * Has another app share this connection; settles when the server has let it in. `token` and `onGap` are as for a
   * device. Rejects with what it was refused with: `bad_token` also where there is no such app.
   */
  async attach(
    app: string,
    device: string,
    token: Token,
    options: { onGap?: (missed: Missed) => void } = {},
  ): Promise<AttachedApp> {
    this.checkAlive();
    if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(app)) throw new RangeError(`${JSON.stringify(app)} is no name of an app`);
    if (this.apps.has(app)) throw new RangeError(`${app} is attached already`);
    const attached = new AttachedApp(this.carrier, app, device, token, options.onGap);
    this.apps.set(app, attached);
    if (this.connected) this.begin(attached);
    try {
      await attached.whenAttached();
    } catch (error) {
      attached.detach();
      throw error;
    }
    return attached;
  }

  // --- sending -----------------------------------------------------------------------------------

  /**
   * QoS 1, unless `qos` says 0, settles when the server has taken the message, across reconnects if need be; the server
   * may then get it more than once. What waits while the device is away is bounded by `outboxMessages` and
   * `outboxBytes`. Rejects with the server's refusal.
   */
  override async publish(topic: string, payload: Uint8Array | string, options: PublishOptions = {}): Promise<void> {
    this.checkAlive();
    // The room would end the connection for it, and each further one on which it is sent.
    if (!topic || /[+#\0]/.test(topic)) throw new RangeError(`${JSON.stringify(topic)} is no topic to publish to`);
    const sent = this.outbox.add(topic, payload, options.qos ?? 1, options.signal);
    this.pump();
    await sent;
  }

  override subscribe(filter: string, options: { qos?: 0 | 1 } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      this.checkAlive();
      const before = this.wanted.get(filter)?.settle; // asked for and not answered: one answer stands for both
      const settle = (error: LonglineError | null) => {
        before?.(error);
        if (error === null) resolve();
        else reject(error);
      };
      this.wanted.set(filter, { qos: options.qos ?? 1, settle });
      if (this.connected && this.mayUse(filter)) this.askFor([filter]);
    });
  }

  // --- the owner ---------------------------------------------------------------------------------

  private async run(): Promise<void> {
    try {
      await Promise.resolve(); // whoever makes a device has it before anything happens
      await this.recall();
      while (true) {
        await this.find();
        await this.connectOnce();
      }
    } catch (error) {
      if (!this.closing.signal.aborted) {
        this.failure =
          error instanceof LonglineError
            ? error
            : new LonglineError(error instanceof NoToken ? "bad_token" : "internal", said(error), { cause: error });
        this.log(`${this.name} has stopped: ${this.failure.message}`);
      }
    }
    const link = this.link;
    this.link = null;
    this.over = true;
    this.inbox.length = 0; // the server still has them, for the next connection or for who took over
    const reason = this.failure ?? (this.closing.signal.reason as LonglineError);
    this.outbox.drop("", reason);
    for (const wanted of this.wanted.values()) wanted.settle?.(reason);
    for (const attached of this.apps.values()) attached.ended(reason);
    this.changed.wake();
    await link?.close();
    await this.acks;
    await this.stored(() => this.store.close?.());
  }

  // What was handled, and where it connected, in the life before this one.
  private async recall(): Promise<void> {
    try {
      const { handled, known } = await this.store.load();
      for (const message of handled) this.handled.add(message);
      if (known !== null && this.dispatchers !== null) {
        this.endpoints.feed(known.endpoints);
        this.knownUntil = known.until;
      }
    } catch (error) {
      this.log(`${this.name} cannot read its store: ${said(error)}`);
    }
  }

  /** Asks the dispatchers where to connect, if there are any and it is time to. */
  private async find(): Promise<void> {
    if (this.dispatchers === null || this.endpoints.sent) return;
    if (Date.now() < this.knownUntil && !this.endpoints.usedUp) return;
    let answer: Dispatch | null = null;
    while (answer === null) {
      try {
        answer = await this.dispatchers.lookUp(this.closing.signal);
      } catch (error) {
        this.closing.signal.throwIfAborted();
        const problem = error as LonglineError;
        this.log(`${this.name}: ${problem.message}`);
        this.counted.lastError = problem;
        if (this.endpoints.current !== undefined) return;
        this.counted.failures += 1;
        await this.pause(Math.max(this.backoff.next(), Math.min(problem.retryAfter ?? 0, LONGEST_AFTER)));
      }
    }
    this.knownUntil = Date.now() + answer.expiresIn * 1000;
    this.endpoints.feed(answer.endpoints);
    if (answer.initial > 0 && answer.initial <= answer.longest) this.backoff.bound(answer.initial, answer.longest);
    if (this.recommended && answer.keepAlive) this.keepAlive = Math.min(answer.keepAlive, 65_535);
    await this.stored(() => this.store.keep({ endpoints: answer.endpoints, until: this.knownUntil }));
    await sleep(Math.min(answer.after, LONGEST_AFTER) * 1000, this.closing.signal);
  }

  /** One connection from its token to its end, and the wait after it; throws when it was the last. */
  private async connectOnce(): Promise<void> {
    const began = seconds();
    const connects = this.counted.connects;
    let token: string | null = null;
    let ended: Ended;
    try {
      token = await this.unlessClosed(this.tokens.current());
      ended = await this.converse(token, this.endpoints.current!);
    } catch (error) {
      this.closing.signal.throwIfAborted();
      if (!(error instanceof LonglineError)) throw error;
      ended = { error, verdict: error.retryable ? "retry" : "stop", endpoints: [], after: 0 };
    }
    this.counted.lastError = ended.error;
    this.log(`${this.name} is not connected: ${ended.error.message}`);
    // A server that lets us in and throws us out at once is not a success: only a connection that lasted makes the
    // next wait short again.
    const letIn = this.counted.connects > connects;
    if (letIn) {
      this.endpoints.worked();
      this.tokens.taken();
    }
    if (letIn && seconds() - began >= STABLE_AFTER) {
      this.backoff.reset();
      this.moved = false;
    }
    if (ended.verdict === "move") {
      await this.move(ended);
      return;
    }
    this.counted.failures += 1;
    if (ended.verdict === "stop" && !this.wasUs(ended.error)) throw ended.error;
    if (ended.verdict === "refresh") {
      if (!this.tokens.refused()) throw ended.error;
      if (!letIn) return; // else it is thrown out together with others, such as all devices of its app
    }
    if (token !== null && !letIn) this.endpoints.failed();
    const asked = Math.min(ended.error.retryAfter ?? 0, LONGEST_AFTER); // by whoever was to give a token
    await this.pause(Math.max(this.backoff.next(), asked));
  }

  /** Speaks with the server until the connection ends; says why it did. */
  private async converse(token: string, endpoint: Endpoint): Promise<Ended> {
    const before = this.unanswered;
    this.unanswered = seconds();
    const identity = { ...this.identity, keepAlive: this.keepAlive };
    return this.unlessClosed(
      new Promise<Ended>((resolve) => {
        try {
          const link = new Link(endpoint, this.transport, identity, token, this.ids, {
            opened: (granted) => {
              this.unanswered = before;
              this.log(`${this.name} is connected to ${endpoint.host}:${endpoint.port}`);
              this.opened(granted);
            },
            arrived: (incoming) => this.arrived(incoming, link),
            ended: (end) => {
              this.link = null;
              this.outbox.lost();
              this.letInApps.clear();
              for (const attached of this.apps.values()) attached.lost();
              resolve(end);
            },
          });
          this.link = link;
        } catch (error) {
          // A browser throws for a URL that it does not let this page connect to.
          const problem = new LonglineError("unavailable", `${endpoint.host}:${endpoint.port}: ${said(error)}`);
          resolve({ error: problem, verdict: "retry", endpoints: [], after: 0 });
        }
      }),
    );
  }

  private opened(granted: Granted): void {
    this.counted.connects += 1;
    this.outbox.opened(granted);
    this.askFor([...this.wanted.keys()].filter((filter) => this.mayUse(filter)));
    this.pump();
    for (const attached of this.apps.values()) this.begin(attached);
    this.changed.wake();
  }

  /** Whether who took over may be a CONNECT of ours that we had given up. Each excuses one takeover. */
  private wasUs(error: LonglineError): boolean {
    if (error.code !== "taken_over" || seconds() - this.unanswered > HAUNTED) return false;
    this.unanswered = -Infinity;
    return true;
  }

  /** Goes where the server wants this device, at the time it wants it there. */
  private async move(ended: Ended): Promise<void> {
    this.counted.moves += 1;
    const path = this.endpoints.current?.path; // a server that is named has the path of the one that names it
    const places = path === undefined ? ended.endpoints : ended.endpoints.map((place) => ({ path, ...place }));
    this.endpoints.sendTo(places);
    if (places.length === 0) this.knownUntil = 0; // it came from there; where to, a dispatcher knows
    let wait = ended.after;
    if (this.moved) wait = Math.max(wait, this.backoff.next()); // to and fro is not worth a hurry
    this.moved = true;
    await sleep(wait * 1000, this.closing.signal);
  }

  /** Waits after a failure. A browser that says it is online again has the wait cut to the shortest one. */
  private async pause(wait: number): Promise<void> {
    const cut = new AbortController();
    const stop = () => cut.abort();
    const target = inBrowser() ? globalThis : null;
    target?.addEventListener("online", stop);
    this.closing.signal.addEventListener("abort", stop);
    try {
      await sleep(wait * 1000, cut.signal).catch(() => {});
    } finally {
      target?.removeEventListener("online", stop);
      this.closing.signal.removeEventListener("abort", stop);
    }
    this.closing.signal.throwIfAborted();
    // Not all at once: a whole cell of a network comes back in the same moment.
    if (cut.signal.aborted) await sleep(Math.min(wait, Math.random() * this.base) * 1000, this.closing.signal);
  }

  private unlessClosed<Value>(promise: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      const { signal } = this.closing;
      const stop = () => reject(signal.reason as Error);
      if (signal.aborted) {
        stop();
        return;
      }
      signal.addEventListener("abort", stop);
      promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
    });
  }

  // --- what comes --------------------------------------------------------------------------------

  private arrived(incoming: Incoming, link: Link): void {
    let { topic } = incoming;
    if (topic.startsWith(LINK)) {
      this.onLinkTopic(incoming, link);
      return;
    }
    let app = this.identity.app;
    let prefix = "";
    if (topic.startsWith("@")) {
      const end = topic.indexOf("/");
      app = topic.slice(1, end);
      prefix = topic.slice(0, end + 1);
      topic = topic.slice(end + 1);
    }
    const speaker = prefix ? this.apps.get(app) : this;
    if (speaker === undefined) return; // detached meanwhile: what is not acknowledged comes again
    if (topic === GAP) {
      this.missed(TEXT.decode(incoming.payload), prefix ? (speaker as AttachedApp).onGap : this.onGap);
      if (incoming.qos > 0) link.acknowledge(incoming.packetId, 1);
      return;
    }
    const message = this.read(incoming, link, app, topic, prefix);
    if (message.memory !== null && this.handled.has(message.memory)) {
      this.counted.duplicates += 1;
      void this.acknowledge(message);
    } else if (message.wantsAnswer && speaker.callHandler !== null) {
      void this.takeCall(speaker, message, speaker.callHandler);
    } else if (message.qos === 0 && this.waiting() >= this.identity.receiveMaximum) {
      // A browser cannot stop reading; what has a receipt is bounded by the server's window, and this is not.
      this.counted.overflowed += 1;
    } else if (speaker === this) {
      this.inbox.push(message);
      this.changed.wake();
    } else {
      (speaker as AttachedApp).arrived(message);
    }
  }

  private onLinkTopic(incoming: Incoming, link: Link): void {
    const text = TEXT.decode(incoming.payload);
    if (incoming.topic === GAP) this.missed(text, this.onGap);
    if (incoming.topic === ANSWER) this.onLinkAnswer(text);
    if (incoming.qos > 0) link.acknowledge(incoming.packetId, incoming.qos === 2 ? 2 : 1);
    if (incoming.topic === MOVED) {
      const { endpoints, after } = readMoved(text);
      link.moved(endpoints, after);
    }
  }

  private onLinkAnswer(text: string): void {
    const answer = readLinkAnswer(text);
    const attached = answer && this.apps.get(answer.app);
    if (!answer || !attached) return;
    if (answer.status === "attached") {
      this.letInApps.add(answer.app);
      const prefix = prefixOf(answer.app);
      this.askFor([...this.wanted.keys()].filter((filter) => filter.startsWith(prefix)));
      this.pump();
    } else if (answer.status === "ended") {
      this.letInApps.delete(answer.app);
    }
    attached.told(answer);
  }

  private missed(text: string, onGap: ((missed: Missed) => void) | undefined): void {
    const missed = readMissed(text);
    if (missed === null) return;
    this.counted.gaps += 1;
    if (onGap === undefined) {
      this.log(`${this.name} has missed messages: ${text}`);
      return;
    }
    try {
      onGap(missed);
    } catch (error) {
      this.log(`onGap of ${this.name} has failed: ${said(error)}`); // the caller's: the connection goes on
    }
  }

  private read(incoming: Incoming, link: Link, app: string, topic: string, prefix: string): Message {
    // The id is taken from the topic, which only the server can choose. The user property says the same, but on a
    // plain topic any other device could write one there, and have our pushes taken for copies. In a group the server
    // alone writes them, too.
    const isPush = topic.startsWith(PUSH);
    const inGroup = topic.startsWith(GROUP);
    const { told } = incoming;
    const sentAt = told["sent-at"] ?? "";
    const sequence = inGroup ? (told["sequence"] ?? "") : "";
    const recipient = {
      acknowledge: (message: Message) => this.acknowledge(message),
      report: (message: Message | string, name: string) => {
        const speaker = prefix ? this.apps.get(app) : this;
        if (speaker) return speaker.report(message, name);
        return Promise.reject(new LonglineError("unavailable", `${app} is detached`));
      },
    };
    return new Message(
      {
        app,
        prefix,
        id: isPush ? topic.slice(PUSH.length) : inGroup ? (told["message-id"] ?? null) : null,
        topic,
        payload: incoming.payload,
        qos: incoming.qos,
        duplicate: incoming.dup,
        contentType: incoming.contentType,
        sentAt: /^\d{1,15}$/.test(sentAt) ? new Date(Number(sentAt)) : null,
        wantsAnswer: isPush && incoming.responseTopic !== null,
        group: inGroup ? topic.slice(GROUP.length) : null,
        sequence: /^\d+$/.test(sequence) ? Number(sequence) : 0,
        sender: inGroup ? (told["sender"] ?? null) : null,
      },
      recipient,
      link,
      incoming.packetId,
    );
  }

  /** Whether a message is for the application: no copy of one that it was done with. */
  private async handOut(message: Message): Promise<boolean> {
    if (message.memory !== null && this.handled.has(message.memory)) {
      // It came while the consumer was still busy with the first.
      this.counted.duplicates += 1;
      await this.acknowledge(message);
      return false;
    }
    this.counted.received += 1;
    return true;
  }

  private acknowledge(message: Message): Promise<void> {
    let stored: Promise<void> | undefined;
    const { memory } = message;
    if (memory !== null && !this.handled.has(memory)) {
      this.handled.add(memory);
      stored = this.stored(() => this.store.add(memory));
    }
    this.acks = this.acks.then(async () => {
      await stored;
      if (message.packetId && message.qos > 0 && message.link?.acknowledge(message.packetId, message.qos as 1 | 2)) {
        this.counted.acked += 1;
      }
      message.packetId = 0;
      message.link = null;
    });
    return this.acks;
  }

  private async takeCall(speaker: Speaker, call: Message, handler: CallHandler): Promise<void> {
    this.counted.received += 1;
    try {
      await speaker.answer(call, (await handler(call)) ?? null);
    } catch (error) {
      this.log(`${this.name} has not answered a call: ${said(error)}`);
    }
    await this.acknowledge(call);
  }

  // --- what the parts share ----------------------------------------------------------------------

  private waiting(): number {
    let waiting = this.inbox.length;
    for (const attached of this.apps.values()) waiting += attached.inbox.length;
    return waiting;
  }

  private pump(): void {
    this.outbox.pump(this.link, (topic) => this.mayUse(topic));
  }

  /** Whether a topic or filter is the device's own, or of an app that shares this connection now. */
  private mayUse(topic: string): boolean {
    return !topic.startsWith("@") || this.letInApps.has(topic.slice(1, topic.indexOf("/")));
  }

  private askFor(filters: readonly string[]): void {
    const { link } = this;
    if (!link?.open || filters.length === 0) return;
    const asked = filters.map((filter) => ({ filter, wanted: this.wanted.get(filter)! }));
    link.subscribe(
      asked.map(({ filter, wanted }) => ({ filter, qos: wanted.qos })),
      (reasons) => {
        asked.forEach(({ filter, wanted }, place) => {
          const reason = reasons[place] ?? 0x80;
          let error: LonglineError | null = null;
          if (reason >= 0x80) {
            // Asked again on every connection, it would be refused on every connection.
            if (this.wanted.get(filter) === wanted) this.wanted.delete(filter);
            error = refused(`subscribe to ${JSON.stringify(filter)}`, reason);
          }
          if (wanted.settle !== null) wanted.settle(error);
          else if (error !== null) this.counted.lastError = error;
          wanted.settle = null;
        });
      },
    );
  }

  private begin(attached: AttachedApp): void {
    attached.keep().catch((error: unknown) => this.log(`${attached.app} on ${this.name}: ${said(error)}`));
  }

  private async stored(write: () => Promise<void> | void): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.log(`${this.name} cannot write its store: ${said(error)}`);
    }
  }

  private checkAlive(): void {
    if (this.failure !== null) throw this.failure;
    if (this.over || this.closing.signal.aborted) throw new LonglineError("unavailable", "this device is closed");
  }

  private asCarrier(): Carrier {
    const say = (topic: string, body: unknown) => {
      if (this.link?.open) this.link.publish(topic, JSON.stringify(body), AT_ONCE, () => {});
    };
    const isClosed = () => this.closed;
    return {
      get closed() {
        return isClosed();
      },
      ask: (app, device, token) => say(ATTACH, { app, device, token }),
      letGo: (app, reason) => {
        if (!this.apps.delete(app)) return;
        say(DETACH, { app });
        this.letInApps.delete(app);
        const prefix = prefixOf(app);
        for (const [filter, wanted] of [...this.wanted]) {
          if (!filter.startsWith(prefix)) continue;
          this.wanted.delete(filter);
          wanted.settle?.(reason);
        }
        this.outbox.drop(prefix, reason);
      },
      handOut: (message) => this.handOut(message),
      publish: (topic, payload, options) => this.publish(topic, payload, options),
      subscribe: (filter, options) => this.subscribe(filter, options),
    };
  }
}

function seconds(): number {
  return performance.now() / 1000;
}

/** Whether this is a page or a worker, where there are no sockets but those of WebSocket. */
function inBrowser(): boolean {
  const scope = globalThis as { document?: unknown; WorkerGlobalScope?: unknown; process?: { versions?: { node?: string } } };
  return scope.process?.versions?.node === undefined && (scope.document !== undefined || scope.WorkerGlobalScope !== undefined);
}
