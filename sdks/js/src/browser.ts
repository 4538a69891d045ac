// What there is for pages, and for programs everywhere else: nothing of it needs Node.

export type { AttachedApp } from "./attached.js";
export * from "./center.js";
export { Device, type DeviceOptions, type Statistics } from "./device.js";
export type { Endpoint, Transport } from "./endpoints.js";
export { LonglineError, type ErrorCode, type FieldFault } from "./errors.js";
export type * as Api from "./generated.js";
export type { TlsFiles } from "./link.js";
export type { Message, Missed } from "./message.js";
export { bytesOf } from "./shapes.js";
export type { CallHandler, Payload, PublishOptions } from "./speaker.js";
export { MemoryStore, WebStore, type DeviceStore, type KnownEndpoints, type Remembered } from "./stores.js";
export type { Token } from "./tokens.js";
export { VERSION } from "./version.js";
