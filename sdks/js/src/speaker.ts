// What an application says and hears as a device of an app, whichever connection that uses.

import { LonglineError } from "./errors.js";
import type { Message } from "./message.js";
import { EVENT, GROUP, REPLY, SHADOW_REPORTED, UP } from "./topics.js";

/** What can be sent: text and bytes as they are, anything else as its JSON. */
export type Payload = unknown;

/** `qos` 0 promises nothing, and settles when it is written. `signal` gives up waiting. */
export interface PublishOptions {
  qos?: 0 | 1;
  signal?: AbortSignal;
}

/** Answers a call: what is returned, or what the promise gives, is the answer. */
export type CallHandler = (call: Message) => Payload | Promise<Payload>;

/** A device of an app: on a connection of its own (`Device`), or on another one's (`AttachedApp`). */
export abstract class Speaker implements AsyncIterable<Message> {
  /** @internal */
  callHandler: CallHandler | null = null;

  /** Whether the application has ended it, and it did not stop because it had to. */
  abstract get closed(): boolean;

  /** The next message, to be acknowledged with `await message.ack()`. Rejects with what stopped the device. */
  abstract receive(): Promise<Message>;

  /** Sends a message to a topic: `up/…` for the app server, others for the app's devices. */
  abstract publish(topic: string, payload: Uint8Array | string, options?: PublishOptions): Promise<void>;

  /** Asks for a topic filter, now and again after every reconnect; its messages come with the others. */
  abstract subscribe(filter: string, options?: { qos?: 0 | 1 }): Promise<void>;

  /**
   * The messages, each acknowledged when the next one is asked for. So a loop whose body throws, or that is left by
   * `break`, leaves its message to be sent again, unless `ack` came before.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined> {
    while (true) {
      let message: Message;
      try {
        message = await this.receive();
      } catch (error) {
        if (this.closed && error instanceof LonglineError && error.code === "unavailable") return;
        throw error;
      }
      yield message;
      await message.ack();
    }
  }

  /**
   * Has calls of app servers (`Message.wantsAnswer`, MQTT 5 only) answered by a function from now on; they do not come
   * with the other messages. One that throws leaves its call without an answer. null: as before.
   */
  onCall(handler: CallHandler | null): void {
    this.callHandler = handler;
  }

  /** Sends a message to the app server, which sees it as `up/` and this name: `alarm`, `rooms/7/alarm`. */
  async send(name: string, payload: Payload, options?: PublishOptions): Promise<void> {
    await this.publish(UP + name, encoded(payload), options);
  }

  /**
   * Says something in a group, to all members, this device included. Rejects with `forbidden` where there is no such
   * group or this device is not a member, which MQTT 3.1.1 cannot tell.
   */
  async say(group: string, payload: Payload, options?: PublishOptions): Promise<void> {
    await this.publish(GROUP + group, encoded(payload), options);
  }

  /** Tells the app server what became of a push, by the message or its id: `shown`, `opened`, … */
  async report(message: Message | string, name: string): Promise<void> {
    const id = typeof message === "string" ? message : message.id;
    if (id === null) throw new TypeError("only a push can be reported on");
    await this.publish(`${EVENT}${id}/${name}`, "");
  }

  /**
   * Merges `changes` into what the server knows of this device, its shadow: null for a name removes it. What is
   * desired of the device comes with the other messages, whole, on the topic `shadow/desired`.
   */
  reportState(changes: Readonly<Record<string, unknown>>): Promise<void> {
    return this.publish(SHADOW_REPORTED, JSON.stringify(changes));
  }

  /** Answers a message whose sender waits: `Message.wantsAnswer`, which MQTT 3.1.1 cannot say. */
  async answer(call: Message, payload: Payload): Promise<void> {
    if (call.id === null) throw new TypeError("only a push can be answered");
    await this.publish(REPLY + call.id, encoded(payload));
  }
}

function encoded(payload: Payload): Uint8Array | string {
  if (typeof payload === "string") return payload;
  if (payload instanceof Uint8Array) return payload;
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  const text = JSON.stringify(payload) as string | undefined;
  if (text === undefined) throw new TypeError(`a payload is text, bytes or what can be JSON, not ${typeof payload}`);
  return text;
}
