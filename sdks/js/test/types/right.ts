// What users write, and the compiler is to take.

import {
  bytesOf,
  Center,
  Device,
  LonglineError,
  MemoryStore,
  verifyWebhook,
  WebStore,
  type Api,
  type AttachedApp,
  type Message,
  type Missed,
  type Push,
  type UpstreamEvent,
} from "longline";
import { FileStore } from "longline/node";

const key: string = "lla_x";

export async function appServer(): Promise<void> {
  const center = new Center("http://127.0.0.1:8080", key, { timeout: 5, retries: 0 });
  const accepted: Api.MessageAccepted = await center.send("news", { title: "Goal!" }, { devices: ["d1"], ttl: 3600 });
  await center.send("news", new Uint8Array([1]), { everyone: true, priority: "high", qos: 2, sendAt: new Date() });
  await center.send("news", "x", { audience: { tagNot: ["muted"], attributes: { visits: { gte: 2 } } }, sendAt: "2026-12-24T18:00:00" });
  const status = await center.wait("news", accepted.messageId, { within: 30 });
  const created: Date = status.createdAt;
  const state: "accepted" | "cancelled" | "delivering" | "done" | "scheduled" = status.status;
  const dropped: number | undefined = status.ledger.dropped["offline"];
  const pushes: Push[] = [{ payload: "a", tags: ["beta"] }];
  for (const result of await center.sendBatch("news", pushes)) {
    if (result instanceof LonglineError) console.log(result.code, result.retryAfter ?? 0);
    else console.log(result.toUpperCase());
  }
  for await (const device of center.devices("news", { online: true, pageSize: 10 })) {
    const seen: Date | null = device.lastSeen;
    console.log(device.device, seen?.getTime());
  }
  for await (const event of center.upstream("news", { follow: true })) handle(event);
  const answer: Api.CallView = await center.call("news", "d1", { blink: 3 }, { within: 5 });
  console.log(bytesOf(answer).length, created, state, dropped);
  await center.createKey({ name: "reports", scopes: ["read", "send"], expiresAt: new Date() });
  await center.putRules("news", [{ allow: "both", filter: "home/#" }]);
  const app: Api.AppInfo = await center.request("apps_get", { path: { app: "news" } });
  const nodes: Api.NodeList = await center.request("operators_nodes");
  console.log(app.pubsub, nodes.nodes.length);
}

function handle(event: UpstreamEvent): void {
  if (event.type === "presence") console.log(event.state === "online", event.epoch);
  const at: Date = event.at;
  console.log(at, event.payload?.length, event.gap);
}

interface Score {
  home: number;
}

function score(value: unknown): Score {
  if (typeof value === "object" && value !== null && "home" in value) return { home: Number(value.home) };
  throw new TypeError("no score");
}

export async function device(): Promise<void> {
  const made = new Device("wss://push.example.org/mqtt", {
    app: "news",
    device: "d1",
    token: async () => "t",
    store: new WebStore("longline:d1"),
    onGap: (missed: Missed) => console.log(missed.dropped, missed.since.getTime()),
    onCall: async (call) => ({ did: call.text }),
  });
  new Device(null, { app: "news", device: "d2", token: "t", dispatchers: ["https://push"], store: new FileStore("f") });
  new Device("mqtt://h", { app: "news", device: "d3", token: () => "t", protocol: 4, store: new MemoryStore() });
  await made.whenConnected();
  for await (const message of made) {
    const got: Message = message;
    const read: Score = got.json(score);
    const bytes: Uint8Array = got.payload;
    console.log(read.home, bytes.length, got.sentAt?.getTime(), got.id ?? "", got.qos === 2);
    await got.opened();
  }
  await made.send("alarm", { hot: true }, { qos: 0, signal: AbortSignal.timeout(5) });
  await made.publish("news/1", new Uint8Array(3));
  const attached: AttachedApp = await made.attach("weather", "w1", "t");
  attached.detach();
  const failures: number = made.statistics.failures;
  const why: string | undefined = made.statistics.lastError?.code;
  console.log(failures, why);
  await made.close();
}

export async function webhook(request: Request): Promise<Response> {
  const call = await verifyWebhook(["whsec_a", "whsec_b"], request.headers, await request.text());
  for (const event of call.events) handle(event);
  return new Response(null, { status: 204 });
}

export function code(error: unknown): boolean {
  return error instanceof LonglineError && error.code === "no_target" && error.retryable;
}
