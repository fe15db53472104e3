// Where an answer comes from: how likely each word is part of it, and the parts of the scores.

import { h } from "/static/dom.js";
import { flat, percent } from "/static/text.js";

/** Text from `from` to `to` (UTF-16), the likelier a word the stronger its shade; `marks` are underlined. */
export function shaded(text, shades, from, to, marks) {
  const parts = [];
  let last = from;
  for (const [start, end, share] of shades) {
    const [first, after] = [Math.max(text.unit(start), from), Math.min(text.unit(end), to)];
    if (after <= first || first < last) continue;
    parts.push(flat(text.text.slice(last, first)));
    const inside = marks.some(([begin, finish]) => first >= begin && after <= finish);
    const word = h("span", { class: inside ? "shade inside" : "shade", title: percent(share) }, text.text.slice(first, after));
    word.style.setProperty("--likely", (0.08 + 0.92 * share).toFixed(3));
    parts.push(word);
    last = after;
  }
  parts.push(flat(text.text.slice(last, to)));
  return parts;
}

function bars(rows) {
  return h(
    "dl",
    { class: "bars" },
    rows
      .filter((row) => row[1] !== null && row[1] !== undefined)
      .map(([name, share, value, title]) => {
        const fill = h("i");
        fill.style.width = `${Math.round(100 * Math.max(0, Math.min(1, share)))}%`;
        return h("div", { title }, h("dt", {}, name), h("dd", {}, h("span", { class: "bar", "aria-hidden": "true" }, fill), h("span", { class: "value" }, value)));
      }),
  );
}

function sides(scores, most) {
  return [
    ["Meaning", scores.dense, scores.dense?.toFixed(2), "How near question and passage are (cosine)."],
    ["Words", scores.lexical === null ? null : scores.lexical / most, scores.lexical?.toFixed(1), "How well the question’s words are in the passage (BM25)."],
    ["Together", scores.fused, scores.fused?.toFixed(2), "Both, each scaled to 0 … 1."],
  ];
}

export function answerBars(item, asked) {
  const { scores } = item;
  const likely = (log) => (log === null ? 0 : Math.exp(log));
  return bars([
    ["Begins here", likely(scores.start), percent(likely(scores.start)), "How likely the answer begins with its first word, by reading."],
    ["Ends here", likely(scores.end), percent(likely(scores.end)), "How likely it ends with its last word."],
    ["No answer", likely(scores.no_answer), percent(likely(scores.no_answer)), "How likely this passage has no answer."],
    ...sides(scores, mostWords(asked)),
  ]);
}

export function passageBars(item, shown) {
  return bars(sides(item.scores, mostWords(shown)));
}

function mostWords(shown) {
  return Math.max(1e-9, ...[...shown.answers, ...shown.passages].map((item) => item.scores.lexical ?? 0));
}
