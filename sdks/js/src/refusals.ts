// What a device makes of a reason code: which error it is, and whether coming back can help.
//
// The codes are those of MQTT 5, section 2.4; return codes of 3.1.1 are translated first.

import { LonglineError, type ErrorCode } from "./errors.js";

/** What to do after an end: come back after a wait; elsewhere; with another token; never by itself. */
export type Verdict = "retry" | "move" | "refresh" | "stop";

export const MAXIMUM_CONNECT_TIME = 0xa0;

// Return code of 3.1.1 → reason code, table 3.1 of the standard.
const OF_RETURN_CODE: Readonly<Record<number, number>> = { 1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87 };

const NAMES: Readonly<Record<number, string>> = {
  0x80: "unspecified error",
  0x81: "malformed packet",
  0x82: "protocol error",
  0x83: "implementation specific error",
  0x84: "unsupported protocol version",
  0x85: "client identifier not valid",
  0x86: "bad user name or password",
  0x87: "not authorized",
  0x88: "server unavailable",
  0x89: "server busy",
  0x8a: "banned",
  0x8b: "server shutting down",
  0x8c: "bad authentication method",
  0x8d: "keep alive timeout",
  0x8e: "session taken over",
  0x8f: "topic filter invalid",
  0x90: "topic name invalid",
  0x93: "receive maximum exceeded",
  0x95: "packet too large",
  0x96: "message rate too high",
  0x97: "quota exceeded",
  0x98: "administrative action",
  0x99: "payload format invalid",
  0x9c: "use another server",
  0x9d: "server moved",
  0x9e: "shared subscriptions not supported",
  0x9f: "connection rate exceeded",
  0xa0: "maximum connect time",
  0xa2: "wildcard subscriptions not supported",
};

const STOPPING: Readonly<Record<number, ErrorCode>> = {
  0x84: "not_supported",
  0x85: "invalid",
  0x8a: "banned",
  0x8c: "not_supported",
  0x8e: "taken_over",
};

const ANSWERS: Readonly<Record<number, ErrorCode>> = {
  0x87: "forbidden",
  0x83: "not_supported",
  0x97: "rate_limited",
  0x9e: "not_supported",
  0xa2: "not_supported",
};

/** The reason code that stands for a return code of MQTT 3.1.1. */
export function reasonOf(returnCode: number): number {
  return returnCode === 0 ? 0 : (OF_RETURN_CODE[returnCode] ?? 0x80);
}

/** `0x8E session taken over`. */
export function reasonName(reason: number): string {
  const name = NAMES[reason];
  return `0x${reason.toString(16).toUpperCase().padStart(2, "0")}${name ? ` ${name}` : ""}`;
}

/** Why the server let nobody in, or closed the link, by its reason code and its reason string. */
export function judge(reason: number, words: string | undefined): { error: LonglineError; verdict: Verdict } {
  const message = `the server said ${reasonName(reason)}${words ? `: ${words}` : ""}`;
  if (reason === 0x9c || reason === 0x9d) return { error: new LonglineError("unavailable", message), verdict: "move" };
  if (reason === 0x86 || reason === 0x87) return { error: new LonglineError("bad_token", message), verdict: "refresh" };
  const stopping = STOPPING[reason];
  if (stopping !== undefined) return { error: new LonglineError(stopping, message), verdict: "stop" };
  return { error: new LonglineError("unavailable", message), verdict: "retry" };
}

/** The error of one publish or subscribe that the server refused; the connection lives on. */
export function refused(what: string, reason: number, words?: string): LonglineError {
  const message = `${what}: ${reasonName(reason)}${words ? `: ${words}` : ""}`;
  return new LonglineError(ANSWERS[reason] ?? "refused", message);
}
