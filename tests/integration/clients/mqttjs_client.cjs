// MQTT.js as a device: prints what happens as JSON lines, ends when standard input ends.
//
// node mqttjs_client.cjs '{"port": 1883, "app": …, "device": …, "token": …, "protocol": 4, "persistent": true,
//                          "subscribe": null, "transport": "tcp", "ca": null}'
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const options = JSON.parse(process.argv[2]);
const mqtt = require(path.join(process.env.LONGLINE_NODE_MODULES, "mqtt"));

function say(event) {
  process.stdout.write(JSON.stringify(event) + "\n");
}

const client = mqtt.connect({
  host: "127.0.0.1",
  port: options.port,
  protocol: { tcp: "mqtt", tls: "mqtts", ws: "ws", wss: "wss" }[options.transport],
  path: "/mqtt",
  ca: options.ca === null ? undefined : fs.readFileSync(options.ca),
  protocolVersion: options.protocol,
  clientId: options.device,
  username: options.app,
  password: options.token,
  clean: !options.persistent,
  keepalive: 30,
  reconnectPeriod: 0, // one connection a process: the tests decide when to come back
  properties: options.protocol === 5 && options.persistent ? { sessionExpiryInterval: 3600 } : undefined,
});

client.on("connect", (connack) => {
  const ready = () => say({ event: "ready", session_present: connack.sessionPresent });
  if (options.subscribe === null) {
    ready();
  } else {
    client.subscribe(options.subscribe, { qos: 1 }, (error) => {
      if (error) {
        say({ event: "refused", reason: String(error) });
      } else {
        ready();
      }
    });
  }
});

client.on("message", (topic, payload, packet) => {
  say({ event: "message", topic, payload: payload.toString("base64"), qos: packet.qos, dup: packet.dup });
});

client.on("error", (error) => say({ event: "refused", reason: String(error) }));
client.on("close", () => process.exit(0));

process.stdin.on("end", () => client.end());
process.stdin.resume();
