// What there is for Node, Deno and Bun: what a page has, and what only servers do.

export * from "./browser.js";
export { newWebhookSecret, verifyWebhook, type WebhookCall, type WebhookHeaders } from "./webhooks.js";
