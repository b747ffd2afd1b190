// The panel for teams: averages of groups that are large enough.

import { announce, draw, make } from "./elements.js";
import { gather, groupingColumns, withheld } from "./groups.js";
import { TIERS, colourOf, shapeOf, titleOf } from "./tiers.js";
import { count, people, plainPercent } from "./words.js";

/** Fill the panel; without a table it says how to get one.
 * @param {HTMLElement} panel
 * @param {object} told what the service said about its fields
 * @param {object | null} extract with estimates
 * @param {() => void} goToTable
 */
export function fillTeamsPanel(panel, told, extract, goToTable) {
  const minimum = told.min_team_size;
  const card = make("div", { class: "card" }, make("h2", {}, "Teams"),
    make("p", { class: "quiet" }, `Averages of groups with at least ${people(minimum)}. Smaller groups are counted `
      + "together, so that nobody can be singled out."));
  panel.replaceChildren(card);
  if (extract === null) {
    card.append(make("p", {}, "Teams come from a table that you upload."),
      make("div", { class: "buttons" },
        make("button", { type: "button", class: "primary", onclick: goToTable }, "Choose a table")));
    return;
  }
  const guarded = protectedColumns(extract, told);
  if (guarded.length) {
    card.append(make("p", { class: "quiet" }, `Not offered: ${guarded.map((i) => extract.header[i]).join(", ")}. `
      + "These are protected; only the fairness audit compares people by them."));
  }
  const columns = orderColumns(extract, told, guarded);
  if (columns.length === 0) {
    card.append(make("p", {}, "No column of this table divides people into groups. A column like “Department” would."));
    return;
  }
  const select = make("select", { id: "group-by" },
    columns.map((position) => make("option", { value: position }, extract.header[position])));
  const place = make("div", { class: "team-figures" });
  const show = () => {
    const column = Number(select.value);
    const choice = withheld(gather(extract.rows, column), minimum);
    place.replaceChildren(...describe(choice, extract.header[column], minimum));
    announce(`Grouped by ${extract.header[column]}: ${count(choice.shown.length)} groups shown.`);
  };
  select.addEventListener("change", show);
  card.append(make("div", { class: "field" }, make("label", { for: "group-by" }, "Group by"), select), place);
  show();
}

/** Positions of the columns that the contract protects. */
function protectedColumns(extract, told) {
  return extract.names.map((_, position) => position).filter((i) => told.protected.includes(extract.names[i]));
}

/** Columns that the model does not know come first: they are the likelier team names. */
function orderColumns(extract, told, guarded) {
  const never = new Set(extract.idAt < 0 ? guarded : [extract.idAt, ...guarded]);
  const found = groupingColumns(extract.header, extract.rows, never);
  const isKnown = (position) => Object.values(told.sources).includes(extract.names[position]);
  return [...found.filter((position) => !isKnown(position)), ...found.filter(isKnown)];
}

function describe({ shown, hidden }, by, minimum) {
  const nHidden = hidden.reduce((sum, group) => sum + group.n, 0);
  if (shown.length === 0) {
    return [make("p", { class: "notice" }, `No group can be shown: there are too few with ${people(minimum)} or more.`)];
  }
  const byAverage = [...shown].sort((a, b) => b.sum / b.n - a.sum / a.n);
  const caption = `Average estimate by ${by}`;
  const rows = byAverage.map((group) => make("tr", {},
    make("th", { scope: "row" }, group.name === "" ? "(empty)" : group.name),
    make("td", { class: "number" }, count(group.n)),
    make("td", { class: "number" }, make("strong", {}, `${Math.round((100 * group.sum) / group.n)}\u00a0%`)),
    make("td", { class: "bar-cell" }, tierBar(group)),
    [...TIERS].reverse().map((tier) => make("td", { class: "number" }, count(group.tiers[tier])))));
  if (hidden.length) {
    rows.push(make("tr", { class: "smaller" },
      make("th", { scope: "row" }, `Smaller groups (${people(nHidden)})`),
      make("td", { class: "number" }, count(nHidden)),
      make("td", { colspan: 2 + TIERS.length }, `${count(hidden.length)} groups, not shown one by one`)));
  }
  return [
    make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
      make("table", { class: "data teams" },
        make("caption", { class: "for-ears" }, caption),
        make("thead", {}, make("tr", {},
          make("th", { scope: "col" }, by),
          make("th", { scope: "col", class: "number" }, "People"),
          make("th", { scope: "col", class: "number" }, "Average"),
          make("td", { "aria-hidden": "true", class: "bar-title" }, "Tiers"),
          [...TIERS].reverse().map((tier) => make("th", { scope: "col", class: `number ${colourOf(tier)}` },
            make("span", { class: "tier-name" }, shapeOf(tier, 12), titleOf(tier)))))),
        make("tbody", {}, rows))),
    hidden.some((group) => group.n >= minimum) ? make("p", { class: "quiet" }, "A group that is large enough is hidden, "
      + "too: otherwise the smaller one could be worked out from the total.") : null,
    make("p", { class: "quiet" }, `Average: about how many of 100 people like these left (overall ${
      plainPercent(Math.round((100 * total(shown, hidden)).toFixed(6)) / 100)}).`),
  ].filter(Boolean);
}

function total(shown, hidden) {
  const all = [...shown, ...hidden];
  return all.reduce((sum, group) => sum + group.sum, 0) / all.reduce((sum, group) => sum + group.n, 0);
}

/** The shares of the tiers, the high one first; the columns beside it say the same in numbers. */
function tierBar(group) {
  let at = 0;
  const parts = [...TIERS].reverse().flatMap((tier) => {
    const width = (100 * group.tiers[tier]) / group.n;
    const part = draw("rect", { x: `${at}%`, y: 2, width: `${width}%`, height: 14, class: `band ${colourOf(tier)}` });
    at += width;
    return width > 0 ? [part] : [];
  });
  return draw("svg", { width: "100%", height: 18, "aria-hidden": "true" }, parts);
}
