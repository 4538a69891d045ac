// The parts of a device that need no server.

import assert from "node:assert/strict";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Device, MemoryStore, WebStore } from "longline";
import { FileStore } from "longline/node";

import { Backoff } from "../dist/backoff.js";
import { parsed, readMoved, readReference } from "../dist/endpoints.js";
import { PacketIds } from "../dist/link.js";
import { readMissed } from "../dist/message.js";
import { Outbox } from "../dist/outbox.js";
import { judge } from "../dist/refusals.js";

const known = { endpoints: [{ host: "room", port: 1, path: "/mqtt" }], until: 5 };

function webStorage() {
  const kept = new Map();
  return { kept, getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => void kept.set(key, value) };
}

async function folder() {
  return mkdtemp(join(tmpdir(), "longline-"));
}

const stores = {
  memory: async () => {
    const store = new MemoryStore();
    return () => store;
  },
  web: async () => {
    const storage = webStorage();
    return () => new WebStore("longline:news/d1", storage);
  },
  file: async () => {
    const path = join(await folder(), "handled");
    return () => new FileStore(path);
  },
};

for (const [name, make] of Object.entries(stores)) {
  test(`a ${name} store gives back what was put in, and forgets the oldest of very many`, async () => {
    const open = await make();
    const first = open();
    assert.deepEqual(await first.load(), { handled: [], known: null });
    await Promise.all(Array.from({ length: 2100 }, (_, message) => first.add(`m${message}`)));
    await first.keep(known);
    await first.add("last");
    await first.close?.();
    const second = open();
    const { handled, known: where } = await second.load();
    await second.close?.();
    assert.deepEqual(where, known);
    assert.equal(handled.at(-1), "last");
    assert.ok(handled.length > 900 && handled.length <= 1000, String(handled.length));
    assert.deepEqual(handled.slice(-3), ["m2098", "m2099", "last"]);
  });
}

test("a file that was cut off is read as far as it goes, and written whole", async () => {
  const path = join(await folder(), "handled");
  await writeFile(path, '{"handled":"m1"}\nnonsense\n{"known":{"endpoints":[],"until":1}}\n{"handled":"m');
  const store = new FileStore(path);
  assert.deepEqual(await store.load(), { handled: ["m1"], known: null });
  await Promise.all([store.add("m2"), store.add("m3")]);
  for (let message = 0; message < 3; message += 1) await store.add(`n${message}`);
  assert.equal(await readFile(path, "utf8"), `{"handled":"m1"}\n{"handled":"m2"}\n{"handled":"m3"}\n${[0, 1, 2].map((n) => `{"handled":"n${n}"}\n`).join("")}`);
  await store.close();
});

test("a page's storage that anybody has written to does no harm", () => {
  const storage = webStorage();
  for (const key of ["d:part", "d:0", "d:endpoints"]) storage.setItem(key, "{nonsense");
  assert.deepEqual(new WebStore("d", storage).load(), { handled: [], known: null });
});

test("waits grow up to their cap, and begin anew", () => {
  const backoff = new Backoff(1, 8, () => 0.5);
  assert.deepEqual([1, 2, 3, 4, 5].map(() => backoff.next()), [0.5, 1, 2, 4, 4]);
  backoff.attempt = 10_000;
  assert.equal(backoff.next(), 4);
  backoff.reset();
  assert.equal(backoff.next(), 0.5);
  assert.throws(() => backoff.bound(2, 1), RangeError);
});

test("addresses are URLs of four kinds", () => {
  assert.deepEqual(parsed("mqtt://[::1]"), { transport: "tcp", endpoint: { host: "::1", port: 1883 } });
  assert.deepEqual(parsed("mqtts://h:1"), { transport: "tls", endpoint: { host: "h", port: 1 } });
  assert.deepEqual(parsed("ws://h/"), { transport: "ws", endpoint: { host: "h", port: 80, path: "/mqtt" } });
  assert.deepEqual(parsed("wss://h/p?q=1"), { transport: "wss", endpoint: { host: "h", port: 443, path: "/p?q=1" } });
  for (const none of ["h", "http://h", "mqtt://", "mqtt://user:secret@h"]) assert.throws(() => parsed(none), RangeError);
});

test("a server reference names servers, and nonsense in it is passed over", () => {
  assert.deepEqual(readReference("a:1 [::1]:2 b ::1 c:0 d:99999 :5", 7), [
    { host: "a", port: 1 },
    { host: "::1", port: 2 },
    { host: "b", port: 7 },
  ]);
  assert.deepEqual(readMoved('{"endpoints":[{"host":"a","port":1},{"host":2}],"after_ms":1e9}'), {
    endpoints: [{ host: "a", port: 1 }],
    after: 60,
  });
  for (const nonsense of ["", "null", "[]", '{"endpoints":5,"after_ms":"x"}']) {
    assert.deepEqual(readMoved(nonsense), { endpoints: [], after: 0 });
  }
});

test("what was missed is told when it can be read", () => {
  const since = "2027-01-15T08:00:00.000Z";
  assert.deepEqual(readMissed(JSON.stringify({ dropped: 1, expired: 2, collapsed: 3, since })), {
    dropped: 1,
    expired: 2,
    collapsed: 3,
    since: new Date(since),
  });
  for (const nonsense of ["", "null", "{}", '{"dropped":1,"expired":2,"collapsed":3,"since":"then"}']) {
    assert.equal(readMissed(nonsense), null);
  }
});

test("reasons say whether to come back", () => {
  const verdicts = [0x80, 0x86, 0x87, 0x88, 0x8a, 0x8b, 0x8e, 0x98, 0x9c, 0x9d].map((reason) => judge(reason).verdict);
  assert.deepEqual(verdicts, ["retry", "refresh", "refresh", "retry", "stop", "retry", "stop", "retry", "move", "move"]);
});

test("packet identifiers are all used before one comes again, and none that is in use", () => {
  const ids = new PacketIds();
  for (let id = 1; id <= 65_535; id += 1) assert.equal(ids.allocate(), id);
  assert.equal(ids.allocate(), null);
  ids.deallocate(7);
  ids.deallocate(9);
  assert.equal(ids.allocate(), 7);
  assert.equal(ids.allocate(), 9);
});

// A link that takes what it is given, and answers when it is told.
function fakeLink() {
  const sent = [];
  let latest = 0;
  return {
    open: true,
    sent,
    get latestId() {
      return latest;
    },
    publish(topic, payload, { qos, dup, sendId }, answered) {
      latest = qos ? latest + 1 : latest;
      sent.push({ topic, payload, qos, dup, sendId, answered });
      if (qos === 0) answered(0);
    },
  };
}

const any = () => true;

test("what waits for the server is bounded, and more is refused at once", async () => {
  const outbox = new Outbox(new PacketIds(), 2, 1000);
  const [first, second] = [outbox.add("up/1", "a", 1), outbox.add("up/2", "b", 1)];
  await assert.rejects(outbox.add("up/3", "c", 1), { code: "overloaded", retryable: true });
  const link = fakeLink();
  outbox.opened({ sessionPresent: false, window: 10, maxPacket: 0 });
  outbox.pump(link, any);
  for (const { answered } of link.sent) answered(0);
  await Promise.all([first, second]);
  assert.equal(outbox.size, 0);
  await assert.rejects(outbox.add("up/4", new Uint8Array(1000), 1), { code: "overloaded" });
});

test("the server's window bounds what is under way, and order is kept across connections", async () => {
  const outbox = new Outbox(new PacketIds(), 100, 10_000);
  const answers = [0, 1, 2, 3, 4].map((number) => outbox.add("up/n", String(number), 1));
  const first = fakeLink();
  outbox.opened({ sessionPresent: false, window: 2, maxPacket: 0 });
  outbox.pump(first, any);
  assert.deepEqual(first.sent.map(({ payload }) => payload), ["0", "1"]);
  first.sent[0].answered(0);
  assert.deepEqual(first.sent.map(({ payload }) => payload), ["0", "1", "2"]);
  const second = fakeLink();
  outbox.opened({ sessionPresent: true, window: 2, maxPacket: 0 });
  outbox.pump(second, any);
  while (second.sent.length < 4) second.sent.find((one) => !one.done && (one.done = true)).answered(0);
  for (const one of second.sent) if (!one.done) one.answered(0);
  await Promise.all(answers);
  assert.deepEqual(second.sent.map(({ payload, dup }) => [payload, dup]), [["1", true], ["2", true], ["3", false], ["4", false]]);
});

test("a publish that is never answered is given up after five connections", async () => {
  const outbox = new Outbox(new PacketIds(), 100, 10_000);
  const answer = outbox.add("up/n", "x", 1);
  for (let connection = 0; connection < 6; connection += 1) {
    outbox.opened({ sessionPresent: false, window: 10, maxPacket: 0 });
    outbox.pump(fakeLink(), any);
  }
  await assert.rejects(answer, { code: "unavailable" });
  assert.equal(outbox.size, 0);
});

test("what is written with QoS 0 when the connection ends is waited for no longer", async () => {
  const outbox = new Outbox(new PacketIds(), 100, 10_000);
  const answer = outbox.add("up/n", "x", 0);
  const link = { ...fakeLink(), publish: () => {} };
  outbox.opened({ sessionPresent: false, window: 10, maxPacket: 0 });
  outbox.pump(link, any);
  assert.equal(outbox.size, 1);
  outbox.lost();
  await answer;
  assert.equal(outbox.size, 0);
});

test("who gives up waiting is not kept, and nothing is sent for them", async () => {
  const outbox = new Outbox(new PacketIds(), 100, 10_000);
  const withdrawal = new AbortController();
  const answer = outbox.add("up/n", "x", 1, withdrawal.signal);
  withdrawal.abort(new Error("enough"));
  await assert.rejects(answer, { message: "enough" });
  const link = fakeLink();
  outbox.opened({ sessionPresent: false, window: 10, maxPacket: 0 });
  outbox.pump(link, any);
  assert.deepEqual([link.sent.length, outbox.size], [0, 0]);
});

test("what cannot be a device is refused before anything happens", () => {
  const given = { app: "news", device: "d1", token: "t" };
  assert.throws(() => new Device(null, given), RangeError);
  assert.throws(() => new Device("http://h", given), RangeError);
  assert.throws(() => new Device("mqtt://h", { ...given, endpoints: ["ws://h"] }), RangeError);
  assert.throws(() => new Device("mqtt://h", { ...given, receiveMaximum: 0 }), RangeError);
  assert.throws(() => new Device("mqtt://h", { ...given, protocol: 3 }), RangeError);
  assert.throws(() => new Device(null, { ...given, dispatchers: ["mqtt://h"] }), RangeError);
});

test("a device that nobody answers ends when it is told to, and leaves nothing behind", async () => {
  const device = new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: "t" });
  const says = device.send("n", 1);
  const waits = device.whenConnected();
  const refusals = Promise.allSettled([says, waits]);
  await device.close();
  for (const { reason } of await refusals) assert.equal(reason.code, "unavailable");
  for await (const _ of device) assert.fail("a closed device has no messages");
  assert.equal(device.closed, true);
});

test("what is no topic, and what is no payload, is refused before it is sent", async () => {
  const device = new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: "t" });
  for (const topic of ["", "a/+", "#", "a\0b"]) await assert.rejects(device.publish(topic, "x"), RangeError);
  await assert.rejects(device.send("n", undefined), TypeError);
  await device.close();
});

test("a source of tokens that never answers holds up no close", async () => {
  const device = new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: () => new Promise(() => {}) });
  await Promise.resolve();
  await device.close();
});

test("a source of tokens that gives none stops its device", async () => {
  const device = new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: async () => undefined });
  await assert.rejects(device.whenConnected(), { code: "bad_token" });
  await device.close();
});
