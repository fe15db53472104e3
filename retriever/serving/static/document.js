// A document at a place: its text, scrolled to the words, or a PDF's page as it looks with a box around them.

import { listOf, write } from "/static/address.js";
import { documentPath, get } from "/static/api.js";
import { $, h, icon, ICONS } from "/static/dom.js";
import { baseName, counted, Text } from "/static/text.js";

const TOGETHER = 80;
const HIDDEN = 130; // pixels at the top that other things may cover
const NUMBERED = new Set(["text", "markdown", "rst", "asciidoc", "latex", "code", "csv", "subtitles", "jsonl"]);
const MONOSPACED = new Set(["code", "csv", "latex"]);

/** Loads and shows what an address names. */
export async function showDocument(container, state, go) {
  container.replaceChildren(head(state, null, go), h("p", { class: "quiet loading" }, "Opening …"));
  const found = await get(documentPath(state.doc), {}, "document");
  const pictured = found.format === "pdf" && found.pages.length > 0;
  const body = h("div", { class: "body" });
  container.replaceChildren(head(state, found, go, pictured), body);
  if (pictured && !state.text) await showPage(body, state, found, go);
  else showText(body, state, found);
  return found;
}

function head(state, found, go, pictured = false) {
  const title = found ? found.title || baseName(found.document) : baseName(state.doc);
  return h(
    "header",
    { class: "head" },
    h("a", { class: "button back", href: write(listOf(state)), "data-back": "" }, icon(ICONS.back), state.q ? "Results" : "Search"),
    h(
      "div",
      { class: "name" },
      h("h1", { tabindex: "-1", id: "title" }, title),
      h("p", { class: "quiet" }, (found && found.path) || state.doc, found && ` · ${found.format} · ${counted(found.characters, "character")}`),
    ),
    h(
      "div",
      { class: "tools" },
      pictured &&
        h(
          "div",
          { class: "tabs", role: "group", "aria-label": "View" },
          tab("Page", !state.text, () => go({ ...state, text: false })),
          tab("Text", state.text, () => go({ ...state, text: true })),
        ),
      found && found.path && h("a", { class: "button", href: `${documentPath(found.document)}?original=1`, download: "", "aria-label": "Original file" }, icon(ICONS.save), h("span", {}, "Original")),
    ),
  );
}

function tab(name, chosen, choose) {
  return h("button", { type: "button", "aria-pressed": String(chosen), click: choose }, name);
}

async function showPage(body, state, found, go) {
  const numbers = found.pages.map((page) => page.page);
  const last = numbers[numbers.length - 1];
  const page = Math.max(1, state.page ?? startPage(found, state.start) ?? 1);
  const title = found.title || baseName(found.document);
  const width = Math.min(2400, Math.max(400, Math.ceil((Math.min(body.clientWidth, 880) * devicePixelRatio) / 200) * 200));
  const picture = h("img", {
    class: "picture",
    src: `${documentPath(found.document, `/page/${page}.png`)}?width=${width}`,
    alt: `Page ${page} of ${title}; its text is in the text view`,
  });
  const sheet = h("div", { class: "sheet loading" }, picture);
  const turn = (to) => go({ ...state, page: to });
  const step = (to, name, path) =>
    h("button", { type: "button", class: "button turn", "aria-label": name, disabled: to < 1 || to > last, click: () => turn(to) }, icon(path));
  const words = state.start !== null && state.end !== null ? new Text(found.text).slice(state.start - found.start, state.end - found.start) : "";
  const caption = h("p", { class: "quote" });
  body.replaceChildren(
    h("div", { class: "pager" }, step(page - 1, "Page before", ICONS.back), h("p", {}, `Page ${page} of ${last}`), step(page + 1, "Next page", ICONS.next)),
    caption,
    sheet,
  );
  const drawn = new Promise((resolve, reject) => {
    picture.addEventListener("load", resolve, { once: true });
    picture.addEventListener("error", () => reject(new Error("picture")), { once: true });
  });
  const boxes = words ? get(documentPath(found.document, `/page/${page}/boxes`), { start: state.start, end: state.end }, "boxes").catch(() => null) : null;
  try {
    await drawn;
  } catch {
    body.replaceChildren(h("p", { class: "notice card", role: "status" }, "The page can’t be shown as it looks: the file is gone, or has changed since it was indexed. This is its text."));
    const text = h("div", {});
    body.append(text);
    showText(text, state, found);
    return;
  }
  sheet.classList.remove("loading");
  const places = (await boxes)?.boxes ?? [];
  for (const [i, place] of places.entries()) {
    const box = h("div", { class: "box", id: i === 0 ? "place" : null });
    for (const side of ["left", "top", "width", "height"]) box.style[side] = `${100 * place[side]}%`;
    sheet.append(box);
  }
  if (words && words.length <= 300) {
    caption.append(places.length ? "Marked below: " : page === startPage(found, state.start) ? "On this page: " : "", h("mark", {}, words.replace(/\s+/g, " ")));
    if (page !== startPage(found, state.start)) caption.replaceChildren();
  }
  scrollTo($("place"));
}

function startPage(found, start) {
  if (start === null) return null;
  const before = found.pages.filter((page) => page.start <= start);
  return before.length ? before[before.length - 1].page : null;
}

function showText(body, state, found) {
  const text = new Text(found.text);
  const has = state.start !== null && state.end !== null && state.end > state.start;
  const start = has ? text.unit(state.start - found.start) : -1;
  const end = has ? text.unit(state.end - found.start) : -1;
  const numbered = NUMBERED.has(found.format);
  const kind = MONOSPACED.has(found.format) ? "mono" : found.format === "markdown" ? "markdown" : "prose";
  const sheet = h("div", { class: `text ${kind}${numbered ? " numbered" : ""}` });
  let fenced = false;
  let place = 0;
  let group = null;
  let first = true;
  const lines = found.text.split("\n");
  for (const [i, line] of lines.entries()) {
    if (i % TOGETHER === 0) sheet.append((group = h("div", { class: "group" })));
    const element = h("div", { class: "line" });
    if (numbered) element.dataset.line = i + 1;
    if (kind === "markdown") {
      const fence = /^\s*(```|~~~)/.test(line);
      if (fence || fenced) element.classList.add("code");
      else if (/^#{1,6}\s/.test(line)) element.classList.add("heading", `h${line.match(/^#+/)[0].length}`);
      else if (/^\s*\|/.test(line)) element.classList.add("code");
      if (fence) fenced = !fenced;
    }
    const [from, to] = [Math.max(start, place), Math.min(end, place + line.length)];
    if (has && from < to) {
      element.append(line.slice(0, from - place), h("mark", { id: first ? "place" : null }, line.slice(from - place, to - place)), line.slice(to - place));
      first = false;
    } else if (element.classList.contains("heading")) {
      const sign = line.match(/^#+\s*/)[0];
      element.append(h("span", { class: "sign" }, sign), line.slice(sign.length));
    } else element.append(line || "\u200b");
    group.append(element);
    place += line.length + 1;
  }
  const cut = found.end < found.characters && h("p", { class: "quiet" }, `The text goes on: ${counted(found.characters - found.end, "character")} more.`);
  body.replaceChildren(...[sheet, cut].filter(Boolean));
  scrollTo($("place"));
}

function scrollTo(element) {
  if (!element) return;
  const centre = () => {
    const { top, bottom } = element.getBoundingClientRect();
    if (top < HIDDEN || bottom > innerHeight - HIDDEN / 2) element.scrollIntoView({ block: "center" });
  };
  centre();
  requestAnimationFrame(() => requestAnimationFrame(centre)); // what came into view has its real height now
}
