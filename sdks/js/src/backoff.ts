// How long to wait before trying again, and how often that is allowed.
//
// A million devices that lose their node at one moment must not come back at one moment: every wait is drawn
// uniformly between nothing and a limit that doubles ("full jitter"). App servers retry single calls; so that they
// do not multiply the load of a node that fails already, their retries draw on a budget that successes refill.

/** Draws from [0, 1). */
export type Random = () => number;

/** Waits in seconds, each drawn from [0, min(cap, base * 2 ** attempt)). */
export class Backoff {
  attempt = 0;

  constructor(
    private base: number,
    private cap: number,
    private readonly random: Random = Math.random,
  ) {
    this.bound(base, cap);
  }

  /** Goes by other bounds from now on; how often it was tried so far stands. */
  bound(base: number, cap: number): void {
    if (!(base > 0 && cap >= base)) throw new RangeError("a back-off needs 0 < base <= cap, in seconds");
    this.base = base;
    this.cap = cap;
  }

  next(): number {
    const limit = Math.min(this.cap, this.base * 2 ** Math.min(this.attempt, 32));
    this.attempt += 1;
    return this.random() * limit;
  }

  reset(): void {
    this.attempt = 0;
  }
}

/** A burst of failures gets `capacity` retries, a lasting failure soon none: each takes one, a success gives `refill`. */
export class RetryBudget {
  private left: number;

  constructor(
    private readonly capacity = 10,
    private readonly refill = 0.1,
  ) {
    this.left = capacity;
  }

  take(): boolean {
    if (this.left < 1) return false;
    this.left -= 1;
    return true;
  }

  succeeded(): void {
    this.left = Math.min(this.capacity, this.left + this.refill);
  }
}
