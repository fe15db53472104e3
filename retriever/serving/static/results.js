// The answer in a card, others below it, and the passages.

import { placeOf, write } from "/static/address.js";
import { h, icon, ICONS } from "/static/dom.js";
import { answerBars, passageBars, shaded } from "/static/explain.js";
import { afterHeadings, around, baseName, flat, percent, Text, wordsOf } from "/static/text.js";

const ROOM = 340;
const LONG = 90;
const LEAST_GUESS = 0.05; // what is less likely isn't worth showing
const SOURCES = {
  changed: ["changed since", "The file has changed since it was indexed."],
  gone: ["file gone", "The file is gone since it was indexed."],
  unknown: ["file not checked", "The file can’t be compared with what was indexed."],
};

/** Everything under the search box. `asked` is null while passages are still being read for answers. */
export function renderResults(container, state, found, asked, actions) {
  const shown = asked || found;
  container.replaceChildren(
    asked ? answers(asked, state, actions) : reading(),
    passages(shown, state, asked),
  );
}

/** What stands where the answer will be. */
function reading() {
  return h(
    "section",
    { class: "card waiting", "aria-hidden": "true" },
    h("p", { class: "verdict" }, "Reading the best passages …"),
    h("p", { class: "bone wide" }),
    h("p", { class: "bone" }),
    h("p", { class: "bone short" }),
  );
}

export function renderFailure(container, failure, again) {
  container.replaceChildren(
    h(
      "section",
      { class: "card notice", role: "alert" },
      h("h2", {}, failure.status === 429 ? "The server is busy" : failure.status === 422 ? "That isn’t understood" : "That didn’t work"),
      h("p", {}, failure.message),
      failure.status !== 422 && h("button", { type: "button", click: again }, "Try again"),
    ),
  );
}

function answers(asked, state, actions) {
  const [first, ...others] = asked.answers;
  if (!first) return nothing(asked, state, actions);
  return h(
    "section",
    { class: "answers", "aria-label": "Answers" },
    h("h2", { class: "hidden" }, "Answer"),
    answer(first, asked, state, true),
    others.length > 0 && h("h2", { class: "label" }, others.length === 1 ? "Another possible answer" : "Other possible answers"),
    others.map((other) => answer(other, asked, state, false)),
  );
}

function nothing(asked, state, actions) {
  const some = asked.passages.length > 0;
  return h(
    "section",
    { class: "card none", "aria-label": "No answer" },
    h("h2", {}, "No answer found"),
    h(
      "p",
      {},
      some
        ? "Nothing in these documents answers this with enough certainty. The nearest passages are below."
        : state.where.length
          ? "No document that the filters leave has anything on this."
          : "Nothing in these documents is near this.",
    ),
    h(
      "p",
      { class: "actions" },
      some && !state.guesses && asked.confidence >= LEAST_GUESS &&
        h("button", { type: "button", class: "soft", click: actions.guess }, `Show the best guess, ${percent(asked.confidence)} likely`),
      state.where.length > 0 && h("button", { type: "button", class: "soft", click: actions.unfilter }, "Search without filters"),
    ),
  );
}

const LEVELS = [
  [0.85, "high", "Very likely"],
  [0.65, "good", "Likely"],
  [0.5, "fair", "Perhaps"],
  [0, "low", "A guess"],
];

function confidence(share) {
  const [, level, words] = LEVELS.find(([least]) => share >= least) || LEVELS[3];
  const fill = h("i");
  fill.style.width = `${Math.round(100 * share)}%`;
  return h(
    "p",
    { class: `verdict ${level}`, title: `Of answers shown with ${percent(share)}, about so many in a hundred are right.` },
    h("span", { class: "meter", "aria-hidden": "true" }, fill),
    h("span", {}, words),
    h("span", { class: "share" }, h("span", { class: "hidden" }, ", "), percent(share)),
  );
}

function answer(item, asked, state, leading) {
  const headings = asked.passages.find((hit) => hit.document === item.document && hit.start <= item.start && item.end <= hit.end)?.headings ?? [];
  const words = h("a", { class: "go", href: write(placeOf(state, item)), "data-place": "" }, item.text.replace(/\s+/g, " "));
  return h(
    "article",
    { class: leading ? "card answer" : "card answer other" },
    confidence(item.confidence),
    h("h3", { class: item.text.length > LONG ? "words long" : "words" }, words),
    quotation(item, state, headings, leading ? ROOM : Math.round(ROOM * 0.6)),
    place(item, headings),
    state.explain && answerBars(item, asked),
  );
}

/** The words in their passage. */
function quotation(item, state, headings, room) {
  const passage = new Text(item.passage.text);
  const start = passage.unit(item.start - item.passage.start);
  const end = passage.unit(item.end - item.passage.start);
  const begin = Math.min(start, afterHeadings(passage.text, headings));
  const [first, to] = around(passage.text, start, end, room);
  const from = Math.max(first, begin);
  const before = from > begin && "… ";
  const after = to < passage.text.length && " …";
  if (state.explain && item.shades) {
    const marks = [[start, end]];
    return h("blockquote", {}, before, shaded(passage, item.shades, from, to, marks), after);
  }
  return h(
    "blockquote",
    {},
    before,
    flat(passage.text.slice(from, start)),
    h("mark", {}, flat(passage.text.slice(start, end))),
    flat(passage.text.slice(end, to)),
    after,
  );
}

function passages(shown, state, asked) {
  if (!shown || shown.passages.length === 0) {
    return h("section", { class: "passages" }, !asked && shown && h("p", { class: "quiet" }, "No passages."));
  }
  return h(
    "section",
    { class: "passages", "aria-label": "Passages" },
    h("h2", { class: "label" }, asked && asked.answers.length === 0 ? "Nearest passages" : "Passages"),
    h("ol", {}, shown.passages.map((item) => h("li", {}, passage(item, shown, state)))),
  );
}

function passage(item, shown, state) {
  const text = new Text(item.text);
  const words = wordsOf(shown.question, item.text);
  const centre = densest(words, ROOM);
  const begin = afterHeadings(item.text, item.headings);
  const [first, to] = around(item.text, Math.max(begin, centre[0]), Math.max(begin, centre[1]), ROOM);
  const from = Math.max(first, begin);
  const begins = from > begin && "… ";
  const ends = to < item.text.length && " …";
  const name = item.title || item.headings[0] || baseName(item.document);
  const above = item.headings.filter((heading) => heading !== name);
  return h(
    "article",
    { class: "passage" },
    h("h3", {}, h("a", { class: "go", href: write(placeOf(state, item)), "data-place": "" }, name), above.length > 0 && h("span", { class: "above" }, above.join(" › "))),
    h(
      "p",
      { class: "excerpt" },
      begins,
      state.explain && item.shades ? shaded(text, item.shades, from, to, []) : marked(item.text, words, from, to),
      ends,
    ),
    place(item),
    state.explain && passageBars(item, shown),
  );
}

/** The stretch that has most of the question's words. */
function densest(words, room) {
  let best = [0, 0];
  let most = 0;
  for (let i = 0; i < words.length; i++) {
    let j = i;
    while (j + 1 < words.length && words[j + 1][1] - words[i][0] < room * 0.7) j++;
    if (j - i + 1 > most) {
      most = j - i + 1;
      best = [words[i][0], words[j][1]];
    }
  }
  return best;
}

function marked(text, words, from, to) {
  const parts = [];
  let last = from;
  for (const [start, end] of words) {
    if (start < last || end > to) continue;
    parts.push(flat(text.slice(last, start)), h("b", {}, text.slice(start, end)));
    last = end;
  }
  parts.push(flat(text.slice(last, to)));
  return parts;
}

function place(item, headings = []) {
  const source = SOURCES[item.source];
  return h(
    "p",
    { class: "place" },
    icon(ICONS.file),
    h("span", { class: "path" }, item.path || item.document),
    item.page !== null && h("span", {}, `page ${item.page}`),
    item.line !== null && h("span", {}, `line ${item.line.toLocaleString("en")}`),
    headings.length > 0 && h("span", {}, headings[headings.length - 1]),
    source && h("span", { class: "badge", title: source[1] }, source[0]),
  );
}

/** What a screen reader says when an answer is there. */
export function summary(asked) {
  const rest = asked.passages.length === 1 ? "1 passage" : `${asked.passages.length} passages`;
  const first = asked.answers[0];
  return first ? `${first.text}. ${percent(first.confidence)} likely. ${rest}.` : `No answer found. ${rest}.`;
}
