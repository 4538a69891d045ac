// One connection to a room, over MQTT.js: from CONNECT to the end, and never again after that.
//
// Of MQTT.js it uses the codec, the streams (TCP, TLS, WebSocket) and the keep alive. Two things it does itself.
// Coming back: where to, when and with which token is the device's business, so MQTT.js gets one connection.
// Acknowledging: MQTT.js handles one packet after the other, and does not look at the next one before it has
// acknowledged this one; a handler that publishes, and waits for the answer, would wait for ever. So a PUBLISH is
// shown to MQTT.js as one with QoS 0, which it does not answer, and the device says when PUBACK or PUBREC is sent.

import mqtt, { type IClientOptions, type MqttClient } from "mqtt";

import { PATH, bounded, readReference, type Endpoint, type Transport } from "./endpoints.js";
import { LonglineError } from "./errors.js";
import type { LearntHeartbeat } from "./heartbeat.js";
import { judge, reasonOf, type Verdict } from "./refusals.js";
import { SEND_ID } from "./sendids.js";
import { unforeseen } from "./told.js";
import { VERSION } from "./version.js";

const MAX_PACKET_SIZE = 1024 * 1024; // bytes we take: a push of 256 KiB and then some
const SILENT = "Keepalive timeout"; // MQTT.js's word for a peer that is dead
const LAST_WORD = 1000; // ms for DISCONNECT to leave and the stream to end

/** Files of TLS, as PEM text; in Node only, as a browser has its own. */
export interface TlsFiles {
  ca?: string;
  cert?: string;
  key?: string;
}

/** Who connects and how. `protocol` is 5 or 4 (3.1.1), times are in seconds. */
export interface Identity {
  app: string;
  device: string;
  protocol: 4 | 5;
  keepAlive: number;
  receiveMaximum: number;
  sessionExpiry: number;
  connectTimeout: number;
  tls: TlsFiles;
}

/** A PUBLISH as it came. */
export interface Incoming {
  topic: string;
  payload: Uint8Array;
  qos: 0 | 1 | 2;
  packetId: number;
  dup: boolean;
  contentType: string | null;
  responseTopic: string | null;
  told: Readonly<Record<string, string>>;
}

/** How something is published; `sendId` is what app servers know it by, where they are told of it. */
export interface Manner {
  qos: 0 | 1;
  dup: boolean;
  sendId: string | null;
}

/** What the server grants this connection; `maxPacket` 0: any size. */
export interface Granted {
  sessionPresent: boolean;
  window: number;
  maxPacket: number;
}

/** This connection is over. With `move`, the device is wanted at one of `endpoints` (anywhere: none) in `after` s. */
export interface Ended {
  error: LonglineError;
  verdict: Verdict;
  endpoints: Endpoint[];
  after: number;
}

/** Who hears what happens. After `ended`, nothing more is said. */
export interface Listener {
  opened(granted: Granted): void;
  arrived(incoming: Incoming): void;
  ended(end: Ended): void;
}

// What mqtt-packet reads and writes, as far as it is looked at here.
interface Packet {
  cmd: string;
  topic?: string;
  payload?: Uint8Array;
  qos?: number;
  messageId?: number;
  dup?: boolean;
  sessionPresent?: boolean;
  reasonCode?: number;
  returnCode?: number;
  granted?: number[];
  properties?: {
    userProperties?: Record<string, string | string[]>;
    contentType?: string;
    responseTopic?: string;
    reasonString?: string;
    serverReference?: string;
    receiveMaximum?: number;
    maximumPacketSize?: number;
  };
}

/** Packet identifiers of a device, which outlive its connections: a PUBLISH that is repeated keeps its own. */
export class PacketIds {
  private readonly used = new Set<number>();
  private latest = 0;
  private wanted: number | null = null;

  /** The next one is to be this. */
  next(id: number): void {
    this.wanted = id;
  }

  allocate(): number | null {
    if (this.wanted !== null) {
      this.latest = this.wanted;
      this.wanted = null;
    } else {
      if (this.used.size >= 65_535) return null;
      do this.latest = (this.latest % 65_535) + 1;
      while (this.used.has(this.latest));
    }
    this.used.add(this.latest);
    return this.latest;
  }

  getLastAllocated(): number {
    return this.latest;
  }

  register(id: number): boolean {
    if (this.used.has(id)) return false;
    this.used.add(id);
    return true;
  }

  deallocate(id: number): void {
    this.used.delete(id);
  }

  /** MQTT.js calls it with each CONNACK; publishes that are not answered keep theirs all the same. */
  clear(): void {}

  /** Only these are in use. */
  keep(ids: Iterable<number>): void {
    this.used.clear();
    for (const id of ids) this.used.add(id);
  }
}

export class Link {
  /** Whether the server has let us in and neither side has said the last word. */
  open = false;
  private over = false;
  private closing = false;
  private readonly client: MqttClient;
  private readonly gone: Promise<void>;
  private lastError: unknown = null;
  private lastHeard = 0; // ms, by a clock that nobody sets
  private answered = false; // CONNACK has come
  private idlePing = false; // a connection that was idle was asked for a sign of life
  // What MQTT.js is told to have QoS 0, and what it had.
  private readonly real = new WeakMap<object, { qos: 0 | 1 | 2; packetId: number }>();

  constructor(
    private readonly endpoint: Endpoint,
    transport: Transport,
    private readonly identity: Identity,
    token: string,
    ids: PacketIds,
    private readonly heartbeat: LearntHeartbeat,
    private readonly listener: Listener,
  ) {
    const client = (this.client = mqtt.connect(this.options(transport, token, ids)));
    client.on("packetreceive", (packet) => this.guarded(() => this.received(packet as unknown as Packet)));
    client.on("connect", (packet) => this.guarded(() => this.letIn(packet as unknown as Packet)));
    client.on("message", (topic, payload, packet) =>
      this.guarded(() => this.arrived(topic, payload, packet as unknown as Packet)),
    );
    client.on("packetsend", (packet) => {
      if (packet.cmd === "pingreq") this.idlePing = performance.now() - this.lastHeard >= this.interval * 1000;
    });
    client.on("error", (error) => {
      this.lastError = error;
      if (error.message === SILENT) this.heartbeat.died(client.keepalive);
      // Of bytes that are no MQTT, MQTT.js tells, skips them and goes on: messages would be missing until the next
      // connection, and come behind later ones. [MQTT-4.13.1-1]: it ends.
      this.end(this.lost(), "retry");
    });
    this.gone = new Promise((resolve) => {
      client.on("close", () => {
        resolve();
        this.end(this.lost(), "retry");
      });
    });
  }

  /** Sends a PUBLISH. `answered` hears with which reason the server took or refused it, 0 for QoS 0 when it is written. */
  publish(
    topic: string,
    payload: Uint8Array | string,
    { qos, dup, sendId }: Manner,
    answered: (reason: number, words: string | undefined) => void,
  ): void {
    const named = sendId !== null && this.identity.protocol === 5;
    const options = { qos, dup, ...(named ? { properties: { userProperties: { [SEND_ID]: sendId } } } : {}) };
    this.client.publish(topic, payload as Buffer | string, options, (error, packet) => {
      const answer = packet as unknown as Packet | undefined;
      if (this.over || (error && answer === undefined && qos > 0)) return; // the end of it says the rest
      const reason = qos > 0 ? (answer?.reasonCode ?? 0) : 0;
      this.guarded(() => answered(reason, answer?.properties?.reasonString));
    });
  }

  /** The identifier of the latest PUBLISH with QoS 1. */
  get latestId(): number {
    return this.client.getLastMessageId();
  }

  /** Asks for filters; `answered` hears a reason for each. */
  subscribe(filters: readonly { filter: string; qos: 0 | 1 }[], answered: (reasons: number[]) => void): void {
    const wanted = Object.fromEntries(filters.map(({ filter, qos }) => [filter, { qos }]));
    const sent = Object.keys(wanted); // names that are whole numbers come first, and each name once
    this.client.subscribe(wanted, (error, _granted, packet) => {
      const granted = (packet as unknown as Packet | undefined)?.granted;
      if (granted !== undefined)
        this.guarded(() => answered(filters.map(({ filter }) => granted[sent.indexOf(filter)] ?? 0x80)));
      // What MQTT.js takes for no filter at all, it does not send: none of them was.
      else if (error && !this.over && this.open) this.guarded(() => answered(filters.map(() => 0x8f)));
    });
  }

  /** PUBACK or PUBREC for a message of this connection; with QoS 2 the server sends it again until it has that. */
  acknowledge(packetId: number, qos: 1 | 2): boolean {
    if (!this.open) return false;
    const cmd = qos === 1 ? "puback" : "pubrec";
    try {
      // PUBREL is answered by MQTT.js, which sends PUBCOMP for what it does not know.
      this.client["_sendPacket"]({ cmd, messageId: packetId, reasonCode: 0 } as never);
      return true;
    } catch (error) {
      this.lastError = error; // its stream was destroyed, and it has not said so yet
      return false;
    }
  }

  /** Says good-bye, and waits until that is written or cannot be. The listener hears nothing of it. */
  async close(): Promise<void> {
    const said = this.open;
    this.over = this.closing = true;
    this.open = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (said) {
      try {
        this.client["_sendPacket"]({ cmd: "disconnect" }, () => this.client.stream.end());
      } catch {
        this.client.stream.destroy(); // it was at its end, and had not said so yet
      }
      await Promise.race([this.gone, new Promise((resolve) => (timer = setTimeout(resolve, LAST_WORD)))]);
      clearTimeout(timer);
    }
    this.client.end(true);
  }

  private options(transport: Transport, token: string, ids: PacketIds): IClientOptions {
    const { identity, endpoint } = this;
    const web = transport === "ws" || transport === "wss";
    const host = web && endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
    const options: IClientOptions = {
      ...identity.tls,
      protocol: ({ tcp: "mqtt", tls: "mqtts", ws: "ws", wss: "wss" } as const)[transport],
      host,
      hostname: host,
      port: endpoint.port,
      ...(web ? { path: endpoint.path ?? PATH } : {}),
      protocolVersion: identity.protocol,
      clientId: identity.device,
      username: identity.app,
      clean: identity.sessionExpiry === 0,
      keepalive: identity.keepAlive,
      connectTimeout: identity.connectTimeout * 1000,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      messageIdProvider: ids,
      // Its own throw when a packet is handled behind the end, where nobody can catch it.
      incomingStore: new mqtt.Store({ clean: false }),
      outgoingStore: new mqtt.Store({ clean: false }),
    };
    if (token) options.password = token;
    if (identity.protocol === 5) {
      options.properties = {
        sessionExpiryInterval: identity.sessionExpiry,
        receiveMaximum: identity.receiveMaximum,
        maximumPacketSize: MAX_PACKET_SIZE,
        userProperties: { "client-name": "longline-js", "client-version": VERSION },
      };
    }
    return options;
  }

  /** How long it may be idle before MQTT.js sends something, in seconds. */
  private get interval(): number {
    return this.heartbeat.within(this.client.keepalive);
  }

  private heard(): void {
    this.lastHeard = performance.now();
    if (!this.idlePing) return;
    this.idlePing = false;
    this.heartbeat.survived(this.client.keepalive);
    this.client.keepaliveManager?.setKeepalive(this.interval);
  }

  private received(packet: Packet): void {
    if (packet.cmd === "publish") {
      // Also when it is over: MQTT.js would acknowledge what nobody takes.
      this.real.set(packet, { qos: packet.qos as 0 | 1 | 2, packetId: packet.messageId ?? 0 });
      packet.qos = 0;
    }
    if (this.over) return;
    this.heard();
    if (packet.cmd === "connack") {
      this.answered = true;
      const reason = this.identity.protocol === 5 ? (packet.reasonCode ?? 0) : reasonOf(packet.returnCode ?? 0);
      if (reason !== 0) this.refuse(reason, packet);
    } else if (packet.cmd === "disconnect") {
      this.refuse(packet.reasonCode ?? 0, packet);
    } else if (!this.answered && packet.cmd !== "auth") {
      // [MQTT-3.2.0-1]
      this.end(new LonglineError("unavailable", `the server broke the protocol: ${packet.cmd} before CONNACK`), "retry");
    }
  }

  // MQTT.js has us called where nobody catches what is thrown: a process of Node would end, and a page go on with a
  // connection of which nobody hears any more.
  private guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.lastError = error;
      this.end(unforeseen(error), "retry");
    }
  }

  private letIn(packet: Packet): void {
    if (this.over) return;
    this.open = true;
    if (this.client.keepalive) this.client.keepaliveManager?.setKeepalive(this.interval);
    this.listener.opened({
      sessionPresent: packet.sessionPresent ?? false,
      window: packet.properties?.receiveMaximum ?? 65_535,
      maxPacket: packet.properties?.maximumPacketSize ?? 0,
    });
  }

  private arrived(topic: string, payload: Uint8Array, packet: Packet): void {
    if (this.over) return;
    const { qos, packetId } = this.real.get(packet) ?? { qos: 0 as const, packetId: 0 };
    const told: Record<string, string> = {};
    for (const [name, value] of Object.entries(packet.properties?.userProperties ?? {})) {
      told[name] = Array.isArray(value) ? value[value.length - 1]! : value;
    }
    this.listener.arrived({
      topic,
      payload: new Uint8Array(payload), // MQTT.js's own is a part of a larger buffer, which it would keep alive
      qos,
      packetId,
      dup: packet.dup ?? false,
      contentType: packet.properties?.contentType ?? null,
      responseTopic: packet.properties?.responseTopic ?? null,
      told,
    });
  }

  private refuse(reason: number, packet: Packet): void {
    const { error, verdict } = judge(reason, packet.properties?.reasonString);
    if (verdict !== "move") {
      this.end(error, verdict);
      return;
    }
    const reference = packet.properties?.serverReference;
    const after = packet.properties?.userProperties?.["after-ms"];
    this.end(error, verdict, reference ? readReference(reference, this.endpoint.port) : [], bounded(after));
  }

  /** Ends it for what the device has read: the server wants it elsewhere. */
  moved(endpoints: Endpoint[], after: number): void {
    this.end(new LonglineError("unavailable", "the server wants this device elsewhere"), "move", endpoints, after);
  }

  private lost(): LonglineError {
    const place = `${this.endpoint.host}:${this.endpoint.port}`;
    const words = this.lastError instanceof Error ? this.lastError.message : "the connection ended";
    return new LonglineError("unavailable", `${place}: ${words || "the connection ended"}`, { cause: this.lastError });
  }

  private end(error: LonglineError, verdict: Verdict, endpoints: Endpoint[] = [], after = 0): void {
    if (this.over) return;
    this.over = true;
    this.open = false;
    if (!this.closing) this.client.end(true);
    this.listener.ended({ error, verdict, endpoints, after });
  }
}
