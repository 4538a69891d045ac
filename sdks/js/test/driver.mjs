// Does with devices what a test elsewhere says, in Node and in pages alike: a command comes as an object, and what
// became of it goes back with its `id`.

/** `longline` is the package, `tell` takes what goes back, `storeOf` makes a store of a name. */
export function driver(longline, tell, storeOf) {
  const devices = new Map(); // and apps that are attached, by the name that the test gave them
  const loops = new Map();
  const messages = new Map();
  const gaps = new Map();
  const asked = new Map(); // how often a source of tokens was asked
  const told = new Map(); // the tokens that it gives
  const handles = new Map(); // of the messages of each
  let made = []; // a weak reference to each device
  let latest = 0;

  function shown(device, message) {
    messages.set(++latest, message);
    handles.get(device)?.push(latest);
    return {
      handle: latest,
      app: message.app,
      push: message.id,
      topic: message.topic,
      payload: btoa(Array.from(message.payload, (byte) => String.fromCharCode(byte)).join("")),
      qos: message.qos,
      duplicate: message.duplicate,
      content_type: message.contentType,
      sent_at: message.sentAt?.toISOString() ?? null,
      wants_answer: message.wantsAnswer,
      group: message.group,
      sequence: message.sequence,
      sender: message.sender,
    };
  }

  function bytes(text) {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  }

  // Each time the next of the tokens, and the last again and again; `!word` is a source that fails, `?` one that gives
  // no text.
  function tokenOf(name, tokens) {
    asked.set(name, 0);
    told.set(name, tokens);
    if (tokens.length === 1 && !/^[!?]/.test(tokens[0])) return tokens[0];
    return async () => {
      const turn = asked.get(name);
      asked.set(name, turn + 1);
      const given = told.get(name);
      const token = given[Math.min(turn, given.length - 1)];
      if (token.startsWith("!")) throw new Error(token.slice(1));
      return token === "?" ? undefined : token;
    };
  }

  const fails = () => {
    throw new Error("planted");
  };
  // Functions of an application that is not well.
  const ill = {
    fails: { onGap: fails, onCall: fails, onDesired: fails, network: fails, log: fails },
    rejects: { onGap: async () => fails(), onCall: async () => fails(), onDesired: async () => fails(), log: async () => fails() },
    hangs: { onCall: () => new Promise(() => {}), onDesired: () => new Promise(() => {}) },
  };

  const commands = {
    open({ device, url, options, tokens, store, calls, functions }) {
      gaps.set(device, []);
      const opened = new longline.Device(url, {
        ...options,
        token: tokenOf(device, tokens),
        onGap: (missed) => gaps.get(device).push(missed),
        ...(store ? { store: storeOf(store) } : {}),
        ...(calls ? { onCall: (call) => ({ echo: call.text }) } : {}),
        ...(ill[functions] ?? {}),
      });
      devices.set(device, opened);
      handles.set(device, []);
      made.push(new WeakRef(opened));
    },
    async attach({ device, as, app, of, tokens, calls }) {
      const attached = await devices.get(device).attach(app, of, tokenOf(as, tokens));
      if (calls) attached.onCall((call) => ({ echo: call.text }));
      devices.set(as, attached);
    },
    detach: ({ device }) => devices.get(device).detach(),
    connected: ({ device }) => devices.get(device).whenConnected(),
    is_connected: ({ device }) => devices.get(device).connected,
    async close({ device }) {
      await devices.get(device).close();
    },
    // Lets go of a device that is closed, and of its messages.
    forget({ device }) {
      loops.delete(devices.get(device));
      for (const handle of handles.get(device) ?? []) messages.delete(handle);
      for (const known of [devices, gaps, asked, told, handles]) known.delete(device);
    },
    retoken({ device, tokens }) {
      told.set(device, tokens);
    },
    // How many devices there are still, whoever refers to them; in Node with --expose-gc.
    async alive() {
      await new Promise((resolve) => setTimeout(resolve)); // a weak reference holds until the turn is over
      gc();
      made = made.filter((device) => device.deref() !== undefined);
      return made.length;
    },
    async receive({ device }) {
      return shown(device, await devices.get(device).receive());
    },
    // As a loop does: asking for the next one acknowledges the one before it. null: the loop is at its end.
    async next({ device }) {
      const of = devices.get(device);
      if (!loops.has(of)) loops.set(of, of[Symbol.asyncIterator]());
      const { value, done } = await loops.get(of).next();
      return done ? null : shown(device, value);
    },
    ack: ({ handle }) => messages.get(handle).ack(),
    opened: ({ handle }) => messages.get(handle).opened(),
    publish: ({ device, topic, payload, qos }) => devices.get(device).publish(topic, bytes(payload), { qos }),
    send: ({ device, name, payload }) => devices.get(device).send(name, payload),
    post: ({ device, name, payload }) => devices.get(device).post(name, payload),
    unsent: ({ device }) => devices.get(device).unsent(),
    say: ({ device, group, payload }) => devices.get(device).say(group, payload),
    subscribe: ({ device, filter }) => devices.get(device).subscribe(filter),
    report_state: ({ device, changes }) => devices.get(device).reportState(changes),
    answer: ({ device, handle, payload }) => devices.get(device).answer(messages.get(handle), payload),
    gaps: ({ device }) => gaps.get(device),
    // What keeps a process of Node alive, beside the pipes by which this is asked.
    resources: () => process.getActiveResourcesInfo().filter((kind) => kind !== "PipeWrap" && kind !== "TTYWrap"),
    asked: ({ device }) => asked.get(device),
    statistics({ device }) {
      const { lastError, ...counted } = devices.get(device).statistics;
      return { ...counted, last_error: lastError?.code ?? null };
    },
  };

  return async function obey(command) {
    try {
      tell({ id: command.id, ok: (await commands[command.do](command)) ?? null });
    } catch (error) {
      tell({ id: command.id, code: error.code ?? error.name, message: String(error.stack ?? error) });
    }
  };
}
