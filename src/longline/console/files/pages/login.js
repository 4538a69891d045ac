// Where a key is asked for. It goes to the server once, and stays nowhere in the page.

import { post } from "../api.js";
import { field, form, h, notice } from "../dom.js";

/** The page; `begin` gets the session. `why`: what ended the one before. */
export function login(begin, why) {
  const key = h("input", { type: "password", autocomplete: "current-password", spellcheck: "false", required: true, autofocus: true });
  const made = form(
    {
      submit: "Log in",
      run: async () => {
        const given = key.value.trim();
        if (given === "") {
          throw Object.assign(new Error("A key is wanted."), { details: [{ field: "key", message: "Paste a key here." }] });
        }
        const session = await post("session", { key: given }, { quiet: true });
        key.value = "";
        await begin(session);
      },
    },
    field("Key", key, { name: "key", hint: "The admin key (in admin.key, in the node's data folder), an app's server key, or a named key." }),
  );
  setTimeout(() => key.focus());
  return h(
    "main",
    { class: "login" },
    h("div", { class: "login-card" }, h("h1", {}, h("img", { src: "icon.svg", alt: "", width: "28", height: "28" }), "Longline"), why && notice("info", why), made, h("p", { class: "hint" }, "The key stays in a cookie that only this server can read, for 12 hours or until you log out.")),
  );
}
