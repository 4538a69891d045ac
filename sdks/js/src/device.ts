// `Device`: a device's end of Longline.
//
//     const device = new Device("wss://push.example.org/mqtt", { app: "news", device: "d1", token });
//     for await (const message of device) console.log(message.text);

import { AttachedApp, readLinkAnswer, type Carrier } from "./attached.js";
import { Backoff } from "./backoff.js";
import { Dispatchers } from "./dispatch.js";
import { Endpoints, parsed, readMoved, type Endpoint, type Transport } from "./endpoints.js";
import { LonglineError, said } from "./errors.js";
import { Filters } from "./filters.js";
import { LearntHeartbeat } from "./heartbeat.js";
import { Link, PacketIds, type Ended, type Granted, type Identity, type Incoming, type TlsFiles } from "./link.js";
import { Message, partsOf, readMissed, type Missed } from "./message.js";
import { currentNetwork } from "./networks.js";
import { Outbox } from "./outbox.js";
import { inBrowser } from "./platform.js";
import { Posts, type OnRefused } from "./posts.js";
import { encoded, Speaker, type CallHandler, type DesiredHandler, type Payload, type PublishOptions } from "./speaker.js";
import { nothingCounted, type Counted, type Statistics } from "./statistics.js";
import { MemoryStore, Recent, REMEMBERED, type DeviceStore } from "./stores.js";
import { quiet, told } from "./told.js";
import { Tokens, type Token } from "./tokens.js";
import { ANSWER, ATTACH, checkedFilter, checkedTopic, DETACH, GAP, LINK, MOVED, prefixOf } from "./topics.js";
import { unless, unreachable, WayBack } from "./wayback.js";

const KEEP_ALIVE = 60; // s, unless the caller or a dispatcher says otherwise
const APP = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const DEVICE = /^(?!\.{1,2}$)[^$@/+#\x00-\x1f\x7f-\x9f][^/+#\x00-\x1f\x7f-\x9f]{0,127}$/u;
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
  /** Where it remembers what it has handled, what was posted, and what it has learnt. Unless given: in memory. */
  store?: DeviceStore;
  /**
   * Names the network that the device is on, or gives its name: what dispatchers said, and how long a connection may be
   * idle, is remembered for each of the latest 16. Unless given: what the platform tells (`wifi`, `cellular`), if it does.
   */
  network?: string | (() => string);
  /** Called when messages for this device have ended without reaching it, before the next message is handed out. */
  onGap?: (missed: Missed) => void;
  /** Called with what was posted and the server will never take. */
  onRefused?: OnRefused;
  /** Answers calls, as `device.onCall`. */
  onCall?: CallHandler;
  /** Is told what is desired of the device, as `device.onDesired`. */
  onDesired?: DesiredHandler;
  /** Called with a line for whatever the device does by itself: connected, not connected and why. */
  log?: (line: string) => void;
  /** PEM text of authorities, and of what the device shows of itself. In Node; a browser has its own. */
  tls?: TlsFiles;
}

/**
 * One device of an app. It begins to connect at once, and stays connected until `close`.
 *
 * A message is acknowledged when the next one is asked for, or by `await message.ack()`. Delivery is at least once, and
 * copies of what was handled are dropped.
 *
 * Whatever breaks the connection, also what nobody has foreseen, the device comes back: after a wait drawn from
 * [0, `backoffBase`), then from twice that, up to `backoffCap`. A server that wants the device elsewhere says where and
 * when. With `dispatchers` it asks them before it connects, again when what they said has expired or none of it works,
 * and goes by their word on the waits too; while none answers it goes on with what it has. It stops for good, and
 * everything rejects, when coming back cannot help: `bad_token` (when one more token is refused, too), `banned`,
 * `not_supported`, and `taken_over` when the same device connects elsewhere.
 */
export class Device extends Speaker {
  private readonly identity: Identity;
  private readonly transport: Transport;
  private readonly tokens: Tokens;
  private readonly heartbeat: LearntHeartbeat;
  private readonly way: WayBack;
  private readonly store: DeviceStore;
  private readonly handled = new Recent(REMEMBERED);
  private readonly onGap: ((missed: Missed) => void) | undefined;
  private readonly log: (line: string) => void;
  private readonly ids = new PacketIds();
  private readonly outbox: Outbox;
  private readonly posts: Posts;
  private readonly filters: Filters;
  private readonly apps = new Map<string, AttachedApp>();
  private readonly letInApps = new Set<string>();
  private readonly closing = new AbortController();
  private readonly ending = new AbortController();
  private readonly recalled: Promise<LonglineError | null>;
  private readonly owner: Promise<void>;
  private readonly carrier: Carrier;
  private readonly counted: Counted = nothingCounted();
  private keepAlive: number;
  private link: Link | null = null;
  private acks: Promise<void> = Promise.resolve(); // PUBACKs leave in the order in which messages are done with
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
    const endpoints = new Endpoints(places.map((place) => place.endpoint));
    const dispatchers = options.dispatchers?.length
      ? new Dispatchers(options.dispatchers, options.app, options.device, this.transport)
      : null;
    const recommended = options.keepAlive === undefined;
    this.keepAlive = Math.ceil(options.keepAlive ?? KEEP_ALIVE);
    if (!(this.keepAlive >= 0 && this.keepAlive <= 65_535)) throw new RangeError("keepAlive is from 0 to 65535");
    if (!APP.test(options.app) || !DEVICE.test(options.device)) throw new RangeError("app or device is no valid name");
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
    this.heartbeat = new LearntHeartbeat(!recommended);
    const base = options.backoffBase ?? 0.5;
    const { network } = options;
    this.way = new WayBack({
      endpoints,
      dispatchers,
      tokens: this.tokens,
      backoff: new Backoff(base, options.backoffCap ?? 60),
      base,
      heartbeat: this.heartbeat,
      counted: this.counted,
      closing: this.closing.signal,
      network: typeof network === "string" ? () => network : (network ?? currentNetwork),
      learnt: (name, known) => this.stored(() => this.store.learn(name, known)),
      recommended: (keepAlive) => {
        if (recommended) this.keepAlive = Math.min(keepAlive, 65_535);
      },
      note: (line) => this.note(line),
    });
    this.store = options.store ?? new MemoryStore();
    this.onGap = options.onGap;
    this.onCall(options.onCall ?? null);
    this.onDesired(options.onDesired ?? null);
    this.log = options.log ?? (() => {});
    this.outbox = new Outbox(this.ids, options.outboxMessages ?? 1000, options.outboxBytes ?? 4 * 1024 * 1024);
    this.filters = new Filters((error) => {
      this.counted.lastError = error;
    });
    const sender = {
      send: ({ topic, payload, sendId }: { topic: string; payload: Uint8Array; sendId: string }) => {
        const sent = this.outbox.add(topic, payload, { sendId });
        this.pump();
        return sent;
      },
      ended: this.ending.signal,
      log: (line: string) => this.note(line),
    };
    this.posts = new Posts(this.store, sender, options.onRefused);
    this.carrier = this.asCarrier();
    this.recalled = this.recall();
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

  /** How many messages that were posted, in this life or a former one, the server has not taken yet. */
  async unsent(): Promise<number> {
    await this.recalled;
    return this.posts.unsent;
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
    if (!APP.test(app)) throw new RangeError(`${JSON.stringify(app)} is no name of an app`);
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
    checkedTopic(topic);
    if (typeof payload !== "string" && !(payload instanceof Uint8Array)) {
      throw new TypeError(`a payload is text or bytes, not ${typeof payload}`);
    }
    const sent = this.outbox.add(topic, payload, { qos: options.qos ?? 1, signal: options.signal });
    this.pump();
    await sent;
  }

  /**
   * Keeps a message for the app server, connected or not, and sends it when that is possible, in order. Name and payload
   * are as in `send`. Settles when it is kept: with a `store` that outlives the process or page, it does so, too. The
   * server may get it twice, under one `sendId`. Rejects with `overloaded` when 1000 wait already, or 1 MiB of them, and
   * with `unavailable` when the store cannot keep it. What the server refuses for good, `onRefused` is told.
   */
  async post(name: string, payload: Payload): Promise<void> {
    this.checkAlive();
    const data = encoded(payload);
    const unread = await this.recalled; // what was posted before is sent before
    this.checkAlive();
    if (unread !== null) throw unread; // what is kept now would take the place of what was kept before
    await this.posts.post(name, data);
  }

  override async subscribe(filter: string, options: { qos?: 0 | 1 } = {}): Promise<void> {
    this.checkAlive();
    await this.filters.add(checkedFilter(filter), options.qos ?? 1, this.mayUse(filter) ? this.link : null);
  }

  // --- the owner ---------------------------------------------------------------------------------

  private async run(): Promise<void> {
    try {
      await unless(this.closing.signal, this.recalled);
      while (this.failure === null) {
        this.failure = await this.way.go((token, endpoint) => this.converse(token, endpoint));
      }
      this.note(`stopped: ${this.failure.message}`);
    } catch {
      // It is closed: nothing else is thrown.
    }
    const link = this.link;
    this.link = null;
    this.over = true;
    this.ending.abort();
    this.inbox.length = 0; // the server still has them, for the next connection or for who took over
    const reason = this.failure ?? (this.closing.signal.reason as LonglineError);
    this.outbox.drop("", reason);
    this.filters.drop("", reason);
    for (const attached of this.apps.values()) attached.ended(reason);
    this.changed.wake();
    await link?.close();
    await this.acks;
    await this.stored(() => this.store.close?.());
  }

  // What was handled, learnt and posted in the life before this one.
  private async recall(): Promise<LonglineError | null> {
    await Promise.resolve(); // whoever makes a device has it before anything happens
    try {
      const { handled, networks, posted } = await this.store.load();
      for (const message of handled) this.handled.add(message);
      this.way.recall(networks);
      this.posts.recall(posted);
      return null;
    } catch (error) {
      const unread = new LonglineError("unavailable", `the store cannot be read: ${said(error)}`, { cause: error });
      this.note(unread.message);
      return unread;
    }
  }

  /** Speaks with the server until the connection ends; says why it did. */
  private converse(token: string, endpoint: Endpoint): Promise<Ended> {
    return new Promise((resolve) => {
      try {
        const identity = { ...this.identity, keepAlive: this.keepAlive };
        const link = new Link(endpoint, this.transport, identity, token, this.ids, this.heartbeat, {
          opened: (granted) => {
            this.note(`connected to ${endpoint.host}:${endpoint.port}`);
            this.opened(granted);
          },
          arrived: (incoming) => this.fromServer(incoming, link),
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
        resolve(unreachable(endpoint, error)); // a browser throws for a URL that it does not let this page connect to
      }
    });
  }

  private opened(granted: Granted): void {
    this.counted.connects += 1;
    this.outbox.opened(granted);
    this.filters.opened(this.link, (filter) => this.mayUse(filter));
    this.pump();
    for (const attached of this.apps.values()) this.begin(attached);
    this.changed.wake();
  }

  // --- what comes --------------------------------------------------------------------------------

  private fromServer(incoming: Incoming, link: Link): void {
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
      quiet(this.acknowledge(message));
    } else if (message.qos === 0 && this.waiting() >= this.identity.receiveMaximum) {
      // A browser cannot stop reading; what has a receipt is bounded by the server's window, and this is not.
      this.counted.overflowed += 1;
    } else {
      speaker.arrived(message);
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
      this.filters.opened(this.link, (filter) => filter.startsWith(prefix));
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
      this.note(`has missed messages: ${text}`);
      return;
    }
    told(
      () => onGap(missed),
      (error) => this.note(`onGap has failed: ${said(error)}`),
    );
  }

  private read(incoming: Incoming, link: Link, app: string, topic: string, prefix: string): Message {
    const recipient = {
      acknowledge: (message: Message) => this.acknowledge(message),
      report: (message: Message | string, name: string) => {
        const speaker = prefix ? this.apps.get(app) : this;
        if (speaker) return speaker.report(message, name);
        return Promise.reject(new LonglineError("unavailable", `${app} is detached`));
      },
    };
    return new Message(partsOf(incoming, app, prefix, topic), recipient, link, incoming.packetId);
  }

  /** @internal */
  override async handOut(message: Message): Promise<boolean> {
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
    const acknowledged = this.acks.then(async () => {
      await stored;
      if (message.packetId && message.qos > 0 && message.link?.acknowledge(message.packetId, message.qos as 1 | 2)) {
        this.counted.acked += 1;
      }
      message.packetId = 0;
      message.link = null;
    });
    // One that fails is told to whoever waits for it, and holds up none of the others.
    this.acks = acknowledged.catch((error: unknown) => this.note(`a message cannot be acknowledged: ${said(error)}`));
    return acknowledged;
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

  /** @internal */
  override note(line: string): void {
    told(
      () => this.log(`${this.name}: ${line}`),
      () => {}, // whom to tell?
    );
  }

  private begin(attached: AttachedApp): void {
    attached.keep().catch((error: unknown) => this.note(`${attached.app}: ${said(error)}`));
  }

  private async stored(write: () => Promise<void> | void): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.note(`cannot write its store: ${said(error)}`);
    }
  }

  /** @internal */
  override checkAlive(): void {
    if (this.failure !== null) throw this.failure;
    if (this.over || this.closing.signal.aborted) throw new LonglineError("unavailable", "this device is closed");
  }

  private asCarrier(): Carrier {
    const tell = (topic: string, body: unknown) => {
      if (this.link?.open) this.link.publish(topic, JSON.stringify(body), AT_ONCE, () => {});
    };
    const isClosed = () => this.closed;
    return {
      get closed() {
        return isClosed();
      },
      ask: (app, device, token) => tell(ATTACH, { app, device, token }),
      letGo: (app, reason) => {
        if (!this.apps.delete(app)) return;
        tell(DETACH, { app });
        this.letInApps.delete(app);
        const prefix = prefixOf(app);
        this.filters.drop(prefix, reason);
        this.outbox.drop(prefix, reason);
      },
      handOut: (message) => this.handOut(message),
      note: (line) => this.note(line),
      publish: (topic, payload, options) => this.publish(topic, payload, options),
      subscribe: (filter, options) => this.subscribe(filter, options),
    };
  }
}
