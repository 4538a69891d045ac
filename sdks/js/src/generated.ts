// Made from the API by `python -m tools.typescript URL`; not to be edited.

/** The codes of docs/api.md, those that a device is told, and any word of a newer server. */
export type ErrorCode =
  | "agent_away"
  | "agent_not_found"
  | "agent_silent"
  | "app_exists"
  | "app_not_found"
  | "audience_too_complex"
  | "audience_too_large"
  | "bad_request"
  | "bad_token"
  | "banned"
  | "body_too_large"
  | "conflict"
  | "delivery_not_found"
  | "device_not_found"
  | "fenced"
  | "forbidden"
  | "group_not_found"
  | "group_too_large"
  | "head_too_large"
  | "idempotency_in_flight"
  | "idempotency_mismatch"
  | "internal"
  | "invalid"
  | "invalid_cron"
  | "invalid_send_at"
  | "invalid_timezone"
  | "key_not_found"
  | "message_not_found"
  | "message_rate_exceeded"
  | "method_not_allowed"
  | "missing_scope_manage"
  | "missing_scope_operate"
  | "missing_scope_read"
  | "missing_scope_send"
  | "no_answer"
  | "no_target"
  | "node_not_found"
  | "node_silent"
  | "not_found"
  | "not_supported"
  | "nothing_to_cancel"
  | "offline"
  | "overloaded"
  | "payload_empty"
  | "payload_too_large"
  | "profile_failed"
  | "profile_not_found"
  | "profile_under_way"
  | "profile_unreadable"
  | "profiles_differ"
  | "quota_exceeded"
  | "rate_limited"
  | "refused"
  | "reply_invalid"
  | "restart_under_way"
  | "schedule_not_found"
  | "setting_not_found"
  | "shadow_too_large"
  | "taken_over"
  | "tokens_not_found"
  | "too_many_devices"
  | "too_many_groups"
  | "too_many_requests"
  | "topic_too_costly"
  | "unauthorized"
  | "unavailable"
  | "webhook_not_found"
  | "wrong_origin"
  | (string & {});

/** What may succeed later without change. */
export const RETRYABLE: ReadonlySet<string> = new Set([
  "agent_away",
  "conflict",
  "idempotency_in_flight",
  "message_rate_exceeded",
  "offline",
  "overloaded",
  "profile_under_way",
  "rate_limited",
  "restart_under_way",
  "too_many_requests",
  "unavailable",
]);

/** What every answer with a status of 400 or more holds. */
export interface ErrorAnswer {
  error: ErrorInfo;
}

/** `code` is stable and meant for programs; `message` and `details` are meant for people. */
export interface ErrorInfo {
  code: string;
  message: string;
  details: FieldError[];
}

/** One field that is wrong: its path with dots (`messages.3.options.ttl`), and why. */
export interface FieldError {
  field: string;
  message: string;
}

/** A message to push: an audience, and exactly one of `payload` and `payload_base64`. */
export type MessageBody = JsonMessage | BytesMessage;

/**
 * Devices by name, or by alias, the members of a group, devices by what they are, or the one that is
 * answered: one of the five.
 */
export interface AudienceObject {
  /** One of these. */
  tag?: readonly string[] | undefined;
  /** All of these. */
  tagAnd?: readonly string[] | undefined;
  /** None of these. */
  tagNot?: readonly string[] | undefined;
  /** One of these. */
  platform?: readonly string[] | undefined;
  attributes?: Record<string, Comparison> | undefined;
  /** At least one of these. */
  any?: readonly DeviceMatch[] | undefined;
  /** All of these. */
  every?: readonly DeviceMatch[] | undefined;
  not?: DeviceMatch | undefined;
  /** Repeated names count once. */
  devices?: readonly string[] | undefined;
  /** A group's name. */
  group?: string | undefined;
  /** All devices that have one of these. One that nobody has counts as a device that does not exist. */
  aliases?: readonly string[] | undefined;
  /** The `reply_to` of an upstream message: the device that sent it gets this on the response topic that it named, with its correlation data. */
  reply?: string | undefined;
}

/** What an attribute has to be; all of it. Texts are not put in order. */
export interface Comparison {
  /** A text, a number, true or false; 1 and 1.0 are the same. */
  eq?: boolean | number | string | undefined;
  /** A text, a number, true or false; 1 and 1.0 are the same. */
  ne?: boolean | number | string | undefined;
  gt?: number | undefined;
  gte?: number | undefined;
  lt?: number | undefined;
  lte?: number | undefined;
  in?: readonly (boolean | number | string)[] | undefined;
  exists?: boolean | undefined;
}

/** What is asked of devices: all of its fields, at least one. */
export interface DeviceMatch {
  /** One of these. */
  tag?: readonly string[] | undefined;
  /** All of these. */
  tagAnd?: readonly string[] | undefined;
  /** None of these. */
  tagNot?: readonly string[] | undefined;
  /** One of these. */
  platform?: readonly string[] | undefined;
  attributes?: Record<string, Comparison> | undefined;
  /** At least one of these. */
  any?: readonly DeviceMatch[] | undefined;
  /** All of these. */
  every?: readonly DeviceMatch[] | undefined;
  not?: DeviceMatch | undefined;
}

/** How a message is delivered. */
export interface Options {
  /** Seconds for which an offline device may come for it. 0: only who is connected now. */
  ttl?: number | undefined;
  /** MQTT quality of service. */
  qos?: number | undefined;
  priority?: "high" | "normal" | undefined;
  /** A newer message of the same key replaces an older one that still waits. */
  collapseKey?: string | null | undefined;
  /** A word of the sender's, by which it finds its messages again. */
  label?: string | null | undefined;
  /** Only who is connected now gets it. */
  onlineOnly?: boolean | undefined;
  /** When to send it, at most a year ahead. With an offset one moment; without one local time in each device's own time zone, UTC where it has none. `ttl` counts from then, and who is in the audience is seen then. */
  sendAt?: string | null | undefined;
  /** Seconds over which a message to everyone, or to tags and attributes, is written to who is connected, evenly. Without effect on a list of devices. */
  spreadOver?: number | undefined;
}

/** The message is stored. `targeted` counts its devices, also those that do not exist. */
export interface MessageAccepted {
  /** A UUIDv7. */
  messageId: string;
  status: "accepted";
  targeted: number | null;
}

/**
 * What a message would do that was only checked. `targeted` as in its 202; `online`: of these, how many
 * are connected now.
 */
export interface MessageReach {
  targeted: number;
  online: number;
}

/** Messages to push. */
export interface MessageBatch {
  messages: readonly MessageBody[];
}

/** One result a message, in the order of the request. */
export interface MessageResults {
  results: MessageResult[];
}

/** One message of a batch: its id when it is stored, or why it is not. */
export interface MessageResult {
  /** A UUIDv7. */
  messageId?: string | undefined;
  error?: ErrorInfo | undefined;
}

/**
 * Where a message stands.
 *
 * `scheduled`: its time has not come. `accepted`: stored, nothing sent yet. `delivering`: some of it is sent
 * or settled. `done`: nothing is pending. `cancelled`: it was taken back before its time. One that is sent
 * in each time zone at its own moment has a message for each, which `firings` tells, and here their sum.
 */
export interface MessageStatus {
  /** A UUIDv7. */
  messageId: string;
  status: "accepted" | "cancelled" | "delivering" | "done" | "scheduled";
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  ledger: LedgerView;
  /** As it was asked for, until it is sent. */
  sendAt?: string | undefined;
  firings?: FiringView[] | undefined;
  /** Why nothing was sent at its time. */
  error?: string | undefined;
  /** Its sender's word for it. */
  label?: string | undefined;
}

/** `targeted = pending + acked + expired + collapsed + all of dropped`, at any moment. */
export interface LedgerView {
  targeted: number;
  pending: number;
  acked: number;
  expired: number;
  collapsed: number;
  /** By reason. */
  dropped: Record<string, number>;
  /** Handed to the node of a connected device. */
  routed: number;
  /** Written to a connection. */
  sent: number;
}

/** One time that a message was sent: as which message, or why it was not. */
export interface FiringView {
  /** When it was due; RFC 3339. */
  at: Date;
  /** A UUIDv7. */
  messageId?: string | undefined;
  /** A code. */
  error?: string | undefined;
}

/** A page of deliveries. A message that is sent later has none before its time. */
export interface DeliveryList {
  deliveries: Delivery[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** A message and one of its devices; null for what has not happened. */
export interface Delivery {
  device: string;
  state: "acked" | "collapsed" | "dropped" | "expired" | "pending";
  /** Why it was dropped. */
  reason: string | null;
  /** What that means, for people. */
  why: string;
  /** RFC 3339, UTC, milliseconds. */
  acceptedAt: Date;
  sentAt: Date | null;
  settledAt: Date | null;
}

/** An audience to count. */
export interface EstimateRequest {
  /** `"all"`: every device registered now. Or an object that says which devices. */
  audience: "all" | AudienceObject;
}

/** How many devices an audience has, and how many of them are connected. */
export interface Estimate {
  devices: number;
  online: number;
}

/** A page of devices, in the order of their registration. It may be short while there are more pages. */
export interface DeviceList {
  devices: DeviceState[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/**
 * A registered device, where it is connected, and when and how it last was.
 *
 * `room`, `since` and `epoch` are null when it is not connected; what follows is null for one that never
 * was.
 */
export interface DeviceState {
  device: string;
  aliases: string[];
  tags: string[];
  attributes: Record<string, unknown>;
  timezone: string | null;
  platform: string | null;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  online: boolean;
  /** The node that holds its connection. */
  room: string | null;
  since: Date | null;
  /** Rises with every connection of the device. */
  epoch: number | null;
  /** When its connection ended; now, while it has one. */
  lastSeen: Date | null;
  /** From which it came last. */
  address: string | null;
  /** By which it came. */
  protocol: string | null;
  client: ClientView | null;
  /** null: none is kept. */
  session: KeptSessionView | null;
  /** Whether it is sent no pushes, having acknowledged none for long. */
  parked: boolean;
  parkedSince: Date | null;
  /** Until when it is kept out; null: it is not. */
  bannedUntil: Date | null;
}

/** What a device's program says that it is, in its CONNECT (MQTT 5). */
export interface ClientView {
  name: string;
  /** Empty when it did not say. */
  version: string;
}

/** The MQTT session that is kept for a device. */
export interface KeptSessionView {
  /** null: it is connected, or kept for ever. */
  expiresAt: Date | null;
}

/** Devices to register or replace. */
export interface DeviceBatch {
  devices: readonly BatchDevice[];
}

/** A device to register, or to replace what is known of it. */
export interface BatchDevice {
  aliases?: readonly string[] | undefined;
  tags?: readonly string[] | undefined;
  /** Anything about the device; at most `center.max_attributes` (64) keys and `center.max_attributes_bytes` (4096) bytes of JSON. */
  attributes?: Record<string, unknown> | undefined;
  /** IANA name. */
  timezone?: string | null | undefined;
  platform?: string | null | undefined;
  /** The device's MQTT client id. */
  device: string;
}

/** One result a device, in the order of the request. */
export interface DeviceResults {
  results: DeviceResult[];
}

/** One device of a batch: its name when it is registered, or why it is not. */
export interface DeviceResult {
  device?: string | undefined;
  error?: ErrorInfo | undefined;
}

/** Devices to look up. */
export interface StatusRequest {
  /** Repeated names count once. */
  devices: readonly string[];
}

/** One row a device asked for, in the order asked. */
export interface DeviceStatusList {
  devices: DeviceStatus[];
}

/** Whether a device is connected, and since when. */
export interface DeviceStatus {
  device: string;
  online: boolean;
  since: Date | null;
}

/** What is known of a device, whole: what is left out is empty afterwards. */
export interface NewProfile {
  aliases?: readonly string[] | undefined;
  tags?: readonly string[] | undefined;
  /** Anything about the device; at most `center.max_attributes` (64) keys and `center.max_attributes_bytes` (4096) bytes of JSON. */
  attributes?: Record<string, unknown> | undefined;
  /** IANA name. */
  timezone?: string | null | undefined;
  platform?: string | null | undefined;
}

/** A registered device. */
export interface DeviceView {
  device: string;
  aliases: string[];
  tags: string[];
  attributes: Record<string, unknown>;
  timezone: string | null;
  platform: string | null;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
}

/** What to change of a device: lists are replaced, attributes merged, null deletes (RFC 7396). */
export interface ProfileChange {
  aliases?: readonly string[] | undefined;
  tags?: readonly string[] | undefined;
  /** Anything about the device; at most `center.max_attributes` (64) keys and `center.max_attributes_bytes` (4096) bytes of JSON. */
  attributes?: Record<string, unknown> | undefined;
  timezone?: string | null | undefined;
  platform?: string | null | undefined;
}

/** A device, where it is connected, and how many messages wait for it. */
export interface DeviceDetail {
  device: string;
  aliases: string[];
  tags: string[];
  attributes: Record<string, unknown>;
  timezone: string | null;
  platform: string | null;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  online: boolean;
  /** The node that holds its connection. */
  room: string | null;
  since: Date | null;
  /** Rises with every connection of the device. */
  epoch: number | null;
  /** When its connection ended; now, while it has one. */
  lastSeen: Date | null;
  /** From which it came last. */
  address: string | null;
  /** By which it came. */
  protocol: string | null;
  client: ClientView | null;
  /** null: none is kept. */
  session: KeptSessionView | null;
  /** Whether it is sent no pushes, having acknowledged none for long. */
  parked: boolean;
  parkedSince: Date | null;
  /** Until when it is kept out; null: it is not. */
  bannedUntil: Date | null;
  pending: number;
}

/** How long the token is good for; without it, until the device secret is rotated. */
export interface TokenRequest {
  /** Seconds. */
  expiresIn?: number | undefined;
}

/** What the device gives in its MQTT CONNECT. */
export interface DeviceToken {
  clientId: string;
  username: string;
  password: string;
}

/** A command to a device: exactly one of `payload` and `payload_base64`. */
export type CallBody = JsonCall | BytesCall;

/** What a device has answered to a call, and when. */
export interface CallView {
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  /** What the device sent, where it is UTF-8. */
  payload?: string | undefined;
  /** What it sent, else. */
  payloadBase64?: string | undefined;
}

/** What is desired of a device, and what it reports: JSON objects. `version` rises with each change. */
export interface ShadowView {
  desired: Record<string, unknown>;
  reported: Record<string, unknown>;
  version: number;
}

/** What to change of a shadow: each document is merged with what is given (RFC 7396); null empties it. */
export interface ShadowBody {
  /** What the device should be like. */
  desired?: Record<string, unknown> | null | undefined;
  /** What it says that it is like. */
  reported?: Record<string, unknown> | null | undefined;
}

/** What a device is subscribed to, by the bytes of its filters: all of it. */
export interface SubscriptionList {
  /** Whether its session is kept in the store. Of one that ends with its connection only its node knows the subscriptions, and the list is empty. */
  kept: boolean;
  subscriptions: SubscriptionView[];
}

/** A topic filter of a session, with its options in MQTT. */
export interface SubscriptionView {
  filter: string;
  qos: number;
  noLocal: boolean;
  retainAsPublished: boolean;
  /** That the client gave it; null: none. */
  identifier: number | null;
  /** Whether it is that of a group, `$share/{name}/…`. */
  shared: boolean;
}

/** A page of a device's connections, the latest first. */
export interface ConnectionList {
  connections: ConnectionView[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** A connection that a device had, or has. */
export interface ConnectionView {
  /** RFC 3339, UTC, milliseconds. */
  connectedAt: Date;
  /** null: it goes on, or the reason is `unknown`. */
  endedAt: Date | null;
  /** Why it ended: `disconnected` by the device, `connection_lost`, `taken_over` by its next one, `kicked`, `node_died`, `unknown`, and others, as `longline_room_closed_total` counts them. null: it goes on. */
  reason: string | null;
  /** The node that held it. */
  room: string;
  /** Rises with every connection of the device. */
  epoch: number;
  /** From which it came. */
  address: string | null;
  protocol: string | null;
  client: ClientView | null;
}

/**
 * A message and one of its devices, and how the device stands now: what it waits for, or why it was not
 * there. Of a message to everyone or to an expression, `sent_at` and `settled_at` are not known.
 */
export interface DeliveryTrace {
  device: string;
  state: "acked" | "collapsed" | "dropped" | "expired" | "pending";
  /** Why it was dropped. */
  reason: string | null;
  /** What that means, for people. */
  why: string;
  /** RFC 3339, UTC, milliseconds. */
  acceptedAt: Date;
  sentAt: Date | null;
  settledAt: Date | null;
  online: boolean;
  /** The node that holds the device's connection now. */
  room: string | null;
  /** Since when it does. */
  since: Date | null;
  /** When its connection ended; now, while it has one. */
  lastSeen: Date | null;
  /** Until when the device is kept out. */
  bannedUntil: Date | null;
  /** Since when it is sent no pushes. */
  parkedSince: Date | null;
}

/** An app to create. */
export interface NewApp {
  /** `a-z`, `0-9`, `_`, `-`; at most 64. */
  app: string;
  /** For people; the app's name unless given. */
  name?: string | undefined;
  /** Whether devices may use plain MQTT topics. */
  pubsub?: boolean | undefined;
  /** Whether a TLS client certificate stands in for a device's token. */
  clientCertificates?: boolean | undefined;
}

/** An app's secrets. The server key is shown here and never again: only its hash is kept. */
export interface AppKeys {
  app: string;
  /** null when it was not made now. */
  serverKey: string | null;
  /** Signs device tokens (HS256). */
  deviceSecret: string;
}

/** A page of apps, by name. */
export interface AppList {
  apps: AppInfo[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** An app, without its secrets. */
export interface AppInfo {
  app: string;
  name: string;
  pubsub: boolean;
  clientCertificates: boolean;
  endAtExpiry: boolean;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
}

/** What to change of an app; the rest stays. */
export interface AppChange {
  name?: string | undefined;
  pubsub?: boolean | undefined;
  clientCertificates?: boolean | undefined;
  /** Whether a connection ends when the token or certificate does that it was let in with; of those made from now on. */
  endAtExpiry?: boolean | undefined;
}

/** Which of the app's secrets to replace, at least one, and whether its devices' connections end. */
export interface Rotation {
  serverKey?: boolean | undefined;
  deviceSecret?: boolean | undefined;
  disconnect?: boolean | undefined;
  /** For so long the former ones are good, too. */
  graceSeconds?: number | undefined;
}

/** The identity provider whose tokens an app takes; of `jwks_url` and `keys` one is there. */
export interface TokenIssuerInfo {
  issuer: string;
  audience: string[];
  algorithms: string[];
  deviceClaim: string;
  deviceSecret: boolean;
  jwksUrl?: string | undefined;
  keys?: unknown[] | undefined;
}

/** An identity provider whose tokens the app takes: exactly one of `jwks_url` and `keys`. */
export type TokenIssuerBody = JwksIssuer | KeysIssuer;

/** All rules of an app. With any, nothing else is allowed on topics that are not the platform's. */
export interface AclInfo {
  rules: AclRuleInfo[];
}

/** Something that devices may do. */
export interface AclRuleInfo {
  allow: "both" | "publish" | "subscribe";
  filter: string;
}

/** All rules of the app; none: everything is allowed. */
export interface AclBody {
  rules: readonly AclRuleBody[];
}

/** Something that devices may do. */
export interface AclRuleBody {
  allow: "both" | "publish" | "subscribe";
  /** An MQTT topic filter. `{device}` stands for the device's name. */
  filter: string;
}

/** A page of keys, in the order in which they were made. */
export interface KeyList {
  keys: KeyInfo[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** A named key, without its text. */
export interface KeyInfo {
  /** A UUIDv7. It may be shown, and stands in logs. */
  keyId: string;
  name: string;
  scopes: string[];
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  /** The id of the key that made it; `admin` or `server` for those without a name. */
  createdBy: string;
  /** When it ends; null: it does not. */
  expiresAt: Date | null;
  /** When it was used last, to the minute; null: never. */
  lastUsedAt: Date | null;
}

/** A key of an app that is to be made: what for, what it may do, and until when. */
export interface NewAppKey {
  name: string;
  /** What it may do, no more than the key may that makes it. */
  scopes: readonly ("manage" | "read" | "send")[];
  /** When it ends. Absent: when the key does that makes it, which may be never. */
  expiresAt?: Date | string | undefined;
}

/** A new key. Its text, `key`, is shown here and never again: only its hash is kept. */
export interface MadeKey {
  /** A UUIDv7. It may be shown, and stands in logs. */
  keyId: string;
  /** `lln_`, its id, and 256 random bits. */
  key: string;
  name: string;
  scopes: string[];
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  /** The id of the key that made it; `admin` or `server` for those without a name. */
  createdBy: string;
  /** When it ends; null: it does not. */
  expiresAt: Date | null;
}

/** A key that is to reach all apps: what for, what it may do, and until when. */
export interface NewKey {
  name: string;
  /** What it may do, no more than the key may that makes it. */
  scopes: readonly ("manage" | "operate" | "read" | "send")[];
  /** When it ends. Absent: when the key does that makes it, which may be never. */
  expiresAt?: Date | string | undefined;
}

/** The limits of an app's own, null where the default holds, and those in force. */
export interface LimitsInfo {
  messagesPerSecond: number | null;
  deliveriesPerSecond: number | null;
  devices: number | null;
  connections: number | null;
  sessions: number | null;
  groups: number | null;
  requests: number | null;
  inboxMessages: number | null;
  inboxBytes: number | null;
  retainedMessages: number | null;
  retainedBytes: number | null;
  waitingMessages: number | null;
  schedules: number | null;
  ledgerRetention: number | null;
  retireAfter: number | null;
  inForce: LimitsInForce;
}

/** The limits that hold: the app's own, and the defaults where it has none. 0 is without limit. */
export interface LimitsInForce {
  messagesPerSecond: number;
  deliveriesPerSecond: number;
  devices: number;
  connections: number;
  sessions: number;
  groups: number;
  requests: number;
  inboxMessages: number;
  inboxBytes: number;
  retainedMessages: number;
  retainedBytes: number;
  waitingMessages: number;
  schedules: number;
  ledgerRetention: number;
  retireAfter: number;
}

/** All limits of the app's own. Null, or absent: the default, which the settings say; 0: without limit. */
export interface LimitsBody {
  messagesPerSecond?: number | null | undefined;
  deliveriesPerSecond?: number | null | undefined;
  devices?: number | null | undefined;
  connections?: number | null | undefined;
  sessions?: number | null | undefined;
  groups?: number | null | undefined;
  requests?: number | null | undefined;
  inboxMessages?: number | null | undefined;
  inboxBytes?: number | null | undefined;
  retainedMessages?: number | null | undefined;
  retainedBytes?: number | null | undefined;
  waitingMessages?: number | null | undefined;
  schedules?: number | null | undefined;
  ledgerRetention?: number | null | undefined;
  retireAfter?: number | null | undefined;
  /** Not heeded: so that what `GET` answers can be put again. */
  inForce?: Record<string, unknown> | undefined;
}

/** Events of an app's devices, oldest first. */
export interface EventList {
  events: EventView[];
  /** Where to go on; null: there was no event yet. */
  nextCursor: string | null;
  /** Events behind the cursor were removed before they were read. */
  gap: boolean;
}

/** Something that happened to a device; which fields there are depends on its type. */
export interface EventView {
  /** To go on behind this event. */
  cursor: string;
  /** `upstream`, `presence`, `receipt` or `device`; more to come. */
  type: string;
  device: string;
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  state?: "deleted" | "moved" | "offline" | "online" | "registered" | "retired" | undefined;
  /** Of the session that began or ended. */
  epoch?: number | undefined;
  /** Rises with every transition of a device. */
  sequence?: number | undefined;
  /** The node of that session. */
  room?: string | undefined;
  /** Of what a device sent: two events with the same one are one, stored twice. */
  id?: string | undefined;
  /** As the device published it. */
  topic?: string | undefined;
  /** What the device sent, where it is UTF-8. */
  payload?: string | undefined;
  /** What it sent, else. */
  payloadBase64?: string | undefined;
  contentType?: string | undefined;
  /** Names and values, in the device's order. */
  userProperties?: string[][] | undefined;
  /** For an answer, where the device has asked for one. */
  replyTo?: string | undefined;
  /** The device says that it may have sent this before: DUP in MQTT. */
  repeated?: boolean | undefined;
  /** The device's own id for what it sent (MQTT 5). Two events of a device with the same one are one message, which it sent again. */
  sendId?: string | undefined;
  /** Of the message that a receipt is for. */
  messageId?: string | undefined;
  /** What became of it: `shown`, `opened`, `dismissed`, … */
  name?: string | undefined;
}

/** A webhook, without its secret, which nobody is shown. */
export interface WebhookInfo {
  url: string;
  events: ("device" | "presence" | "receipt" | "upstream")[];
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  status: WebhookStatus;
  /** RFC 3339, UTC, milliseconds. */
  formerSecretUntil?: Date | undefined;
}

/** How a webhook fares. */
export interface WebhookStatus {
  /** `failing`: the last try failed. `gone`: 410 was answered; PUT begins anew. */
  state: "active" | "failing" | "gone";
  /** Open: so many tries failed that it is left alone; half open: it is tried again. */
  circuit: "closed" | "half_open" | "open";
  /** Tries that failed, in a row. */
  failures: number;
  failingSince: Date | null;
  /** When it is tried again; null: when there is more. */
  nextTryAt: Date | null;
  lastSuccessAt: Date | null;
  lastFailureAt: Date | null;
  /** Why the last try failed, if it did. */
  lastError: string | null;
  /** How long the oldest event waits. */
  lagSeconds: number;
  /** Events that it took. */
  taken: number;
  /** Batches before which events were removed unread. */
  gaps: number;
  dead: DeadCounts;
}

/** Events that the target never took. */
export interface DeadCounts {
  /** How many are kept. */
  events: number;
  /** How many of them are to be sent once more. */
  replaying: number;
  /** How many were not kept: of more than may be, the oldest. */
  dropped: number;
}

/** Where an app's events are sent. */
export interface WebhookBody {
  /** `https`, of the public internet. With `webhooks.private_addresses` also `http`, and addresses of private networks. */
  url: string;
  /** `whsec_` and base64 of 24 to 64 bytes. Absent: the present one stays. */
  secret?: string | undefined;
  /** Types of events. Absent: all. */
  events?: readonly ("device" | "presence" | "receipt" | "upstream")[] | undefined;
  /** For how long the secret before a new one signs as well, so that nothing is refused while the target learns the new one. */
  graceSeconds?: number | undefined;
}

/** Events that the target never took, oldest first. */
export interface DeadEventList {
  events: DeadEventView[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** An event that the target never took. */
export interface DeadEventView {
  /** To go on behind this event. */
  cursor: string;
  /** `upstream`, `presence`, `receipt` or `device`; more to come. */
  type: string;
  device: string;
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  state?: "deleted" | "moved" | "offline" | "online" | "registered" | "retired" | undefined;
  /** Of the session that began or ended. */
  epoch?: number | undefined;
  /** Rises with every transition of a device. */
  sequence?: number | undefined;
  /** The node of that session. */
  room?: string | undefined;
  /** Of what a device sent: two events with the same one are one, stored twice. */
  id?: string | undefined;
  /** As the device published it. */
  topic?: string | undefined;
  /** What the device sent, where it is UTF-8. */
  payload?: string | undefined;
  /** What it sent, else. */
  payloadBase64?: string | undefined;
  contentType?: string | undefined;
  /** Names and values, in the device's order. */
  userProperties?: string[][] | undefined;
  /** For an answer, where the device has asked for one. */
  replyTo?: string | undefined;
  /** The device says that it may have sent this before: DUP in MQTT. */
  repeated?: boolean | undefined;
  /** The device's own id for what it sent (MQTT 5). Two events of a device with the same one are one message, which it sent again. */
  sendId?: string | undefined;
  /** Of the message that a receipt is for. */
  messageId?: string | undefined;
  /** What became of it: `shown`, `opened`, `dismissed`, … */
  name?: string | undefined;
  /** The target refused it and takes others, or took nothing for too long. */
  reason: "refused" | "unanswered";
  /** What came of the last try. */
  error: string;
  /** RFC 3339, UTC, milliseconds. */
  givenUpAt: Date;
  /** It is to be sent once more. */
  replaying?: boolean | undefined;
}

/** Which dead events are to be sent once more. */
export interface ReplayRequest {
  /** Theirs. Absent: all that there are now. */
  cursors?: readonly string[] | undefined;
}

/** How many dead events are to be sent once more. */
export interface ReplayAnswer {
  replaying: number;
}

/** A page of messages, the latest first. It may be short, or empty, though there is a next one. */
export interface MessageList {
  messages: MessageStatus[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** A page of a device's messages, the latest first. It may be short though there is a next one. */
export interface DeviceMessageList {
  messages: DeviceMessageView[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/**
 * A message and where it stands for one device; null for what has not happened.
 *
 * Of a message to everyone or to an expression, `sent_at` and `settled_at` are not known.
 */
export interface DeviceMessageView {
  /** A UUIDv7. */
  messageId: string;
  state: "acked" | "collapsed" | "dropped" | "expired" | "pending";
  /** Why it was dropped. */
  reason: string | null;
  /** What that means, for people. */
  why: string;
  /** RFC 3339, UTC, milliseconds. */
  acceptedAt: Date;
  sentAt: Date | null;
  settledAt: Date | null;
  /** Its sender's word for it. */
  label?: string | undefined;
}

/** One row for each hour, or each day, the first first. */
export interface StatisticsList {
  by: "day" | "hour";
  statistics: StatisticsView[];
}

/** What was counted in an hour, or a day, of UTC. */
export interface StatisticsView {
  /** When it began. */
  at: Date;
  /** Accepted. */
  messages: number;
  /** Acknowledged by devices. */
  deliveries: number;
  /** As devices told on `event/{message_id}/shown`. */
  shown: number;
  /** As devices told on `event/{message_id}/opened`. */
  opened: number;
  devices: DevicesCounted;
}

/** Devices of an hour, or of a day. */
export interface DevicesCounted {
  /** Registered. */
  new: number;
  /** Distinct ones that were connected. */
  active: number;
  /** Deleted or retired. */
  gone: number;
}

/** A page of schedules, in the order in which they were made. */
export interface ScheduleList {
  schedules: ScheduleView[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** A message that is sent again and again. */
export interface ScheduleView {
  /** A UUIDv7. */
  scheduleId: string;
  /** Any JSON value. */
  message: unknown;
  cron: string;
  timezone: string;
  paused: boolean;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  /** The next times: RFC 3339, UTC; for the devices' own time zones local, without an offset. None while it is paused. */
  next: string[];
  /** The latest, the last one last. */
  firings: FiringView[];
}

/** A message, and when to send it again and again. */
export interface NewSchedule {
  message: MessageBody;
  /** Minute, hour, day of month, month, day of week, as cron has them. */
  cron: string;
  /** IANA name of the time zone that the expression means, or `device`: each device's own. */
  timezone?: string | undefined;
}

/**
 * What was said in a group, in its order. `sequence`: that of its latest message.
 *
 * `next_after` goes on behind this page; null: there is no more. Where the first message is not the one
 * after `after`, those between are not kept any more.
 */
export interface GroupHistory {
  messages: SayingView[];
  sequence: number;
  nextAfter: number | null;
}

/** What was said in a group. */
export interface SayingView {
  sequence: number;
  /** A UUIDv7. */
  messageId: string;
  /** The member who said it; null: the app server. */
  sender: string | null;
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  contentType: string;
  /** What was said, where it is UTF-8. */
  payload?: string | undefined;
  /** What was said, else. */
  payloadBase64?: string | undefined;
}

/** Who comes into a group, or leaves it. */
export interface MembersBody {
  /** Repeated names count once. */
  members: readonly string[];
}

/** How many members are new, and how many there are. */
export interface MembersAdded {
  added: number;
  size: number;
}

/** How many were members, and how many are left. */
export interface MembersRemoved {
  removed: number;
  size: number;
}

/** Who is to be in a group. */
export interface GroupBody {
  /** Exactly these from now on. Absent: who is there stays. */
  members?: readonly string[] | undefined;
}

/** A group for chat, who is a member, and which of them are connected; by name. */
export interface GroupView {
  group: string;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  /** Of the latest message; 0 when there was none. */
  sequence: number;
  /** How many members it has. */
  size: number;
  members: string[];
  online: string[];
}

/** A page of groups, by name. */
export interface GroupList {
  groups: GroupSummary[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** A group for chat, without its members. */
export interface GroupSummary {
  group: string;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: Date;
  /** Of the latest message; 0 when there was none. */
  sequence: number;
  /** How many members it has. */
  size: number;
}

/** Who is a member now, by name. */
export interface NodeList {
  nodes: NodeView[];
}

/** A member of the cluster. */
export interface NodeView {
  node: string;
  /** Its machine, which stays the same when it starts again. */
  host: string;
  roles: string[];
  addresses: Record<string, string>;
  /** RFC 3339, UTC, milliseconds. */
  since: Date;
  version: string;
  region: string;
  networks: string[];
  pool: string;
  weight: number;
  load: LoadView;
  /** It takes no new clients. */
  draining: boolean;
  drain: DrainView | null;
  /** Of the dynamic settings in force there. */
  settingsVersion: number;
}

/** What a node has measured of itself lately. */
export interface LoadView {
  connections: number;
  /** Connections that it takes. */
  capacity: number;
  /** Share of one core in use. */
  cpu: number;
  /** How late its event loop is, in seconds. */
  lag: number;
}

/** An order to move a node's clients elsewhere, and how far that has come. */
export interface DrainView {
  /** RFC 3339, UTC, milliseconds. */
  requestedAt: Date;
  rate: number | null;
  deadline: number | null;
  dryRun: boolean;
  /** As the node tells it; null until it has begun. */
  progress: Record<string, unknown> | null;
}

/** How to move a node's clients elsewhere. */
export interface DrainRequest {
  /** Clients moved in the first second; then the pace follows how they get along. */
  rate?: number | undefined;
  /** Seconds for all of it; who is left then is told that the server shuts down. */
  deadline?: number | undefined;
  /** Only say what would be done; nobody is moved. */
  dryRun?: boolean | undefined;
}

/** The node is there (`ok`), or takes traffic (`ready`). */
export interface Health {
  status: "ok" | "ready";
}

/** The agents of all hosts, by name. */
export interface AgentList {
  agents: AgentView[];
}

/** The agent of a host, and the processes that it keeps running. */
export interface AgentView {
  /** Its name: that of its host. */
  agent: string;
  /** `away`: it was killed, its host is down, or it is cut off; the rest is what it told last. */
  state: "away" | "present";
  /** Of the agent itself, which may be older than its processes'. */
  version: string;
  /** RFC 3339, UTC, milliseconds. */
  since: Date;
  /** When it told this; it does so when something has changed. */
  toldAt: Date;
  processes: ProcessView[];
  restart: RestartView | null;
}

/** A process that an agent keeps running. */
export interface ProcessView {
  /** Its roles, joined by `+`; `store` for that of `serve --workers`. */
  kind: string;
  /** Its name in the cluster, once it takes traffic. */
  node: string | null;
  pid: number | null;
  /** `pausing`: it ended early, and is started again after a pause; `ending`: it moves its clients elsewhere and ends. */
  state: "ending" | "pausing" | "ready" | "starting";
  since: Date | null;
  /** How often it ended without being told to, and was started again. */
  restarts: number;
  /** Of the one before it in its place. */
  lastExit: ExitView | null;
  /** Of Longline there; null while it is no member. */
  version: string | null;
  /** Of the dynamic settings in force there; null while it is no member. */
  settingsVersion: number | null;
}

/** How a process ended. */
export interface ExitView {
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  /** The signal that it died of, or the status that it gave. */
  reason: string;
}

/** A rolling restart, under way or the latest. */
export interface RestartView {
  /** Of the order; null for one by a signal on the host. */
  id: string | null;
  /** The id of the key that ordered it; the audit log has the rest. */
  by: string | null;
  /** `starting`: new processes start beside the old ones; `replacing`: the old ones move their clients and end, one after the other; `given_up`: the new ones did not get ready, and the old ones stay; `interrupted`: the agent died meanwhile. */
  state: "cancelled" | "done" | "given_up" | "interrupted" | "replacing" | "starting";
  /** Processes that it replaces. */
  total: number;
  /** New ones that take traffic. */
  ready: number;
  /** Old ones that have ended. */
  replaced: number;
  /** RFC 3339, UTC, milliseconds. */
  startedAt: Date;
  endedAt: Date | null;
  /** Why it came to nothing. */
  reason: string | null;
}

/** Which processes to replace. */
export interface RestartRequest {
  /** Names of nodes that are processes of this agent. Left out: all of them. */
  processes?: readonly string[] | undefined;
}

/** What all processes have told last, by node. */
export interface FiguresView {
  /** Now, by the store's clock. */
  at: Date;
  nodes: NodeFigures[];
}

/** What one process told of itself last. `at`: when, by its own clock. */
export interface NodeFigures {
  node: string;
  /** Its machine, which stays the same when it starts again. */
  host: string;
  roles: string[];
  version: string;
  /** RFC 3339, UTC, milliseconds. */
  since: Date;
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  /** By their names in `/metrics`, without `longline_` and `_total`; one that has a label as `room_closed{kicked}`. A histogram by `name_count` and `name_sum`, and by `name_p50` and `name_p99` of what came since the sample before, in seconds, which are absent when nothing did. */
  figures: Record<string, number>;
  tasks: TaskKindView[];
  /** The 20 busiest, the busiest first, and all others as one. */
  apps: AppLoadView[];
}

/** The tasks of a process that have one name. */
export interface TaskKindView {
  name: string;
  count: number;
  /** How long the oldest of them has been there, as far as it was seen. */
  oldestSeconds: number;
}

/** What an app does in one process, as of its last sample: all but `connections` in a second. */
export interface AppLoadView {
  /** null: all other apps together. */
  app: string | null;
  /** How many apps that is. */
  apps: number;
  /** Devices that are connected to it. */
  connections: number;
  /** Devices let in. */
  connects: number;
  /** Messages that were answered 202. */
  accepted: number;
  /** Pushes written to devices. */
  sent: number;
  /** Pushes that devices acknowledged. */
  acked: number;
  /** Messages and receipts of devices that were stored. */
  upstream: number;
  /** Requests answered, but for those that wait for events. */
  requests: number;
  /** Answers from 400 to 499. */
  refused: number;
  /** Answers from 500 on. */
  errors: number;
  /** What a request took on the average; null without any. */
  requestSeconds: number | null;
}

/** What some figures of processes were. */
export interface HistoryView {
  /** Seconds between two points. */
  step: number;
  nodes: NodeHistory[];
}

/** What some figures of one process were, each as long as `at`; one that starts again begins another. */
export interface NodeHistory {
  node: string;
  /** Its machine, which stays the same when it starts again. */
  host: string;
  /** When each was told, by the store's clock. */
  at: Date[];
  /** By name; null where a histogram had seen nothing. A figure that was always 0 is absent. */
  figures: Record<string, (number | null)[]>;
}

/** What is wrong now, the critical first. */
export interface ProblemList {
  problems: ProblemView[];
}

/** Something that is wrong now. */
export interface ProblemView {
  /** What it is, for programs. */
  code: string;
  severity: "critical" | "warning";
  message: string;
  /** What to do about it. */
  hint: string;
  /** Since when, as far as that is known. */
  since: Date | null;
  node?: string | undefined;
  /** `a-z`, `0-9`, `_`, `-`; at most 64. */
  app?: string | undefined;
}

/** How full each bound is, the fullest first. */
export interface BoundList {
  bounds: BoundView[];
}

/** How full something is that has a bound. */
export interface BoundView {
  /** The figure that is bounded. */
  name: string;
  node: string;
  /** Its machine, which stays the same when it starts again. */
  host: string;
  used: number;
  limit: number;
  /** Of the limit, 0 to 1. */
  share: number;
  /** How it grew in the last days; null: it has not been told for long enough. */
  growthPerDay: number | null;
  /** When it is full if it goes on like that; null: it is not, within ten years. */
  fullAt: Date | null;
}

/** How an app fares now. */
export interface AppFiguresView {
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  /** Devices that are connected, or have just been. */
  connected: number;
  messagesPerSecond: number | null;
  /** That devices acknowledged. */
  deliveriesPerSecond: number | null;
  /** In this hour, of UTC. */
  messages: number;
  /** That devices acknowledged in this hour. */
  deliveries: number;
  waiting: WaitingView;
}

/** What waits of an app's latest messages. */
export interface WaitingView {
  deliveries: number;
  /** How many messages these are: the latest 100, or all. */
  messages: number;
}

/** The dynamic settings of the cluster; what is not among them, each node has from its own sources. */
export interface ConfigView {
  /** Rises with every change; 0 when there was none. */
  version: number;
  at: Date | null;
  settings: Record<string, unknown>;
  gray: GrayView | null;
  /** The latest former versions, latest first. */
  history: FormerConfig[];
  nodes: NodeVersion[];
  /** All that can be changed at run time. */
  available: DynamicSetting[];
}

/** Settings on trial, and the members they are for. */
export interface GrayView {
  nodes: string[];
  settings: Record<string, unknown>;
}

/** What a former version of the dynamic settings said. */
export interface FormerConfig {
  version: number;
  at: Date | null;
  settings: Record<string, unknown>;
  gray: GrayView | null;
}

/** Which version of the dynamic settings is in force on a member. */
export interface NodeVersion {
  node: string;
  settingsVersion: number;
}

/** What a setting that can be changed at run time is for, and what it may be. */
export interface DynamicSetting {
  name: string;
  /** Any JSON value. */
  default: unknown;
  /** Type, bounds and unit in words. */
  type: string;
  meaning: string;
}

/** A setting that can be changed at run time. */
export interface SettingView {
  name: string;
  /** For all nodes; null: each has its own. */
  value: unknown;
  /** For the nodes on trial; null: none. */
  gray: unknown;
  /** Any JSON value. */
  default: unknown;
  /** Type, bounds and unit in words. */
  type: string;
  meaning: string;
  /** Of all dynamic settings. */
  version: number;
}

/** A value for a setting. */
export interface ConfigValue {
  /** Any JSON value. */
  value: unknown;
  /** Only for these members, by name or host, until it is promoted or rolled back. */
  nodes?: readonly string[] | undefined;
  /** Change it only if the settings have this version; otherwise 409. */
  version?: number | undefined;
}

/** A page of changes, the latest first. */
export interface ChangeList {
  changes: ChangeView[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** A change: who asked for it, and what became of that. */
export interface ChangeView {
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  /** The id of the key that made it; `admin` or `server` for those without a name. */
  keyId: string;
  keyName: string;
  /** Whose connection it was. */
  address: string;
  /** `X-Request-ID` of the request, or of the answer where the request had none. */
  requestId: string;
  method: string;
  /** With the names of its parameters. */
  path: string;
  /** Of the answer; null: it is under way, or nobody knows whether it was made. */
  status: number | null;
  app?: string | undefined;
  /** What was changed, such as a device. */
  subject?: string | undefined;
  /** To what. */
  detail?: string | undefined;
  /** The code, where it was refused. */
  error?: string | undefined;
}

/** What the key of a request may do; `app` is the only one that it reaches, null: all of them. */
export interface OwnKeyInfo {
  /** The id of the key that made it; `admin` or `server` for those without a name. */
  keyId: string;
  name: string;
  app: string | null;
  scopes: string[];
  /** When it ends; null: it does not. */
  expiresAt: Date | null;
}

/** A profile. What its `content` looks like depends on its `kind`. */
export interface ProfileWithContent {
  /** A UUIDv7. */
  profile: string;
  node: string;
  host: string;
  /** Of Longline, there and then. */
  version: string;
  /** `cpu` is where it uses its processor, `heap` what it allocates and keeps, `tasks` what waits on the event loop, and where, `loop` how late that is, and what held it up, `queues` how full queues are, and who waits for locks. */
  kind: "cpu" | "heap" | "loop" | "queues" | "tasks";
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  /** How long it took. */
  seconds: number;
  /** Bytes that it takes up in the store. */
  size: number;
  content: CpuContent | HeapContent | TaskContent | LoopContent | QueuesContent;
}

/** Where the process used its processor: threads that wait are left out. */
export interface CpuContent {
  kind: "cpu";
  /** In all. */
  samples: number;
  /** Samples a second. */
  rate: number;
  /** Functions of compiled modules and of libraries in C are among the frames. */
  native: boolean;
  /** What took the samples: `py-spy`, or a `thread` of the process. */
  by: string;
  /** The most frequent first. */
  stacks: Stack[];
  /** The busiest first. Samples are of the thread that has the interpreter's lock: what others do without it, such as reading from a disk, is in their time alone. */
  threads?: ThreadTime[] | undefined;
  /** Samples of stacks for which there was no room. */
  leftOut?: number | undefined;
  /** Why it is not `native`. */
  limitation?: Limitation | null | undefined;
}

/** Where the process was, and in how many samples. `frames`: outermost first. */
export interface Stack {
  frames: string[];
  samples: number;
}

/** A thread, and for how many seconds it had a processor meanwhile, by the kernel's clock. */
export interface ThreadTime {
  name: string;
  seconds: number;
}

/** What keeps a profile from showing all that it could, and what to do about it. */
export interface Limitation {
  /** `no_py_spy`, `no_ptrace` or `py_spy_failed`. */
  code: string;
  message: string;
  hint: string;
}

/** What was allocated while it was traced, and stayed. Memory from before, and that of C, is not in it. */
export interface HeapContent {
  kind: "heap";
  /** Allocated since the beginning and alive at the end. */
  bytes: number;
  /** Resident memory of the process at the end. */
  processBytes: number;
  /** What grew most first. */
  places: GrowingPlace[];
  /** As many allocations were alive as one can look at without harm. */
  endedEarly?: boolean | undefined;
}

/** A place that allocates. */
export interface GrowingPlace {
  /** File and line. */
  place: string;
  /** Allocated since the beginning and alive at the end. */
  bytes: number;
  /** Of these, more than at half time: what only comes and goes has no part in it. */
  grown: number;
  /** Allocations alive at the end. */
  blocks: number;
}

/** The tasks alive on the event loop. */
export interface TaskContent {
  kind: "tasks";
  /** Those with most tasks first. */
  kinds: TasksOfKind[];
  /** Tasks of names for which there was no room. */
  leftOut?: number | undefined;
}

/** The tasks of one name. */
export interface TasksOfKind {
  /** Numbers in it are `*`. */
  name: string;
  count: number;
  /** Since the oldest was first seen; they are looked at every ten seconds. */
  oldestSeconds: number;
  /** Where most of them wait: the innermost frame of Longline. */
  where: string;
}

/** What held up the event loop. */
export interface LoopContent {
  kind: "loop";
  /** The latest first, also from before: a process remembers some. */
  stalls: Stall[];
  /** How much later than asked for the loop woke somebody. */
  lag: Waits;
  /** Pauses of the garbage collector. */
  gc: Waits;
  /** Stalls for which there was no room. */
  forgotten?: number | undefined;
}

/** The event loop was late. `stack`: what ran in its thread then, outermost first. */
export interface Stall {
  /** When it was noticed. */
  at: string;
  /** How long the loop stood still, at least. */
  seconds: number;
  stack: string[];
  /** Of these, for the garbage collector. */
  gcSeconds: number;
}

/** A distribution of seconds. */
export interface Waits {
  count: number;
  total: number;
  highest: number;
  buckets: WaitsUpTo[];
}

/** How many were at most so many seconds. */
export interface WaitsUpTo {
  /** `+Inf` for all. */
  seconds: string;
  count: number;
}

/** How full the queues were, and who waited for locks. Each series has a value for each look. */
export interface QueuesContent {
  kind: "queues";
  /** When it looked: seconds since the beginning. */
  at: number[];
  queues: QueueDepth[];
  /** Those that were held or waited for in a look, the most waited for first. */
  locks: LockUse[];
  /** Tasks that it had no time to look at, at once. */
  leftOut?: number | undefined;
}

/** A queue, and what was in it at each look: the figure of this name. */
export interface QueueDepth {
  name: string;
  depth: number[];
}

/**
 * A lock, or all of one name: how many tasks waited for it and held it at each look, and who they were.
 *
 * `longest_wait` and `longest_hold` in seconds: for how long the same task was seen to.
 */
export interface LockUse {
  /** The attribute that it is in. */
  name: string;
  waiting: number[];
  held: number[];
  longestWait: number;
  longestHold: number;
  /** The most frequent first. */
  waiters: AtLock[];
  /** The most frequent first, and what they were at. */
  holders: AtLock[];
}

/** Tasks of one name at a lock, all at one line, and in how many looks. */
export interface AtLock {
  /** Numbers in it are `*`. */
  task: string;
  /** The innermost frame of Longline. */
  where: string;
  looks: number;
}

/** A page of profiles, the latest first. */
export interface ProfileList {
  profiles: ProfileInfo[];
  /** For the next page; null: this was the last. */
  nextCursor: string | null;
}

/** A profile that is kept, without what is in it. */
export interface ProfileInfo {
  /** A UUIDv7. */
  profile: string;
  node: string;
  host: string;
  /** Of Longline, there and then. */
  version: string;
  /** `cpu` is where it uses its processor, `heap` what it allocates and keeps, `tasks` what waits on the event loop, and where, `loop` how late that is, and what held it up, `queues` how full queues are, and who waits for locks. */
  kind: "cpu" | "heap" | "loop" | "queues" | "tasks";
  /** RFC 3339, UTC, milliseconds. */
  at: Date;
  /** How long it took. */
  seconds: number;
  /** Bytes that it takes up in the store. */
  size: number;
}

/** What changed from one profile to another, the largest growth first. */
export interface ProfileDifference {
  base: ProfileInfo;
  profile: ProfileInfo;
  frames: FrameDifference[];
}

/** A function, and its part in both profiles: what it did itself, or had done by what is written in C. */
export interface FrameDifference {
  /** Without a line. */
  frame: string;
  /** A part of all samples, 0 to 1. */
  baseShare: number;
  /** A part of all samples, 0 to 1. */
  share: number;
  /** `share` less `base_share`. */
  change: number;
  /** With the line that most of it is at. */
  place: string;
}

/** A message to push: an audience, and exactly one of `payload` and `payload_base64`. */
export interface JsonMessage {
  /** `"all"`: every device registered now. Or an object that says which devices. */
  audience: "all" | AudienceObject;
  /** Any JSON value but "", up to 256 KiB. A string is delivered as its text. */
  payload: unknown;
  options?: Options | undefined;
}

/** A message to push: an audience, and exactly one of `payload` and `payload_base64`. */
export interface BytesMessage {
  /** `"all"`: every device registered now. Or an object that says which devices. */
  audience: "all" | AudienceObject;
  /** Bytes to deliver as they are (standard alphabet, padded). */
  payloadBase64: string;
  options?: Options | undefined;
}

/** A command to a device: exactly one of `payload` and `payload_base64`. */
export interface JsonCall {
  /** Any JSON value but "", up to 256 KiB. A string is delivered as its text. */
  payload: unknown;
  /** Seconds to wait for the answer. */
  timeout?: number | undefined;
}

/** A command to a device: exactly one of `payload` and `payload_base64`. */
export interface BytesCall {
  /** Bytes to deliver as they are (standard alphabet, padded). */
  payloadBase64: string;
  /** Seconds to wait for the answer. */
  timeout?: number | undefined;
}

/** An identity provider whose tokens the app takes: exactly one of `jwks_url` and `keys`. */
export interface JwksIssuer {
  /** Where its JSON Web Key Set is: `https`, on the public internet, unless the server's settings allow others. */
  jwksUrl: string;
  /** What `iss` has to be. Wanted with `jwks_url`. */
  issuer: string;
  /** `aud` has to name one of these. Wanted with `jwks_url`. */
  audience: string | readonly string[];
  /** Which of these the tokens may be signed with. */
  algorithms?: readonly ("ES256" | "ES384" | "ES512" | "EdDSA" | "PS256" | "PS384" | "PS512" | "RS256" | "RS384" | "RS512")[] | undefined;
  /** The claim that names the device. */
  deviceClaim?: string | undefined;
  /** Whether tokens by the app's own secret (HS256) are taken as well. */
  deviceSecret?: boolean | undefined;
}

/** An identity provider whose tokens the app takes: exactly one of `jwks_url` and `keys`. */
export interface KeysIssuer {
  /** Its public keys: JSON Web Keys (RFC 7517), or PEM as text. */
  keys: readonly unknown[];
  /** What `iss` has to be. Wanted with `jwks_url`. */
  issuer?: string | undefined;
  /** `aud` has to name one of these. Wanted with `jwks_url`. */
  audience?: string | readonly string[] | undefined;
  /** Which of these the tokens may be signed with. */
  algorithms?: readonly ("ES256" | "ES384" | "ES512" | "EdDSA" | "PS256" | "PS384" | "PS512" | "RS256" | "RS384" | "RS512")[] | undefined;
  /** The claim that names the device. */
  deviceClaim?: string | undefined;
  /** Whether tokens by the app's own secret (HS256) are taken as well. */
  deviceSecret?: boolean | undefined;
}

/**
 * Of each type, the fields that are more than a value: `d` a time, `@Type` one of a type, `[` a list of,
 * `{` an object of. What is not named here is handed through as it is.
 */
export const SHAPES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ErrorAnswer: { error: "@ErrorInfo" },
  ErrorInfo: { details: "[@FieldError" },
  FieldError: {},
  MessageBody: { audience: "@AudienceObject", options: "@Options" },
  AudienceObject: { attributes: "{@Comparison", any: "[@DeviceMatch", every: "[@DeviceMatch", not: "@DeviceMatch" },
  Comparison: {},
  DeviceMatch: { attributes: "{@Comparison", any: "[@DeviceMatch", every: "[@DeviceMatch", not: "@DeviceMatch" },
  Options: {},
  MessageAccepted: {},
  MessageReach: {},
  MessageBatch: { messages: "[@MessageBody" },
  MessageResults: { results: "[@MessageResult" },
  MessageResult: { error: "@ErrorInfo" },
  MessageStatus: { created_at: "d", ledger: "@LedgerView", firings: "[@FiringView" },
  LedgerView: {},
  FiringView: { at: "d" },
  DeliveryList: { deliveries: "[@Delivery" },
  Delivery: { accepted_at: "d", sent_at: "d", settled_at: "d" },
  EstimateRequest: { audience: "@AudienceObject" },
  Estimate: {},
  DeviceList: { devices: "[@DeviceState" },
  DeviceState: { created_at: "d", since: "d", last_seen: "d", client: "@ClientView", session: "@KeptSessionView", parked_since: "d", banned_until: "d" },
  ClientView: {},
  KeptSessionView: { expires_at: "d" },
  DeviceBatch: { devices: "[@BatchDevice" },
  BatchDevice: {},
  DeviceResults: { results: "[@DeviceResult" },
  DeviceResult: { error: "@ErrorInfo" },
  StatusRequest: {},
  DeviceStatusList: { devices: "[@DeviceStatus" },
  DeviceStatus: { since: "d" },
  NewProfile: {},
  DeviceView: { created_at: "d" },
  ProfileChange: {},
  DeviceDetail: { created_at: "d", since: "d", last_seen: "d", client: "@ClientView", session: "@KeptSessionView", parked_since: "d", banned_until: "d" },
  TokenRequest: {},
  DeviceToken: {},
  CallBody: {},
  CallView: { at: "d" },
  ShadowView: {},
  ShadowBody: {},
  SubscriptionList: { subscriptions: "[@SubscriptionView" },
  SubscriptionView: {},
  ConnectionList: { connections: "[@ConnectionView" },
  ConnectionView: { connected_at: "d", ended_at: "d", client: "@ClientView" },
  DeliveryTrace: { accepted_at: "d", sent_at: "d", settled_at: "d", since: "d", last_seen: "d", banned_until: "d", parked_since: "d" },
  NewApp: {},
  AppKeys: {},
  AppList: { apps: "[@AppInfo" },
  AppInfo: { created_at: "d" },
  AppChange: {},
  Rotation: {},
  TokenIssuerInfo: {},
  TokenIssuerBody: {},
  AclInfo: { rules: "[@AclRuleInfo" },
  AclRuleInfo: {},
  AclBody: { rules: "[@AclRuleBody" },
  AclRuleBody: {},
  KeyList: { keys: "[@KeyInfo" },
  KeyInfo: { created_at: "d", expires_at: "d", last_used_at: "d" },
  NewAppKey: { expires_at: "d" },
  MadeKey: { created_at: "d", expires_at: "d" },
  NewKey: { expires_at: "d" },
  LimitsInfo: { in_force: "@LimitsInForce" },
  LimitsInForce: {},
  LimitsBody: {},
  EventList: { events: "[@EventView" },
  EventView: { at: "d" },
  WebhookInfo: { created_at: "d", status: "@WebhookStatus", former_secret_until: "d" },
  WebhookStatus: { failing_since: "d", next_try_at: "d", last_success_at: "d", last_failure_at: "d", dead: "@DeadCounts" },
  DeadCounts: {},
  WebhookBody: {},
  DeadEventList: { events: "[@DeadEventView" },
  DeadEventView: { at: "d", given_up_at: "d" },
  ReplayRequest: {},
  ReplayAnswer: {},
  MessageList: { messages: "[@MessageStatus" },
  DeviceMessageList: { messages: "[@DeviceMessageView" },
  DeviceMessageView: { accepted_at: "d", sent_at: "d", settled_at: "d" },
  StatisticsList: { statistics: "[@StatisticsView" },
  StatisticsView: { at: "d", devices: "@DevicesCounted" },
  DevicesCounted: {},
  ScheduleList: { schedules: "[@ScheduleView" },
  ScheduleView: { created_at: "d", firings: "[@FiringView" },
  NewSchedule: { message: "@MessageBody" },
  GroupHistory: { messages: "[@SayingView" },
  SayingView: { at: "d" },
  MembersBody: {},
  MembersAdded: {},
  MembersRemoved: {},
  GroupBody: {},
  GroupView: { created_at: "d" },
  GroupList: { groups: "[@GroupSummary" },
  GroupSummary: { created_at: "d" },
  NodeList: { nodes: "[@NodeView" },
  NodeView: { since: "d", load: "@LoadView", drain: "@DrainView" },
  LoadView: {},
  DrainView: { requested_at: "d" },
  DrainRequest: {},
  Health: {},
  AgentList: { agents: "[@AgentView" },
  AgentView: { since: "d", told_at: "d", processes: "[@ProcessView", restart: "@RestartView" },
  ProcessView: { since: "d", last_exit: "@ExitView" },
  ExitView: { at: "d" },
  RestartView: { started_at: "d", ended_at: "d" },
  RestartRequest: {},
  FiguresView: { at: "d", nodes: "[@NodeFigures" },
  NodeFigures: { since: "d", at: "d", tasks: "[@TaskKindView", apps: "[@AppLoadView" },
  TaskKindView: {},
  AppLoadView: {},
  HistoryView: { nodes: "[@NodeHistory" },
  NodeHistory: { at: "[d" },
  ProblemList: { problems: "[@ProblemView" },
  ProblemView: { since: "d" },
  BoundList: { bounds: "[@BoundView" },
  BoundView: { full_at: "d" },
  AppFiguresView: { at: "d", waiting: "@WaitingView" },
  WaitingView: {},
  ConfigView: { at: "d", gray: "@GrayView", history: "[@FormerConfig", nodes: "[@NodeVersion", available: "[@DynamicSetting" },
  GrayView: {},
  FormerConfig: { at: "d", gray: "@GrayView" },
  NodeVersion: {},
  DynamicSetting: {},
  SettingView: {},
  ConfigValue: {},
  ChangeList: { changes: "[@ChangeView" },
  ChangeView: { at: "d" },
  OwnKeyInfo: { expires_at: "d" },
  ProfileWithContent: { at: "d", content: "@CpuContent" },
  CpuContent: { stacks: "[@Stack", threads: "[@ThreadTime", limitation: "@Limitation" },
  Stack: {},
  ThreadTime: {},
  Limitation: {},
  HeapContent: { places: "[@GrowingPlace" },
  GrowingPlace: {},
  TaskContent: { kinds: "[@TasksOfKind" },
  TasksOfKind: {},
  LoopContent: { stalls: "[@Stall", lag: "@Waits", gc: "@Waits" },
  Stall: {},
  Waits: { buckets: "[@WaitsUpTo" },
  WaitsUpTo: {},
  QueuesContent: { queues: "[@QueueDepth", locks: "[@LockUse" },
  QueueDepth: {},
  LockUse: { waiters: "[@AtLock", holders: "[@AtLock" },
  AtLock: {},
  ProfileList: { profiles: "[@ProfileInfo" },
  ProfileInfo: { at: "d" },
  ProfileDifference: { base: "@ProfileInfo", profile: "@ProfileInfo", frames: "[@FrameDifference" },
  FrameDifference: {},
  JsonMessage: { audience: "@AudienceObject", options: "@Options" },
  BytesMessage: { audience: "@AudienceObject", options: "@Options" },
  JsonCall: {},
  BytesCall: {},
  JwksIssuer: {},
  KeysIssuer: {},
};

/** Each call of the API: what goes into its path and query, its body, and its answer. */
export interface Operations {
  /** Push a message, or with `validate` see what that would do. */
  messages_send: {
    path: { app: string; };
    query: { validate?: boolean | undefined; };
    body: MessageBody;
    answer: MessageAccepted | MessageReach;
  };
  /** List messages, the latest first, in the order in which they were handed in. */
  records_latest: {
    path: { app: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; from?: Date | string | undefined; to?: Date | string | undefined; status?: "accepted" | "delivering" | "done" | undefined; label?: string | undefined; missed?: boolean | undefined; };
    body: undefined;
    answer: MessageList;
  };
  /** Push up to 1000 messages in one request. */
  messages_send_batch: {
    path: { app: string; };
    query: {  };
    body: MessageBatch;
    answer: MessageResults;
  };
  /** Show where a message stands, with its ledger. */
  messages_status: {
    path: { app: string; id: string; };
    query: {  };
    body: undefined;
    answer: MessageStatus;
  };
  /** Take back what is not yet delivered; the ledger counts it as dropped, `cancelled`. */
  messages_cancel: {
    path: { app: string; id: string; };
    query: {  };
    body: undefined;
    answer: MessageStatus;
  };
  /** Show the ledger device by device, in the order of their registration. */
  messages_deliveries: {
    path: { app: string; id: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; };
    body: undefined;
    answer: DeliveryList;
  };
  /** Count the devices of an audience, and how many of them are connected now. */
  audiences_estimate: {
    path: { app: string; };
    query: {  };
    body: EstimateRequest;
    answer: Estimate;
  };
  /** List devices in the order of their registration. */
  devices_page: {
    path: { app: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; tag?: string | undefined; alias?: string | undefined; online?: boolean | undefined; parked?: boolean | undefined; prefix?: string | undefined; };
    body: undefined;
    answer: DeviceList;
  };
  /** Register many devices, or replace what is known of them. */
  devices_register: {
    path: { app: string; };
    query: {  };
    body: DeviceBatch;
    answer: DeviceResults;
  };
  /** Say for each device whether it is connected, and since when. */
  devices_presence: {
    path: { app: string; };
    query: {  };
    body: StatusRequest;
    answer: DeviceStatusList;
  };
  /** Register a device, or replace what is known of it. */
  devices_put: {
    path: { app: string; device: string; };
    query: {  };
    body: NewProfile;
    answer: DeviceView;
  };
  /** Change what is known of a device. */
  devices_patch: {
    path: { app: string; device: string; };
    query: {  };
    body: ProfileChange;
    answer: DeviceView;
  };
  /** Show a device, where it is or was connected, and how many messages wait for it. */
  devices_get: {
    path: { app: string; device: string; };
    query: {  };
    body: undefined;
    answer: DeviceDetail;
  };
  /** Forget a device and end its connection. */
  devices_delete: {
    path: { app: string; device: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** Make a token with which the device may connect. */
  devices_token: {
    path: { app: string; device: string; };
    query: {  };
    body: TokenRequest;
    answer: DeviceToken;
  };
  /** Have a device that was parked sent pushes again. */
  devices_release: {
    path: { app: string; device: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** End a device's connection, and keep it out for a while if asked to. */
  devices_kick: {
    path: { app: string; device: string; };
    query: { banSeconds?: number | undefined; };
    body: undefined;
    answer: undefined;
  };
  /** Send a command to a device, and wait for its answer. */
  calls_call: {
    path: { app: string; device: string; };
    query: {  };
    body: CallBody;
    answer: CallView;
  };
  /** Show the shadow of a device: what is desired of it, and what it reports. */
  shadows_get: {
    path: { app: string; device: string; };
    query: {  };
    body: undefined;
    answer: ShadowView;
  };
  /** Change the shadow of a device, by JSON Merge Patch (RFC 7396). */
  shadows_patch: {
    path: { app: string; device: string; };
    query: {  };
    body: ShadowBody;
    answer: ShadowView;
  };
  /** Show which topic filters a device is subscribed to. */
  subscriptions_of_device: {
    path: { app: string; device: string; };
    query: {  };
    body: undefined;
    answer: SubscriptionList;
  };
  /** List the connections that a device had of late, the latest first. */
  connections_of_device: {
    path: { app: string; device: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; };
    body: undefined;
    answer: ConnectionList;
  };
  /** Show what became of a message for one device, and why. */
  traces_trace: {
    path: { app: string; id: string; device: string; };
    query: {  };
    body: undefined;
    answer: DeliveryTrace;
  };
  /** Create an app. */
  apps_create: {
    path: {  };
    query: {  };
    body: NewApp;
    answer: AppKeys;
  };
  /** List apps by name. */
  apps_page: {
    path: {  };
    query: { limit?: number | undefined; cursor?: string | undefined; };
    body: undefined;
    answer: AppList;
  };
  /** Show an app. */
  apps_get: {
    path: { app: string; };
    query: {  };
    body: undefined;
    answer: AppInfo;
  };
  /** Change an app's display name, whether its devices may use plain MQTT topics, whether a TLS client certificate stands in for their tokens, and whether a connection ends when what let it in does. */
  apps_change: {
    path: { app: string; };
    query: {  };
    body: AppChange;
    answer: AppInfo;
  };
  /** Delete an app with its devices and messages. */
  apps_delete: {
    path: { app: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** Replace the app's server key, its device secret, or both. */
  apps_rotate: {
    path: { app: string; };
    query: {  };
    body: Rotation;
    answer: AppKeys;
  };
  /** Show whose tokens an app takes beside its own. */
  access_issuer: {
    path: { app: string; };
    query: {  };
    body: undefined;
    answer: TokenIssuerInfo;
  };
  /** Let an identity provider make device tokens. */
  access_put_issuer: {
    path: { app: string; };
    query: { disconnect?: boolean | undefined; };
    body: TokenIssuerBody;
    answer: TokenIssuerInfo;
  };
  /** Take no tokens but those by the app's secret any more. */
  access_delete_issuer: {
    path: { app: string; };
    query: { disconnect?: boolean | undefined; };
    body: undefined;
    answer: undefined;
  };
  /** Show an app's rules for plain topics. */
  access_rules: {
    path: { app: string; };
    query: {  };
    body: undefined;
    answer: AclInfo;
  };
  /** Replace an app's rules for plain topics. */
  access_put_rules: {
    path: { app: string; };
    query: {  };
    body: AclBody;
    answer: AclInfo;
  };
  /** List an app's named keys, in the order in which they were made. */
  keys_page_of_app: {
    path: { app: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; };
    body: undefined;
    answer: KeyList;
  };
  /** Make a named key for an app. */
  keys_create_for_app: {
    path: { app: string; };
    query: {  };
    body: NewAppKey;
    answer: MadeKey;
  };
  /** Delete a named key of an app. */
  keys_delete_of_app: {
    path: { app: string; key: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** List the named keys that reach all apps, in the order in which they were made. */
  keys_page: {
    path: {  };
    query: { limit?: number | undefined; cursor?: string | undefined; };
    body: undefined;
    answer: KeyList;
  };
  /** Make a named key that reaches all apps. */
  keys_create: {
    path: {  };
    query: {  };
    body: NewKey;
    answer: MadeKey;
  };
  /** Delete a named key that reaches all apps. */
  keys_delete: {
    path: { key: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** Show an app's limits: its own, and all that are in force. */
  limits_limits: {
    path: { app: string; };
    query: {  };
    body: undefined;
    answer: LimitsInfo;
  };
  /** Replace an app's limits. */
  limits_put_limits: {
    path: { app: string; };
    query: {  };
    body: LimitsBody;
    answer: LimitsInfo;
  };
  /** Read what happened to the app's devices, oldest first. */
  upstream_read: {
    path: { app: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; wait?: number | undefined; tail?: boolean | undefined; };
    body: undefined;
    answer: EventList;
  };
  /** Show where an app's events are sent, and how that fares. */
  webhooks_get: {
    path: { app: string; };
    query: {  };
    body: undefined;
    answer: WebhookInfo;
  };
  /** Send an app's events to a URL, from now on. */
  webhooks_put: {
    path: { app: string; };
    query: {  };
    body: WebhookBody;
    answer: WebhookInfo;
  };
  /** Send an app's events nowhere any more. */
  webhooks_delete: {
    path: { app: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** List events that the target never took, oldest first. */
  webhooks_dead: {
    path: { app: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; };
    body: undefined;
    answer: DeadEventList;
  };
  /** Send dead events once more: all of them, or those with some cursors. */
  webhooks_replay: {
    path: { app: string; };
    query: {  };
    body: ReplayRequest;
    answer: ReplayAnswer;
  };
  /** List the messages for a device, the latest first, with what became of each. */
  records_of_device: {
    path: { app: string; device: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; state?: "acked" | "collapsed" | "dropped" | "expired" | "pending" | undefined; };
    body: undefined;
    answer: DeviceMessageList;
  };
  /** Count messages, what devices took of them, what applications told, and devices, by hour or by day. */
  statistics_read: {
    path: { app: string; };
    query: { from?: Date | string | undefined; to?: Date | string | undefined; by?: "day" | "hour" | undefined; };
    body: undefined;
    answer: StatisticsList;
  };
  /** List schedules, in the order in which they were made. */
  schedules_page: {
    path: { app: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; };
    body: undefined;
    answer: ScheduleList;
  };
  /** Make a schedule. */
  schedules_create: {
    path: { app: string; };
    query: {  };
    body: NewSchedule;
    answer: ScheduleView;
  };
  /** Show a schedule, with its next times and what it has sent lately. */
  schedules_get: {
    path: { app: string; id: string; };
    query: {  };
    body: undefined;
    answer: ScheduleView;
  };
  /** Delete a schedule. What it has sent stays sent. */
  schedules_delete: {
    path: { app: string; id: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** Have a schedule send nothing until it is resumed. */
  schedules_pause: {
    path: { app: string; id: string; };
    query: {  };
    body: undefined;
    answer: ScheduleView;
  };
  /** Have a schedule go on with its next time from now. */
  schedules_resume: {
    path: { app: string; id: string; };
    query: {  };
    body: undefined;
    answer: ScheduleView;
  };
  /** Show what was said in a group, in the order of its sequence. */
  groups_history: {
    path: { app: string; group: string; };
    query: { after?: number | undefined; limit?: number | undefined; };
    body: undefined;
    answer: GroupHistory;
  };
  /** Take devices into a group. Who is a member stays one. */
  groups_add: {
    path: { app: string; group: string; };
    query: {  };
    body: MembersBody;
    answer: MembersAdded;
  };
  /** Take devices out of a group. Who is not a member is none afterwards either. */
  groups_remove: {
    path: { app: string; group: string; };
    query: {  };
    body: MembersBody;
    answer: MembersRemoved;
  };
  /** Make a group, or say who is in it from now on. */
  groups_put: {
    path: { app: string; group: string; };
    query: {  };
    body: GroupBody;
    answer: GroupView;
  };
  /** Show a group: who is a member, and which of them are connected. */
  groups_get: {
    path: { app: string; group: string; };
    query: {  };
    body: undefined;
    answer: GroupView;
  };
  /** Delete a group, with what was said in it. */
  groups_delete: {
    path: { app: string; group: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** List groups, by name. */
  groups_page: {
    path: { app: string; };
    query: { limit?: number | undefined; cursor?: string | undefined; };
    body: undefined;
    answer: GroupList;
  };
  /** List the members of the cluster. */
  operators_nodes: {
    path: {  };
    query: {  };
    body: undefined;
    answer: NodeList;
  };
  /** Move a node's clients to other nodes. */
  operators_drain: {
    path: { node: string; };
    query: {  };
    body: DrainRequest;
    answer: NodeView;
  };
  /** Take an order to drain back: the node takes new clients again. */
  operators_undrain: {
    path: { node: string; };
    query: {  };
    body: undefined;
    answer: NodeView;
  };
  /** Say that the process answers. */
  operators_healthz: {
    path: {  };
    query: {  };
    body: undefined;
    answer: Health;
  };
  /** Say whether the node could do its work. */
  operators_readyz: {
    path: {  };
    query: {  };
    body: undefined;
    answer: Health;
  };
  /** Show the node's figures as Prometheus reads them. */
  operators_metrics: {
    path: {  };
    query: {  };
    body: undefined;
    answer: string;
  };
  /** List the agents of all hosts, with the processes that they keep running. */
  agents_all: {
    path: {  };
    query: {  };
    body: undefined;
    answer: AgentList;
  };
  /** Replace an agent's processes by new ones, one after the other. */
  agents_restart: {
    path: { agent: string; };
    query: {  };
    body: RestartRequest;
    answer: AgentView;
  };
  /** Take a rolling restart back: its new processes end, and the old ones stay. */
  agents_cancel: {
    path: { agent: string; };
    query: {  };
    body: undefined;
    answer: AgentView;
  };
  /** Show an agent and its processes. */
  agents_show: {
    path: { agent: string; };
    query: {  };
    body: undefined;
    answer: AgentView;
  };
  /** Show the figures of all processes. */
  figures_now: {
    path: {  };
    query: {  };
    body: undefined;
    answer: FiguresView;
  };
  /** Show what figures were. */
  figures_history: {
    path: {  };
    query: { from?: Date | string | undefined; to?: Date | string | undefined; node?: string | undefined; names?: string | undefined; };
    body: undefined;
    answer: HistoryView;
  };
  /** Show what is wrong now. */
  figures_problems: {
    path: {  };
    query: {  };
    body: undefined;
    answer: ProblemList;
  };
  /** Show how full each bound is, and when it will be full. */
  figures_capacity: {
    path: {  };
    query: {  };
    body: undefined;
    answer: BoundList;
  };
  /** Show how an app fares now. */
  figures_now_of_app: {
    path: { app: string; };
    query: {  };
    body: undefined;
    answer: AppFiguresView;
  };
  /** Show the settings that were changed at run time, and which version each node has. */
  config_show: {
    path: {  };
    query: {  };
    body: undefined;
    answer: ConfigView;
  };
  /** Give all nodes the settings that some have on trial. */
  config_promote: {
    path: {  };
    query: {  };
    body: undefined;
    answer: ConfigView;
  };
  /** End the trial; without one, go back to what was before the latest change of the settings. */
  config_roll_back: {
    path: {  };
    query: {  };
    body: undefined;
    answer: ConfigView;
  };
  /** Show one setting that can be changed at run time. */
  config_get: {
    path: { name: string; };
    query: {  };
    body: undefined;
    answer: SettingView;
  };
  /** Change a setting on all nodes, or with `nodes` on these only, until it is promoted or rolled back. */
  config_put: {
    path: { name: string; };
    query: {  };
    body: ConfigValue;
    answer: ConfigView;
  };
  /** Leave a setting to each node's own sources again, also where it is on trial. */
  config_remove: {
    path: { name: string; };
    query: {  };
    body: undefined;
    answer: ConfigView;
  };
  /** Give one setting, for all nodes, the value that it had before. */
  config_roll_back_one: {
    path: { name: string; };
    query: {  };
    body: undefined;
    answer: ConfigView;
  };
  /** List changes that were made through the API, the latest first. */
  trail_page: {
    path: {  };
    query: { limit?: number | undefined; cursor?: string | undefined; from?: Date | string | undefined; to?: Date | string | undefined; app?: string | undefined; };
    body: undefined;
    answer: ChangeList;
  };
  /** Show what the key of this request may do. */
  logins_show: {
    path: {  };
    query: {  };
    body: undefined;
    answer: OwnKeyInfo;
  };
  /** Have a node take a profile of its process, and keep it. */
  profiles_take: {
    path: { node: string; };
    query: { kind?: "cpu" | "heap" | "loop" | "queues" | "tasks" | undefined; seconds?: number | undefined; };
    body: undefined;
    answer: ProfileWithContent;
  };
  /** List the profiles that are kept, of all nodes, the latest first. */
  profiles_page: {
    path: {  };
    query: { limit?: number | undefined; cursor?: string | undefined; node?: string | undefined; kind?: "cpu" | "heap" | "loop" | "queues" | "tasks" | undefined; from?: Date | string | undefined; to?: Date | string | undefined; };
    body: undefined;
    answer: ProfileList;
  };
  /** Show a profile, or download it for another tool. */
  profiles_show: {
    path: { profile: string; };
    query: { format?: "json" | "pprof" | "speedscope" | undefined; };
    body: undefined;
    answer: ProfileWithContent;
  };
  /** Delete a profile. */
  profiles_delete: {
    path: { profile: string; };
    query: {  };
    body: undefined;
    answer: undefined;
  };
  /** Compare a profile with another one, which may be of another node or version. */
  profiles_difference: {
    path: { profile: string; };
    query: { base?: string | undefined; };
    body: undefined;
    answer: ProfileDifference;
  };
}

/** Method, path, and the types of body and answer where they have one. */
export const OPERATIONS: {
  readonly [Name in keyof Operations]: readonly [method: string, path: string, body: string, answer: string];
} = {
  messages_send: ["POST", "/v1/apps/{app}/messages", "MessageBody", "MessageAccepted"],
  records_latest: ["GET", "/v1/apps/{app}/messages", "", "MessageList"],
  messages_send_batch: ["POST", "/v1/apps/{app}/messages:batch", "MessageBatch", "MessageResults"],
  messages_status: ["GET", "/v1/apps/{app}/messages/{id}", "", "MessageStatus"],
  messages_cancel: ["DELETE", "/v1/apps/{app}/messages/{id}", "", "MessageStatus"],
  messages_deliveries: ["GET", "/v1/apps/{app}/messages/{id}/deliveries", "", "DeliveryList"],
  audiences_estimate: ["POST", "/v1/apps/{app}/audiences:estimate", "EstimateRequest", "Estimate"],
  devices_page: ["GET", "/v1/apps/{app}/devices", "", "DeviceList"],
  devices_register: ["POST", "/v1/apps/{app}/devices:batch", "DeviceBatch", "DeviceResults"],
  devices_presence: ["POST", "/v1/apps/{app}/devices:status", "StatusRequest", "DeviceStatusList"],
  devices_put: ["PUT", "/v1/apps/{app}/devices/{device}", "NewProfile", "DeviceView"],
  devices_patch: ["PATCH", "/v1/apps/{app}/devices/{device}", "ProfileChange", "DeviceView"],
  devices_get: ["GET", "/v1/apps/{app}/devices/{device}", "", "DeviceDetail"],
  devices_delete: ["DELETE", "/v1/apps/{app}/devices/{device}", "", ""],
  devices_token: ["POST", "/v1/apps/{app}/devices/{device}/token", "TokenRequest", "DeviceToken"],
  devices_release: ["POST", "/v1/apps/{app}/devices/{device}:release", "", ""],
  devices_kick: ["DELETE", "/v1/apps/{app}/devices/{device}/connection", "", ""],
  calls_call: ["POST", "/v1/apps/{app}/devices/{device}:call", "CallBody", "CallView"],
  shadows_get: ["GET", "/v1/apps/{app}/devices/{device}/shadow", "", "ShadowView"],
  shadows_patch: ["PATCH", "/v1/apps/{app}/devices/{device}/shadow", "ShadowBody", "ShadowView"],
  subscriptions_of_device: ["GET", "/v1/apps/{app}/devices/{device}/subscriptions", "", "SubscriptionList"],
  connections_of_device: ["GET", "/v1/apps/{app}/devices/{device}/connections", "", "ConnectionList"],
  traces_trace: ["GET", "/v1/apps/{app}/messages/{id}/deliveries/{device}", "", "DeliveryTrace"],
  apps_create: ["POST", "/v1/apps", "NewApp", "AppKeys"],
  apps_page: ["GET", "/v1/apps", "", "AppList"],
  apps_get: ["GET", "/v1/apps/{app}", "", "AppInfo"],
  apps_change: ["PATCH", "/v1/apps/{app}", "AppChange", "AppInfo"],
  apps_delete: ["DELETE", "/v1/apps/{app}", "", ""],
  apps_rotate: ["POST", "/v1/apps/{app}/keys:rotate", "Rotation", "AppKeys"],
  access_issuer: ["GET", "/v1/apps/{app}/tokens", "", "TokenIssuerInfo"],
  access_put_issuer: ["PUT", "/v1/apps/{app}/tokens", "TokenIssuerBody", "TokenIssuerInfo"],
  access_delete_issuer: ["DELETE", "/v1/apps/{app}/tokens", "", ""],
  access_rules: ["GET", "/v1/apps/{app}/acl", "", "AclInfo"],
  access_put_rules: ["PUT", "/v1/apps/{app}/acl", "AclBody", "AclInfo"],
  keys_page_of_app: ["GET", "/v1/apps/{app}/keys", "", "KeyList"],
  keys_create_for_app: ["POST", "/v1/apps/{app}/keys", "NewAppKey", "MadeKey"],
  keys_delete_of_app: ["DELETE", "/v1/apps/{app}/keys/{key}", "", ""],
  keys_page: ["GET", "/v1/keys", "", "KeyList"],
  keys_create: ["POST", "/v1/keys", "NewKey", "MadeKey"],
  keys_delete: ["DELETE", "/v1/keys/{key}", "", ""],
  limits_limits: ["GET", "/v1/apps/{app}/limits", "", "LimitsInfo"],
  limits_put_limits: ["PUT", "/v1/apps/{app}/limits", "LimitsBody", "LimitsInfo"],
  upstream_read: ["GET", "/v1/apps/{app}/upstream", "", "EventList"],
  webhooks_get: ["GET", "/v1/apps/{app}/webhook", "", "WebhookInfo"],
  webhooks_put: ["PUT", "/v1/apps/{app}/webhook", "WebhookBody", "WebhookInfo"],
  webhooks_delete: ["DELETE", "/v1/apps/{app}/webhook", "", ""],
  webhooks_dead: ["GET", "/v1/apps/{app}/webhook/dead", "", "DeadEventList"],
  webhooks_replay: ["POST", "/v1/apps/{app}/webhook:replay", "ReplayRequest", "ReplayAnswer"],
  records_of_device: ["GET", "/v1/apps/{app}/devices/{device}/messages", "", "DeviceMessageList"],
  statistics_read: ["GET", "/v1/apps/{app}/statistics", "", "StatisticsList"],
  schedules_page: ["GET", "/v1/apps/{app}/schedules", "", "ScheduleList"],
  schedules_create: ["POST", "/v1/apps/{app}/schedules", "NewSchedule", "ScheduleView"],
  schedules_get: ["GET", "/v1/apps/{app}/schedules/{id}", "", "ScheduleView"],
  schedules_delete: ["DELETE", "/v1/apps/{app}/schedules/{id}", "", ""],
  schedules_pause: ["POST", "/v1/apps/{app}/schedules/{id}:pause", "", "ScheduleView"],
  schedules_resume: ["POST", "/v1/apps/{app}/schedules/{id}:resume", "", "ScheduleView"],
  groups_history: ["GET", "/v1/apps/{app}/groups/{group}/messages", "", "GroupHistory"],
  groups_add: ["POST", "/v1/apps/{app}/groups/{group}/members:add", "MembersBody", "MembersAdded"],
  groups_remove: ["POST", "/v1/apps/{app}/groups/{group}/members:remove", "MembersBody", "MembersRemoved"],
  groups_put: ["PUT", "/v1/apps/{app}/groups/{group}", "GroupBody", "GroupView"],
  groups_get: ["GET", "/v1/apps/{app}/groups/{group}", "", "GroupView"],
  groups_delete: ["DELETE", "/v1/apps/{app}/groups/{group}", "", ""],
  groups_page: ["GET", "/v1/apps/{app}/groups", "", "GroupList"],
  operators_nodes: ["GET", "/v1/nodes", "", "NodeList"],
  operators_drain: ["POST", "/v1/nodes/{node}:drain", "DrainRequest", "NodeView"],
  operators_undrain: ["POST", "/v1/nodes/{node}:undrain", "", "NodeView"],
  operators_healthz: ["GET", "/healthz", "", "Health"],
  operators_readyz: ["GET", "/readyz", "", "Health"],
  operators_metrics: ["GET", "/metrics", "", ""],
  agents_all: ["GET", "/v1/agents", "", "AgentList"],
  agents_restart: ["POST", "/v1/agents/{agent}:restart", "RestartRequest", "AgentView"],
  agents_cancel: ["POST", "/v1/agents/{agent}:cancel", "", "AgentView"],
  agents_show: ["GET", "/v1/agents/{agent}", "", "AgentView"],
  figures_now: ["GET", "/v1/figures", "", "FiguresView"],
  figures_history: ["GET", "/v1/figures/history", "", "HistoryView"],
  figures_problems: ["GET", "/v1/problems", "", "ProblemList"],
  figures_capacity: ["GET", "/v1/capacity", "", "BoundList"],
  figures_now_of_app: ["GET", "/v1/apps/{app}/figures", "", "AppFiguresView"],
  config_show: ["GET", "/v1/config", "", "ConfigView"],
  config_promote: ["POST", "/v1/config:promote", "", "ConfigView"],
  config_roll_back: ["POST", "/v1/config:rollback", "", "ConfigView"],
  config_get: ["GET", "/v1/config/{name}", "", "SettingView"],
  config_put: ["PUT", "/v1/config/{name}", "ConfigValue", "ConfigView"],
  config_remove: ["DELETE", "/v1/config/{name}", "", "ConfigView"],
  config_roll_back_one: ["POST", "/v1/config/{name}:rollback", "", "ConfigView"],
  trail_page: ["GET", "/v1/audit", "", "ChangeList"],
  logins_show: ["GET", "/v1/session", "", "OwnKeyInfo"],
  profiles_take: ["GET", "/v1/nodes/{node}/profile", "", "ProfileWithContent"],
  profiles_page: ["GET", "/v1/profiles", "", "ProfileList"],
  profiles_show: ["GET", "/v1/profiles/{profile}", "", "ProfileWithContent"],
  profiles_delete: ["DELETE", "/v1/profiles/{profile}", "", ""],
  profiles_difference: ["GET", "/v1/profiles/{profile}/difference", "", "ProfileDifference"],
};
