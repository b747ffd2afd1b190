// Numbers, times and refusals in plain words.

const whole = new Intl.NumberFormat("en");

/** 12345 -> "12,345" */
export const count = (n) => whole.format(n);

/** "1 person", "12 people" */
export const people = (n) => (n === 1 ? "1 person" : `${count(n)} people`);

/** 0.8207 -> "82.1 %", with a space that does not break; more digits where rounding would put it on the other side of the line. */
export function percent(share, line = null) {
  for (let digits = 1; ; digits += 1) {
    const text = (share * 100).toFixed(digits);
    const sameSide = line === null || share >= line === Number(text) >= Number((line * 100).toFixed(10));
    if (sameSide || digits === 9) return `${text}\u00a0%`;
  }
}

/** 0.65 -> "65 %" */
export const plainPercent = (share) => `${Number((share * 100).toFixed(2))}\u00a0%`;

/** "about 8 of 10 people with similar data left"; never "0 of 10" or "10 of 10", which would sound certain. */
export function ofTen(probability) {
  const n = Math.round(probability * 10);
  const share = n === 0 ? "fewer than 1 of 10" : n === 10 ? "more than 9 of 10" : `about ${n} of 10`;
  return `${share} people with similar data left`;
}

/** A time as this computer writes it. */
export const when = (timestamp) =>
  new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" }).format(new Date(timestamp));

export const decision = (prediction) => (prediction.flagged ? "Flagged" : "Not flagged");

const WRONG = {
  "missing": "A value is needed",
  "unseen-category": "This is not one of the allowed values",
  "not-a-number": "This is not a number",
  "not-whole": "This must be a whole number",
  "not-finite": "This number is too large",
  "out-of-range": "This is outside the allowed range",
  "not-a-date": "This is not a date",
  "not-an-id": "This can't be an employee id",
  "not-text": "This must be text",
  "formula-cell": "This looks like a spreadsheet formula",
  "control-character": "This has an invisible character in it",
  "wrong-length": "This row has another number of cells",
  "unknown-field": "The model does not know this field",
};

/** One {field, code, rule} as a sentence. */
export function sentence({ code, rule }) {
  const wrong = WRONG[code] ?? `This does not fit (${String(code).replaceAll("-", " ")})`;
  return `${wrong}. Allowed: ${rule}.`;
}
