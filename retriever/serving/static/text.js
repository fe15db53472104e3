// Places in text: the server counts Unicode code points, JavaScript UTF-16 units.

/** A text that can be cut by code points. */
export class Text {
  constructor(text) {
    this.text = text;
    this.units = null;
    if (/[\ud800-\udbff]/.test(text)) {
      this.units = [];
      let unit = 0;
      for (const sign of text) {
        this.units.push(unit);
        unit += sign.length;
      }
      this.units.push(unit);
    }
    this.length = this.units ? this.units.length - 1 : text.length;
  }

  /** The UTF-16 place of a code point. */
  unit(point) {
    const place = Math.max(0, Math.min(point, this.length));
    return this.units ? this.units[place] : place;
  }

  slice(start, end) {
    return this.text.slice(this.unit(start), this.unit(end));
  }
}

const COMMON = new Set(
  ("a an and are as at be by can did do does for from had has have how i in is it its may my of on or our so that the " +
    "their there these they this to was we were what when where which who whom whose why will with would you your").split(" "),
);

const WORD = /[\p{L}\p{N}]+(?:[.,]\p{N}+)*/gu;

function stem(word) {
  const plain = word.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const ending = ["ing", "ies", "ed", "es", "s", "e"].find((end) => plain.endsWith(end) && plain.length - end.length >= 3);
  return ending ? plain.slice(0, -ending.length) : plain;
}

/** UTF-16 places of a question's words in a text. */
export function wordsOf(question, text) {
  const wanted = new Set((question.match(WORD) || []).filter((word) => !COMMON.has(word.toLowerCase())).map(stem));
  return [...text.matchAll(WORD)]
    .filter((match) => wanted.has(stem(match[0])))
    .map((match) => [match.index, match.index + match[0].length]);
}

/** A stretch of about `room` units around [start, end) that begins and ends between words. */
export function around(text, start, end, room) {
  const spare = Math.max(0, room - (end - start));
  let from = Math.max(0, start - Math.round(spare * 0.45));
  let to = Math.min(text.length, end + spare - (start - from));
  from = Math.max(0, Math.min(from, start - (spare - (to - end))));
  if (from > 0) {
    const sentence = text.slice(from, start).search(/(?<=[.!?:]\s+|\n)\S/);
    const space = text.slice(from, start).search(/\s\S/);
    from += sentence >= 0 && sentence < 80 ? sentence : space >= 0 && space < 40 ? space + 1 : 0;
  }
  if (to < text.length) {
    const space = text.slice(end, to).search(/\s\S*$/);
    if (space >= 0) to = end + space;
  }
  return [from, to];
}

/** As it is read: wrapped lines run on; items, rows and paragraphs begin a line; signs of headings and tables go. */
export function flat(text) {
  return text
    .replace(/^\s*\|?[\s:|-]*-{2,}[\s:|-]*$/gm, "")
    .replace(/^[ \t]*#{1,6}[ \t]+/gm, "")
    .replace(/\|[ \t]*(?=\n)/g, "")
    .replace(/[ \t]*\n\s*\n\s*/g, "\u2029")
    .replace(/[ \t]*\n(?=\s*(?:[-*•|]\s|\d{1,3}[.)]\s))\s*/g, "\u2029")
    .replace(/\s*\n\s*/g, " ")
    .replace(/\u2029(?:\|[ \t]*)?/g, "\n")
    .replace(/[ \t\u00a0]+/g, " ");
}

/** Where a passage's own text begins, after headings that are shown above it. */
export function afterHeadings(text, headings) {
  let begin = 0;
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", begin)) {
    const line = text.slice(begin, end).replace(/^[#=\s]+|[#=\s]+$/g, "");
    if (line && !headings.includes(line) && !/^[-=~*]+$/.test(line)) break;
    begin = end + 1;
  }
  begin += text.slice(begin).match(/^\s*(?:\|\s*)?/)[0].length; // blanks, and what begins a table
  return begin;
}

/** `1 document`, `2,000 documents`. */
export function counted(count, singular, plural = `${singular}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? singular : plural}`;
}

export function percent(share) {
  const value = Math.round(100 * share);
  return share > 0 && value === 0 ? "<1 %" : `${Math.min(value, 99)} %`;
}

/** The last part of a path, without its ending's dot lost. */
export function baseName(path) {
  return path.split("/").pop();
}
