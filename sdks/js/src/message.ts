// What a device receives.

import type { Incoming, Link } from "./link.js";
import { GROUP, PUSH } from "./topics.js";

const TEXT = new TextDecoder("utf-8", { fatal: true });

/** What a message is made of. */
export interface MessageParts {
  app: string;
  prefix: string;
  id: string | null;
  topic: string;
  payload: Uint8Array;
  qos: 0 | 1 | 2;
  duplicate: boolean;
  contentType: string | null;
  sentAt: Date | null;
  wantsAnswer: boolean;
  group: string | null;
  sequence: number;
  sender: string | null;
}

/** What a message can have done for it, by the device that it came to. */
export interface Recipient {
  acknowledge(message: Message): Promise<void>;
  report(message: Message | string, name: string): Promise<void>;
}

/**
 * One message as it reached the device.
 *
 * `app` is whose it is: the device's own, or one that is attached. `id` is that of the push, null for a message of a
 * plain topic. `sentAt` and `contentType` come with MQTT 5 only, and so does `wantsAnswer`: its sender waits for
 * `device.answer`. `duplicate` says that the server has sent it before, and cannot know whether it arrived; what was
 * handled already never comes again, with or without the flag.
 *
 * What is said in a group says in which `group`; with MQTT 5 also its `sequence` there, 0 with 3.1.1, and its
 * `sender`, a device's name: null for the app server.
 */
export class Message {
  readonly app: string;
  readonly id: string | null;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly duplicate: boolean;
  readonly contentType: string | null;
  readonly sentAt: Date | null;
  readonly wantsAnswer: boolean;
  readonly group: string | null;
  readonly sequence: number;
  readonly sender: string | null;

  /** @internal The connection that it came by: only there does its packet identifier mean it. */
  link: Link | null;
  /** @internal */
  packetId: number;
  /** @internal Under which name it is remembered once it was handled; null: it is not. */
  readonly memory: string | null;
  private readonly recipient: Recipient;

  /** @internal */
  constructor(parts: MessageParts, recipient: Recipient, link: Link | null, packetId: number) {
    this.app = parts.app;
    this.id = parts.id;
    this.topic = parts.topic;
    this.payload = parts.payload;
    this.qos = parts.qos;
    this.duplicate = parts.duplicate;
    this.contentType = parts.contentType;
    this.sentAt = parts.sentAt;
    this.wantsAnswer = parts.wantsAnswer;
    this.group = parts.group;
    this.sequence = parts.sequence;
    this.sender = parts.sender;
    this.memory = parts.id === null ? null : `${parts.prefix}${parts.id}`;
    this.recipient = recipient;
    this.link = link;
    this.packetId = packetId;
  }

  /** The payload as UTF-8 text; TypeError when it is none. */
  get text(): string {
    return TEXT.decode(this.payload);
  }

  /**
   * The payload as JSON; SyntaxError when it is none. `check` turns what was read into what is wanted, and throws
   * where it is not that: `message.json(Score.parse)` with a library of schemas.
   */
  json<Read = unknown>(check?: (value: unknown) => Read): Read {
    const value: unknown = JSON.parse(this.text);
    return check === undefined ? (value as Read) : check(value);
  }

  /**
   * Tells the server that this message is done with; a second call does nothing. When the connection that brought it
   * is gone, the server sends it once more, and that copy is acknowledged without being handed out.
   */
  ack(): Promise<void> {
    return this.recipient.acknowledge(this);
  }

  /** Tells the app server what became of this push. Settles when the server has it. */
  report(name: string): Promise<void> {
    return this.recipient.report(this, name);
  }

  /** Reports `shown`. */
  shown(): Promise<void> {
    return this.report("shown");
  }

  /** Reports `opened`. */
  opened(): Promise<void> {
    return this.report("opened");
  }

  /** Reports `dismissed`. */
  dismissed(): Promise<void> {
    return this.report("dismissed");
  }
}

/** What a PUBLISH says, of an app and on a topic of it; `prefix` is how its topic began on the wire. */
export function partsOf(incoming: Incoming, app: string, prefix: string, topic: string): MessageParts {
  // The id is taken from the topic, which only the server can choose. The user property says the same, but on a
  // plain topic any other device could write one there, and have our pushes taken for copies. In a group the server
  // alone writes them, too.
  const isPush = topic.startsWith(PUSH);
  const inGroup = topic.startsWith(GROUP);
  const { told } = incoming;
  const sentAt = told["sent-at"] ?? "";
  const sequence = inGroup ? (told["sequence"] ?? "") : "";
  return {
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
    sequence: /^\d{1,15}$/.test(sequence) ? Number(sequence) : 0,
    sender: inGroup ? (told["sender"] ?? null) : null,
  };
}

/** How many messages for a device have ended without reaching it, and since when. */
export interface Missed {
  dropped: number;
  expired: number;
  collapsed: number;
  since: Date;
}

/** What a message on `$link/gap` says; null where that is nothing this version understands. */
export function readMissed(payload: string): Missed | null {
  try {
    const read = JSON.parse(payload) as Record<string, unknown> | null;
    const since = new Date(String(read?.["since"]));
    const counts = [read?.["dropped"], read?.["expired"], read?.["collapsed"]];
    if (!counts.every(Number.isInteger) || Number.isNaN(since.getTime())) return null;
    const [dropped, expired, collapsed] = counts as [number, number, number];
    return { dropped, expired, collapsed, since };
  } catch {
    return null;
  }
}
