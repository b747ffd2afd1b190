// A table that can be sorted by its headings and turned by pages.

import { announce, make } from "./elements.js";
import { count } from "./words.js";

const PAGE_SIZE = 50;

/** One column.
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: object) => number | string} sortBy
 * @property {(row: object) => (Node | string)[] | Node | string} show
 * @property {boolean} [isNumber]
 * @property {boolean} [isHeading] whether its cells name their rows
 */

/** Build a table of rows.
 * @param {{caption: string, columns: Column[], rows: object[], sorted?: {column: number, down: boolean}}} given
 */
export function sortableTable({ caption, columns, rows, sorted = { column: 0, down: false } }) {
  const state = { ...sorted, page: 0, ordered: [] };
  const nPages = Math.max(1, Math.ceil(rows.length / PAGE_SIZE));
  const headings = columns.map((column, i) =>
    make("th", { scope: "col", class: column.isNumber ? "number" : null },
      make("button", { type: "button", class: "sort", onclick: () => sort(i) }, column.title,
        make("span", { class: "arrow", "aria-hidden": "true" }))));
  const body = make("tbody");
  const region = make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
    make("table", { class: "data" },
      make("caption", { class: "for-ears" }, `${caption}. The headings sort it.`),
      make("thead", {}, make("tr", {}, headings)), body));
  const place = make("p", { class: "quiet", "aria-live": "polite" });
  const back = make("button", { type: "button", onclick: () => turn(-1) }, "Previous");
  const on = make("button", { type: "button", onclick: () => turn(1) }, "Next");
  const pager = make("nav", { class: "pager", "aria-label": `Pages: ${caption}`, hidden: nPages === 1 },
    back, place, on);

  function sort(i) {
    state.down = state.column === i ? !state.down : false;
    state.column = i;
    state.page = 0;
    order();
    announce(`Sorted by ${columns[i].title}, ${state.down ? "largest or last first" : "smallest or first first"}.`);
  }

  function order() {
    const { sortBy } = columns[state.column];
    const sign = state.down ? -1 : 1;
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true }));
    state.ordered = rows.map((row, i) => [sortBy(row), i])
      .sort(([a, i], [b, j]) => sign * compare(a, b) || i - j).map(([, i]) => rows[i]);
    headings.forEach((heading, i) => {
      if (i === state.column) heading.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
    showPage();
  }

  function turn(by) {
    state.page += by;
    showPage();
    region.scrollTop = 0;
    region.scrollIntoView({ block: "nearest" });
  }

  function showPage() {
    const start = state.page * PAGE_SIZE;
    const shown = state.ordered.slice(start, start + PAGE_SIZE);
    body.replaceChildren(...shown.map((row) => make("tr", {}, columns.map((column) =>
      make(column.isHeading ? "th" : "td",
        { scope: column.isHeading ? "row" : null, class: column.isNumber ? "number" : null },
        column.show(row))))));
    place.textContent = `Page ${state.page + 1} of ${nPages}: ${count(start + 1)} to ${
      count(start + shown.length)} of ${count(rows.length)}`;
    // Not `disabled`: the button that was just pressed must not lose the focus.
    setUsable(back, state.page > 0);
    setUsable(on, state.page < nPages - 1);
  }

  function setUsable(button, isUsable) {
    if (isUsable) button.removeAttribute("aria-disabled");
    else button.setAttribute("aria-disabled", "true");
  }

  for (const button of [back, on]) {
    button.addEventListener("click", (event) => {
      if (button.getAttribute("aria-disabled") === "true") event.stopImmediatePropagation();
    }, { capture: true });
  }

  order();
  return make("div", { class: "paged" }, region, pager);
}
