// The results as a file for a spreadsheet.

import { harmless, write } from "./csv.js";
import { make } from "./elements.js";
import { decision, sentence } from "./words.js";

const RESULT_COLUMNS = ["row", "probability", "tier", "decision", "reasons", "suggestion", "model version",
  "model variant", "estimate number", "time", "problem"];

/** The user's own columns and beside them what was estimated; no cell can act as a formula. */
export function resultsAsCsv(extract) {
  const header = [...extract.header, ...RESULT_COLUMNS.map((name) => `estimate: ${name}`)];
  const records = extract.rows.map((row) => {
    const own = extract.header.map((_, i) => row.cells[i] ?? "");
    return [...own, ...resultCells(row)].map(harmless);
  });
  return `\ufeff${write([header.map(harmless), ...records])}`;
}

function resultCells({ number, prediction, problems }) {
  if (prediction === null) {
    const why = problems === null ? "The service was not asked about this row."
      : problems.map((problem) => `${problem.field}: ${sentence(problem)}`).join(" ");
    return [String(number), ...RESULT_COLUMNS.slice(2).map(() => ""), why];
  }
  const reasons = prediction.reasons.map((reason) => reason.text).join("; ");
  return [String(number), String(prediction.probability), prediction.tier, decision(prediction), reasons,
    prediction.recommendation, prediction.model_version, prediction.variant, prediction.id,
    prediction.timestamp, ""];
}

/** Hand a text to the browser as a download. */
export function offerDownload(text, name) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
