// The topics that the platform keeps for itself, as docs/mqtt.md lists them.

export const PUSH = "push/";
export const UP = "up/";
export const GROUP = "group/";
export const EVENT = "event/";
export const REPLY = "reply/";
export const SHADOW_DESIRED = "shadow/desired";
export const SHADOW_REPORTED = "shadow/reported";
export const LINK = "$link/";
export const GAP = "$link/gap";
export const MOVED = "$link/moved";
export const ATTACH = "$link/attach";
export const DETACH = "$link/detach";
export const ANSWER = "$link/reply";

/** How the topics of an attached app begin. */
export function prefixOf(app: string): string {
  return `@${app}/`;
}

const LONGEST = 65_535; // bytes, [MQTT-4.7.3-3]
const UTF8 = new TextEncoder();

/** Whether a message may be published to this, section 4.7 of MQTT: of anything else, a room ends the connection. */
export function isTopic(topic: unknown): topic is string {
  return typeof topic === "string" && wellFormed(topic) && !/[+#]/.test(topic);
}

/** A topic that a message may be published to; RangeError for what is none: it would be said on each connection. */
export function checkedTopic(topic: string): string {
  if (!isTopic(topic)) throw new RangeError(`${JSON.stringify(String(topic).slice(0, 100))} is no topic to publish to`);
  return topic;
}

/** A filter that may be subscribed to; RangeError for what is none. */
export function checkedFilter(filter: string): string {
  const own = filter.startsWith("$share/") ? /^\$share\/[^/+#]+\/(.+)$/s.exec(filter)?.[1] : filter;
  const levels = own?.split("/") ?? [];
  const last = levels.length - 1;
  const fits = levels.every((level, place) => level === "+" || (level === "#" && place === last) || !/[+#]/.test(level));
  if (!wellFormed(filter) || last < 0 || !fits) {
    throw new RangeError(`${JSON.stringify(String(filter).slice(0, 100))} is no filter of topics`);
  }
  return filter;
}

function wellFormed(text: string): boolean {
  return text !== "" && !text.includes("\0") && UTF8.encode(text).length <= LONGEST;
}
