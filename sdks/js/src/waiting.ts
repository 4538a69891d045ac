// Waiting for what may come true: whoever wakes looks again.

export class Signal {
  private waiters: (() => void)[] = [];

  /** Wakes all who wait now. */
  wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters) waiter();
  }

  /** Settles at the next `wake`, or after so many milliseconds. */
  wait(within?: number): Promise<void> {
    return new Promise((resolve) => {
      if (within === undefined) {
        this.waiters.push(resolve);
        return;
      }
      const woken = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.waiters = this.waiters.filter((waiter) => waiter !== woken);
        resolve();
      }, within);
      this.waiters.push(woken);
    });
  }
}

const LONGEST_TIMER = 2 ** 31 - 1; // ms; setTimeout takes more for none

/** Settles after so many milliseconds; rejects with the signal's reason when that comes first. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const aborted = () => {
      clearTimeout(timer);
      reject(signal!.reason as Error);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", aborted);
        resolve();
      },
      Math.min(milliseconds, LONGEST_TIMER),
    );
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** What a promise gives; rejects when that takes more than so many milliseconds. */
export async function within<Value>(milliseconds: number, promise: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came in ${milliseconds / 1000} s`)), milliseconds);
    (timer as { unref?: () => void }).unref?.(); // a process of Node that has nothing else to do may end
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
