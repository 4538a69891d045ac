// What goes wrong, with the codes that the API has for it.

import { RETRYABLE, type ErrorCode } from "./generated.js";

export type { ErrorCode };

/** A field of the request, and what is wrong with it. */
export interface FieldFault {
  field: string;
  message: string;
}

/**
 * Everything that Longline refuses, and every failure to reach it. `code` says which it is: `no_target`,
 * `unauthorized`, `rate_limited`, …, as in docs/api.md; `unavailable` where the server cannot be reached. A code of a
 * newer server is handed through. `retryable`: the same may succeed later without change, after `retryAfter` seconds
 * where the server said so. `status` is that of HTTP, 0 where there was no answer.
 */
export class LonglineError extends Error {
  override readonly name = "LonglineError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly retryAfter: number | null;
  readonly details: readonly FieldFault[];

  constructor(
    code: ErrorCode,
    message: string,
    given: { status?: number; retryAfter?: number | null; details?: readonly FieldFault[]; cause?: unknown } = {},
  ) {
    super(message, given.cause === undefined ? undefined : { cause: given.cause });
    this.code = code;
    this.status = given.status ?? 0;
    this.retryAfter = given.retryAfter ?? null;
    this.details = given.details ?? [];
  }

  get retryable(): boolean {
    return RETRYABLE.has(this.code);
  }
}

/** Whatever was thrown, in words. */
export function said(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
