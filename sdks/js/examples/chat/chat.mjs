// The page of the chat: a device of its own, which hears the group and speaks in it.

import { Device, WebStore } from "/longline.min.js";

const on = (id) => document.getElementById(id);
const main = document.querySelector("main");

on("join").addEventListener("input", (event) => event.target.setCustomValidity(""));
on("join").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name } = event.target.elements;
  try {
    await comeIn(name.value);
  } catch (error) {
    on("state").textContent = error.message; // such as that it was taken over: the same name in another window
    name.setCustomValidity(error.message);
    name.reportValidity();
  }
});

async function comeIn(name) {
  const joined = await ask(name);
  on("join").hidden = true;
  main.hidden = false;
  const opened = new Date();
  const device = new Device(null, {
    app: joined.app,
    device: joined.device,
    dispatchers: [await (await fetch("/dispatcher")).json()],
    transport: location.protocol === "https:" ? "wss" : "ws",
    token: async () => (await ask(name)).token, // asked for again when it has expired
    store: new WebStore(`chat:${name}`),
    onGap: (missed) => show("", `${missed.expired + missed.dropped} messages were too old to be kept`, true),
    log: (line) => (on("state").textContent = device.connected ? "connected" : line),
  });

  on("say").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = event.target.elements.text.value;
    event.target.reset();
    // Settles when the server has it; while the connection is away it waits, and goes out when that is back.
    await device.say(joined.group, text).catch((error) => show("", `not sent: ${error.message}`, true));
  });

  new EventSource("/presence").onmessage = ({ data }) => {
    on("online").textContent = JSON.parse(data).join(", ");
  };
  addEventListener("pagehide", () => void device.close()); // says good-bye: the others see it at once

  for await (const message of device) {
    if (message.group !== joined.group) continue;
    show(message.sender ?? "server", message.text, message.sentAt !== null && message.sentAt < opened);
  }
}

async function ask(name) {
  const answer = await fetch(`/join?name=${encodeURIComponent(name)}`, { method: "POST" });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function show(sender, text, away) {
  const line = document.createElement("li");
  line.textContent = sender ? `${sender}: ${text}` : text;
  if (away) line.className = "away"; // said before this page was opened
  on("said").append(line);
}
