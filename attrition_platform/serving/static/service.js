// Asks the service. The key, if one is needed, lives in this module's memory and nowhere else.

import { announce } from "./elements.js";

const MAX_WAIT_SECONDS = 60;
let key = null;

/** What the service refused, in its own words; `fields` lists {field, code, rule}. */
export class Refused extends Error {
  constructor(status, detail, fields = []) {
    super(detail);
    this.status = status;
    this.fields = fields;
  }
}

/** Ask one thing and return the decoded answer.
 * @param {string} path relative to the page
 * @param {{body?: string, media?: string, signal?: AbortSignal}} [request]
 * @throws {Refused} with what to do
 */
export async function ask(path, request = {}) {
  let lastKeyWasWrong = false;
  for (;;) {
    const answer = await send(path, request);
    if (answer.ok) return readAnswer(answer, request.signal);
    const refused = await readRefusal(answer);
    if (answer.status === 401) {
      key = await askForKey(lastKeyWasWrong || key !== null);
      lastKeyWasWrong = true;
      if (key === null) throw refused;
    } else if (answer.status === 429) {
      await wait(Number(answer.headers.get("Retry-After")) || 1, refused, request.signal);
    } else {
      if (answer.status === 403) key = null; // the next question may come with another key
      throw refused;
    }
  }
}

async function send(path, { body, media = "application/json", signal }) {
  const headers = { Accept: "application/json, application/problem+json" };
  if (body !== undefined) headers["Content-Type"] = media;
  if (key !== null) headers["X-API-Key"] = key;
  try {
    return await fetch(path, {
      method: body === undefined ? "GET" : "POST", headers, body, signal, credentials: "omit",
    });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new Refused(0, "The service can't be reached. See whether it runs, then try again.");
  }
}

async function readAnswer(answer, signal) {
  try {
    return await answer.json();
  } catch {
    if (signal?.aborted) throw signal.reason;
    throw new Refused(answer.status, "The service's answer did not arrive whole. Try again.");
  }
}

async function readRefusal(answer) {
  if (answer.status === 401) return new Refused(401, "This service answers only with a key.");
  try {
    const told = await answer.json();
    const fields = Array.isArray(told.errors) ? told.errors : [];
    return new Refused(answer.status, String(told.detail ?? told.title), fields);
  } catch {
    return new Refused(answer.status, `The service refused this (status ${answer.status}).`);
  }
}

async function wait(seconds, refused, signal) {
  if (seconds > MAX_WAIT_SECONDS) throw refused;
  announce(`The service is busy; asking again in ${seconds} seconds.`);
  await new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}

let asking = null;

/** Several requests may need the key at once: they wait for the same dialog. */
function askForKey(isWrong) {
  asking ??= openKeyDialog(isWrong).finally(() => { asking = null; });
  return asking;
}

function openKeyDialog(isWrong) {
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key-input");
  const error = document.getElementById("key-error");
  error.textContent = isWrong ? "This key was not accepted. Check it, or ask the operator for a new one." : "";
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.querySelector("form").onsubmit = (event) => {
      if (/^[\x21-\x7e]+$/.test(input.value.trim())) return;
      event.preventDefault();
      error.textContent = "A key has letters and digits, without spaces between them.";
      input.focus();
    };
    document.getElementById("key-cancel").onclick = () => dialog.close("");
    dialog.onclose = () => {
      const typed = input.value.trim();
      input.value = "";
      resolve(dialog.returnValue === "use" ? typed : null);
    };
  });
}
