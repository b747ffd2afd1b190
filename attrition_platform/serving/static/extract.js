// A table from the user's computer: read, matched with what the model reads, cut into pieces for sending.

import { BadTable, delimiterOf, parse, write } from "./csv.js";

export const MOST_BYTES = 50 * 1024 * 1024;
const MOST_ROWS_AT_ONCE = 5000;
const MOST_LETTERS_AT_ONCE = 4 * 1024 * 1024;

/** One row of the file.
 * @typedef {object} Row
 * @property {number} number as a spreadsheet counts: the headings are row 1
 * @property {string[]} cells as they stand in the file
 * @property {object | null} prediction
 * @property {{field: string, code: string, rule: string}[] | null} problems why there is no estimate
 */

/** Read a file.
 * @param {File} file
 * @param {object} told what the service said about its fields
 * @returns {Promise<object>} name, delimiter, header, rows, the positions that are sent, `idAt`, `unread` names
 * @throws {BadTable}
 */
export async function readExtract(file, told) {
  if (file.size > MOST_BYTES) {
    throw new BadTable("The file is larger than 50 MB. Split it, or let the operator run `attrition predict --file`.");
  }
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new BadTable("The file is no text in UTF-8. In the spreadsheet, save it as “CSV UTF-8”.");
  }
  return matchColumns(file.name, text, told);
}

/** The part of `readExtract` that needs no file. */
export function matchColumns(name, text, told) {
  const delimiter = delimiterOf(text);
  const [first, ...records] = parse(text, delimiter);
  const header = (first ?? []).map((cell) => cell.trim());
  if (header.every((cell) => cell === "")) throw new BadTable("The first row must name the columns.");
  const names = header.map((cell) => (Object.hasOwn(told.sources, cell) ? told.sources[cell] : cell));
  const twice = names.find((one, i) => one !== "" && names.indexOf(one) !== i);
  if (twice !== undefined) {
    throw new BadTable(`Two columns are both “${labelOf(twice, told)}”. Keep one of them.`);
  }
  const lacking = told.fields.filter((field) => !field.may_be_missing && !names.includes(field.name));
  if (lacking.length) {
    throw new BadTable(`The table lacks ${lacking.length === 1 ? "a column" : `${lacking.length} columns`} that the `
      + `estimate needs: ${lacking.map((field) => columnOf(field, told)).join(", ")}.`);
  }
  const wanted = new Set(told.fields.map((field) => field.name));
  if (told.id !== null) wanted.add(told.id.name);
  const sent = names.map((_, i) => i).filter((i) => wanted.has(names[i]));
  const rows = [];
  records.forEach((cells, i) => {
    if (cells.length === 1 && cells[0] === "") return;
    const problems = cells.length === header.length ? null : [{
      field: "whole row", code: "wrong-length",
      rule: `${header.length} cells, as in the first row; this one has ${cells.length}`,
    }];
    rows.push({ number: i + 2, cells, prediction: null, problems });
  });
  if (rows.length === 0) throw new BadTable("The table has headings and no rows.");
  return {
    name, delimiter, header, names, rows, sent,
    idAt: told.id === null ? -1 : names.indexOf(told.id.name),
    unread: header.filter((_, i) => !wanted.has(names[i])),
  };
}

/** Cut the rows that can be sent into bodies that the service takes.
 * @returns {Generator<{rows: Row[], body: string}>}
 */
export function* pieces(extract) {
  const { rows, names, sent, delimiter } = extract;
  const head = sent.map((i) => names[i]);
  let piece = [];
  let letters = 0;
  const finish = () => {
    const body = write([head, ...piece.map((row) => sent.map((i) => row.cells[i]))], delimiter);
    const done = { rows: piece, body };
    piece = [];
    letters = 0;
    return done;
  };
  for (const row of rows) {
    if (row.problems !== null) continue;
    piece.push(row);
    for (const i of sent) letters += row.cells[i].length + 3;
    if (piece.length === MOST_ROWS_AT_ONCE || letters > MOST_LETTERS_AT_ONCE) yield finish();
  }
  if (piece.length) yield finish();
}

/** What people call a column: the label from the contract. */
export function labelOf(name, told) {
  return [told.id, ...told.fields].find((field) => field?.name === name)?.label ?? name;
}

/** A column as an extract would name it. */
function columnOf(field, told) {
  const source = Object.keys(told.sources).find((key) => told.sources[key] === field.name);
  return source === undefined || source === field.label ? field.label : `${field.label} (“${source}”)`;
}
