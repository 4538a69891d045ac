// How the cluster is, now and in the last hours. For an app's key: how its app is.

import { get } from "../api.js";
import { heading, h, notice } from "../dom.js";

export async function page(parameters, { session, signal }) {
  return h("div", {}, heading("Overview"), notice("info", "Figures follow."));
}
