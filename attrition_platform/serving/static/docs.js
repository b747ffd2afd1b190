// Shows the service's OpenAPI description: each operation with an example, then the schemas.

import { make } from "./elements.js";

const MAX_DEPTH = 6;

async function start() {
  const place = document.getElementById("operations");
  let api;
  try {
    const answer = await fetch("openapi.json", { credentials: "omit" });
    if (!answer.ok) throw new Error(String(answer.status));
    api = await answer.json();
  } catch {
    place.replaceChildren(make("p", { class: "notice" }, "The description could not be read. See whether the service "
      + "runs, then load this page again."));
    return;
  }
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, told]) => ({ path, method: method.toUpperCase(), told,
      id: `${method}${path}`.replace(/[^a-z0-9]+/gi, "-") })));
  const schemas = Object.entries(api.components?.schemas ?? {});
  place.replaceChildren(
    contents(operations, schemas),
    ...operations.map((operation) => describe(operation, api)),
    ...schemas.map(([name, schema]) => describeSchema(name, schema)));
}

function contents(operations, schemas) {
  const link = (href, ...words) => make("li", {}, make("a", { href }, ...words));
  return make("nav", { class: "card", "aria-label": "Contents" },
    make("ul", { class: "contents" },
      operations.map((o) => link(`#${o.id}`, `${o.method} ${o.path}`)),
      schemas.map(([name]) => link(`#schema-${name}`, `Schema ${name}`))));
}

function describe({ path, method, told, id }, api) {
  const body = told.requestBody?.content ?? {};
  const media = Object.keys(body);
  return make("section", { class: "card operation", "aria-labelledby": id },
    make("h2", { id }, make("span", { class: "method" }, method), make("code", {}, path)),
    make("p", {}, told.summary ?? "", told.description ? ` ${told.description}` : ""),
    media.length ? make("p", { class: "quiet" }, "Body: ", media.flatMap((kind, i) =>
      [i ? " or " : "", make("code", {}, kind), ...reference(body[kind].schema)])) : null,
    make("pre", { tabindex: "0", role: "region", "aria-label": `Example: ${method} ${path}` },
      make("code", {}, curl(path, method, body["application/json"]?.schema, api))),
    answers(told, `${method} ${path}`));
}

function answers(told, title) {
  const rows = Object.entries(told.responses ?? {}).map(([status, response]) => make("tr", {},
    make("th", { scope: "row" }, status),
    make("td", {}, response.description ?? ""),
    make("td", {}, Object.entries(response.content ?? {}).flatMap(([kind, { schema }], i) =>
      [i ? ", " : "", make("code", {}, kind), ...reference(schema ?? {})]))));
  const heading = (words) => make("th", { scope: "col" }, words);
  return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Answers: ${title}` },
    make("table", { class: "data" },
      make("thead", {}, make("tr", {}, heading("Status"), heading("Meaning"), heading("Body"))),
      make("tbody", {}, rows)));
}

const nameOf = (schema) => schema?.$ref?.split("/").at(-1);

function reference(schema) {
  const name = nameOf(schema) ?? nameOf(schema?.items);
  return name === undefined ? [] : [" ", make("a", { href: `#schema-${name}` }, name)];
}

function curl(path, method, schema, api) {
  const where = `${location.origin}${path}`;
  if (method === "GET") return `curl '${where}'`;
  const example = JSON.stringify(exampleOf(schema, api), null, 2).replaceAll("'", "'\\''");
  return `curl '${where}' \\\n  -H 'Content-Type: application/json' \\\n  -d '${example}'`;
}

/** A value that fits a schema. */
function exampleOf(schema, api, depth = 0) {
  if (schema === undefined || depth > MAX_DEPTH) return {};
  const name = nameOf(schema);
  if (name !== undefined) return exampleOf(api.components.schemas[name], api, depth + 1);
  if (schema.example !== undefined) return schema.example;
  if (schema.enum) return schema.enum[0];
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "object" || schema.properties) {
    const wanted = schema.required ?? Object.keys(schema.properties ?? {});
    return Object.fromEntries(wanted.map((key) => [key, exampleOf(schema.properties?.[key], api, depth + 1)]));
  }
  if (type === "array") return [exampleOf(schema.items, api, depth + 1)];
  if (type === "integer" || type === "number") return Math.max(schema.minimum ?? 1, Math.min(1, schema.maximum ?? 1));
  if (type === "boolean") return true;
  return schema.format === "date" ? "2026-03-01" : "text";
}

function describeSchema(name, schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([key, told]) => make("tr", {},
    make("th", { scope: "row" }, make("code", {}, key)),
    make("td", {}, rule(told)),
    make("td", {}, required.has(key) ? "yes" : "no"),
    make("td", {}, [told.title, told.description].filter(Boolean).join(". "))));
  const heading = (words) => make("th", { scope: "col" }, words);
  return make("section", { class: "card schema", "aria-labelledby": `schema-${name}` },
    make("h2", { id: `schema-${name}` }, name),
    make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Fields of ${name}` },
      make("table", { class: "data" },
        make("thead", {}, make("tr", {}, heading("Field"), heading("Value"), heading("Needed"), heading("Meaning"))),
        make("tbody", {}, rows))));
}

function rule(told) {
  const name = nameOf(told);
  if (name !== undefined) return make("a", { href: `#schema-${name}` }, name);
  if (told.oneOf) return make("span", {}, told.oneOf.flatMap((one, i) => [i ? " or " : "", rule(one)]));
  if (told.items) return make("span", {}, "list of ", rule(told.items));
  const types = [told.type ?? (told.enum ? "text" : "anything")].flat().join(" or ");
  const range = told.minimum !== undefined && told.maximum !== undefined ? `, ${told.minimum} to ${told.maximum}` : "";
  return told.enum ? told.enum.map(String).join(", ") : `${types}${range}${told.format ? ` (${told.format})` : ""}`;
}

start();
