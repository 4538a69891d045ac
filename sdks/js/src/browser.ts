// What there is for pages, and for programs everywhere else: nothing of it needs Node.

export type { AttachedApp } from "./attached.js";
export * from "./center.js";
export { Device, type DeviceOptions } from "./device.js";
export type { Endpoint, Transport } from "./endpoints.js";
export { LonglineError, type ErrorCode, type FieldFault } from "./errors.js";
export type * as Api from "./generated.js";
export type { TlsFiles } from "./link.js";
export type { Message, Missed } from "./message.js";
export { bytesOf } from "./shapes.js";
export type { KnownNetwork } from "./networks.js";
export type { CallHandler, DesiredHandler, Payload, PublishOptions, StateChanges } from "./speaker.js";
export type { Statistics } from "./statistics.js";
export { MemoryStore, WebStore, type DeviceStore, type PostedMessage, type Remembered } from "./stores.js";
export type { Token } from "./tokens.js";
export { VERSION } from "./version.js";
