// Charts over time: uPlot in our colours, with a legend that says the values, and the same in words for those
// who do not see it.

import { count, fill, h, short } from "./dom.js";
import uPlot from "./vendor/uplot.js";

const HEIGHT = 150;
// Between marks under the axis, in seconds: nothing is told more often.
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800];
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * A chart. `series`: [{label, colour: 1 to 6}]. `format(value)`: a value in words. `signal`: when the page is left. Charts
 * with one `group` show the same moment under the pointer.
 *
 * `update(times, values)`: times in seconds since 1970, rising; for each series as many values, null for none.
 */
export function chart({ title, series, format, signal, group = null }) {
  const plot = h("div", { class: "plot" });
  const legend = h("span", { class: "legend" });
  const element = h("figure", { class: "chart" }, h("figcaption", {}, h("span", {}, title), legend), plot);
  let data = [[], ...series.map(() => [])];
  let drawn = null;

  function show(place) {
    const times = data[0];
    const at = place ?? times.length - 1;
    fill(
      legend,
      series.map((one, number) => {
        const swatch = h("span", { class: "swatch", style: { background: `var(--series-${one.colour})` } });
        return h("span", {}, swatch, one.label && `${one.label} `, h("b", {}, at < 0 ? "–" : format(data[number + 1][at])));
      }),
      place === null || place === undefined ? null : h("span", {}, moment(times, times[place])),
    );
  }

  function options(width) {
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false }, ...(group ? { sync: { key: group } } : {}) },
      scales: { y: { range: (u, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, size: 24, space: 74, incrs: STEPS, values: (u, splits, place, space, step) => splits.map((at) => tick(at, step)) },
        { ...axis, size: 54, space: 34, values: (u, splits) => splits.map((value) => (format === count ? short(value) : format(value))) },
      ],
      series: [
        {},
        ...series.map((one) => ({ label: one.label, stroke: () => colour(`--series-${one.colour}`), width: 1.5, points: { show: false }, spanGaps: false })),
      ],
      hooks: { setCursor: [(u) => show(u.cursor.idx)] },
    };
  }

  function draw() {
    const width = plot.clientWidth;
    if (!width) return;
    if (drawn === null) {
      drawn = new uPlot(options(width), data, plot);
      // The legend and the sentence say it to those who do not see it.
      drawn.root.setAttribute("role", "img");
    } else {
      if (drawn.width !== width) drawn.setSize({ width, height: HEIGHT });
      drawn.setData(data);
    }
    drawn.root.setAttribute("aria-label", sentence(title, series, data, format));
  }

  const observer = new ResizeObserver(() => draw());
  observer.observe(plot);
  document.addEventListener("themechange", () => drawn?.redraw(), { signal });
  signal.addEventListener("abort", () => {
    observer.disconnect();
    drawn?.destroy();
    drawn = null;
  });
  show(null);

  element.update = (times, values) => {
    data = [times, ...values];
    if (signal.aborted) return;
    draw();
    if (drawn === null || drawn.cursor.idx === null || drawn.cursor.idx === undefined) show(null);
  };
  return element;
}

const SECONDS = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const MINUTES = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DATES = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/** A moment under the axis, as fine as the steps between them (s). */
function tick(at, step) {
  const moment = new Date(at * 1000);
  if (step < 60) return SECONDS.format(moment);
  return step < 43_200 && !(moment.getHours() === 0 && moment.getMinutes() === 0) ? MINUTES.format(moment) : DATES.format(moment);
}

function moment(times, at) {
  if (at === undefined) return null;
  const long = times.at(-1) - times[0] > 86_400;
  return (long ? DAY : CLOCK).format(new Date(at * 1000));
}

function sentence(title, series, data, format) {
  const parts = series.map((one, number) => {
    const values = data[number + 1].filter((value) => value !== null && value !== undefined);
    const name = one.label || "values";
    if (!values.length) return `${name}: none`;
    const most = values.reduce((high, value) => Math.max(high, value), -Infinity);
    return `${name}: now ${format(values.at(-1))}, at most ${format(most)}`;
  });
  return `${title}. ${parts.join("; ")}.`;
}
