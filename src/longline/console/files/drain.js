// Draining: the order, how far it has come, and taking it back.

import { path, post } from "./api.js";
import { badge, button, checkbox, dialog, duration, field, form, h, share, toast } from "./dom.js";

/** How a node stands, in words and with a bar while it drains. */
export function drainState(node) {
  if (!node.drain) return node.draining ? badge("takes nobody", "warning") : badge("in service", "good");
  const told = node.drain.progress ?? {};
  const words = [badge(node.drain.dry_run ? `trial: ${told.phase ?? "ordered"}` : `draining: ${told.phase ?? "ordered"}`, "accent")];
  if (told.total !== undefined) {
    const part = told.total ? Math.min(1, told.moved / told.total) : 1;
    words.push(
      " ",
      h("span", { class: "meter", role: "img", "aria-label": `${share(part)} moved` }, h("span", { style: { width: `${part * 100}%` } })),
      ` ${told.moved} of ${told.total} moved`,
      told.returned ? `, ${told.returned} came back` : "",
      told.failed ? `, ${told.failed} failed` : "",
      told.left > 0 ? `, ${duration(told.left)} left` : "",
    );
  }
  return h("span", {}, words);
}

/** Drain or undrain, whichever there is to do; `then()` is called when it was ordered. */
export function drainButton(node, then) {
  if (node.drain) {
    return button("Undrain", async () => {
      await post(`${path("nodes", node.node)}:undrain`);
      toast(`${node.node} takes clients again.`);
      await then();
    }, { kind: "small" });
  }
  return button("Drain…", () => askForDrain(node, then), { kind: "small" });
}

async function askForDrain(node, then) {
  const ordered = await dialog(`Drain ${node.node}`, (close) => {
    const rate = h("input", { type: "number", min: "0", step: "any", inputmode: "decimal" });
    const deadline = h("input", { type: "number", min: "1", step: "any", inputmode: "decimal" });
    const trial = checkbox("Only say what would be done");
    return form(
      {
        submit: "Drain",
        run: async () => {
          const body = { dry_run: trial.input.checked };
          if (rate.value) body.rate = Number(rate.value);
          if (deadline.value) body.deadline = Number(deadline.value);
          await post(`${path("nodes", node.node)}:drain`, body);
          close(true);
        },
        extra: [h("button", { type: "button", onclick: () => close() }, "Cancel")],
      },
      h("p", {}, `Its ${node.load.connections} clients are moved to other nodes, and it takes no new ones until that is taken back.`),
      field("Clients in the first second", rate, { name: "rate", hint: "Then the pace follows how they get along. Empty: as the settings say." }),
      field("Seconds for all of it", deadline, { name: "deadline", hint: "Who is left then is told that the server shuts down. Empty: as long as it takes." }),
      trial,
    );
  });
  if (ordered) {
    toast(`${node.node} drains.`);
    await then();
  }
}
