// What users get wrong, a line each, and the compiler is to refuse.

import { Center, Device, LonglineError, verifyWebhook, type Message } from "longline";
import { FileStore } from "longline/node";

declare const center: Center;
declare const device: Device;
declare const message: Message;

// @ts-expect-error no key
new Center("http://127.0.0.1:8080");
// @ts-expect-error seconds are a number
new Center("http://127.0.0.1:8080", "k", { timeout: "5s" });
// @ts-expect-error nobody is named
center.send("news", "hi");
// @ts-expect-error devices is a list
center.send("news", "hi", { devices: "d1" });
// @ts-expect-error no such priority
center.send("news", "hi", { everyone: true, priority: "urgent" });
// @ts-expect-error no such quality of service
center.send("news", "hi", { everyone: true, qos: 3 });
// @ts-expect-error names are not those of JSON
center.send("news", "hi", { everyone: true, collapse_key: "k" });
// @ts-expect-error no such field of an audience
center.send("news", "hi", { audience: { tagged: ["beta"] } });
// @ts-expect-error everyone is true or absent
center.send("news", "hi", { everyone: false, devices: ["d1"] });
// @ts-expect-error what is a number of the ledger is no text
center.message("news", "m1").then((status) => status.ledger.acked.toUpperCase());
// @ts-expect-error no such status
center.message("news", "m1").then((status) => status.status === "finished");
// @ts-expect-error a time is a Date
center.message("news", "m1").then((status) => status.createdAt.slice(0, 4));
// @ts-expect-error null while it is not connected
center.device("news", "d1").then((found) => found.since.getTime());
// @ts-expect-error how long to wait has to be said
center.wait("news", "m1");
// @ts-expect-error a list goes by for await
for (const one of center.devices("news")) console.log(one);
// @ts-expect-error no such scope
center.createKey({ name: "k", scopes: ["write"] });
// @ts-expect-error a rule allows something
center.putRules("news", [{ filter: "home/#" }]);
// @ts-expect-error no such call
center.request("apps_got", { path: { app: "news" } });
// @ts-expect-error its path has an app
center.request("apps_get");
// @ts-expect-error its path has no device
center.request("apps_get", { path: { device: "d1" } });
// @ts-expect-error no token
new Device("mqtt://h", { app: "news", device: "d1" });
// @ts-expect-error no options
new Device("mqtt://h");
// @ts-expect-error no such version of MQTT
new Device("mqtt://h", { app: "news", device: "d1", token: "t", protocol: 3 });
// @ts-expect-error a token is a text
new Device("mqtt://h", { app: "news", device: "d1", token: async () => 5 });
// @ts-expect-error dispatchers are a list
new Device(null, { app: "news", device: "d1", token: "t", dispatchers: "https://push" });
// @ts-expect-error a store has to be one
new Device("mqtt://h", { app: "news", device: "d1", token: "t", store: {} });
// @ts-expect-error publish takes text or bytes
device.publish("news/1", { hot: true });
// @ts-expect-error a device publishes with QoS 0 or 1
device.publish("news/1", "x", { qos: 2 });
// @ts-expect-error messages come by for await
for (const one of device) console.log(one);
// @ts-expect-error a message without a check is of no type
message.json().home;
// @ts-expect-error null for what is no push
message.id.length;
// @ts-expect-error nobody changes a message
message.topic = "x";
// @ts-expect-error statistics are read
device.statistics.failures.length;
// @ts-expect-error a report has a name
message.report();
// @ts-expect-error the body as it came
verifyWebhook("whsec_a", new Headers(), { events: [] });
// @ts-expect-error a file has a name
new FileStore();
// @ts-expect-error an error has a code
new LonglineError();
