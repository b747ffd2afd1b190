// The four tiers: each has its word, its colour and its shape, so that no one of them is needed alone.

import { draw, make } from "./elements.js";

export const TIERS = ["very low", "low", "medium", "high"];

const SHAPES = {
  "very low": () => draw("path", { d: "M5 12h14", "stroke-width": 4, class: "outline" }),
  "low": () => draw("circle", { cx: 12, cy: 12, r: 7.5, "stroke-width": 3, class: "outline" }),
  "medium": () => draw("path", { d: "M12 2.5 21.5 12 12 21.5 2.5 12z", class: "solid" }),
  "high": () => draw("path", { d: "M12 2.5 22.5 21H1.5z", class: "solid" }),
};

/** "very low" -> "Very low" */
export const titleOf = (tier) => tier.charAt(0).toUpperCase() + tier.slice(1);

/** A class name for colours. */
export const colourOf = (tier) => `tier-${tier.replace(" ", "-")}`;

/** The tier's shape; decoration beside its word. */
export function shapeOf(tier, size = 18) {
  return draw("svg", { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", class: "shape" },
    SHAPES[tier]());
}

/** Shape and word in the tier's colour. */
export function badge(tier) {
  return make("span", { class: `badge ${colourOf(tier)}` }, shapeOf(tier, 14), titleOf(tier));
}

/** Where each tier begins and ends, from the limits that the service tells.
 * @returns {{tier: string, from: number, to: number}[]} from low to high probability
 */
export function bands(limits) {
  const starts = [0, limits.low, limits.medium, limits.high, 1];
  return TIERS.map((tier, i) => ({ tier, from: starts[i], to: starts[i + 1] }));
}
