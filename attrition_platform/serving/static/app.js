// Starts the page: asks what the form needs, fills the three panels, moves between them.

import { make } from "./elements.js";
import { fillPersonPanel } from "./person.js";
import { Refused, ask } from "./service.js";
import { fillTeamsPanel } from "./teams.js";
import { fillTablePanel } from "./upload.js";

const NAMES = ["person", "table", "teams"];
const tabs = NAMES.map((name) => document.getElementById(`tab-${name}`));
const panels = NAMES.map((name) => document.getElementById(`panel-${name}`));

function select(chosen, { focus = true } = {}) {
  tabs.forEach((tab, i) => {
    tab.setAttribute("aria-selected", String(i === chosen));
    tab.tabIndex = i === chosen ? 0 : -1;
    panels[i].hidden = i !== chosen;
  });
  if (focus) tabs[chosen].focus();
}

tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => select(i));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select((to + tabs.length) % tabs.length);
  });
});

// A file that misses the drop zone must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

async function start() {
  const trouble = document.getElementById("trouble");
  const loading = document.getElementById("loading");
  trouble.replaceChildren();
  if (loading !== null) loading.hidden = false;
  let told;
  try {
    told = await ask("form");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (loading !== null) loading.hidden = true;
    trouble.append(make("div", { class: "notice" }, make("p", {}, error.message),
      make("div", { class: "buttons" }, make("button", { type: "button", onclick: start }, "Try again"))));
    return;
  }
  const teams = panels[2];
  const showTeams = (extract) => fillTeamsPanel(teams, told, extract, () => select(1));
  fillPersonPanel(panels[0], told);
  fillTablePanel(panels[1], told, showTeams);
  showTeams(null);
  document.getElementById("not-for").textContent = told.advice.not_for;
  document.getElementById("serving").textContent = `Model ${told.model_version} answers.`;
}

start();
