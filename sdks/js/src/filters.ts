// The topic filters that a device wants, on every connection.

import { LonglineError } from "./errors.js";
import type { Link } from "./link.js";
import { refused } from "./refusals.js";

interface Wanted {
  qos: 0 | 1;
  settle: ((error: LonglineError | null) => void) | null;
}

export class Filters {
  private readonly wanted = new Map<string, Wanted>();

  /** `later` hears of a refusal on a later connection, which nobody waits for. */
  constructor(private readonly later: (error: LonglineError) => void) {}

  /** Wants one more, asked for now if there is a `link`; settles when the server has granted it, on whichever. */
  add(filter: string, qos: 0 | 1, link: Link | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const before = this.wanted.get(filter)?.settle; // asked for and not answered: one answer stands for both
      const settle = (error: LonglineError | null) => {
        before?.(error);
        if (error === null) resolve();
        else reject(error);
      };
      this.wanted.set(filter, { qos, settle });
      this.ask([filter], link);
    });
  }

  /** Asks for those that may be used now. */
  opened(link: Link | null, mayUse: (filter: string) => boolean): void {
    this.ask([...this.wanted.keys()].filter(mayUse), link);
  }

  /** Those that begin so are not wanted any more. */
  drop(prefix: string, reason: LonglineError): void {
    for (const [filter, wanted] of [...this.wanted]) {
      if (!filter.startsWith(prefix)) continue;
      this.wanted.delete(filter);
      wanted.settle?.(reason);
    }
  }

  private ask(filters: readonly string[], link: Link | null): void {
    if (!link?.open || filters.length === 0) return;
    const asked = filters.map((filter) => ({ filter, wanted: this.wanted.get(filter)! }));
    link.subscribe(
      asked.map(({ filter, wanted }) => ({ filter, qos: wanted.qos })),
      (reasons) => {
        asked.forEach(({ filter, wanted }, place) => this.answered(filter, wanted, reasons[place] ?? 0x80));
      },
    );
  }

  private answered(filter: string, wanted: Wanted, reason: number): void {
    let error: LonglineError | null = null;
    if (reason >= 0x80) {
      // Asked again on every connection, it would be refused on every connection.
      if (this.wanted.get(filter) === wanted) this.wanted.delete(filter);
      error = refused(`subscribe to ${JSON.stringify(filter)}`, reason);
    }
    if (wanted.settle !== null) wanted.settle(error);
    else if (error !== null) this.later(error);
    wanted.settle = null;
  }
}
