// What nobody has foreseen: a function of the application that throws, or a mistake of ours. It ends nothing but what
// it happened in.

import { LonglineError, said } from "./errors.js";

/**
 * Calls a function of the application. What it throws, at once or by the promise that it gives, is told to `failed`:
 * elsewhere it would end the connection, or a process of Node.
 */
export function told(call: () => unknown, failed: (error: unknown) => void): void {
  try {
    quiet(call(), failed);
  } catch (error) {
    failed(error);
  }
}

/** Has somebody hear of a promise that rejects, if it is one. */
export function quiet(given: unknown, failed: (error: unknown) => void = () => {}): void {
  const then = (given as { then?: unknown } | null | undefined)?.then;
  if (typeof then === "function") Promise.resolve(given).then(undefined, failed);
}

/** The same as one of our errors, for whoever counts them; its `cause` says where it came from. */
export function unforeseen(error: unknown): LonglineError {
  return new LonglineError("internal", said(error), { cause: error });
}
