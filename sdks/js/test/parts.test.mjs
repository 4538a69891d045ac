// The parts of a device that need no server.

import assert from "node:assert/strict";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Device, LonglineError, MemoryStore, WebStore } from "longline";
import { FileStore } from "longline/node";

import { AttachedApp } from "../dist/attached.js";
import { Backoff } from "../dist/backoff.js";
import { Endpoints, parsed, readMoved, readReference } from "../dist/endpoints.js";
import { LearntHeartbeat } from "../dist/heartbeat.js";
import { Link, PacketIds } from "../dist/link.js";
import { readMissed } from "../dist/message.js";
import { currentNetwork } from "../dist/networks.js";
import { Outbox } from "../dist/outbox.js";
import { Posts } from "../dist/posts.js";
import { judge } from "../dist/refusals.js";
import { unless, WayBack } from "../dist/wayback.js";

const known = { endpoints: [{ host: "room", port: 1, path: "/mqtt" }], until: 5, idle: 40 };
const NOTHING = { handled: [], networks: [], posted: [] };

function posted(number, text = "x") {
  return { number, topic: `up/${number}`, payload: new TextEncoder().encode(text), sendId: `id${number}` };
}

function webStorage() {
  const kept = new Map();
  return { kept, getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => void kept.set(key, value), removeItem: (key) => void kept.delete(key) };
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
    assert.deepEqual(await first.load(), NOTHING);
    await Promise.all(Array.from({ length: 2100 }, (_, message) => first.add(`m${message}`)));
    await first.learn("wifi", { ...known, idle: null });
    await first.learn("wifi", known);
    for (let number = 0; number < 40; number += 1) await first.learn(`n${number}`, known);
    await first.add("last");
    await first.close?.();
    const second = open();
    const { handled, networks } = await second.load();
    await second.close?.();
    assert.deepEqual(networks, Array.from({ length: 16 }, (_, number) => [`n${number + 24}`, known]));
    assert.equal(handled.at(-1), "last");
    assert.ok(handled.length > 900 && handled.length <= 1000, String(handled.length));
    assert.deepEqual(handled.slice(-3), ["m2098", "m2099", "last"]);
  });
}

for (const [name, make] of Object.entries(stores)) {
  test(`a ${name} store has what was posted until it is settled`, async () => {
    const open = await make();
    const first = open();
    await first.load();
    await Promise.all([1, 2, 3, 4].map((number) => first.post(posted(number, "\u0000é"))));
    await Promise.all([first.settled(2), first.settled(3)]);
    await first.close?.();
    const second = open();
    assert.deepEqual((await second.load()).posted, [posted(1, "\u0000é"), posted(4, "\u0000é")]);
    await second.settled(1);
    await second.post(posted(5));
    for (let number = 6; number < 3000; number += 1) {
      await second.post(posted(number));
      await second.settled(number);
    }
    await second.close?.();
    const third = open();
    assert.deepEqual((await third.load()).posted, [posted(4, "\u0000é"), posted(5)]);
    await third.close?.();
  });
}

test("a file has no more than a few times what is worth keeping", async () => {
  const path = join(await folder(), "handled");
  const store = new FileStore(path);
  await store.load();
  for (let number = 1; number < 40; number += 1) {
    await store.post(posted(number, "x".repeat(50_000)));
    await store.settled(number);
  }
  assert.ok((await readFile(path, "utf8")).length < 400_000);
  await store.close();
});

test("a file is written only from load to close, as it may be another's then", async () => {
  const path = join(await folder(), "state");
  const former = new FileStore(path);
  await assert.rejects(former.post(posted(1)), { message: /is not open/ });
  await former.settled(1).catch(() => {});
  await former.load();
  await former.post(posted(2));
  await former.close();
  const present = new FileStore(path);
  await present.load();
  await assert.rejects(former.settled(2), { message: /is not open/ });
  await present.post(posted(3));
  await present.close();
  const next = new FileStore(path);
  assert.deepEqual((await next.load()).posted, [posted(2), posted(3)]);
  await next.close();
});

test("a page's storage that is full keeps what it had, and says so", async () => {
  const storage = webStorage();
  const store = new WebStore("d", { ...storage, setItem: (key, value) => {
    if (value.length > 100) throw new Error("QuotaExceededError");
    storage.setItem(key, value);
  } });
  store.load();
  store.post(posted(1));
  assert.throws(() => store.post(posted(2, "x".repeat(200))), { message: "QuotaExceededError" });
  store.post(posted(3));
  assert.deepEqual(new WebStore("d", storage).load().posted, [posted(1), posted(3)]);
});

test("a file that was cut off is read as far as it goes, and written whole", async () => {
  const path = join(await folder(), "handled");
  await writeFile(path, '{"handled":"m1"}\nnonsense\n{"network":["a",{"endpoints":5}]}\n{"posted":[1,"up/a","!",null]}\n{"handled":"m');
  const store = new FileStore(path);
  assert.deepEqual(await store.load(), { ...NOTHING, handled: ["m1"] });
  await Promise.all([store.add("m2"), store.add("m3")]);
  for (let message = 0; message < 3; message += 1) await store.add(`n${message}`);
  assert.equal(await readFile(path, "utf8"), `{"handled":"m1"}\n{"handled":"m2"}\n{"handled":"m3"}\n${[0, 1, 2].map((n) => `{"handled":"n${n}"}\n`).join("")}`);
  await store.close();
});

test("a page's storage that anybody has written to does no harm", () => {
  const storage = webStorage();
  for (const key of ["d:part", "d:0", "d:networks"]) storage.setItem(key, "{nonsense");
  storage.setItem("d:posted", '[1,"two",null]');
  storage.setItem("d:posted:1", '["x"]');
  assert.deepEqual(new WebStore("d", storage).load(), NOTHING);
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
  const [first, second] = [outbox.add("up/1", "a"), outbox.add("up/2", "b")];
  await assert.rejects(outbox.add("up/3", "c"), { code: "overloaded", retryable: true });
  const link = fakeLink();
  outbox.opened({ sessionPresent: false, window: 10, maxPacket: 0 });
  outbox.pump(link, any);
  for (const { answered } of link.sent) answered(0);
  await Promise.all([first, second]);
  assert.equal(outbox.size, 0);
  await assert.rejects(outbox.add("up/4", new Uint8Array(1000)), { code: "overloaded" });
});

test("the server's window bounds what is under way, and order is kept across connections", async () => {
  const outbox = new Outbox(new PacketIds(), 100, 10_000);
  const answers = [0, 1, 2, 3, 4].map((number) => outbox.add("up/n", String(number)));
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
  const answer = outbox.add("up/n", "x");
  for (let connection = 0; connection < 6; connection += 1) {
    outbox.opened({ sessionPresent: false, window: 10, maxPacket: 0 });
    outbox.pump(fakeLink(), any);
  }
  await assert.rejects(answer, { code: "unavailable" });
  assert.equal(outbox.size, 0);
});

test("what was posted is sent on as many connections as it takes, under its own name", async () => {
  const outbox = new Outbox(new PacketIds(), 0, 0);
  const answer = outbox.add("up/n", "x", { sendId: "mine" });
  let link;
  for (let connection = 0; connection < 9; connection += 1) {
    link = fakeLink();
    outbox.opened({ sessionPresent: false, window: 10, maxPacket: 0 });
    outbox.pump(link, any);
    assert.deepEqual(link.sent.map(({ sendId, qos }) => [sendId, qos]), [["mine", 1]]);
  }
  link.sent[0].answered(0);
  await answer;
});

test("what tells the app server has a name of its own, and nothing else has one", () => {
  const outbox = new Outbox(new PacketIds(), 100, 10_000);
  const topics = ["up/1", "up/2", "@weather/event/m/shown", "reply/c", "group/g", "home/x"];
  for (const topic of topics) void outbox.add(topic, "x");
  void outbox.add("up/3", "x", { qos: 0 });
  const link = fakeLink();
  outbox.opened({ sessionPresent: false, window: 10, maxPacket: 0 });
  outbox.pump(link, any);
  const names = link.sent.map(({ sendId }) => sendId);
  assert.deepEqual(names.map((name) => name?.length), [12, 12, 12, undefined, undefined, undefined, undefined]);
  assert.equal(new Set(names.slice(0, 3)).size, 3);
});

// A server that answers each message as it is told.
function posting(answers, store = new MemoryStore()) {
  const sent = [];
  const refusals = [];
  const end = new AbortController();
  const send = async ({ topic, sendId }) => {
    sent.push([topic, sendId]);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    if (answer === "never") await new Promise((_, reject) => end.signal.addEventListener("abort", () => reject(new Error("ended"))));
  };
  const posts = new Posts(store, { send, ended: end.signal, log: () => {} }, (name, _, error) => refusals.push([name, error.code]));
  return { posts, sent, refusals, end, store };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("what was posted and not sent is sent by the next device, in its order and under its name", async () => {
  const first = posting(["never", "never"]);
  await first.posts.post("a", "1");
  await first.posts.post("b", "2");
  assert.equal(first.posts.unsent, 2);
  first.end.abort();
  await settled();
  const second = posting([], first.store);
  second.posts.recall(first.store.load().posted);
  assert.deepEqual(second.sent, first.sent);
  await settled();
  assert.equal(second.posts.unsent, 0);
  assert.deepEqual(first.store.load().posted, []);
  await second.posts.post("c", "3");
  assert.deepEqual(second.sent.at(-1)[0], "up/c");
});

test("what is refused for good is told and not kept, and what is refused for now is sent again", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { posts, sent, refusals } = posting([
    new LonglineError("forbidden", "no"),
    new LonglineError("overloaded", "later", { retryable: true }),
  ]);
  await posts.post("bad", "x");
  await settled();
  assert.deepEqual([refusals, posts.unsent], [[["bad", "forbidden"]], 0]);
  await posts.post("good", "x");
  await settled();
  assert.equal(posts.unsent, 1);
  context.mock.timers.tick(5000);
  await settled();
  assert.equal(posts.unsent, 0);
  assert.deepEqual(sent[2], sent[1]);
});

test("what is posted is bounded, and a store that fails is told", async () => {
  const full = posting(Array(2000).fill("never"));
  for (let number = 0; number < 1000; number += 1) await full.posts.post("n", "x");
  await assert.rejects(full.posts.post("n", "x"), { code: "overloaded" });
  const large = posting(["never"]);
  await assert.rejects(large.posts.post("n", "x".repeat(1024 * 1024)), { code: "overloaded" });
  const store = { ...new MemoryStore(), post: () => { throw new Error("disk"); } };
  const failing = posting([], store);
  await assert.rejects(failing.posts.post("n", "x"), { code: "unavailable" });
  assert.deepEqual([failing.sent, failing.posts.unsent], [[], 0]);
});

test("what the store refuses is not sent, now or later", async () => {
  const known = new MemoryStore();
  const post = async (message) => {
    known.post(message); // all of it, before it fails
    await settled();
    throw new Error("disk");
  };
  const store = { load: () => known.load(), settled: (number) => known.settled(number), post };
  const { posts, sent } = posting([], store);
  await assert.rejects(posts.post("n", "x"), { code: "unavailable" });
  assert.deepEqual([sent, posts.unsent, known.load().posted], [[], 0, []]);
});

test("what a former life has posted is counted by whoever asks first", async (t) => {
  const known = new MemoryStore();
  known.post(posted(1));
  const load = async () => {
    await settled();
    return known.load();
  };
  const store = { load, add() {}, learn() {}, post() {}, settled() {} };
  const device = new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: "t", store });
  t.after(() => device.close());
  assert.equal(await device.unsent(), 1);
});

test("nothing is put into a store that could not be read", async (t) => {
  const put = [];
  const load = () => {
    throw new Error("EMFILE");
  };
  const store = { load, add() {}, learn() {}, post: (message) => put.push(message), settled() {} };
  const device = new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: "t", store });
  t.after(() => device.close());
  await assert.rejects(device.post("n", "x"), { code: "unavailable", message: "the store cannot be read: Error: EMFILE" });
  assert.deepEqual([put, await device.unsent()], [[], 0]);
});

test("what is posted is sent when it is stored, in its order", async () => {
  const waiting = [];
  const store = { post: () => new Promise((stored) => waiting.push(stored)), settled: () => {} };
  const { posts, sent } = posting(["never", "never", "never"], store);
  const all = ["a", "b", "c"].map((name) => posts.post(name, "x"));
  const [first, second, third] = waiting;
  third();
  second();
  await settled();
  assert.deepEqual(sent, []);
  first();
  await Promise.all(all);
  assert.deepEqual(sent.map(([topic]) => topic), ["up/a", "up/b", "up/c"]);
});

test("a heartbeat is as slow as may be until a connection dies of it, and then learns", () => {
  const heartbeat = new LearntHeartbeat(false);
  assert.equal(heartbeat.within(60), 45);
  heartbeat.survived(60);
  assert.equal(heartbeat.interval, null);
  heartbeat.died(60);
  assert.equal(heartbeat.within(60), 22.5);
  heartbeat.survived(60);
  assert.equal(heartbeat.within(60), 28.125);
  for (let turn = 0; turn < 100; turn += 1) heartbeat.survived(60);
  assert.equal(heartbeat.within(60), 45);
  for (let turn = 0; turn < 9; turn += 1) heartbeat.died(60);
  assert.equal(heartbeat.within(60), 10);
  assert.equal(heartbeat.within(8), 6);
  const fixed = new LearntHeartbeat(true);
  fixed.died(60);
  assert.equal(fixed.within(60), 45);
});

test("where it grew too fast once, it grows by small steps", () => {
  const heartbeat = new LearntHeartbeat(false);
  heartbeat.interval = 30;
  heartbeat.died(120);
  for (let turn = 0; turn < 3; turn += 1) heartbeat.survived(120);
  assert.ok(heartbeat.interval < 30, String(heartbeat.interval));
  const near = heartbeat.interval;
  heartbeat.survived(120);
  assert.ok(heartbeat.interval / near < 1.03);
});

test("on another network it goes by what was learnt there", async () => {
  let network = "home";
  const learnt = [];
  const asked = [];
  const endpoints = new Endpoints([]);
  const heartbeat = new LearntHeartbeat(false);
  const way = new WayBack({
    endpoints,
    heartbeat,
    dispatchers: {
      lookUp: async () => {
        asked.push(network);
        return { endpoints: [{ host: network, port: 1 }], expiresIn: 600, keepAlive: 0, after: 0, initial: 0, longest: 0 };
      },
    },
    closing: new AbortController().signal,
    counted: {},
    network: () => network,
    learnt: async (...what) => void learnt.push(what),
    recommended: () => {},
    note: () => {},
  });
  way.recall([["train", { endpoints: [{ host: "train", port: 1 }], until: Date.now() + 600_000, idle: 20 }]]);
  await way.find();
  assert.deepEqual([endpoints.current.host, heartbeat.interval], ["home", null]);
  network = "train";
  await way.find();
  assert.deepEqual([endpoints.current.host, heartbeat.interval], ["train", 20]);
  network = "home";
  await way.find();
  assert.deepEqual([endpoints.current.host, heartbeat.interval], ["home", null]);
  network = "elsewhere";
  await way.find();
  assert.deepEqual([endpoints.current.host, asked], ["elsewhere", ["home", "elsewhere"]]);
  assert.deepEqual(learnt.map(([name]) => name), ["home", "elsewhere"]);
});

test("a clock that is set back keeps nobody from asking where to connect", async (context) => {
  let passed = 0;
  const asked = [];
  const now = Date.now();
  context.mock.method(performance, "now", () => passed * 1000);
  const way = () => {
    const endpoints = new Endpoints([]);
    const lookUp = async () => {
      asked.push(passed);
      return { endpoints: [{ host: "room", port: 1 }], expiresIn: 600, keepAlive: 0, after: 0, initial: 0, longest: 0 };
    };
    const closing = new AbortController().signal;
    const rest = { counted: {}, network: () => "home", learnt: async () => {}, recommended: () => {}, note: () => {} };
    return new WayBack({ endpoints, heartbeat: new LearntHeartbeat(false), dispatchers: { lookUp }, closing, ...rest });
  };
  const running = way();
  await running.find();
  context.mock.method(Date, "now", () => now - 10 * 365 * 86_400_000);
  for (passed of [599, 601]) await running.find();
  assert.deepEqual(asked, [0, 601]);
  const again = way(); // of the next process, which knows what was learnt before the clock was set
  again.recall([["home", { endpoints: [{ host: "room", port: 1 }], until: now + 600_000, idle: null }]]);
  for (passed of [700, 4300, 4301]) await again.find();
  assert.deepEqual(asked, [0, 601, 4300]);
});

test("a clock that is set back holds up no app that waits to be attached", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let passed = 0;
  const now = Date.now();
  context.mock.method(performance, "now", () => passed);
  context.mock.method(Date, "now", () => (passed === 0 ? now : now - 3_600_000));
  const asked = [];
  const app = new AttachedApp({ ask: () => asked.push(passed), letGo: () => {} }, "a", "d", "t", undefined);
  const kept = app.keep();
  await settled();
  passed = 30_000;
  context.mock.timers.tick(30_000);
  await settled();
  assert.deepEqual(asked, [0, 30_000]);
  app.detach();
  await kept;
});

test("a network is what the platform says that it is, and nothing where it says nothing", (context) => {
  assert.equal(currentNetwork(), "");
  Object.defineProperty(globalThis, "navigator", { value: { connection: { type: "wifi" } }, configurable: true });
  context.after(() => delete globalThis.navigator);
  assert.equal(currentNetwork(), "wifi");
});

test("what is written with QoS 0 when the connection ends is waited for no longer", async () => {
  const outbox = new Outbox(new PacketIds(), 100, 10_000);
  const answer = outbox.add("up/n", "x", { qos: 0 });
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
  const answer = outbox.add("up/n", "x", { signal: withdrawal.signal });
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
  for (const topic of ["", "a/+", "#", "a\0b", "a".repeat(70_000)]) {
    await assert.rejects(device.publish(topic, "x"), RangeError);
    await assert.rejects(device.post(topic || "\0", "x"), RangeError);
  }
  for (const filter of ["", "a/b#", "#/a", "a+", "a\0b", "$share/g", "$share/g/", "$share/+/a"]) {
    await assert.rejects(device.subscribe(filter), RangeError, filter);
  }
  for (const payload of [undefined, null, 7, ["x"]]) await assert.rejects(device.publish("a", payload), TypeError);
  await assert.rejects(device.send("n", undefined), TypeError);
  assert.equal(await device.unsent(), 0);
  await assert.rejects(device.publish("a", "x", { signal: AbortSignal.abort(new Error("enough")) }), { message: "enough" });
  await device.close();
});

test("each filter hears its own reason, also one that is a number and one that is asked for twice", () => {
  const client = {
    subscribe: (wanted, done) => done(null, [], { granted: Object.keys(wanted).map((filter) => (filter === "up/#" ? 0x87 : 1)) }),
  };
  const heard = [];
  const filters = ["up/#", "a", "7", "a"].map((filter) => ({ filter, qos: 1 }));
  Link.prototype.subscribe.call({ client, open: true, guarded: (run) => run() }, filters, (reasons) => heard.push(reasons));
  assert.deepEqual(heard, [[0x87, 1, 1, 1]]);
});

test("a source of tokens that never answers holds up no close", async () => {
  const device = new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: () => new Promise(() => {}) });
  await Promise.resolve();
  await device.close();
});

// A device of which nothing can be reached, and which comes back at once; and until when something is so.
function restless(options) {
  return new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: "t", backoffBase: 0.001, backoffCap: 0.002, ...options });
}

async function until(look) {
  for (const end = performance.now() + 30_000; performance.now() < end; await new Promise((resolve) => setTimeout(resolve, 2))) {
    if (await look()) return;
  }
  assert.fail("not within 30 s");
}

const sources = {
  "gives nothing": async () => undefined,
  "gives no text": () => ({ password: "t" }),
  "gives what no CONNECT can carry": () => "t".repeat(70_000),
  throws: () => { throw new Error("no network"); },
  "rejects without a reason": () => Promise.reject(),
  "is not let in": () => { throw new LonglineError("unauthorized", "a key that is being replaced"); },
};
for (const [what, source] of Object.entries(sources)) {
  test(`a source of tokens that ${what} is asked again`, async () => {
    let asked = 0;
    const device = restless({ token: () => (++asked < 3 ? source() : "t") });
    await until(() => device.statistics.lastError?.message.includes("127.0.0.1:9"));
    assert.ok(device.statistics.failures >= 3);
    assert.equal(asked, 3);
    await device.close();
    assert.equal(device.closed, true);
  });
}

test("a source of tokens that never answers is asked again after a minute", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let asked = 0;
  const device = restless({ token: () => (++asked < 2 ? new Promise(() => {}) : "t") });
  for (let turn = 0; turn < 20; turn += 1) await settled();
  context.mock.timers.tick(60_000);
  for (let turn = 0; turn < 20; turn += 1) await settled();
  assert.match(device.statistics.lastError.message, /nothing came in 60 s/);
  context.mock.timers.tick(100);
  for (let turn = 0; turn < 20; turn += 1) await settled();
  assert.equal(asked, 2);
  context.mock.timers.reset();
  await device.close();
});

test("what fails when its device has been closed already is heard", async (context) => {
  const unheard = context.mock.fn();
  process.on("unhandledRejection", unheard);
  await assert.rejects(unless(AbortSignal.abort(new Error("closed")), Promise.reject(new Error("late"))), { message: "closed" });
  await new Promise((resolve) => setTimeout(resolve));
  process.off("unhandledRejection", unheard);
  assert.equal(unheard.mock.callCount(), 0);
});

test("a source of tokens may close its device", async () => {
  const device = restless({ token: () => device.close() });
  for await (const _ of device) assert.fail("a closed device has no messages");
  assert.equal(device.closed, true);
});

test("functions of the application that throw, or give promises that reject, end neither their device nor the process", async () => {
  const fails = () => { throw new Error("planted"); };
  const rejects = async () => fails();
  for (const failing of [fails, rejects]) {
    const device = restless({ network: failing, log: failing, onGap: failing, onRefused: failing });
    await until(() => device.statistics.failures > 2);
    await Promise.all([device.close(), device.close()]);
    assert.equal(device.closed, true);
  }
});

test("what nobody has foreseen is told and counted, and the device comes back", async () => {
  const lines = [];
  const device = restless({ log: (line) => lines.push(line) });
  const { find } = device.way;
  let broken = 3;
  device.way.find = function () {
    if (broken-- > 0) throw new TypeError("planted");
    return find.call(this);
  };
  await until(() => device.statistics.failures > 3);
  const told = lines.filter((line) => line.includes("TypeError: planted"));
  assert.equal(told.length, 3);
  assert.match(told[0], /parts\.test\.mjs/); // where it came from
  await until(() => device.statistics.lastError.code === "unavailable");
  await device.close();
});

test("a store that fails in every way costs only what was to be kept in it", async () => {
  const fails = () => { throw new Error("planted"); };
  for (const load of [fails, async () => fails(), () => undefined, () => ({ handled: 7, networks: null, posted: "x" })]) {
    const device = restless({ store: { load, add: fails, learn: fails, post: fails, settled: fails, close: fails } });
    await until(() => device.statistics.failures > 0);
    await assert.rejects(device.post("n", "x"), { code: "unavailable" });
    await device.close();
  }
});

test("a store that never loads holds up no close", async () => {
  const device = restless({ store: { ...new MemoryStore(), load: () => new Promise(() => {}) } });
  await settled();
  await device.close();
});

test("posts that somebody has written into a store, and that cannot be said, are passed over", async () => {
  const path = join(await folder(), "state");
  await writeFile(path, ['[1,"up/#","eA==","s"]', '[1e300,"up/x","eA==","s"]', '[-1,"up/x","eA==","s"]', '[2,"","eA==","s"]', '[3,"up/good","eA==","s"]']
    .map((posted) => `{"posted":${posted}}\n`).join(""));
  const store = new FileStore(path);
  assert.deepEqual((await store.load()).posted.map(({ topic }) => topic), ["up/good"]);
  await store.close();
});

test("acknowledgements go on when one of them has failed", async () => {
  const device = restless({});
  const message = (packetId) => ({ memory: null, packetId, qos: 1, link: { acknowledge: () => { if (packetId === 1) throw new Error("planted"); return true; } } });
  await device.acknowledge(message(1)).catch(() => {});
  await device.acknowledge(message(2));
  assert.equal(device.statistics.acked, 1);
  await device.close();
});

test("a dispatcher keeps no device away for good, and is not read without end", async () => {
  const { createServer } = await import("node:http");
  const answers = [];
  let endless = 0;
  const server = createServer((request, response) => {
    const answer = answers[0];
    response.setHeader("Retry-After", "999999999");
    if (answer !== "endless") {
      response.statusCode = answer[0];
      response.setHeader("Location", "/elsewhere");
      response.end(answer[1]);
      return;
    }
    const more = () => {
      endless += 1;
      while (!response.destroyed && response.write("x".repeat(16_384)));
    };
    response.on("drain", more);
    more();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const place = '"endpoints":[{"host":"127.0.0.1","port":9}]';
  const strange = [[200, "<!doctype html>"], [500, "no"], [302, ""], [200, "[]"], [200, '{"endpoints":[]}'], [200, "\u0000"], "endless"];
  for (const answer of strange) {
    answers[0] = answer;
    const device = new Device("mqtt://127.0.0.1:9", { app: "news", device: "d1", token: "t", dispatchers: [url], backoffBase: 0.001, backoffCap: 0.002 });
    await until(() => device.statistics.failures > 1);
    await device.close();
  }
  assert.ok(endless > 0);
  const way = (given) => {
    answers[0] = [200, `{${place},${given}}`];
    return new Device(null, { app: "news", device: "d1", token: "t", dispatchers: [url], transport: "tcp" });
  };
  const slow = way('"backoff":{"initial_ms":1e15,"max_ms":1e15}');
  await until(() => slow.statistics.failures > 0);
  assert.ok(slow.way.of.backoff.next() <= 3600);
  await slow.close();
  const odd = way('"heartbeat":{"keep_alive":0.5},"expires_in":1e999');
  await until(() => odd.statistics.failures > 0);
  assert.equal(odd.keepAlive, 60); // what MQTT cannot say is not gone by
  await odd.close();
  server.closeAllConnections();
  server.close();
});
