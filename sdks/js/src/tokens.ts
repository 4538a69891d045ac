// The token that a device shows: one for good, or one that is asked for again when it is refused.

import { LonglineError, said } from "./errors.js";
import { within } from "./waiting.js";

/** A token, or what gives one: asked at first, and again when the server refuses the one at hand. */
export type Token = string | (() => string | Promise<string>);

const PATIENCE = 60_000; // ms for a source to give one: whoever waits for ever is not told of it
const LONGEST = 65_535; // bytes of a password, section 1.5.6 of MQTT
const UTF8 = new TextEncoder();

export class Tokens {
  private readonly source: (() => string | Promise<string>) | null;
  private atHand: string | null;
  private another = false; // asked for since one was taken

  constructor(token: Token) {
    this.source = typeof token === "string" ? null : token;
    this.atHand = typeof token === "string" ? checked(token) : null;
  }

  /**
   * The token at hand, or another one. Throws the source's own `LonglineError`, and `unavailable` for whatever else it
   * throws, when it gives no text, and when it gives nothing in time: it is worth asking again.
   */
  async current(): Promise<string> {
    if (this.atHand === null) this.atHand = await this.ask();
    return this.atHand;
  }

  /** The server does not take the token at hand, or not any more; whether another is worth a try. */
  refused(): boolean {
    if (this.source === null || this.another) return false;
    this.atHand = null;
    this.another = true;
    return true;
  }

  /** The server let the device in with the token at hand. */
  taken(): void {
    this.another = false;
  }

  private async ask(): Promise<string> {
    try {
      const token: unknown = await within(PATIENCE, (async () => this.source!())());
      if (typeof token !== "string") throw new TypeError(`its source gave ${typeof token}, not a text`);
      return checked(token);
    } catch (error) {
      if (error instanceof LonglineError) throw error;
      throw new LonglineError("unavailable", `there is no token: ${said(error)}`, { cause: error });
    }
  }
}

/** As it is shown. What no CONNECT can carry is in no message: it is a secret. */
function checked(token: string): string {
  const bare = token.trim();
  const size = UTF8.encode(bare).length;
  if (size > LONGEST) throw new RangeError(`a token has at most ${LONGEST} bytes, not ${size}`);
  return bare;
}
