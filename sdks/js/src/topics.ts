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
