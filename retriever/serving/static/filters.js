// Filters: folder, type, and what documents say of themselves.

import { h, icon, ICONS } from "/static/dom.js";

/** Fills the bar; `change` is called with the new filters, `explain` when that is switched. */
export function renderFilters(container, facets, state, { change, explain }) {
  const known = new Set();
  const selects = [
    choose("Folder", "All folders", facets.folders, state, known, change),
    choose("Type", "All types", facets.formats, state, known, change),
  ];
  const chips = state.where.filter((filter) => !known.has(filter)).map((filter) =>
    h(
      "button",
      { type: "button", class: "chip", "aria-label": `Remove the filter ${filter}`, click: () => change(state.where.filter((other) => other !== filter)) },
      filter.replace(/^([^=<>!]+)=/, "$1: "),
      icon(ICONS.close),
    ),
  );
  container.replaceChildren(
    ...selects.filter(Boolean),
    ...[more(facets.metadata, state, change)].filter(Boolean),
    ...chips,
    h(
      "button",
      { type: "button", class: "switch", role: "switch", "aria-checked": String(state.explain), click: () => explain(!state.explain) },
      h("span", { class: "knob", "aria-hidden": "true" }),
      "Explain",
    ),
  );
}

/** A list of which one may be chosen. */
function choose(label, all, choices, state, known, change) {
  if (choices.length < 2) return null;
  const mine = new Set(choices.map((choice) => choice.where));
  const chosen = state.where.find((filter) => mine.has(filter)) || "";
  if (chosen) known.add(chosen);
  const rest = state.where.filter((filter) => filter !== chosen);
  const select = h(
    "select",
    { "aria-label": label, change: (event) => change(event.target.value ? [...rest, event.target.value] : rest) },
    h("option", { value: "" }, all),
    choices.map((choice) => h("option", { value: choice.where, selected: choice.where === chosen }, `${choice.name} (${choice.documents})`)),
  );
  return h("span", { class: chosen ? "select chosen" : "select" }, select);
}

/** Metadata by key; what is chosen becomes a chip. */
function more(metadata, state, change) {
  const groups = metadata.filter(({ values }) => values.some((choice) => !state.where.includes(choice.where)));
  if (groups.length === 0) return null;
  const select = h(
    "select",
    { "aria-label": "More filters", change: (event) => event.target.value && change([...state.where, event.target.value]) },
    h("option", { value: "" }, "More filters"),
    groups.map(({ key, values }) =>
      h(
        "optgroup",
        { label: key },
        values.filter((choice) => !state.where.includes(choice.where)).map((choice) => h("option", { value: choice.where }, `${choice.name} (${choice.documents})`)),
      ),
    ),
  );
  return h("span", { class: "select" }, select);
}
