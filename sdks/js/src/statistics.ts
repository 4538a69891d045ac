// What a device counts.

import type { LonglineError } from "./errors.js";

/** Counters since the device was made, and the last error. `duplicates` were dropped, `received` were handed out. */
export interface Statistics {
  connects: number;
  failures: number;
  moves: number;
  received: number;
  duplicates: number;
  acked: number;
  published: number;
  overflowed: number;
  gaps: number;
  lastError: LonglineError | null;
}

/** What is counted beside the outbox, which counts `published`. */
export type Counted = Omit<Statistics, "published">;

/** Nothing has happened yet. */
export function nothingCounted(): Counted {
  return {
    connects: 0,
    failures: 0,
    moves: 0,
    received: 0,
    duplicates: 0,
    acked: 0,
    overflowed: 0,
    gaps: 0,
    lastError: null,
  };
}
