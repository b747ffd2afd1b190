// How the estimates of many people are spread, with the tiers under the axis.

import { draw, make } from "./elements.js";
import { TIERS, bands, colourOf, shapeOf, titleOf } from "./tiers.js";
import { count, plainPercent } from "./words.js";

const N_BINS = 20;
const HEIGHT = 200;

/** @param {{probability: number, tier: string}[]} predictions
 * @param {{low: number, medium: number, high: number}} limits of the tiers
 */
export function histogram(predictions, limits) {
  const bins = Array.from({ length: N_BINS }, () => Object.fromEntries(TIERS.map((tier) => [tier, 0])));
  for (const { probability, tier } of predictions) {
    bins[Math.min(N_BINS - 1, Math.floor(probability * N_BINS))][tier] += 1;
  }
  const totals = bins.map((bin) => TIERS.reduce((sum, tier) => sum + bin[tier], 0));
  const step = niceStep(Math.max(...totals, 1));
  const top = step * Math.ceil(Math.max(...totals, 1) / step);
  return make("figure", { class: "histogram" },
    make("figcaption", {}, "How many people have which estimate"),
    make("div", { class: "plot", "aria-hidden": "true" }, scaleOfCounts(step, top),
      drawBins(bins, top, step, limits)),
    make("details", {}, make("summary", {}, "The same numbers as a table"), asTable(bins)));
}

function niceStep(most) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 10 * power;
}

const yOf = (n, top) => HEIGHT - (n / top) * (HEIGHT - 14);

function scaleOfCounts(step, top) {
  const ticks = [];
  for (let n = 0; n <= top; n += step) {
    ticks.push(draw("text", { x: "100%", y: yOf(n, top) + 4, "text-anchor": "end" }, count(n)));
  }
  return draw("svg", { class: "counts", width: "100%", height: HEIGHT + 46 }, ticks);
}

function drawBins(bins, top, step, limits) {
  const parts = [];
  for (let n = 0; n <= top; n += step) {
    parts.push(draw("line", { x1: "0%", x2: "100%", y1: yOf(n, top), y2: yOf(n, top),
      class: n === 0 ? "axis" : "grid" }));
  }
  const width = 100 / N_BINS;
  bins.forEach((bin, i) => {
    let below = 0;
    for (const tier of TIERS) {
      if (bin[tier] === 0) continue;
      parts.push(draw("rect", { x: `${i * width + width * 0.07}%`, width: `${width * 0.86}%`,
        y: yOf(below + bin[tier], top), height: yOf(below, top) - yOf(below + bin[tier], top),
        class: `band ${colourOf(tier)}` }));
      below += bin[tier];
    }
  });
  for (const { tier, from, to } of bands(limits)) {
    parts.push(draw("rect", { x: `${from * 100}%`, width: `${(to - from) * 100}%`, y: HEIGHT + 4, height: 5,
      class: `band ${colourOf(tier)}` }));
    parts.push(draw("text", { x: `${(from + to) * 50}%`, y: HEIGHT + 25, "text-anchor": "middle",
      class: "tier-name" }, titleOf(tier)));
    // Where the words do not fit, the tier's shape stands for it.
    parts.push(draw("svg", { x: `${(from + to) * 50}%`, y: HEIGHT + 14, overflow: "visible",
      class: `tier-sign ${colourOf(tier)}` }, draw("g", { transform: "translate(-7 0)" }, shapeOf(tier, 14))));
    if (from > 0) {
      parts.push(draw("line", { x1: `${from * 100}%`, x2: `${from * 100}%`, y1: HEIGHT + 2, y2: HEIGHT + 30,
        class: "gap" }));
      parts.push(draw("text", { x: `${from * 100}%`, y: HEIGHT + 43, "text-anchor": "middle" },
        plainPercent(from)));
    }
  }
  parts.push(draw("text", { x: "0%", y: HEIGHT + 43 }, "0 %"),
    draw("text", { x: "100%", y: HEIGHT + 43, "text-anchor": "end" }, "100 %"));
  return draw("svg", { class: "bins", width: "100%", height: HEIGHT + 46 }, parts);
}

function asTable(bins) {
  const width = 100 / N_BINS;
  return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "People by estimate and tier" },
    make("table", { class: "data" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Estimate"),
        TIERS.map((tier) => make("th", { scope: "col", class: "number" }, titleOf(tier))))),
      make("tbody", {}, bins.map((bin, i) => make("tr", {},
        make("th", { scope: "row" }, `${i * width} to ${(i + 1) * width} %`),
        TIERS.map((tier) => make("td", { class: "number" }, count(bin[tier]))))))));
}
