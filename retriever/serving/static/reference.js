// The interface for programs, from its own description.

import { get } from "/static/api.js";
import { $, h } from "/static/dom.js";

const description = await get("/openapi.json");
const shapes = description.components.schemas;

function shapeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(shapeOf).join(" or ");
  if (schema.type === "array") return schema.prefixItems ? `[${schema.prefixItems.map(shapeOf).join(", ")}]` : `list of ${shapeOf(schema.items)}`;
  return schema.enum ? schema.enum.join(" | ") : schema.const || schema.type || "anything";
}

function bounds(schema) {
  const parts = [];
  if (schema.minimum !== undefined || schema.maximum !== undefined) parts.push(`${schema.minimum ?? "…"} to ${schema.maximum?.toLocaleString("en") ?? "…"}`);
  if (schema.maxLength) parts.push(`at most ${schema.maxLength.toLocaleString("en")} characters`);
  if (schema.default !== undefined && schema.default !== null && String(schema.default)) parts.push(`default ${schema.default}`);
  return parts.join(", ");
}

function parameter({ name, required, schema, description: text }) {
  return h("tr", {}, h("th", { scope: "row" }, h("code", {}, name), required && h("span", { class: "quiet" }, " needed")), h("td", {}, shapeOf(schema)), h("td", {}, [text || schema.description, bounds(schema)].filter(Boolean).join(" · ")));
}

function route(path, method, operation) {
  const reply = operation.responses["200"]?.content?.["application/json"]?.schema;
  return h(
    "section",
    { class: "card route" },
    h("h2", {}, h("span", { class: "method" }, method.toUpperCase()), " ", h("code", {}, path)),
    h("p", {}, operation.description || operation.summary),
    operation.parameters && h("table", {}, h("tbody", {}, operation.parameters.map(parameter))),
    reply && h("p", { class: "quiet" }, "Gives ", h("code", {}, shapeOf(reply))),
  );
}

function shape(name, schema) {
  const rows = Object.entries(schema.properties || {}).map(([key, value]) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, key)), h("td", {}, shapeOf(value)), h("td", {}, value.description || "")));
  return h("section", { class: "card route" }, h("h2", {}, h("code", {}, name)), h("p", {}, schema.description), h("table", {}, h("tbody", {}, rows)));
}

$("routes").replaceChildren(
  ...Object.entries(description.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => route(path, method, operation))),
  h("h2", { class: "label" }, "What comes back"),
  ...Object.entries(shapes).map(([name, schema]) => shape(name, schema)),
);
