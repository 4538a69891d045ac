// What changed from one profile to another.

import { get, path } from "../api.js";
import { facts, h, heading, share, table, time } from "../dom.js";

const MOST = 200; // rows
const PARTS = { heap: "Place", tasks: "Tasks", queues: "Queue or lock" }; // else functions

export async function page({ profile, base }, { signal }) {
  const told = await get(`${path("profiles", profile)}/difference`, { parameters: { base }, signal });
  const most = Math.max(0.0001, ...told.frames.map((frame) => Math.abs(frame.change)));
  const words = (one) => [time(one.at), `, ${one.node}, version ${one.version}`];
  const rows = told.frames.filter((frame) => frame.change !== 0).slice(0, MOST);
  return h(
    "div",
    {},
    heading("What changed", {
      about: "By the part of the whole that each has itself, the largest growth first: functions by samples, places by bytes, queues and locks by what waits.",
      back: { href: `#/profiles/${encodeURIComponent(profile)}`, text: "The later profile" },
    }),
    h("div", { class: "panel" }, facts([
      ["Base", h("a", { href: `#/profiles/${encodeURIComponent(base)}` }, words(told.base))],
      ["Compared with it", h("a", { href: `#/profiles/${encodeURIComponent(profile)}` }, words(told.profile))],
      ["Kind", told.profile.kind],
    ])),
    h("div", { class: "panel" }, table({
      caption: "What has another part now",
      empty: "No part changed.",
      columns: [
        { title: PARTS[told.profile.kind] ?? "Function", header: true, class: "wide", cell: (frame) => [h("code", {}, frame.frame), frame.place && frame.place !== frame.frame ? h("div", { class: "hint mono" }, frame.place) : null] },
        { title: "Base", class: "number", cell: (frame) => share(frame.base_share) },
        { title: "Now", class: "number", cell: (frame) => share(frame.share) },
        { title: "Change", class: "number", cell: (frame) => h("b", { class: frame.change > 0 ? "bad-text" : "good-text" }, `${frame.change > 0 ? "+" : "−"}${share(Math.abs(frame.change))}`) },
        { title: "As a bar", cell: (frame) => h("span", { class: `meter ${frame.change > 0 ? "bad" : "less"}`, role: "presentation" }, h("span", { style: { width: `${(Math.abs(frame.change) / most) * 100}%` } })) },
      ],
      rows,
    })),
  );
}
