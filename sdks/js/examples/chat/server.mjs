// The app server of a chat: it serves the page, lets people in, and says who is there.
//
//     longline serve                                   # in one terminal
//     LONGLINE_KEY=$(cat longline-data/admin.key) node examples/chat/server.mjs
//
// Then open http://127.0.0.1:3000 in two windows. A real one asks for more than a name before it makes a token.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";

import { Center } from "longline";

const { LONGLINE_KEY: key, LONGLINE_URL: url = "http://127.0.0.1:8080", PORT: port = "3000" } = process.env;
const APP = "chat";
const GROUP = "lobby";
const center = new Center(url, key ?? "");
const online = new Set();
const watching = new Set(); // pages that are told who is there

const files = {
  "/": [new URL("index.html", import.meta.url), "text/html"],
  "/chat.mjs": [new URL("chat.mjs", import.meta.url), "text/javascript"],
  "/longline.min.js": [createRequire(import.meta.url).resolve("longline/longline.min.js"), "text/javascript"],
};

async function prepare() {
  await center.createApp(APP).catch((error) => {
    if (error.code !== "app_exists") throw error;
  });
  await center.putGroup(APP, GROUP);
}

// Presence is a stream of events: this one, from its beginning, says who is there now and whenever that changes.
async function watch() {
  for await (const event of center.upstream(APP, { follow: true })) {
    if (event.type !== "presence") continue;
    if (event.state === "offline") online.delete(event.device);
    else online.add(event.device);
    for (const response of watching) tell(response);
  }
}

function tell(response) {
  response.write(`data: ${JSON.stringify([...online].sort())}\n\n`);
}

async function join(name) {
  await center.putDevice(APP, name);
  await center.addMembers(APP, GROUP, [name]);
  const { password } = await center.token(APP, name, { expiresIn: 3600 });
  return { app: APP, group: GROUP, device: name, token: password };
}

const server = createServer(async (request, response) => {
  try {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    if (request.method === "POST" && pathname === "/join") {
      response.end(JSON.stringify(await join(searchParams.get("name") ?? "")));
    } else if (pathname === "/presence") {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      watching.add(response);
      request.on("close", () => watching.delete(response));
      tell(response);
    } else if (pathname === "/dispatcher") {
      response.end(JSON.stringify(url)); // pages may ask it from anywhere: see docs/api.md
    } else if (files[pathname]) {
      const [file, type] = files[pathname];
      response.writeHead(200, { "Content-Type": type }).end(await readFile(file));
    } else {
      response.writeHead(404).end();
    }
  } catch (error) {
    response.writeHead(error.status || 500).end(String(error.message));
  }
});

await prepare();
watch().catch((error) => {
  console.error(error);
  process.exitCode = 1;
  server.close();
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
