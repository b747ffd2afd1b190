// What one estimate says, what it is made of, and what it is not for.

import { draw, forEars, make } from "./elements.js";
import { bands, colourOf, shapeOf, titleOf } from "./tiers.js";
import { decision, ofTen, percent, plainPercent, when } from "./words.js";

/** The result as one sentence, for the live region. */
export function describeResult(prediction) {
  const [first, second] = prediction.reasons;
  const reasons = [first, second].filter(Boolean).map((reason) => reason.text).join(". ");
  return `${titleOf(prediction.tier)}: ${ofTen(prediction.probability)}, ${
    percent(prediction.probability, prediction.threshold)}. ${decision(prediction)}. ${reasons}.`;
}

/** Show a result; returns its heading. */
export function showResult(place, prediction, told) {
  const heading = make("h2", { id: "result-title" }, "The estimate");
  place.replaceChildren(make("article", { class: "card result", "aria-labelledby": "result-title" },
    heading,
    make("div", { class: "result-top" }, verdict(prediction, told), nextStep(prediction)),
    reasons(prediction.reasons),
    limits(told.advice),
    origin(prediction)));
  return heading;
}

function verdict(prediction, told) {
  const { tier, probability, threshold } = prediction;
  return make("div", { class: `verdict ${colourOf(tier)}` },
    make("p", { class: "tier-word" }, shapeOf(tier, 34), make("span", {}, titleOf(tier))),
    make("p", { class: "odds" }, `${ofTen(probability).replace(/^./, (c) => c.toUpperCase())}.`),
    tenPeople(probability),
    scale(prediction, told.tiers),
    make("p", { class: "quiet" }, "Estimate ", make("strong", {}, percent(probability, threshold)),
      `; people are flagged from ${plainPercent(threshold)} up.`));
}

function tenPeople(probability) {
  const n = Math.round(probability * 10);
  const person = (i) => draw("g", { transform: `translate(${i * 26} 0)`, class: i < n ? "counted" : "others" },
    draw("circle", { cx: 12, cy: 7, r: 5 }),
    draw("path", { d: "M2 29v-5a9 9 0 0 1 9-9h2a9 9 0 0 1 9 9v5z" }));
  return draw("svg", { viewBox: "0 0 260 30", class: "ten", "aria-hidden": "true" },
    Array.from({ length: 10 }, (_, i) => person(i)));
}

function scale({ probability, threshold, tier }, limitsOfTiers) {
  const at = (share) => `${share * 100}%`;
  const parts = bands(limitsOfTiers).map((band) =>
    draw("rect", { x: at(band.from), y: 14, width: at(band.to - band.from), height: 10,
      class: `band ${colourOf(band.tier)}` }));
  const borders = bands(limitsOfTiers).slice(1).map(({ from }) =>
    draw("line", { x1: at(from), x2: at(from), y1: 14, y2: 24, class: "gap" }));
  const anchor = threshold < 0.12 ? "start" : threshold > 0.88 ? "end" : "middle";
  return draw("svg", { class: "scale", width: "100%", height: 48, "aria-hidden": "true" },
    parts, borders,
    draw("line", { x1: at(threshold), x2: at(threshold), y1: 9, y2: 30, class: "threshold" }),
    draw("text", { x: at(threshold), y: 44, "text-anchor": anchor }, `flagged from ${plainPercent(threshold)}`),
    draw("circle", { cx: at(probability), cy: 19, r: 9, class: `marker ${colourOf(tier)}` }));
}

function nextStep(prediction) {
  return make("div", { class: "next" },
    make("h3", {}, "Decision"),
    make("p", { class: "decision" }, decision(prediction),
      make("span", { class: "quiet" }, prediction.flagged
        ? ` — the estimate is at or above the line, which stands for “${prediction.label}”.`
        : ` — the estimate is below the line, which stands for “${prediction.label}”.`)),
    make("h3", {}, "What we suggest"),
    make("p", { class: "advice" }, prediction.recommendation));
}

function reasons(list) {
  const largest = Math.max(...list.map((reason) => Math.abs(reason.contribution)), 1e-12);
  const rows = list.map((reason) => make("tr", {},
    make("th", { scope: "row" }, reason.label),
    make("td", { class: "bar-cell" }, bar(reason.contribution / largest)),
    make("td", { class: "effect" },
      make("span", { class: "word" }, reason.direction === "raises" ? "raises it" : "lowers it"),
      forEars(" by"), make("span", { class: "points" }, signed(reason.contribution)), forEars(" points"))));
  return make("section", { class: "reasons", "aria-labelledby": "reasons-title" },
    make("h3", { id: "reasons-title" }, "The strongest reasons"),
    make("table", { class: "bars" },
      make("caption", { class: "for-ears" }, "What raises and what lowers this estimate, the strongest first"),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, forEars("What is on record")),
        make("td", { class: "directions", "aria-hidden": "true" },
          make("span", {}, "←\u00a0lowers"), make("span", {}, "raises\u00a0→")),
        make("th", { scope: "col" }, forEars("Effect on the estimate")))),
      make("tbody", {}, rows)),
    make("p", { class: "quiet" }, "Bars to the right (+) raise the estimate, bars to the left (−) lower it; longer ones weigh "
      + "more. These reasons say what the estimate is made of; "
      + "they need not be the person’s own reasons."));
}

const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;

/** A bar from the middle: to the right where it raises, to the left where it lowers. */
function bar(share) {
  const width = Math.max(Math.abs(share) * 49, 0.6);
  return draw("svg", { width: "100%", height: 22, "aria-hidden": "true" },
    draw("rect", { x: `${share < 0 ? 50 - width : 50}%`, y: 3, width: `${width}%`, height: 16, rx: 3,
      class: share < 0 ? "lowers" : "raises" }),
    draw("line", { x1: "50%", x2: "50%", y1: 0, y2: 22, class: "axis" }));
}

function limits(advice) {
  return make("section", { class: "limits", "aria-labelledby": "limits-title" },
    make("h3", { id: "limits-title" }, "Before you use this"),
    make("dl", {},
      make("div", {}, make("dt", {}, "What it is not for"), make("dd", {}, advice.not_for)),
      make("div", {}, make("dt", {}, "Who decides, in words for the person"), make("dd", {}, advice.who_decides)),
      make("div", {}, make("dt", {}, "How the person can contest it"), make("dd", {}, advice.contest))));
}

function origin(prediction) {
  const line = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
  const variant = prediction.variant === "canary" ? "on trial (canary)" : "regular (stable)";
  return make("section", { class: "origin", "aria-label": "Where this estimate comes from" },
    make("dl", {},
      line("Estimate number", make("code", {}, prediction.id)),
      line("Made", make("time", { datetime: prediction.timestamp }, when(prediction.timestamp))),
      line("Model version", make("code", {}, prediction.model_version)),
      line("Model is", variant)));
}
