// Reads and writes CSV text: strictly, so that a damaged file is told and not guessed at.

/** The table can't be read; the message says where and what to do. */
export class BadTable extends Error {}

const DELIMITERS = [",", ";", "\t"];

/** The separator that the first line has most of, as the service decides it. */
export function delimiterOf(text) {
  const end = text.indexOf("\n");
  const head = end < 0 ? text : text.slice(0, end);
  let best = DELIMITERS[0];
  for (const one of DELIMITERS) if (head.split(one).length > head.split(best).length) best = one;
  return best;
}

/** Split CSV text into records. Empty lines count as records, so that numbers match those of a spreadsheet.
 * @param {string} text
 * @param {string} delimiter
 * @returns {string[][]}
 * @throws {BadTable}
 */
export function parse(text, delimiter) {
  const records = [];
  let record = [];
  let at = 0;
  const n = text.length;
  const endRecord = () => { records.push(record); record = []; };
  while (at < n) {
    let cell = "";
    if (text[at] === '"') {
      [cell, at] = quoted(text, at, records.length + 1);
      if (at < n && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") {
        throw new BadTable(`Row ${records.length + 1} has text after a closing quote. Save the table anew as CSV.`);
      }
    } else {
      const start = at;
      while (at < n && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at += 1;
      cell = text.slice(start, at);
    }
    record.push(cell);
    if (at >= n) { endRecord(); break; }
    if (text[at] === delimiter) {
      at += 1;
      if (at >= n) { record.push(""); endRecord(); }
    } else {
      at += text[at] === "\r" && text[at + 1] === "\n" ? 2 : 1;
      endRecord();
    }
  }
  return records;
}

function quoted(text, start, row) {
  let cell = "";
  let from = start + 1;
  for (;;) {
    const to = text.indexOf('"', from);
    if (to < 0) throw new BadTable(`A quote that opens in row ${row} is never closed. Save the table anew as CSV.`);
    cell += text.slice(from, to);
    if (text[to + 1] !== '"') return [cell, to + 1];
    cell += '"';
    from = to + 2;
  }
}

/** Write records; every cell in quotes, so that none is taken for a line of its own.
 * @param {string[][]} records
 * @param {string} delimiter
 */
export function write(records, delimiter = ",") {
  const cell = (value) => `"${String(value).replaceAll('"', '""')}"`;
  return records.map((record) => record.map(cell).join(delimiter)).join("\r\n") + "\r\n";
}

/** A text that a spreadsheet would take for a formula gets an apostrophe in front; as `scoring/exports.py` does. */
export function harmless(text) {
  return /^[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text;
}
