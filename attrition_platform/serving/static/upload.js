// The panel for a whole table: choose a file, see what is sent, watch it go, look at the results.

import { BadTable } from "./csv.js";
import { offerDownload, resultsAsCsv } from "./download.js";
import { announce, bringToView, draw, forEars, make } from "./elements.js";
import { labelOf, pieces, readExtract } from "./extract.js";
import { histogram } from "./histogram.js";
import { Refused, ask } from "./service.js";
import { sortableTable } from "./table.js";
import { TIERS, badge, colourOf, shapeOf, titleOf } from "./tiers.js";
import { count, decision, ofTen, people, percent, plainPercent, sentence } from "./words.js";

const N_REASONS_SHOWN = 2;

/** Fill the panel.
 * @param {HTMLElement} panel
 * @param {object} told what the service said about its fields
 * @param {(extract: object | null) => void} onResults called with the table once it is estimated
 */
export function fillTablePanel(panel, told, onResults) {
  const input = make("input", { type: "file", id: "file", accept: ".csv,.txt,text/csv,text/plain",
    "aria-describedby": "file-hint file-error" });
  const error = make("p", { class: "error-text", id: "file-error", role: "alert" });
  const drop = make("div", { class: "drop" },
    make("label", { for: "file" }, "Choose a table"),
    make("p", { class: "hint", id: "file-hint" }, "A CSV file with one row per person, up to 50 MB; or drop it here. "
      + "Columns may have the names of the HR extract or those of the programming interface."),
    input);
  const next = make("div");
  panel.replaceChildren(
    make("div", { class: "card" }, make("h2", {}, "A table of people"), drop, error), next);

  let current = new AbortController();
  const take = async (file) => {
    current.abort(new Refused(0, "Another table was chosen."));
    const aborter = new AbortController();
    current = aborter;
    error.textContent = "";
    next.replaceChildren();
    onResults(null);
    try {
      const extract = await readExtract(file, told);
      if (aborter.signal.aborted) return;
      const finish = (trouble) => {
        if (aborter === current) showResults(extract, told, next, trouble, onResults);
      };
      next.replaceChildren(beforeSending(extract, aborter, finish));
      announce(`${file.name}: ${people(extract.rows.length)}. See below what will be sent.`);
    } catch (problem) {
      if (!(problem instanceof BadTable)) throw problem;
      error.textContent = problem.message;
      input.focus();
    }
  };
  input.addEventListener("change", () => { if (input.files.length) take(input.files[0]); });
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}

function beforeSending(extract, aborter, finish) {
  const start = make("button", { type: "button", class: "primary" }, `Estimate ${people(extract.rows.length)}`);
  const progress = make("div");
  const stays = extract.unread.filter((name) => name !== "");
  start.addEventListener("click", () => {
    start.hidden = true;
    send(extract, progress, aborter).then(finish);
  });
  return make("div", { class: "card" },
    make("h2", {}, "What will be sent"),
    make("dl", { class: "facts" },
      make("div", {}, make("dt", {}, "File"), make("dd", {}, extract.name)),
      make("div", {}, make("dt", {}, "People"), make("dd", {}, count(extract.rows.length))),
      make("div", {}, make("dt", {}, "Columns that the model reads"), make("dd", {}, count(extract.sent.length
        - (extract.idAt < 0 ? 0 : 1)), extract.idAt < 0 ? "" : " and the employee id, stored as a pseudonym")),
      make("div", {}, make("dt", {}, "Columns that stay on this computer"),
        make("dd", { id: "stays" }, stays.length ? stays.join(", ") : "none"))),
    stays.length ? make("p", { class: "quiet" }, "The model does not read these, so they are not sent. You can "
      + "still group by them under “Teams”, and they are in the file that you download.") : null,
    make("div", { class: "buttons" }, start), progress);
}

/** Send piece by piece; returns what stopped it, or null. */
async function send(extract, place, aborter) {
  const total = extract.rows.filter((row) => row.problems === null).length;
  const bar = make("progress", { max: Math.max(total, 1), value: 0, id: "progress" });
  const words = make("span", {}, `0 of ${people(total)}`);
  const cancel = make("button", { type: "button", onclick: () => aborter.abort(new Refused(0, "You stopped it.")) },
    "Stop");
  place.replaceChildren(make("div", { class: "progress" },
    make("label", { for: "progress" }, "Estimating … ", words), bar, cancel));
  cancel.focus();
  let done = 0;
  try {
    for (const { rows, body } of pieces(extract)) {
      const { results } = await ask("predict/batch", { body, media: "text/csv", signal: aborter.signal });
      if (results.length !== rows.length) throw new Refused(0, "The service answered for other rows than were sent.");
      results.forEach(({ prediction, problem }, i) => {
        rows[i].prediction = prediction;
        rows[i].problems = problem === null ? null : problem.errors
          ?? [{ field: "whole row", code: "refused", rule: problem.detail }];
      });
      done += rows.length;
      bar.value = done;
      words.textContent = `${count(done)} of ${people(total)}`;
      if (done < total) announce(`${count(done)} of ${people(total)} done.`);
    }
    return null;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return error;
  }
}

function showResults(extract, told, place, trouble, onResults) {
  const scored = extract.rows.filter((row) => row.prediction !== null);
  const refused = extract.rows.filter((row) => row.prediction === null && row.problems !== null);
  const nLeft = extract.rows.length - scored.length - refused.length;
  const heading = make("h2", {}, scored.length ? "The estimates" : "No estimates");
  const summary = `${people(scored.length)} estimated, ${count(refused.length)} refused.`;
  const parts = [heading, make("p", { class: "lead" }, summary)];
  if (trouble !== null) {
    parts.push(make("p", { class: "notice", role: "alert" }, `${trouble.message} ${people(nLeft)} `
      + `${nLeft === 1 ? "was" : "were"} not estimated.`));
  }
  if (scored.length) parts.push(...overview(scored, told), downloadButton(extract, scored), details(extract, scored, told));
  if (refused.length) parts.push(refusals(extract, refused, told));
  place.replaceChildren(make("div", { class: "card results" }, parts));
  bringToView(heading);
  announce(`${summary} ${trouble === null ? "" : trouble.message}`);
  onResults(scored.length ? extract : null);
}

function overview(scored, told) {
  const predictions = scored.map((row) => row.prediction);
  const cards = [...TIERS].reverse().map((tier) => {
    const n = predictions.filter((prediction) => prediction.tier === tier).length;
    return make("li", { class: `tier-card ${colourOf(tier)}` },
      make("span", { class: "tier-name" }, shapeOf(tier, 16), titleOf(tier)),
      make("strong", {}, count(n)),
      make("span", { class: "quiet" }, plainPercent(Number((n / predictions.length).toFixed(3)))));
  });
  return [
    make("ul", { class: "tier-cards" }, cards),
    histogram(predictions, told.tiers),
    make("div", { class: "limits one-line" }, make("p", {}, make("strong", {}, "What this is not for. "),
      told.advice.not_for)),
  ];
}

function downloadButton(extract, scored) {
  const versions = [...new Set(scored.map((row) => row.prediction.model_version))];
  const name = `${extract.name.replace(/\.[^.]*$/, "")}-estimates.csv`;
  return make("div", { class: "buttons" },
    make("button", { type: "button", onclick: () => {
      offerDownload(resultsAsCsv(extract), name);
      announce(`Downloaded as ${name}.`);
    } }, "Download as CSV"),
    make("span", { class: "quiet" }, versions.length === 1 ? "Model version " : "Model versions ",
      make("code", {}, versions.join(", "))));
}

const ORDER = Object.fromEntries(TIERS.map((tier, i) => [tier, i]));

function details(extract, scored, told) {
  const { idAt } = extract;
  const columns = [
    { title: "Row", isNumber: true, isHeading: idAt < 0, sortBy: (r) => r.number, show: (r) => count(r.number) },
    { title: "Estimate", isNumber: true, sortBy: (r) => r.prediction.probability,
      show: ({ prediction: p }) => make("span", { title: ofTen(p.probability) },
        percent(p.probability, p.threshold)) },
    { title: "Tier", sortBy: (r) => ORDER[r.prediction.tier], show: (r) => badge(r.prediction.tier) },
    { title: "Decision", sortBy: (r) => decision(r.prediction), show: (r) => decision(r.prediction) },
    { title: "Strongest reasons", sortBy: (r) => r.prediction.reasons[0]?.text ?? "", show: (r) =>
      firstReasons(r.prediction) },
  ];
  if (idAt >= 0) {
    columns.splice(1, 0, { title: labelOf(told.id.name, told), isHeading: true,
      sortBy: (r) => r.cells[idAt], show: (r) => r.cells[idAt] });
  }
  return make("div", { class: "part" },
    make("h3", {}, "Person by person"),
    make("p", { class: "quiet" }, "Reasons: ▲ raises the estimate, ▼ lowers it."),
    sortableTable({ caption: "Estimates, person by person", columns, rows: scored,
      sorted: { column: idAt >= 0 ? 2 : 1, down: true } }));
}

/** An arrow up or down for the eyes, the direction in words for the ears. */
function firstReasons(prediction) {
  return prediction.reasons.slice(0, N_REASONS_SHOWN).map((reason) => {
    const isUp = reason.direction === "raises";
    return make("span", { class: "why", title: reason.text },
      draw("svg", { viewBox: "0 0 12 12", width: 11, height: 11, "aria-hidden": "true" },
        draw("path", { d: isUp ? "M6 1 11 11H1z" : "M6 11 1 1h10z", class: isUp ? "up" : "down" })),
      reason.label, forEars(isUp ? " raises it. " : " lowers it. "));
  });
}

function refusals(extract, refused, told) {
  const lines = refused.flatMap((row) => row.problems.map((problem) => ({ number: row.number, problem })));
  const columns = [
    { title: "Row", isNumber: true, isHeading: true, sortBy: (l) => l.number, show: (l) => count(l.number) },
    { title: "Column", sortBy: (l) => labelOf(l.problem.field, told), show: (l) => labelOf(l.problem.field, told) },
    { title: "What is wrong", sortBy: (l) => sentence(l.problem), show: (l) => sentence(l.problem) },
  ];
  return make("div", { class: "part" },
    make("h3", {}, "Refused rows"),
    make("p", { class: "quiet" }, "Correct these in your file and upload it again. Row 1 is the row of headings."),
    sortableTable({ caption: "Refused rows", columns, rows: lines }));
}
