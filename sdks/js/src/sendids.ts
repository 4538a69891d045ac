// Names of what a device sends to its app server, by which it knows copies: the user property `send-id`.

import { EVENT, UP } from "./topics.js";

export const SEND_ID = "send-id";
const RANDOM_BYTES = 9; // no two of a device's are alike

/** 12 characters. */
export function newSendId(): string {
  const drawn = String.fromCharCode(...crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)));
  return btoa(drawn).replaceAll("+", "-").replaceAll("/", "_");
}

/** Whether what is published there becomes an event of its app, which may be the device's or an attached one. */
export function tellsAppServer(topic: string): boolean {
  const own = topic.startsWith("@") ? topic.slice(topic.indexOf("/") + 1) : topic;
  return own.startsWith(UP) || own.startsWith(EVENT);
}
