// An app server's calls against a node: LONGLINE_URL, LONGLINE_KEY, and LONGLINE_MQTT, where its devices connect.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { bytesOf, Center, Device, LonglineError, newWebhookSecret, verifyWebhook } from "longline";

const { LONGLINE_URL: url, LONGLINE_KEY: key, LONGLINE_MQTT: mqtt } = process.env;
const center = new Center(url, key);
const app = "calls";
let appKeys;

async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

async function connected(name, options = {}) {
  const { password } = await center.token(app, name, { expiresIn: 3600 });
  const device = new Device(mqtt, { app, device: name, token: password, ...options });
  await device.whenConnected();
  return device;
}

before(async () => {
  appKeys = await center.createApp(app, { pubsub: true, name: "Calls" });
});

after(() => center.deleteApp(app));

test("apps", async () => {
  assert.equal(appKeys.app, app);
  assert.match(appKeys.serverKey, /^llk_calls\./);
  assert.equal((await center.app(app)).name, "Calls");
  assert.ok((await center.app(app)).createdAt instanceof Date);
  assert.equal((await center.updateApp(app, { endAtExpiry: false })).pubsub, true);
  assert.ok((await all(center.apps({ pageSize: 1 }))).some((one) => one.app === app));
  await assert.rejects(center.createApp(app), { code: "app_exists", status: 409 });
  const own = new Center(url, appKeys.serverKey);
  await assert.rejects(all(own.apps()), { code: "forbidden" });
  const { serverKey } = await center.rotateKeys(app, { serverKey: true, graceSeconds: 60 });
  assert.equal((await new Center(url, serverKey).app(app)).app, app);
  assert.deepEqual(await center.rules(app), []);
  const rules = [{ allow: "both", filter: "home/{device}/#" }];
  assert.deepEqual(await center.putRules(app, rules), rules);
  await center.putRules(app, []);
  assert.equal((await center.putLimits(app, { messagesPerSecond: 500 })).inForce.messagesPerSecond, 500);
  assert.equal((await center.limits(app)).messagesPerSecond, 500);
  await center.putLimits(app, {});
  await assert.rejects(center.tokenIssuer(app), { code: "tokens_not_found" });
});

test("devices", async () => {
  const before = await center.putDevice(app, "d1", { tags: ["beta"], aliases: ["ann"], attributes: { app_version: 4 } });
  assert.deepEqual([before.tags, before.attributes], [["beta"], { app_version: 4 }]);
  assert.equal((await center.patchDevice(app, "d1", { timezone: "Europe/Berlin" })).timezone, "Europe/Berlin");
  const results = await center.registerBatch(app, [{ device: "d2" }, { device: "a/b" }, { device: "d3", tags: ["beta"] }]);
  assert.deepEqual(results.map((result) => result?.code ?? null), [null, "invalid", null]);
  const found = await center.device(app, "d1");
  assert.deepEqual([found.online, found.since, found.pending], [false, null, 0]);
  assert.deepEqual((await all(center.devices(app, { tag: "beta", pageSize: 1 }))).map((one) => one.device), ["d1", "d3"]);
  assert.deepEqual((await all(center.devices(app, { alias: "ann" }))).map((one) => one.device), ["d1"]);
  const [status] = await center.status(app, ["d1"]);
  assert.equal(status.online, false);
  await center.deleteDevice(app, "d3");
  await assert.rejects(center.device(app, "d3"), { code: "device_not_found" });
  await center.releaseDevice(app, "d2");
});

test("messages", async () => {
  await center.putDevice(app, "m1", { attributes: { visits: 3 } });
  const { messageId, targeted } = await center.send(app, { title: "Hi" }, { devices: ["m1"], label: "l1", ttl: 60 });
  assert.equal(targeted, 1);
  const status = await center.message(app, messageId);
  assert.deepEqual([status.status, status.ledger.pending, status.label], ["accepted", 1, "l1"]);
  assert.ok(status.createdAt instanceof Date);
  assert.deepEqual((await all(center.messages(app, { label: "l1" }))).map((one) => one.messageId), [messageId]);
  const since = new Date(Date.now() - 60_000);
  assert.equal((await all(center.messages(app, { since, status: "accepted", label: "l1" }))).length, 1);
  const [delivery] = await all(center.deliveries(app, messageId));
  assert.deepEqual([delivery.device, delivery.state], ["m1", "pending"]);
  const [waiting] = await all(center.deviceMessages(app, "m1", { state: "pending" }));
  assert.equal(waiting.messageId, messageId);
  assert.deepEqual((await center.cancel(app, messageId)).ledger.dropped, { cancelled: 1 });
  const audience = { attributes: { visits: { gte: 2 } } };
  assert.equal((await center.estimate(app, audience)).devices, 1);
  assert.equal((await center.validate(app, "x", { audience })).targeted, 1);
  const batch = await center.sendBatch(app, [
    { payload: "a", devices: ["m1"] },
    { payload: "b", devices: ["nobody"] },
  ]);
  assert.equal(typeof batch[0], "string");
  assert.ok(batch[1] instanceof LonglineError && batch[1].code === "no_target");
  const one = await center.send(app, "x", { devices: ["m1"], idempotencyKey: "k1" });
  assert.deepEqual(await center.send(app, "x", { devices: ["m1"], idempotencyKey: "k1" }), one);
  await assert.rejects(center.send(app, "y", { devices: ["m1"], idempotencyKey: "k1" }), { code: "idempotency_mismatch" });
  const later = await center.send(app, "later", { devices: ["m1"], sendAt: new Date(Date.now() + 3_600_000) });
  assert.equal((await center.message(app, later.messageId)).status, "scheduled");
  await center.cancel(app, later.messageId);
  const { by, statistics } = await center.statistics(app, { by: "day" });
  assert.equal(by, "day");
  assert.ok(statistics.at(-1).at instanceof Date && statistics.at(-1).messages > 0);
});

test("bytes arrive as they are, and answers come with the ledger", async () => {
  const device = await connected("bytes");
  const { messageId } = await center.send(app, new Uint8Array([0, 255, 7]), { devices: ["bytes"] });
  for await (const message of device) {
    assert.deepEqual([...message.payload], [0, 255, 7]);
    await message.ack();
    break;
  }
  assert.equal((await center.wait(app, messageId, { within: 20 })).ledger.acked, 1);
  const unread = await center.send(app, "x", { devices: ["bytes"] });
  await assert.rejects(center.wait(app, unread.messageId, { within: 0.1 }), { code: "unavailable" });
  await device.close();
});

test("shadows and calls", async () => {
  const device = await connected("lamp", { onCall: (call) => ({ did: call.json() }) });
  const { payload, at } = await center.call(app, "lamp", { blink: 3 });
  assert.deepEqual(JSON.parse(payload), { did: { blink: 3 } });
  assert.ok(at instanceof Date);
  device.onCall(() => {
    throw new Error("no");
  });
  await assert.rejects(center.call(app, "lamp", "x", { within: 1 }), { code: "no_answer" });
  await device.close();
  await assert.rejects(center.call(app, "lamp", "x"), { code: "offline" });
  const { version } = await center.patchShadow(app, "lamp", { desired: { light: { on_time: 5 } } });
  assert.deepEqual((await center.shadow(app, "lamp")).desired, { light: { on_time: 5 } });
  await assert.rejects(center.patchShadow(app, "lamp", { desired: {} }, { version: version + 7 }), { code: "conflict" });
});

test("groups", async () => {
  for (const device of ["g1", "g2"]) await center.putDevice(app, device);
  assert.deepEqual((await center.putGroup(app, "team", ["g1"])).members, ["g1"]);
  assert.equal(await center.addMembers(app, "team", ["g1", "g2"]), 1);
  assert.equal(await center.removeMembers(app, "team", ["g2"]), 1);
  assert.equal((await center.group(app, "team")).size, 1);
  for (const text of ["one", "two", "three"]) await center.send(app, text, { group: "team" });
  const said = await all(center.groupMessages(app, "team", { after: 1, pageSize: 1 }));
  assert.deepEqual(said.map((one) => [one.sequence, new TextDecoder().decode(bytesOf(one))]), [[2, "two"], [3, "three"]]);
  assert.deepEqual((await all(center.groups(app))).map((one) => one.group), ["team"]);
  await center.deleteGroup(app, "team");
  await assert.rejects(center.group(app, "team"), { code: "group_not_found" });
});

test("schedules", async () => {
  const made = await center.schedule(app, { payload: "Good morning", everyone: true }, "0 9 * * 1-5", { timezone: "Europe/Berlin" });
  assert.equal(made.paused, false);
  assert.equal((await center.pauseSchedule(app, made.scheduleId)).paused, true);
  assert.equal((await center.resumeSchedule(app, made.scheduleId)).paused, false);
  assert.equal((await center.scheduleInfo(app, made.scheduleId)).cron, "0 9 * * 1-5");
  assert.equal((await all(center.schedules(app))).length, 1);
  await center.deleteSchedule(app, made.scheduleId);
  await assert.rejects(center.schedule(app, { payload: "x", everyone: true }, "never"), { code: "invalid_cron" });
});

test("keys and the audit log", async () => {
  const made = await center.createKey({ app, name: "reports", scopes: ["read"], expiresAt: new Date(Date.now() + 60_000) });
  const reading = new Center(url, made.key);
  assert.equal((await reading.app(app)).app, app);
  await assert.rejects(reading.send(app, "x", { everyone: true }), { code: "missing_scope_send" });
  assert.deepEqual((await all(center.namedKeys({ app }))).map((one) => one.name), ["reports"]);
  await center.deleteKey(made.keyId, { app });
  const everywhere = await center.createKey({ name: "all", scopes: ["read"] });
  assert.deepEqual((await center.ownKey()).app, null);
  assert.ok((await all(center.namedKeys())).some((one) => one.keyId === everywhere.keyId));
  await center.deleteKey(everywhere.keyId);
  const changes = await all(center.changes({ app, since: new Date(Date.now() - 60_000) }));
  assert.ok(changes.some((change) => change.path === "/v1/apps/{app}/keys" && change.at instanceof Date));
});

test("operators", async () => {
  const [node] = await center.nodes();
  assert.equal(typeof node.node, "string");
  await center.drain(node.node, { rate: 1 });
  await center.undrain(node.node);
  await center.putSetting("room.inflight_window", { value: 20 });
  assert.equal((await center.setting("room.inflight_window")).value, 20);
  await center.removeSetting("room.inflight_window");
  assert.equal(typeof (await center.config()).version, "number");
  assert.match(await center.metrics(), /^longline_/m);
  await center.health();
  await center.ready();
});

test("events are followed, from a cursor on, and until they are left", async () => {
  const device = await connected("sender");
  await device.send("first", "1");
  const before = (await all(center.upstream(app))).at(-1).cursor;
  const leave = new AbortController();
  const seen = [];
  const following = (async () => {
    for await (const event of center.upstream(app, { after: before, follow: true, signal: leave.signal })) {
      if (event.type !== "upstream") continue;
      seen.push([event.topic, new TextDecoder().decode(bytesOf(event)), event.gap]);
      if (seen.length === 2) leave.abort();
    }
  })();
  await device.send("second", { n: 2 });
  await device.send("third", new Uint8Array([206, 169]));
  await following;
  assert.deepEqual(seen, [["up/second", '{"n":2}', false], ["up/third", "Ω", false]]);
  await device.close();
});

test("webhooks are verified", async () => {
  const secret = await newWebhookSecret();
  let took;
  const taken = new Promise((resolve) => (took = resolve));
  const server = createServer(async (request, response) => {
    const chunks = await all(request);
    const body = Buffer.concat(chunks);
    try {
      const call = await verifyWebhook(["whsec_" + Buffer.alloc(32).toString("base64"), secret], request.headers, body);
      for (const other of [Buffer.concat([body, Buffer.from(" ")]), Buffer.from("{}")]) {
        await assert.rejects(verifyWebhook(secret, request.headers, other), { code: "unauthorized" });
      }
      const old = { ...request.headers, "webhook-timestamp": "1700000000" };
      await assert.rejects(verifyWebhook(secret, old, body), { code: "unauthorized" });
      await assert.rejects(verifyWebhook(secret, {}, body), { code: "unauthorized" });
      await assert.rejects(verifyWebhook(await newWebhookSecret(), request.headers, body), { code: "unauthorized" });
      took(call);
      response.writeHead(204).end();
    } catch (error) {
      response.writeHead(401).end(String(error));
      took(error);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const target = `http://127.0.0.1:${server.address().port}/`;
  const made = await center.putWebhook(app, { url: target, secret, events: ["upstream"] });
  assert.deepEqual(made.events, ["upstream"]);
  const device = await connected("hooked");
  await device.send("alarm", "hot");
  const call = await taken;
  assert.equal(call.app, app, String(call));
  assert.deepEqual(call.events.map((event) => [event.topic, event.payload]), [["up/alarm", "hot"]]);
  assert.ok(call.events[0].at instanceof Date);
  assert.equal((await center.webhook(app)).status.state, "active");
  assert.deepEqual(await all(center.deadEvents(app)), []);
  assert.equal(await center.replayWebhook(app), 0);
  await center.deleteWebhook(app);
  await device.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test("a device can be kept out, and let in again", async () => {
  const device = await connected("kicked");
  await center.kick(app, "kicked", { ban: 60 });
  await assert.rejects(device.receive(), { code: "banned" });
  await center.kick(app, "kicked", { ban: 0 });
  const again = await connected("kicked");
  await again.close();
  await device.close();
});
