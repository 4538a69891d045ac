// What an app server does with the calls of a webhook: checks that they are from Longline, and reads them.

import { LonglineError } from "./errors.js";
import type * as Api from "./generated.js";
import { fromApi } from "./shapes.js";
import type { UpstreamEvent } from "./center.js";

const PREFIX = "whsec_";
const TOLERANCE = 300; // s by which the clocks may differ, as Standard Webhooks has it
const UTF8 = new TextEncoder();

/** What a call has. `gap`: events before these were removed before they could be sent. */
export interface WebhookCall {
  app: string;
  events: UpstreamEvent[];
  gap: boolean;
}

/** The headers of a request: those of fetch, or an object with names in small letters, as Node has them. */
export type WebhookHeaders = { get(name: string): string | null } | Readonly<Record<string, string | string[] | undefined>>;

/**
 * Reads a call, if it is from Longline: signed with the secret (or one of several, while one replaces another), not
 * more than five minutes ago. Rejects with `unauthorized` if it is not; answer that with 401. `body` is the body as it
 * came, before anything has read it as JSON. Remember `webhook-id`: a call may come twice.
 */
export async function verifyWebhook(
  secret: string | readonly string[],
  headers: WebhookHeaders,
  body: string | Uint8Array,
): Promise<WebhookCall> {
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = header(headers, "webhook-signature");
  if (id === null || timestamp === null || signatures === null) {
    throw new LonglineError("unauthorized", "the call has no signature");
  }
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) {
    throw new LonglineError("unauthorized", "the call was signed too long ago, or later than now");
  }
  const bytes = typeof body === "string" ? UTF8.encode(body) : body;
  const signed = joined(UTF8.encode(`${id}.${timestamp}.`), bytes);
  const subtle = (await webCrypto()).subtle;
  for (const one of typeof secret === "string" ? [secret] : secret) {
    const key = await subtle.importKey("raw", bytesOfSecret(one), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
    for (const signature of signatures.split(" ")) {
      const [version, text = ""] = signature.split(",");
      const given = version === "v1" ? fromBase64(text) : null;
      // Which takes the same time wherever they differ.
      if (given !== null && (await subtle.verify("HMAC", key, given, signed))) return read(bytes);
    }
  }
  throw new LonglineError("unauthorized", "the call was not signed with this secret");
}

/** A secret for `putWebhook`. */
export async function newWebhookSecret(): Promise<string> {
  const bytes = (await webCrypto()).getRandomValues(new Uint8Array(32));
  return PREFIX + btoa(String.fromCharCode(...bytes));
}

function read(bytes: Uint8Array): WebhookCall {
  const { app, events, gap } = JSON.parse(new TextDecoder().decode(bytes)) as { app: string; events: unknown[]; gap?: boolean };
  return {
    app,
    events: events.map((event) => ({ ...(fromApi(event, "EventView") as Api.EventView), gap: false })),
    gap: gap ?? false,
  };
}

function header(headers: WebhookHeaders, name: string): string | null {
  if (typeof headers.get === "function") return (headers as Headers).get(name);
  const value = (headers as Readonly<Record<string, string | string[] | undefined>>)[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

function bytesOfSecret(secret: string): Uint8Array<ArrayBuffer> {
  const bytes = secret.startsWith(PREFIX) ? fromBase64(secret.slice(PREFIX.length)) : null;
  if (bytes === null) throw new RangeError(`a secret is ${PREFIX} and base64`);
  return bytes;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}

// Node 18 has it, but not where all others do.
async function webCrypto(): Promise<Crypto> {
  if (globalThis.crypto !== undefined) return globalThis.crypto;
  return ((await import("node:crypto")) as unknown as { webcrypto: Crypto }).webcrypto;
}
