// How long a connection may be idle before something is sent on it.
//
// A network forgets connections that are silent, each after a time of its own, and tells nobody. Seldom is best for a
// battery, and too seldom is a connection that is dead and not known to be. So the interval is learnt: a connection
// that was idle for it and answers makes it longer, one that does not makes it shorter; where one has died before, it
// grows by small steps. It stays within the keep alive that was agreed with the server.

const SHARE = 0.75; // of the keep alive: the packet needs time to travel
const LEAST = 10; // s
const GROWTH = 1.25;
const CAUTION = 1.02; // growth near where a connection has died

/** The interval in seconds. With `fixed` it is what the keep alive allows, always. */
export class LearntHeartbeat {
  /** What was learnt; null: nothing, yet. */
  interval: number | null = null;
  private diedAt: number | null = null;

  constructor(private readonly fixed: boolean) {}

  /** The interval for this keep alive, as agreed with the server; 0 means none was. */
  within(keepAlive: number): number {
    const longest = keepAlive * SHARE;
    if (this.fixed || this.interval === null || !keepAlive) return longest;
    return Math.min(Math.max(this.interval, Math.min(LEAST, longest)), longest);
  }

  /** A connection that was idle for the interval has answered. */
  survived(keepAlive: number): void {
    if (this.fixed || this.interval === null) return;
    const now = this.within(keepAlive);
    const near = this.diedAt !== null && now * GROWTH >= this.diedAt;
    this.interval = Math.min(now * (near ? CAUTION : GROWTH), keepAlive * SHARE);
  }

  /** A connection that was idle for the interval did not answer. */
  died(keepAlive: number): void {
    if (this.fixed) return;
    this.diedAt = this.within(keepAlive);
    this.interval = Math.max(this.diedAt / 2, LEAST);
  }
}
