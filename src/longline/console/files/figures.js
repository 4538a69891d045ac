// What nodes tell of themselves: figures that are as they are, and others that only rise, of which a reader
// wants to know how fast.

const SILENT = 20; // s without a new sample after which a node's figures are old

/** What the overview and the pages of nodes show, each with where it comes from. */
export const MEASURES = {
  connections: { title: "Connections", sum: ["room_connections"] },
  connects: { title: "Connects a second", rate: ["room_accepted"] },
  accepted: { title: "Pushes accepted a second", rate: ["center_messages_accepted"] },
  sent: { title: "Pushes sent a second", rate: ["room_pushes_sent"] },
  acked: { title: "Pushes acknowledged a second", rate: ["room_pushes_acked"] },
  upstream: { title: "Upstream messages a second", rate: ["room_upstream_stored"] },
  published: { title: "Messages published a second", rate: ["room_messages_in"] },
  errors: {
    title: "Errors a second",
    rate: ["center_answers{500}", "center_answers{503}", "center_routes_failed", "saver_failed_transactions", "room_receipts_lost", "room_upstream_lost", "bus_dropped", "faults*"],
  },
  refused: { title: "Refused a second", rate: ["room_refused*", "center_answers{429}", "center_refused_early", "http_refused*"] },
  lag: { title: "Loop lag, 99th percentile", worst: ["loop_lag_seconds_p99"] },
  pause: { title: "GC pause, 99th percentile", worst: ["gc_pause_seconds_p99"] },
  store: { title: "Store's answer, 99th percentile", worst: ["store_call_seconds_p99", "saver_write_seconds_p99", "saver_read_seconds_p99"] },
  request: { title: "API's answer, 99th percentile", worst: ["center_request_seconds_p99"] },
  wait: { title: "Wait of CONNECTs, 99th percentile", worst: ["room_connect_wait_p99"] },
  memory: { title: "Memory", sum: ["process_resident_memory_bytes"] },
  cpu: { title: "Processor", rate: ["process_cpu_seconds"] },
  tasks: { title: "Tasks", sum: ["tasks"] },
};

const SUMMED = ["connections", "connects", "accepted", "sent", "acked", "upstream", "requests", "refused", "errors"]; // of an app, over nodes
const MOST_NAMES = 100; // that the history is asked for at once

/** The figures that these measures need, of those that are `known` (names), for `names=` of the history. */
export function namesOf(measures, known) {
  const wanted = measures.flatMap((name) => {
    const { sum, rate, worst } = MEASURES[name];
    return sum ?? rate ?? worst;
  });
  const figures = Object.fromEntries([...known].map((name) => [name, 0]));
  return [...new Set(wanted.flatMap((name) => (name.endsWith("*") ? matching(figures, name) : [name])))].slice(0, MOST_NAMES);
}

function matching(figures, name) {
  if (!name.endsWith("*")) return name in figures ? [name] : [];
  const start = name.slice(0, -1);
  return Object.keys(figures).filter((each) => each === start || each.startsWith(`${start}{`));
}

/** The latest samples of all nodes, and how fast what rises has risen since those before them. */
export class Live {
  constructor() {
    this.nodes = [];
    this.at = 0; // s since 1970, by the store's clock
    this.lives = new Map();
  }

  /** Takes what `GET /v1/figures` said. */
  take(told) {
    this.at = Date.parse(told.at) / 1000;
    const seen = new Map();
    this.nodes = told.nodes.map((node) => {
      const key = `${node.node} ${node.since}`;
      const at = Date.parse(node.at) / 1000;
      const before = this.lives.get(key);
      let life = before;
      if (!before || before.at !== at) {
        const seconds = before ? at - before.at : 0;
        const rates = {};
        if (seconds > 0) {
          for (const [name, value] of Object.entries(node.figures)) {
            const old = before.figures[name];
            rates[name] = old === undefined ? null : Math.max(0, value - old) / seconds;
          }
        }
        life = { at, figures: node.figures, rates: before ? rates : null };
      }
      seen.set(key, life);
      return { ...node, rates: life.rates ?? {}, known: life.rates !== null, silent: this.at - at > SILENT };
    });
    this.lives = seen;
  }

  /** A measure of one node, null where it is not known. */
  of(node, measure) {
    const { sum, rate, worst } = MEASURES[measure];
    const values = [];
    for (const name of sum ?? rate ?? worst) {
      for (const found of matching(node.figures, name)) {
        const value = rate ? node.rates[found] : node.figures[found];
        if (value !== undefined && value !== null) values.push(value);
      }
    }
    if (!values.length) return rate && node.known ? 0 : null;
    return worst ? Math.max(...values) : values.reduce((one, other) => one + other, 0);
  }

  /** What apps do in all nodes that are not silent, those with the most connections first; `app` is null for all others together. */
  byApp() {
    const loads = new Map();
    for (const node of this.nodes) {
      if (node.silent) continue;
      for (const load of node.apps ?? []) {
        const sum = loads.get(load.app);
        if (!sum) {
          loads.set(load.app, { ...load });
          continue;
        }
        const requests = sum.requests + load.requests;
        sum.request_seconds = requests ? ((sum.request_seconds ?? 0) * sum.requests + (load.request_seconds ?? 0) * load.requests) / requests : null;
        sum.apps = Math.max(sum.apps, load.apps);
        for (const name of SUMMED) sum[name] += load[name];
      }
    }
    return [...loads.values()].sort((one, other) => (one.app === null) - (other.app === null) || other.connections - one.connections || String(one.app).localeCompare(String(other.app)));
  }

  /** A measure of all nodes: their sum, or the worst of them; null where none has it. */
  all(measure) {
    const values = this.nodes.filter((node) => !node.silent).map((node) => this.of(node, measure)).filter((value) => value !== null);
    if (!values.length) return null;
    return MEASURES[measure].worst ? Math.max(...values) : values.reduce((one, other) => one + other, 0);
  }
}

/** The last samples, for charts that move: so many seconds of measures. */
export class Ring {
  constructor(measures, length = 180) {
    this.measures = measures;
    this.length = length;
    this.times = [];
    this.values = new Map(measures.map((measure) => [measure, []]));
  }

  /** Adds what `read(measure)` says of now. */
  add(at, read) {
    if (this.times.length && at <= this.times.at(-1)) return;
    this.times.push(at);
    for (const measure of this.measures) this.values.get(measure).push(read(measure));
    if (this.times.length > this.length) {
      this.times.shift();
      for (const values of this.values.values()) values.shift();
    }
  }
}

/**
 * Measures over time from what `GET /v1/figures/history` said, of all nodes together: {times, values: Map}. Where
 * a figure fell, its process began anew, and nothing is known between the two points. A figure that was always 0
 * is not told.
 */
export function overTime(history, measures) {
  const step = history.step;
  const slots = new Map(); // by time: by measure, what each node adds
  const add = (time, measure, value, worst) => {
    const slot = Math.round(time / step) * step;
    if (!slots.has(slot)) slots.set(slot, {});
    const at = slots.get(slot);
    at[measure] = at[measure] === undefined ? value : worst ? Math.max(at[measure], value) : at[measure] + value;
  };
  for (const node of history.nodes) {
    const times = node.at.map((at) => Date.parse(at) / 1000);
    for (const measure of measures) {
      const { sum, rate, worst } = MEASURES[measure];
      const names = (sum ?? rate ?? worst).flatMap((name) => matching(node.figures, name));
      if (!names.length && !worst) {
        for (const at of times) add(at, measure, 0, false);
      }
      for (const name of names) {
        const values = node.figures[name];
        for (let place = 0; place < times.length; place += 1) {
          let value = values[place];
          if (rate) {
            const before = place > 0 ? values[place - 1] : null;
            const seconds = place > 0 ? times[place] - times[place - 1] : 0;
            value = value === null || before === null || before === undefined || value < before || seconds <= 0 || seconds > 3 * step ? null : (value - before) / seconds;
          }
          if (value === null || value === undefined) continue;
          add(times[place], measure, value, Boolean(worst));
        }
      }
    }
  }
  // Where nobody told anything, the line is broken.
  const known = [...slots.keys()].sort((one, other) => one - other);
  const times = [];
  for (const at of known) {
    if (times.length && at - times.at(-1) > 2.5 * step) times.push(times.at(-1) + step);
    times.push(at);
  }
  return { times, values: new Map(measures.map((measure) => [measure, times.map((at) => slots.get(at)?.[measure] ?? null)])) };
}
