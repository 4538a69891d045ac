// The token that a device shows: one for good, or one that is asked for again when it is refused.

import { LonglineError, said } from "./errors.js";

/** A token, or what gives one: asked at first, and again when the server refuses the one at hand. */
export type Token = string | (() => string | Promise<string>);

/** A source gave what is no text: nothing helps against that. */
export class NoToken extends TypeError {}

export class Tokens {
  private readonly source: (() => string | Promise<string>) | null;
  private atHand: string | null;
  private another = false; // asked for since one was taken

  constructor(token: Token) {
    this.source = typeof token === "string" ? null : token;
    this.atHand = typeof token === "string" ? token.trim() : null;
  }

  /**
   * The token at hand, or another one. Whatever the source throws passes, and is `unavailable`, but for an error of
   * Longline that is not `retryable`.
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
    let token: unknown;
    try {
      token = await this.source!();
    } catch (error) {
      if (error instanceof LonglineError) throw error;
      throw new LonglineError("unavailable", `there is no token: ${said(error)}`, { cause: error });
    }
    if (typeof token !== "string") throw new NoToken(`the source of tokens gave ${typeof token}, not a text`);
    return token.trim();
  }
}
