// The form for one person.

import { announce, bringToView, make } from "./elements.js";
import { makeField } from "./fields.js";
import { describeResult, showResult } from "./result.js";
import { Refused, ask } from "./service.js";
import { sentence } from "./words.js";

const ID_NOTE = "Only to recognise the same person again. It is stored as a pseudonym, never as you type it.";

/** Fill the panel with a form made from what the service told. */
export function fillPersonPanel(panel, told) {
  const fields = told.fields.map((one) => makeField(one));
  const idField = told.id === null ? null : makeField(told.id, { optional: true, note: ID_NOTE });
  const all = idField === null ? fields : [idField, ...fields];
  const summary = make("div", { class: "problems", hidden: true });
  const submit = make("button", { type: "submit", class: "primary" }, "Estimate");
  const result = make("div", { id: "result" });
  const form = make("form", { novalidate: true, class: "card form", "aria-labelledby": "person-title" },
    make("h2", { id: "person-title" }, "What is on record"),
    make("p", { class: "quiet" }, "Fill in every field as it stands today. Nothing is guessed: where “Unknown” is "
      + "not offered, the estimate needs a value."),
    summary,
    idField === null ? null : make("div", { class: "id-row" }, idField.node),
    make("div", { class: "fields" }, fields.map((one) => one.node)),
    make("div", { class: "buttons" }, submit, make("button", { type: "reset" }, "Clear")));

  form.addEventListener("reset", () => {
    showProblems(summary, all, []);
    result.replaceChildren();
    announce("The form is empty.");
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.getAttribute("aria-disabled") === "true") return;
    const { values, problems } = readAll(all);
    showProblems(summary, all, problems);
    if (problems.length) return;
    submit.setAttribute("aria-disabled", "true");
    try {
      const prediction = await ask("predict", { body: JSON.stringify(values) });
      const heading = showResult(result, prediction, told);
      bringToView(heading);
      announce(describeResult(prediction));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      result.replaceChildren();
      showProblems(summary, all, error.fields, error.message);
    } finally {
      submit.removeAttribute("aria-disabled");
    }
  });
  panel.replaceChildren(form, result);
}

function readAll(fields) {
  const values = {};
  const problems = [];
  for (const field of fields) {
    const found = field.read();
    if ("value" in found) {
      values[field.name] = found.value; // null says "unknown", or that no id was given
    } else {
      problems.push({ field: field.name, ...found });
    }
  }
  return { values, problems };
}

/** Put each problem at its field and all of them on top; the focus goes to the first wrong field. */
function showProblems(summary, fields, problems, detail = "") {
  const byName = new Map(problems.map((problem) => [problem.field, problem]));
  for (const field of fields) field.show(byName.get(field.name) ?? null);
  const isFine = problems.length === 0 && detail === "";
  summary.hidden = isFine;
  summary.replaceChildren();
  if (isFine) return;
  const known = new Map(fields.map((field) => [field.name, field]));
  const lines = problems.map((problem) => {
    const field = known.get(problem.field);
    if (field === undefined) return make("li", {}, `${problem.field}: ${sentence(problem)}`);
    const link = make("a", { href: `#${field.anchor}` }, `${field.label}: ${field.message(problem)}`);
    link.addEventListener("click", (event) => { event.preventDefault(); field.focus(); });
    return make("li", {}, link);
  });
  const n = problems.length;
  const title = make("h3", {}, n === 0 ? "There is no estimate" : n === 1 ? "Please look at one field"
    : `Please look at ${n} fields`);
  summary.append(title, n === 0 ? make("p", {}, detail) : make("ul", {}, lines));
  announce(n === 0 ? `${title.textContent}. ${detail}` : title.textContent);
  const first = fields.find((field) => byName.has(field.name));
  if (first === undefined) bringToView(title);
  else first.focus();
}
