// What an application says and hears as a device of an app, whichever connection that uses.

import { LonglineError, said } from "./errors.js";
import type { Message } from "./message.js";
import { EVENT, GROUP, REPLY, SHADOW_DESIRED, SHADOW_REPORTED, UP } from "./topics.js";
import { Signal } from "./waiting.js";

/** What can be sent: text and bytes as they are, anything else as its JSON. */
export type Payload = unknown;

/** `qos` 0 promises nothing, and settles when it is written. `signal` gives up waiting. */
export interface PublishOptions {
  qos?: 0 | 1;
  signal?: AbortSignal;
}

/** Answers a call: what is returned, or what the promise gives, is the answer. */
export type CallHandler = (call: Message) => Payload | Promise<Payload>;

/** Is told what is desired of the device; what is returned, or what the promise gives, is reported, if anything is. */
export type DesiredHandler = (desired: Message) => StateChanges | void | Promise<StateChanges | void>;

/** Names and values of a shadow; null for a name removes it. */
export type StateChanges = Readonly<Record<string, unknown>>;

/** A device of an app: on a connection of its own (`Device`), or on another one's (`AttachedApp`). */
export abstract class Speaker implements AsyncIterable<Message> {
  /** @internal */
  readonly inbox: Message[] = [];
  /** @internal Wakes whoever waits for a message, a connection, or the end. */
  readonly changed = new Signal();
  private callHandler: CallHandler | null = null;
  private desiredHandler: DesiredHandler | null = null;
  private desiring: Promise<void> = Promise.resolve(); // one after the other

  /** Whether the application has ended it, and it did not stop because it had to. */
  abstract get closed(): boolean;

  /** @internal Throws what has ended it. */
  abstract checkAlive(): void;

  /** @internal Whether a message is for the application: no copy of one that it was done with. */
  abstract handOut(message: Message): Promise<boolean>;

  /** @internal A line for the application's log. */
  abstract note(line: string): void;

  /** Sends a message to a topic: `up/…` for the app server, others for the app's devices. */
  abstract publish(topic: string, payload: Uint8Array | string, options?: PublishOptions): Promise<void>;

  /** Asks for a topic filter, now and again after every reconnect; its messages come with the others. */
  abstract subscribe(filter: string, options?: { qos?: 0 | 1 }): Promise<void>;

  /** The next message, to be acknowledged with `await message.ack()`. Rejects with what stopped the device. */
  async receive(): Promise<Message> {
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

  /**
   * Has a function be told what is desired of the device, whole, after each change: one at a time, in order. What it
   * returns is reported, as by `reportState`. Its message is acknowledged when it is done. null: as before.
   */
  onDesired(handler: DesiredHandler | null): void {
    this.desiredHandler = handler;
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
  reportState(changes: StateChanges): Promise<void> {
    return this.publish(SHADOW_REPORTED, JSON.stringify(changes));
  }

  /** Answers a message whose sender waits: `Message.wantsAnswer`, which MQTT 3.1.1 cannot say. */
  async answer(call: Message, payload: Payload): Promise<void> {
    if (call.id === null) throw new TypeError("only a push can be answered");
    await this.publish(REPLY + call.id, encoded(payload));
  }

  /** @internal A message has come: for a function that takes it, or for whoever asks for the next one. */
  arrived(message: Message): void {
    const { callHandler, desiredHandler } = this;
    if (message.wantsAnswer && callHandler !== null) {
      void this.take(message, async () => this.answer(message, (await callHandler(message)) ?? null));
    } else if (message.topic === SHADOW_DESIRED && desiredHandler !== null) {
      this.desiring = this.desiring.then(() =>
        this.take(message, async () => {
          const changes = await desiredHandler(message);
          if (changes) await this.reportState(changes);
        }),
      );
    } else {
      this.inbox.push(message);
      this.changed.wake();
    }
  }

  private async take(message: Message, work: () => Promise<void>): Promise<void> {
    try {
      if (!(await this.handOut(message))) return;
      try {
        await work();
      } catch (error) {
        this.note(`a function has failed for a message on ${message.topic}: ${said(error)}`); // the application's
      }
      await message.ack();
    } catch {
      // It could not be acknowledged, which the log has, and comes again.
    }
  }
}

/** Text and bytes as they are, anything else as its JSON. */
export function encoded(payload: Payload): Uint8Array | string {
  if (typeof payload === "string") return payload;
  if (payload instanceof Uint8Array) return payload;
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  const text = JSON.stringify(payload) as string | undefined;
  if (text === undefined) throw new TypeError(`a payload is text, bytes or what can be JSON, not ${typeof payload}`);
  return text;
}
