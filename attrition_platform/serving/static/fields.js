// Form fields made from what the contract says about them, with the same checks that the service makes.

import { make } from "./elements.js";
import { sentence } from "./words.js";

const MOST_RADIO_BUTTONS = 5;
const MOST_RADIO_LETTERS = 36;
const UNKNOWN = "Unknown";

/** One field of the form.
 * @typedef {object} Field
 * @property {string} name canonical
 * @property {string} label
 * @property {HTMLElement} node
 * @property {() => {value: unknown} | {code: string, rule: string}} read
 * @property {(problem: {code: string, rule: string} | null) => void} show puts the problem beside the field
 * @property {(problem: {code: string, rule: string}) => string} message
 * @property {() => void} focus
 * @property {string} anchor id of what a link to the field leads to
 */

/** @returns {Field} */
export function makeField(told, { optional = false, note = "" } = {}) {
  const isChoice = told.values.length > 0;
  const letters = told.values.join("").length;
  if (!isChoice) return textField(told, optional, note);
  return told.values.length <= MOST_RADIO_BUTTONS && letters <= MOST_RADIO_LETTERS
    ? radioField(told, note)
    : selectField(told, note);
}

function parts(told, note) {
  const id = `field-${told.name}`;
  const hintText = [note, told.description].filter(Boolean).join(" ");
  const hint = hintText ? make("p", { class: "hint", id: `${id}-hint` }, hintText) : null;
  const error = make("p", { class: "error-text", id: `${id}-error`, hidden: true });
  return { id, hint, error };
}

function field(told, node, input, { hint, error }, read, describedBy = []) {
  const described = [...describedBy, hint?.id].filter(Boolean);
  const describe = (ids) => {
    if (ids.length) input.setAttribute("aria-describedby", ids.join(" "));
    else input.removeAttribute("aria-describedby");
  };
  describe(described);
  const message = (problem) => {
    if (problem.code !== "missing") return sentence(problem);
    return told.values.length ? "Choose one." : `Fill this in: ${problem.rule}.`;
  };
  const first = input.matches("fieldset") ? input.querySelector("input") : input;
  return {
    name: told.name,
    label: told.label,
    node,
    read,
    message,
    anchor: first.id,
    focus: () => (input.querySelector?.("input:checked") ?? first).focus(),
    show(problem) {
      error.hidden = problem === null;
      error.textContent = problem === null ? "" : message(problem);
      node.classList.toggle("wrong", problem !== null);
      const marked = input.matches("fieldset") ? [...input.querySelectorAll("input")] : [input];
      for (const one of marked) {
        if (problem === null) one.removeAttribute("aria-invalid");
        else one.setAttribute("aria-invalid", "true");
      }
      describe(problem === null ? described : [error.id, ...described]);
    },
  };
}

const missing = (told) => ({ code: "missing", rule: told.rule });

function radioField(told, note) {
  const { id, hint, error } = parts(told, note);
  const options = told.may_be_missing ? [...told.values, null] : told.values;
  const inputs = options.map((value, i) =>
    make("input", { type: "radio", name: told.name, id: `${id}-${i}`, value: value ?? "", autocomplete: "off" }));
  const choices = inputs.map((input, i) =>
    make("label", { class: "choice", for: input.id }, input, make("span", {}, options[i] ?? UNKNOWN)));
  const node = make("fieldset", { class: "field" },
    make("legend", {}, told.label), hint, error, make("div", { class: "choices" }, choices));
  const read = () => {
    const chosen = inputs.findIndex((input) => input.checked);
    return chosen < 0 ? missing(told) : { value: options[chosen] };
  };
  return field(told, node, node, { hint, error }, read);
}

function selectField(told, note) {
  const { id, hint, error } = parts(told, note);
  const select = make("select", { id, name: told.name, autocomplete: "off" },
    make("option", { value: "" }, "Choose …"),
    told.values.map((value, i) => make("option", { value: i }, value)),
    told.may_be_missing ? make("option", { value: "unknown" }, UNKNOWN) : null);
  const node = make("div", { class: "field" }, make("label", { for: id }, told.label), hint, error, select);
  const read = () => {
    if (select.value === "") return missing(told);
    return { value: select.value === "unknown" ? null : told.values[Number(select.value)] };
  };
  return field(told, node, select, { hint, error }, read);
}

function textField(told, optional, note) {
  const { id, hint, error } = parts(told, note);
  const isNumber = told.kind === "count" || told.kind === "continuous";
  const mayBeEmpty = optional || told.may_be_missing;
  const input = make("input", {
    id, name: told.name, autocomplete: "off", spellcheck: "false",
    type: told.kind === "date" ? "date" : "text",
    inputmode: told.kind === "count" && (told.min ?? -1) >= 0 ? "numeric" : isNumber ? "decimal" : null,
    class: isNumber ? "number" : null,
    "aria-required": mayBeEmpty ? null : "true",
  });
  const range = rangeOf(told, mayBeEmpty && !optional);
  const unit = range ? make("span", { class: "unit", id: `${id}-range` }, range) : null;
  const label = make("label", { for: id }, told.label,
    optional ? make("span", { class: "optional" }, " optional") : null);
  const node = make("div", { class: "field" }, label, hint, error, make("div", { class: "input-row" }, input, unit));
  const read = () => {
    const text = input.value.trim();
    if (text === "") {
      // A date that the browser could not read has an empty value, too.
      if (input.validity.badInput) return { code: "not-a-date", rule: told.rule };
      return mayBeEmpty ? { value: null } : missing(told);
    }
    return isNumber ? readNumber(text, told) : { value: text };
  };
  return field(told, node, input, { hint, error }, read, unit ? [unit.id] : []);
}

function rangeOf(told, maySayUnknown) {
  const number = (n) => new Intl.NumberFormat("en", { maximumFractionDigits: 10 }).format(n);
  const { min, max } = told;
  const range = min !== null && max !== null ? `${number(min)} to ${number(max)}`
    : min !== null ? `${number(min)} or more` : max !== null ? `up to ${number(max)}` : "";
  return [[range, told.unit].filter(Boolean).join(" "), maySayUnknown ? "empty if unknown" : ""]
    .filter(Boolean).join(", ");
}

/** A typed number as the service would judge it. Separators are refused: "1,250" may mean two things. */
export function readNumber(text, { kind, min, max, rule }) {
  const pattern = kind === "count" ? /^[+-]?\d+$/ : /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
  if (!pattern.test(text)) {
    const isFraction = kind === "count" && /^[+-]?\d*\.\d+$/.test(text);
    const hint = /[,\s']/.test(text) ? "; write it without separators, with a dot for decimals" : "";
    return { code: isFraction ? "not-whole" : "not-a-number", rule: rule + hint };
  }
  const value = Number(text);
  if (!Number.isFinite(value)) return { code: "not-finite", rule };
  const outside = (min !== null && value < min) || (max !== null && value > max)
    || (kind === "count" && !Number.isSafeInteger(value));
  return outside ? { code: "out-of-range", rule } : { value };
}
