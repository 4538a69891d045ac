// Agents of hosts: the processes that they keep running, and rolling restarts with their progress.

import { path, post } from "./api.js";
import { ago, badge, button, checkbox, complain, count, dialog, fill, form, h, panel, share, table, time, toast } from "./dom.js";

const UNDER_WAY = ["starting", "replacing"];
const STATES = {
  ready: ["ready", "good"],
  starting: ["starts", "accent"],
  ending: ["moves its clients and ends", "accent"],
  pausing: ["ended, waits to be started again", "warning"],
};

/** A part of the page for each host that has an agent. `update(agents)` shows what they tell; `look()` asks anew. */
export function agentPanels(look) {
  const shown = new Map(); // by name
  const element = h("div", {});
  element.update = (agents) => {
    const names = new Set(agents.map((agent) => agent.agent));
    for (const [name, part] of shown) {
      if (names.has(name)) continue;
      part.remove();
      shown.delete(name);
    }
    for (const agent of agents) {
      if (!shown.has(agent.agent)) {
        const part = host(agent.agent, look);
        shown.set(agent.agent, part);
        element.append(part);
      }
      shown.get(agent.agent).update(agent);
    }
  };
  return element;
}

function host(name, look) {
  let agent = null;
  let told = "";
  const state = h("div", { class: "restart", role: "status" });
  // No promise: the button would be disabled, and the focus could not come back to it from the dialog.
  const restart = button("Rolling restart…", () => {
    askForRestart(agent, look).catch(complain);
  }, { kind: "small", label: `Rolling restart of ${name}…` });
  const cancel = button("Cancel the restart", async () => {
    await post(`${path("agents", name)}:cancel`);
    title.focus();
    await look();
  }, { kind: "small", label: `Cancel the restart of ${name}` });
  const processes = table({
    caption: `Processes of ${name}`,
    hideCaption: true,
    empty: "It keeps no process.",
    columns: [
      { title: "Process", header: true, cell: (each) => (each.node ? h("a", { href: `#/nodes/${encodeURIComponent(each.node)}` }, each.node) : each.kind) },
      { title: "Roles", cell: (each) => h("span", { class: "badges" }, each.kind.split("+").map((role) => badge(role))) },
      { title: "PID", class: "number", cell: (each) => (each.pid === null ? "–" : String(each.pid)) },
      { title: "State", cell: (each) => badge(...(STATES[each.state] ?? [each.state])) },
      { title: "Up since", cell: (each) => ago(each.since) },
      { title: "Restarts", class: "number", cell: (each) => count(each.restarts) },
      { title: "Last exit", cell: (each) => (each.last_exit ? h("span", {}, `${each.last_exit.reason}, `, ago(each.last_exit.at)) : "–") },
      { title: "Version", cell: (each) => each.version ?? "–" },
      { title: "Settings", cell: (each) => (each.settings_version === null ? "–" : `version ${each.settings_version}`) },
    ],
  });
  const element = panel(`Host ${name}`, { actions: [cancel, restart] }, state, processes);
  const title = element.querySelector("h2");
  title.tabIndex = -1;
  // The focus goes on to the heading from a button that cannot be pressed any more.
  const close = (pressed, property, not) => {
    if (not && document.activeElement === pressed) title.focus();
    pressed[property] = not;
  };
  element.update = (newer) => {
    agent = newer;
    const { restart: latest } = agent;
    const away = agent.state !== "present";
    const underWay = latest !== null && UNDER_WAY.includes(latest.state);
    close(restart, "disabled", away || underWay);
    close(cancel, "hidden", away || latest?.state !== "starting");
    processes.update(agent.processes);
    // What is said again unchanged would be read out again.
    const now = JSON.stringify([agent.state, agent.version, latest]);
    if (now !== told) {
      told = now;
      fill(state, standing(agent), latest && [" ", progress(latest)]);
    }
  };
  return element;
}

function standing(agent) {
  if (agent.state === "present") return h("span", {}, badge("agent present", "good"), ` version ${agent.version}`);
  return h("span", {}, badge("agent away", "bad"), " It was killed or is cut off. This is what it told last, ", time(agent.told_at), ".");
}

/** How a rolling restart stands, in words and with a bar while it is under way. */
function progress(restart) {
  const { total, ready, replaced } = restart;
  const by = restart.by ? `, ordered by ${restart.by}` : "";
  if (UNDER_WAY.includes(restart.state)) {
    const part = total ? (ready + replaced) / (2 * total) : 1;
    const words = restart.state === "starting" ? `${ready} of ${total} new processes ready` : `${replaced} of ${total} old processes ended`;
    return h(
      "span",
      {},
      badge("restarts", "accent"),
      " ",
      h("span", { class: "meter", role: "img", "aria-label": `${share(part)} done` }, h("span", { style: { width: `${part * 100}%` } })),
      ` ${words}${by}`,
    );
  }
  const [words, kind] = {
    done: ["restarted", "good"],
    given_up: ["restart given up", "bad"],
    cancelled: ["restart cancelled", ""],
    interrupted: ["restart interrupted", "warning"],
  }[restart.state] ?? [restart.state, ""];
  const about = restart.state === "done" ? ` ${total} ${total === 1 ? "process" : "processes"}` : restart.reason ? ` ${restart.reason}` : "";
  return h("span", {}, badge(words, kind), `${about}, `, time(restart.ended_at), by);
}

async function askForRestart(agent, look) {
  const known = agent.processes.filter((each) => each.node !== null && each.state === "ready");
  const begun = await dialog(`Rolling restart of ${agent.agent}`, (close) => {
    const boxes = known.map((each) => checkbox(`${each.node} (${each.kind})`, { checked: true }));
    return form(
      {
        submit: "Restart",
        run: async () => {
          const chosen = known.filter((_, n) => boxes[n].input.checked).map((each) => each.node);
          // All of them are also those that are about to be started.
          await post(`${path("agents", agent.agent)}:restart`, chosen.length === known.length ? {} : { processes: chosen });
          close(true);
        },
        extra: [h("button", { type: "button", onclick: () => close() }, "Cancel")],
      },
      h("p", {}, "New processes start first, with the code and the settings as they are now. Then the old ones take no new clients, move theirs, and end, one after the other. For that time the host needs the memory of both."),
      boxes.length > 0 && h("fieldset", {}, h("legend", {}, "Processes"), boxes),
    );
  });
  if (begun) {
    toast(`${agent.agent} restarts its processes.`);
    await look();
  }
}
