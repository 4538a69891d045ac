// `Center`: an app server's end of Longline, over fetch.
//
//     const center = new Center("http://127.0.0.1:8080", key);
//     const { messageId } = await center.send("news", { title: "Goal!" }, { devices: ["phone1"], ttl: 3600 });

import { Backoff } from "./backoff.js";
import { LonglineError } from "./errors.js";
import type * as Api from "./generated.js";
import { OPERATIONS } from "./generated.js";
import { errorOf, Http, type Asked } from "./http.js";
import { base64, fromApi, snake, toApi } from "./shapes.js";
import { sleep } from "./waiting.js";

const PROFILE_AFTER = 35; // s that a node may take besides those of the profile
const ANSWER_AFTER = 10; // s that the server may take besides the time that a device has to answer
const ORDERED_WITHIN = 20; // s: the server waits until the agent has said that it begins
const FOLLOWING = 5; // s for which the server holds back an answer without events: less than a try may take

// What may be repeated, besides what reads and what replaces: it says how things are to be, or changes nothing.
const REPEATABLE: ReadonlySet<string> = new Set<keyof Api.Operations>([
  "devices_register",
  "devices_presence",
  "devices_token",
  "devices_release",
  "audiences_estimate",
  "groups_add",
  "groups_remove",
  "schedules_pause",
  "schedules_resume",
  "webhooks_replay",
]);

/** Any JSON, or bytes. */
export type CenterPayload = unknown;

/** Whom a push is for: one of these. */
export interface Target {
  devices?: readonly string[];
  aliases?: readonly string[];
  /** Devices that have one of these tags. */
  tags?: readonly string[];
  group?: string;
  everyone?: true;
  /** As the API has it: tags, platforms, attributes and what is made of them. */
  audience?: Api.AudienceObject;
  /** Answers the upstream message that carried this `replyTo`. */
  reply?: string;
}

/** How a push is delivered. Durations are in seconds. */
export interface PushOptions extends Target {
  ttl?: number;
  qos?: 0 | 1 | 2;
  priority?: "normal" | "high";
  collapseKey?: string;
  label?: string;
  onlineOnly?: boolean;
  /** A `Date` is one moment; text without an offset (`2026-12-24T18:00:00`) local time in each device's time zone. */
  sendAt?: Date | string;
  spreadOver?: number;
}

/** A push of `sendBatch`, or of a schedule. */
export interface Push extends PushOptions {
  payload: CenterPayload;
}

/** Something that happened to a device, or that it sent. `gap`: events before it were removed before they were read. */
export interface UpstreamEvent extends Omit<Api.EventView, "type"> {
  type: "upstream" | "presence" | "receipt" | "device" | (string & {});
  gap: boolean;
}

/** Of lists: how many a page has; the rest comes all the same. */
export interface Paged {
  pageSize?: number;
}

/** From this moment, or later, and before that one. */
export interface Between {
  since?: Date;
  until?: Date;
}

export interface CenterOptions {
  /** Seconds for each try; 10 unless given. */
  timeout?: number;
  /** How often a call that may be repeated is; 3 unless given. */
  retries?: number;
  /** What to make requests with in place of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
}

type Name = keyof Api.Operations;
type Of<Operation extends Name, Part extends keyof Api.Operations[Operation]> = Api.Operations[Operation][Part];

/** What a call of the API needs. */
export type Request<Operation extends Name> = {
  query?: Of<Operation, "query">;
  headers?: Readonly<Record<string, string>>;
  /** Carried as the Idempotency-Key, which lets it be repeated. */
  idempotencyKey?: string;
  within?: number;
  signal?: AbortSignal | undefined;
} & (Of<Operation, "path"> extends Record<string, never> ? { path?: undefined } : { path: Of<Operation, "path"> }) &
  (Of<Operation, "body"> extends undefined ? { body?: undefined } : { body?: Of<Operation, "body"> | undefined });

/**
 * A client of one Longline server's HTTP API.
 *
 * `key` is the admin key, an app's server key, which reaches only that app, or a named key, which may do what its
 * scopes say. Calls that can be repeated without harm are, with back-off, full jitter and a budget shared by all calls.
 * Everything rejects with a `LonglineError` whose `code` is the server's, `unavailable` when that cannot be reached.
 *
 * A key in a page is a key given away: the API answers no page of another origin.
 */
export class Center {
  private readonly http: Http;

  constructor(url: string, key: string, options: CenterOptions = {}) {
    const fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.http = new Http(url, key, options.timeout ?? 10, options.retries ?? 3, fetch);
  }

  /** Any call of the API, by its `operationId`. The methods below are made of it. */
  async request<Operation extends Name>(
    operation: Operation,
    ...[request]: Record<string, never> extends Request<Operation> ? [Request<Operation>?] : [Request<Operation>]
  ): Promise<Of<Operation, "answer">> {
    return (await this.asked(operation, (request ?? {}) as Request<Name>)) as Of<Operation, "answer">;
  }

  private async asked(operation: Name, given: Request<Name>): Promise<unknown> {
    const [method, path, body, answer] = OPERATIONS[operation];
    const parts = (given.path ?? {}) as Record<string, string>;
    const asked: Asked = {
      method,
      path: path.replace(/{(\w+)}/g, (_, name: string) => segment(parts[name] ?? "")),
      query: Object.fromEntries(
        Object.entries(given.query ?? {})
          .filter(([, value]) => value !== undefined)
          .map(([name, value]) => [snake(name), value instanceof Date ? value.toISOString() : String(value)]),
      ),
      headers: { ...given.headers, ...(given.idempotencyKey ? { "Idempotency-Key": given.idempotencyKey } : {}) },
      body: given.body === undefined ? undefined : toApi(given.body, body),
      safe: method === "GET" || method === "PUT" || REPEATABLE.has(operation) || given.idempotencyKey !== undefined,
      signal: given.signal,
      text: operation === "operators_metrics",
    };
    if (given.within !== undefined) asked.within = given.within;
    return fromApi(await this.http.call(asked), answer);
  }

  // --- apps --------------------------------------------------------------------------------------

  /** Makes an app. Rejects with `app_exists`. */
  createApp(app: string, options: Omit<Api.NewApp, "app"> = {}): Promise<Api.AppKeys> {
    return this.request("apps_create", { body: { app, ...options } });
  }

  apps(options: Paged = {}): AsyncGenerator<Api.AppInfo, void, undefined> {
    return this.pages("apps_page", {}, {}, options, (page) => page.apps);
  }

  app(app: string): Promise<Api.AppInfo> {
    return this.request("apps_get", { path: { app } });
  }

  /** Changes what is given and leaves the rest. */
  updateApp(app: string, changes: Api.AppChange): Promise<Api.AppInfo> {
    return this.request("apps_change", { path: { app }, body: changes });
  }

  /** Deletes the app with its devices and messages. */
  deleteApp(app: string): Promise<undefined> {
    return this.request("apps_delete", { path: { app } });
  }

  /** Replaces the server key, unless `serverKey` is false, the secret that tokens are signed with, or both. */
  rotateKeys(app: string, options: Api.Rotation = {}): Promise<Api.AppKeys> {
    return this.request("apps_rotate", { path: { app }, body: options });
  }

  /** The identity provider that makes tokens of this app. Rejects with `tokens_not_found`. */
  tokenIssuer(app: string): Promise<Api.TokenIssuerInfo> {
    return this.request("access_issuer", { path: { app } });
  }

  putTokenIssuer(
    app: string,
    issuer: Api.TokenIssuerBody,
    options: { disconnect?: boolean } = {},
  ): Promise<Api.TokenIssuerInfo> {
    return this.request("access_put_issuer", { path: { app }, query: options, body: issuer });
  }

  deleteTokenIssuer(app: string, options: { disconnect?: boolean } = {}): Promise<undefined> {
    return this.request("access_delete_issuer", { path: { app }, query: options });
  }

  /** What devices may do on plain topics. */
  async rules(app: string): Promise<Api.AclRuleInfo[]> {
    return (await this.request("access_rules", { path: { app } })).rules;
  }

  async putRules(app: string, rules: readonly Api.AclRuleBody[]): Promise<Api.AclRuleInfo[]> {
    return (await this.request("access_put_rules", { path: { app }, body: { rules } })).rules;
  }

  limits(app: string): Promise<Api.LimitsInfo> {
    return this.request("limits_limits", { path: { app } });
  }

  /** Replaces the limits of an app; the default holds for what is left out. For keys with `operate`. */
  putLimits(app: string, limits: Api.LimitsBody): Promise<Api.LimitsInfo> {
    return this.request("limits_put_limits", { path: { app }, body: limits });
  }

  // --- devices -----------------------------------------------------------------------------------

  /** Registers the device, or replaces all that was known of it. */
  putDevice(app: string, device: string, profile: Api.NewProfile = {}): Promise<Api.DeviceView> {
    return this.request("devices_put", { path: { app, device }, body: profile });
  }

  /** Merges `changes`; the rest stays. */
  patchDevice(app: string, device: string, changes: Api.ProfileChange): Promise<Api.DeviceView> {
    return this.request("devices_patch", { path: { app, device }, body: changes });
  }

  device(app: string, device: string): Promise<Api.DeviceDetail> {
    return this.request("devices_get", { path: { app, device } });
  }

  /** Forgets the device; what waits for it is dropped in the ledgers. */
  deleteDevice(app: string, device: string): Promise<undefined> {
    return this.request("devices_delete", { path: { app, device } });
  }

  /** Registers or replaces up to 1000. One result for each, in order: null, or what it was refused with. */
  async registerBatch(app: string, devices: readonly Api.BatchDevice[]): Promise<(LonglineError | null)[]> {
    const { results } = await this.request("devices_register", { path: { app }, body: { devices } });
    return results.map((result) => (result.error === undefined ? null : errorOf(result.error, 0)));
  }

  /** The app's devices that match; with a `prefix` of names, in the order of names. */
  devices(
    app: string,
    options: { tag?: string; alias?: string; online?: boolean; parked?: boolean; prefix?: string } & Paged = {},
  ): AsyncGenerator<Api.DeviceState, void, undefined> {
    const { pageSize, ...query } = options;
    return this.pages("devices_page", { app }, query, paged(pageSize), (page) => page.devices);
  }

  /** The pushes for a device, the latest first, with what became of each: all, or those in one state. */
  deviceMessages(
    app: string,
    device: string,
    options: { state?: "pending" | "acked" | "expired" | "collapsed" | "dropped" } & Paged = {},
  ): AsyncGenerator<Api.DeviceMessageView, void, undefined> {
    const { pageSize, ...query } = options;
    return this.pages("records_of_device", { app, device }, query, paged(pageSize), (page) => page.messages);
  }

  /** Online or not, and since when, for up to 1000 devices. */
  async status(app: string, devices: readonly string[]): Promise<Api.DeviceStatus[]> {
    return (await this.request("devices_presence", { path: { app }, body: { devices } })).devices;
  }

  /** What the device needs to connect (`password` is the token), for `expiresIn` seconds or until keys are rotated. */
  token(app: string, device: string, options: Api.TokenRequest = {}): Promise<Api.DeviceToken> {
    return this.request("devices_token", { path: { app, device }, body: options });
  }

  /** Closes the device's connection, and keeps it out for `ban` seconds; with 0 a ban is lifted. */
  kick(app: string, device: string, options: { ban?: number } = {}): Promise<undefined> {
    return this.request("devices_kick", { path: { app, device }, query: { banSeconds: options.ban } });
  }

  /** Has a device that was parked, for acknowledging nothing, sent pushes again. */
  releaseDevice(app: string, device: string): Promise<undefined> {
    return this.request("devices_release", { path: { app, device } });
  }

  /** What the device is subscribed to, where its session is kept. */
  subscriptions(app: string, device: string): Promise<Api.SubscriptionList> {
    return this.request("subscriptions_of_device", { path: { app, device } });
  }

  /** The connections that the device had of late, the latest first. */
  connections(app: string, device: string, options: Paged = {}): AsyncGenerator<Api.ConnectionView, void, undefined> {
    return this.pages("connections_of_device", { app, device }, {}, paged(options.pageSize), (page) => page.connections);
  }

  /** What is desired of the device, and what it reports. */
  shadow(app: string, device: string): Promise<Api.ShadowView> {
    return this.request("shadows_get", { path: { app, device } });
  }

  /** Merges what is given (RFC 7396). With a `version` that is not the shadow's, it rejects with `conflict`. */
  patchShadow(
    app: string,
    device: string,
    changes: Api.ShadowBody,
    options: { version?: number } = {},
  ): Promise<Api.ShadowView> {
    const headers = options.version === undefined ? {} : { "If-Match": `"${options.version}"` };
    return this.request("shadows_patch", { path: { app, device }, body: changes, headers });
  }

  /**
   * Sends a command to a device, and waits for its answer, for 60 seconds at most. Rejects with `offline` when the
   * device is not connected, and with `no_answer` when it did not answer in time, though it may have carried the
   * command out. It is never sent twice.
   */
  async call(
    app: string,
    device: string,
    payload: CenterPayload,
    options: { within?: number; signal?: AbortSignal } = {},
  ): Promise<Api.CallView> {
    const timeout = Math.ceil(options.within ?? 10);
    return this.request("calls_call", {
      path: { app, device },
      body: { ...shown(payload), timeout } as Api.CallBody,
      within: timeout + ANSWER_AFTER,
      signal: options.signal,
    });
  }

  // --- messages ----------------------------------------------------------------------------------

  /**
   * Makes a push. When this settles, the server has it on disk. It carries an Idempotency-Key, its own unless one is
   * given, so that its retries never push twice; give one to keep that promise across a restart of the caller.
   */
  async send(
    app: string,
    payload: CenterPayload,
    options: PushOptions & { idempotencyKey?: string; signal?: AbortSignal },
  ): Promise<Api.MessageAccepted> {
    const { idempotencyKey, signal, ...push } = options;
    return this.request("messages_send", {
      path: { app },
      body: messageOf({ ...push, payload }),
      idempotencyKey: idempotencyKey ?? newKey(),
      signal,
    }) as Promise<Api.MessageAccepted>;
  }

  /** Checks a push as if it were made: for how many devices it would be, and how many of them are connected. */
  async validate(app: string, payload: CenterPayload, options: PushOptions): Promise<Api.MessageReach> {
    const body = messageOf({ ...options, payload });
    return this.request("messages_send", { path: { app }, query: { validate: true }, body }) as Promise<Api.MessageReach>;
  }

  /** Makes up to 1000 pushes in one request; one result for each, in order: its id, or what it was refused with. */
  async sendBatch(
    app: string,
    pushes: readonly Push[],
    options: { idempotencyKey?: string } = {},
  ): Promise<(string | LonglineError)[]> {
    const { results } = await this.request("messages_send_batch", {
      path: { app },
      body: { messages: pushes.map(messageOf) },
      idempotencyKey: options.idempotencyKey ?? newKey(),
    });
    return results.map((result) => result.messageId ?? errorOf(result.error, 0));
  }

  /** Where the push stands, with its ledger. Rejects with `message_not_found`. */
  message(app: string, id: string): Promise<Api.MessageStatus> {
    return this.request("messages_status", { path: { app, id } });
  }

  /** The app's messages that match, the latest first. */
  messages(
    app: string,
    options: { status?: "accepted" | "delivering" | "done"; label?: string; missed?: boolean } & Between & Paged = {},
  ): AsyncGenerator<Api.MessageStatus, void, undefined> {
    const { pageSize, since, until, ...query } = options;
    const asked = { ...query, from: since, to: until };
    return this.pages("records_latest", { app }, asked, paged(pageSize), (page) => page.messages);
  }

  /** The message's ledger, device by device. */
  deliveries(app: string, id: string, options: Paged = {}): AsyncGenerator<Api.Delivery, void, undefined> {
    return this.pages("messages_deliveries", { app, id }, {}, options, (page) => page.deliveries);
  }

  /** What became of the message for one device, and why. */
  trace(app: string, id: string, device: string): Promise<Api.DeliveryTrace> {
    return this.request("traces_trace", { path: { app, id, device } });
  }

  /** Takes back what is not yet delivered; where the push stands after that. */
  cancel(app: string, id: string): Promise<Api.MessageStatus> {
    return this.request("messages_cancel", { path: { app, id } });
  }

  /** Follows the ledger until nothing is pending; rejects with `unavailable` after `within` seconds. */
  async wait(
    app: string,
    id: string,
    options: { within: number; signal?: AbortSignal },
  ): Promise<Api.MessageStatus> {
    const until = performance.now() + options.within * 1000;
    let pause = 20;
    while (true) {
      const status = await this.request("messages_status", { path: { app, id }, signal: options.signal });
      if (status.ledger.pending === 0 && status.status !== "scheduled") return status;
      if (performance.now() + pause > until) {
        throw new LonglineError("unavailable", `${status.ledger.pending} are pending after ${options.within} s`);
      }
      await sleep(pause, options.signal);
      pause = Math.min(pause * 1.5, 1000);
    }
  }

  /** Counts the devices of an audience; of a large one it is estimated who is connected. */
  estimate(app: string, audience: "all" | Api.AudienceObject): Promise<Api.Estimate> {
    return this.request("audiences_estimate", { path: { app }, body: { audience } });
  }

  /** What was counted in each hour, or day, of UTC: the latest 24, or 30, unless it is said. */
  statistics(app: string, options: { by?: "hour" | "day" } & Between = {}): Promise<Api.StatisticsList> {
    const query = { by: options.by, from: options.since, to: options.until };
    return this.request("statistics_read", { path: { app }, query });
  }

  /** How an app fares now: devices that are connected, rates of late, what was counted in this hour, what waits. */
  appFigures(app: string): Promise<Api.AppFiguresView> {
    return this.request("figures_now_of_app", { path: { app } });
  }

  // --- events ------------------------------------------------------------------------------------

  /**
   * What devices sent, and what happened to them, from behind a `cursor` on; each device's in order. It ends when there
   * are no more, or with `follow` waits for those to come, and goes on where it was when the server was away. Keep the
   * cursor of the last one that is dealt with, and nothing is missed; where too much waited, an event has `gap`. With
   * `tail`, and no cursor, only what comes from now on.
   */
  async *upstream(
    app: string,
    options: { after?: string; tail?: boolean; follow?: boolean; signal?: AbortSignal } & Paged = {},
  ): AsyncGenerator<UpstreamEvent, void, undefined> {
    const { follow = false, tail, pageSize, signal } = options;
    const backoff = new Backoff(0.5, 30);
    let cursor = options.after;
    let gap = false;
    while (true) {
      let page: Api.EventList;
      try {
        const query = { cursor, limit: pageSize, wait: follow ? FOLLOWING : undefined, tail: cursor === undefined ? tail : undefined };
        page = await this.request("upstream_read", {
          path: { app },
          query,
          signal,
          within: this.http.timeout + (follow ? FOLLOWING : 0),
        });
        backoff.reset();
      } catch (error) {
        if (signal?.aborted) return;
        if (!follow || !(error instanceof LonglineError) || !error.retryable) throw error;
        await sleep(Math.max(backoff.next(), error.retryAfter ?? 0) * 1000, signal).catch(() => {});
        continue;
      }
      gap ||= page.gap;
      for (const event of page.events) {
        yield { ...event, gap };
        gap = false;
      }
      cursor = page.nextCursor ?? cursor;
      if ((page.events.length === 0 && !follow) || signal?.aborted) return;
    }
  }

  /** Where the app's events are sent, and how that fares. Rejects with `webhook_not_found`. */
  webhook(app: string): Promise<Api.WebhookInfo> {
    return this.request("webhooks_get", { path: { app } });
  }

  /** Sends the app's events to a URL from now on; `secret` may be left out where there is one. */
  putWebhook(app: string, webhook: Api.WebhookBody): Promise<Api.WebhookInfo> {
    return this.request("webhooks_put", { path: { app }, body: webhook });
  }

  deleteWebhook(app: string): Promise<undefined> {
    return this.request("webhooks_delete", { path: { app } });
  }

  /** Events that the target never took, oldest first. */
  deadEvents(app: string, options: Paged = {}): AsyncGenerator<Api.DeadEventView, void, undefined> {
    return this.pages("webhooks_dead", { app }, {}, options, (page) => page.events);
  }

  /** Sends dead events once more: those with these cursors, or all. How many that are. */
  async replayWebhook(app: string, cursors?: readonly string[]): Promise<number> {
    const body = cursors === undefined ? {} : { cursors };
    return (await this.request("webhooks_replay", { path: { app }, body })).replaying;
  }

  // --- schedules ---------------------------------------------------------------------------------

  /** Has a push made at the times of a cron expression. It carries an Idempotency-Key, as `send` does. */
  async schedule(
    app: string,
    push: Push,
    cron: string,
    options: { timezone?: string; idempotencyKey?: string } = {},
  ): Promise<Api.ScheduleView> {
    return this.request("schedules_create", {
      path: { app },
      body: { message: messageOf(push), cron, timezone: options.timezone },
      idempotencyKey: options.idempotencyKey ?? newKey(),
    });
  }

  schedules(app: string, options: Paged = {}): AsyncGenerator<Api.ScheduleView, void, undefined> {
    return this.pages("schedules_page", { app }, {}, options, (page) => page.schedules);
  }

  scheduleInfo(app: string, id: string): Promise<Api.ScheduleView> {
    return this.request("schedules_get", { path: { app, id } });
  }

  pauseSchedule(app: string, id: string): Promise<Api.ScheduleView> {
    return this.request("schedules_pause", { path: { app, id } });
  }

  resumeSchedule(app: string, id: string): Promise<Api.ScheduleView> {
    return this.request("schedules_resume", { path: { app, id } });
  }

  /** Deletes a schedule; what it has sent stays sent. */
  deleteSchedule(app: string, id: string): Promise<undefined> {
    return this.request("schedules_delete", { path: { app, id } });
  }

  // --- groups ------------------------------------------------------------------------------------

  /** Makes a group, or takes it as it is; with `members`, exactly these are in it from now on. */
  putGroup(app: string, group: string, members?: readonly string[]): Promise<Api.GroupView> {
    return this.request("groups_put", { path: { app, group }, body: members === undefined ? {} : { members } });
  }

  group(app: string, group: string): Promise<Api.GroupView> {
    return this.request("groups_get", { path: { app, group } });
  }

  groups(app: string, options: Paged = {}): AsyncGenerator<Api.GroupSummary, void, undefined> {
    return this.pages("groups_page", { app }, {}, options, (page) => page.groups);
  }

  /** Deletes a group with its history. */
  deleteGroup(app: string, group: string): Promise<undefined> {
    return this.request("groups_delete", { path: { app, group } });
  }

  /** How many were no members before. Rejects with `device_not_found`, and takes nobody in. */
  async addMembers(app: string, group: string, members: readonly string[]): Promise<number> {
    return (await this.request("groups_add", { path: { app, group }, body: { members } })).added;
  }

  async removeMembers(app: string, group: string, members: readonly string[]): Promise<number> {
    return (await this.request("groups_remove", { path: { app, group }, body: { members } })).removed;
  }

  /** What was said in a group behind a sequence, in its order. `bytesOf` gives what was said. */
  async *groupMessages(
    app: string,
    group: string,
    options: { after?: number } & Paged = {},
  ): AsyncGenerator<Api.SayingView, void, undefined> {
    let after: number | null = options.after ?? 0;
    while (after !== null) {
      const query = { after, limit: options.pageSize };
      const page: Api.GroupHistory = await this.request("groups_history", { path: { app, group }, query });
      yield* page.messages;
      after = page.nextAfter;
    }
  }

  // --- keys and operators ------------------------------------------------------------------------

  /** Makes a key that may do what its `scopes` say; of one app, or without `app` one that reaches all. */
  createKey(key: Api.NewKey & { app?: string }): Promise<Api.MadeKey> {
    const { app, ...body } = key;
    if (app === undefined) return this.request("keys_create", { body });
    return this.request("keys_create_for_app", { path: { app }, body: body as Api.NewAppKey });
  }

  /** What the key of this `Center` may do, and where. */
  ownKey(): Promise<Api.OwnKeyInfo> {
    return this.request("logins_show");
  }

  /** Named keys, of one app, or those that reach all. */
  namedKeys(options: { app?: string } & Paged = {}): AsyncGenerator<Api.KeyInfo, void, undefined> {
    const { app } = options;
    if (app === undefined) return this.pages("keys_page", {}, {}, options, (page) => page.keys);
    return this.pages("keys_page_of_app", { app }, {}, options, (page) => page.keys);
  }

  /** Deletes a named key: it stops working at once, in other processes within a second. */
  deleteKey(key: string, options: { app?: string } = {}): Promise<undefined> {
    const { app } = options;
    if (app === undefined) return this.request("keys_delete", { path: { key } });
    return this.request("keys_delete_of_app", { path: { app, key } });
  }

  /** The audit log, the latest change first; of one app where that is given. */
  changes(options: { app?: string } & Between & Paged = {}): AsyncGenerator<Api.ChangeView, void, undefined> {
    const query = { app: options.app, from: options.since, to: options.until };
    return this.pages("trail_page", {}, query, options, (page) => page.changes);
  }

  /** What all processes have told last; they tell every second while somebody asks again and again. */
  figures(): Promise<Api.FiguresView> {
    return this.request("figures_now");
  }

  /** What these figures were, or those of an overview; in the last hour unless it is said. */
  figureHistory(options: { names?: string[]; node?: string } & Between = {}): Promise<Api.HistoryView> {
    const { names, node, since, until } = options;
    return this.request("figures_history", { query: { names: names?.join(","), node, from: since, to: until } });
  }

  /** What is wrong now, the critical first. */
  async problems(): Promise<Api.ProblemView[]> {
    return (await this.request("figures_problems")).problems;
  }

  /** How full each bound is, the fullest first. */
  async capacity(): Promise<Api.BoundView[]> {
    return (await this.request("figures_capacity")).bounds;
  }

  async nodes(): Promise<Api.NodeView[]> {
    return (await this.request("operators_nodes")).nodes;
  }

  /** Moves the devices of a node to others. */
  drain(node: string, options: Api.DrainRequest = {}): Promise<Api.NodeView> {
    return this.request("operators_drain", { path: { node }, body: options });
  }

  undrain(node: string): Promise<Api.NodeView> {
    return this.request("operators_undrain", { path: { node } });
  }

  /** The agents of all hosts, with the processes that they keep running. */
  async agents(): Promise<Api.AgentView[]> {
    return (await this.request("agents_all")).agents;
  }

  agent(agent: string): Promise<Api.AgentView> {
    return this.request("agents_show", { path: { agent } });
  }

  /** Has an agent replace its processes, one after the other: all, or those of these nodes. `agent` has the progress. */
  restartAgent(agent: string, options: Api.RestartRequest = {}): Promise<Api.AgentView> {
    return this.request("agents_restart", { path: { agent }, body: options, within: ORDERED_WITHIN });
  }

  /** Takes a restart back whose new processes are not ready yet. */
  cancelRestart(agent: string): Promise<Api.AgentView> {
    return this.request("agents_cancel", { path: { agent }, within: ORDERED_WITHIN });
  }

  /** Has a node take a profile of its process, for `seconds` (10 unless given), and keep it. */
  takeProfile(
    node: string,
    options: { kind?: Api.ProfileInfo["kind"]; seconds?: number } = {},
  ): Promise<Api.ProfileWithContent> {
    const { kind = "cpu", seconds = 10 } = options;
    const within = seconds + PROFILE_AFTER;
    return this.request("profiles_take", { path: { node }, query: { kind, seconds }, within });
  }

  /** The profiles that are kept, the latest first. */
  profiles(
    options: { node?: string; kind?: Api.ProfileInfo["kind"] } & Between & Paged = {},
  ): AsyncGenerator<Api.ProfileInfo, void, undefined> {
    const { node, kind, since, until } = options;
    return this.pages("profiles_page", {}, { node, kind, from: since, to: until }, options, (page) => page.profiles);
  }

  profile(profile: string): Promise<Api.ProfileWithContent> {
    return this.request("profiles_show", { path: { profile } });
  }

  /** What takes more in a profile than in `base`, the largest growth first. */
  compareProfiles(profile: string, base: string): Promise<Api.ProfileDifference> {
    return this.request("profiles_difference", { path: { profile }, query: { base } });
  }

  deleteProfile(profile: string): Promise<undefined> {
    return this.request("profiles_delete", { path: { profile } });
  }

  /** The settings in force, their versions, and who has which. */
  config(): Promise<Api.ConfigView> {
    return this.request("config_show");
  }

  setting(name: string): Promise<Api.SettingView> {
    return this.request("config_get", { path: { name } });
  }

  putSetting(name: string, value: Api.ConfigValue): Promise<Api.ConfigView> {
    return this.request("config_put", { path: { name }, body: value });
  }

  removeSetting(name: string): Promise<Api.ConfigView> {
    return this.request("config_remove", { path: { name } });
  }

  /** Brings back the value before this one. */
  rollBackSetting(name: string): Promise<Api.ConfigView> {
    return this.request("config_roll_back_one", { path: { name } });
  }

  /** Gives every node what some have on trial. */
  promoteConfig(): Promise<Api.ConfigView> {
    return this.request("config_promote");
  }

  /** Brings back the settings before these. */
  rollBackConfig(): Promise<Api.ConfigView> {
    return this.request("config_roll_back");
  }

  /** Whether the process lives. */
  health(): Promise<Api.Health> {
    return this.request("operators_healthz");
  }

  /** Whether it could do its work; rejects with `unavailable` while it could not. */
  ready(): Promise<Api.Health> {
    return this.request("operators_readyz");
  }

  /** Figures of the process, as Prometheus reads them. */
  metrics(): Promise<string> {
    return this.request("operators_metrics");
  }

  private async *pages<Operation extends Name, Item>(
    operation: Operation,
    path: Record<string, string>,
    query: Record<string, unknown>,
    { pageSize }: Paged,
    items: (page: Of<Operation, "answer">) => readonly Item[],
  ): AsyncGenerator<Item, void, undefined> {
    let cursor: string | null | undefined;
    do {
      const asked = { path, query: { ...query, limit: pageSize, cursor } } as unknown as Request<Name>;
      const page = (await this.asked(operation, asked)) as Of<Operation, "answer">;
      yield* items(page);
      cursor = (page as { nextCursor: string | null }).nextCursor;
    } while (cursor !== null);
  }
}

function paged(pageSize: number | undefined): Paged {
  return pageSize === undefined ? {} : { pageSize };
}

/** The body of a push. RangeError unless exactly one of the ways to name an audience is given. */
function messageOf(push: Push): Api.MessageBody {
  const { payload, devices, aliases, tags, group, everyone, audience, reply, sendAt, ...options } = push;
  const ways: ("all" | Api.AudienceObject | undefined)[] = [
    devices && { devices },
    aliases && { aliases },
    tags && { tag: tags },
    group === undefined ? undefined : { group },
    everyone ? "all" : undefined,
    audience,
    reply === undefined ? undefined : { reply },
  ];
  const [whom, ...more] = ways.filter((way) => way !== undefined);
  if (whom === undefined || more.length > 0) {
    throw new RangeError("a push is for exactly one of devices, aliases, tags, group, everyone, audience and reply");
  }
  const at = sendAt instanceof Date ? sendAt.toISOString() : sendAt;
  const given = { ...options, ...(at === undefined ? {} : { sendAt: at }) };
  return { audience: whom, ...shown(payload), ...(Object.keys(given).length > 0 ? { options: given } : {}) } as Api.MessageBody;
}

function shown(payload: CenterPayload): { payload: unknown } | { payloadBase64: string } {
  if (payload instanceof Uint8Array) return { payloadBase64: base64(payload) };
  if (payload instanceof ArrayBuffer) return { payloadBase64: base64(new Uint8Array(payload)) };
  if (payload === undefined) throw new TypeError("a payload is text, bytes or what can be JSON, not undefined");
  return { payload };
}

// A URL reads `.` and `..` as steps, also percent-encoded: nothing is called that.
function segment(name: string): string {
  if (["", ".", ".."].includes(name) || name.includes("/")) throw new RangeError(`nothing can be called ${JSON.stringify(name)}`);
  return encodeURIComponent(name);
}

function newKey(): string {
  // Not everywhere: a page that did not come over https has no randomUUID.
  if (typeof globalThis.crypto?.randomUUID === "function") return globalThis.crypto.randomUUID();
  const digit = () => Math.floor(Math.random() * 16).toString(16);
  return Array.from({ length: 32 }, digit).join("");
}
