// Between the JSON of the API and the types of this package: names (`message_id`, `messageId`) and times.

import { SHAPES } from "./generated.js";

const UTF8 = new TextEncoder();

/** What the API has answered, as a value of a type; the JSON of applications in it stays as it is. */
export function fromApi(value: unknown, type: string): unknown {
  return converted(value, type ? `@${type}` : "", camel, (time) => (typeof time === "string" ? new Date(time) : time));
}

/** The JSON of a value of a type. */
export function toApi(value: unknown, type: string): unknown {
  return converted(value, type ? `@${type}` : "", snake, (time) => (time instanceof Date ? time.toISOString() : time));
}

/** The bytes of a payload as the API shows it: of an upstream event, an answer, a message of a group. */
export function bytesOf(shown: { payload?: string | undefined; payloadBase64?: string | undefined }): Uint8Array {
  if (shown.payloadBase64 === undefined) return UTF8.encode(shown.payload ?? "");
  return unbase64(shown.payloadBase64);
}

/** The bytes that were written as base64; throws where that is none. */
export function unbase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Bytes as text. */
export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

function converted(
  value: unknown,
  mark: string,
  rename: (name: string) => string,
  time: (value: unknown) => unknown,
): unknown {
  if (mark === "" || value === null || value === undefined) return value;
  const rest = mark.slice(1);
  if (mark === "d") return time(value);
  if (mark[0] === "[") {
    return Array.isArray(value) ? value.map((item) => converted(item, rest, rename, time)) : value;
  }
  if (typeof value !== "object" || Array.isArray(value)) return value;
  const entries = Object.entries(value);
  if (mark[0] === "{") {
    return Object.fromEntries(entries.map(([name, inner]) => [name, converted(inner, rest, rename, time)]));
  }
  const marks = SHAPES[rest] ?? {};
  return Object.fromEntries(
    entries.map(([name, inner]) => [rename(name), converted(inner, marks[snake(name)] ?? "", rename, time)]),
  );
}

function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
