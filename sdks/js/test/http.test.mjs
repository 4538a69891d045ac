// What Center does about failures, with a fetch that answers as it is told.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Center, LonglineError } from "longline";

function answering(...answers) {
  const requests = [];
  const fetch = async (url, init) => {
    requests.push({ url: new URL(url), ...init });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    if (answer === "never") {
      await new Promise((_, reject) => init.signal.addEventListener("abort", () => reject(init.signal.reason)));
    }
    return new Response(answer.body === undefined ? null : JSON.stringify(answer.body), {
      status: answer.status ?? 200,
      headers: answer.headers ?? {},
    });
  };
  return { requests, fetch };
}

function refusal(code, status, headers = {}) {
  return { status, headers, body: { error: { code, message: "no", details: [] } } };
}

const accepted = { status: 202, body: { message_id: "m1", status: "accepted", targeted: 1 } };

function center(fetch, options = {}) {
  return new Center("http://push.example.org/base/", " key\n", { fetch, ...options });
}

test("a push is repeated under one idempotency key until it is taken", async () => {
  const { requests, fetch } = answering(new TypeError("reset"), refusal("unavailable", 503), accepted);
  const { messageId, targeted } = await center(fetch).send("news", "hi", { devices: ["d1"] });
  assert.deepEqual([messageId, targeted], ["m1", 1]);
  assert.equal(requests.length, 3);
  const keys = new Set(requests.map((request) => request.headers["Idempotency-Key"]));
  assert.equal(keys.size, 1);
  assert.ok([...keys][0].length >= 32);
  assert.equal(requests[0].headers.Authorization, "Bearer key");
  assert.equal(requests[0].url.href, "http://push.example.org/base/v1/apps/news/messages");
  assert.deepEqual(JSON.parse(requests[0].body), { audience: { devices: ["d1"] }, payload: "hi" });
});

test("what may have been done is not repeated", async () => {
  const { requests, fetch } = answering(new TypeError("reset"));
  await assert.rejects(center(fetch).createApp("news"), { code: "unavailable", retryable: true });
  assert.equal(requests.length, 1);
});

test("what cannot succeed is not repeated", async () => {
  const { requests, fetch } = answering(refusal("no_target", 404));
  await assert.rejects(center(fetch).send("news", "hi", { everyone: true }), { code: "no_target", status: 404 });
  assert.equal(requests.length, 1);
});

test("a server that asks for a long wait is told to the caller", async () => {
  const { requests, fetch } = answering(refusal("rate_limited", 429, { "Retry-After": "31" }));
  await assert.rejects(center(fetch).app("news"), { code: "rate_limited", retryAfter: 31 });
  assert.equal(requests.length, 1);
});

test("retries have a budget, which all calls share", async () => {
  const { requests, fetch } = answering(refusal("overloaded", 503));
  const shared = center(fetch, { retries: 3 });
  for (let call = 0; call < 6; call += 1) await assert.rejects(shared.app("news"), { code: "overloaded" });
  assert.equal(requests.length, 6 + 10);
});

test("a server that does not answer in time is not to be had", async () => {
  const { requests, fetch } = answering("never");
  await assert.rejects(center(fetch, { timeout: 0.01, retries: 1 }).app("news"), { code: "unavailable" });
  assert.equal(requests.length, 2);
});

test("who withdraws gets their own reason, and nothing is repeated", async () => {
  const { requests, fetch } = answering("never");
  const withdrawal = new AbortController();
  const asked = center(fetch).request("apps_get", { path: { app: "news" }, signal: withdrawal.signal });
  withdrawal.abort(new Error("enough"));
  await assert.rejects(asked, { message: "enough" });
  assert.equal(requests.length, 1);
});

test("what a proxy answers has a code by its status", async () => {
  const { fetch } = answering({ status: 502, body: "<html>" });
  await assert.rejects(center(fetch, { retries: 0 }).app("news"), { code: "unavailable", status: 502 });
});

test("fields that are wrong are in details, and in the message", async () => {
  const body = { error: { code: "invalid", message: "no", details: [{ field: "options.ttl", message: "too long" }] } };
  const { fetch } = answering({ status: 422, body });
  const error = await center(fetch)
    .send("news", 1, { everyone: true, ttl: 1e9 })
    .catch((one) => one);
  assert.ok(error instanceof LonglineError);
  assert.deepEqual(error.details, [{ field: "options.ttl", message: "too long" }]);
  assert.equal(error.message, "no (options.ttl: too long)");
});

test("names and times are those of TypeScript, and what applications wrote stays as it is", async () => {
  const { requests, fetch } = answering(accepted, {
    body: { device: "d1", created_at: "2026-01-31T12:00:00.250Z", attributes: { app_version: "4", created_at: "x" } },
  });
  const api = center(fetch);
  await api.send("news", { user_id: 1, sendAt: 2 }, {
    audience: { tagNot: ["muted"], attributes: { app_version: { gte: 4 } } },
    collapseKey: "k",
    onlineOnly: true,
    sendAt: new Date("2026-12-24T18:00:00Z"),
  });
  assert.deepEqual(JSON.parse(requests[0].body), {
    audience: { tag_not: ["muted"], attributes: { app_version: { gte: 4 } } },
    payload: { user_id: 1, sendAt: 2 },
    options: { collapse_key: "k", online_only: true, send_at: "2026-12-24T18:00:00.000Z" },
  });
  const device = await api.device("news", "d1");
  assert.deepEqual(device.createdAt, new Date("2026-01-31T12:00:00.250Z"));
  assert.deepEqual(device.attributes, { app_version: "4", created_at: "x" });
});

test("a push has exactly one audience, and something in it", async () => {
  const { requests, fetch } = answering(accepted);
  const api = center(fetch);
  await assert.rejects(api.send("news", "hi", {}), RangeError);
  await assert.rejects(api.send("news", "hi", { everyone: true, devices: ["d1"] }), RangeError);
  await assert.rejects(api.send("news", undefined, { everyone: true }), TypeError);
  assert.equal(requests.length, 0);
});

test("names go into paths as they are, and none leaves its place", async () => {
  const { requests, fetch } = answering({ status: 204 });
  await center(fetch).deleteDevice("news", "a?b%c d");
  assert.equal(requests[0].url.pathname, "/base/v1/apps/news/devices/a%3Fb%25c%20d");
  for (const name of ["", ".", "..", "a/b"]) await assert.rejects(center(fetch).deleteDevice("news", name), RangeError);
});

test("keys and addresses that are none are refused, and not repeated", () => {
  assert.throws(() => new Center("http://x", "two words"), (error) => error instanceof RangeError && !error.message.includes("two"));
  assert.throws(() => new Center("http://user:secret@x", "k"), (error) => !error.message.includes("secret"));
  assert.throws(() => new Center("ftp://x", "k"), RangeError);
});
