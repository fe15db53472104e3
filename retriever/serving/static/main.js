// The page: what the address asks for is shown; what is typed becomes the address.

import { listOf, read, sameResults, write } from "/static/address.js";
import { abort, Failure, get, letIn } from "/static/api.js";
import { showDocument } from "/static/document.js";
import { $, h } from "/static/dom.js";
import { renderFilters } from "/static/filters.js";
import { listen } from "/static/keys.js";
import { renderFailure, renderResults, summary } from "/static/results.js";
import { counted } from "/static/text.js";
import { themes } from "/static/theme.js";

const LOOK = 120; // ms without typing until passages are looked for
const READ = 320; // and until they are read for answers
const KEPT = 40;

let state = read();
let shown = null; // the state whose results are on the page
let facets = { folders: [], formats: [], metadata: [] };
let timers = [];
let place = 0; // where the list of results was scrolled to
let opened = null; // the link that a document was opened from
const kept = new Map();

const input = $("question");

async function show({ focus = false } = {}) {
  const inDocument = state.doc !== null;
  document.body.classList.toggle("reading", inDocument);
  document.body.classList.toggle("blank", !inDocument && !state.q);
  $("hero").hidden = inDocument || Boolean(state.q);
  $("results").hidden = inDocument || !state.q;
  $("filters").hidden = inDocument;
  $("document").hidden = !inDocument;
  document.title = inDocument ? `${state.doc.split("/").pop()} · spanseek` : state.q ? `${state.q} · spanseek` : "spanseek";
  if (input.value.trim() !== state.q) input.value = state.q;
  if (!inDocument) filters();
  try {
    if (inDocument) {
      window.scrollTo(0, 0);
      const found = await showDocument($("document"), state, (next) => move(next, { replace: true }));
      document.title = `${found.title || found.document.split("/").pop()} · spanseek`;
      if (focus) $("title").focus({ preventScroll: true });
    } else if (state.q) await results();
  } catch (error) {
    failed(error);
  }
}

function filters() {
  renderFilters($("filters"), facets, state, {
    change: (where) => move({ ...state, where, guesses: false }),
    explain: (explain) => move({ ...state, explain }, { replace: true }),
  });
}

/** Passages at once, the answer as soon as it is read. */
async function results({ wait = 0 } = {}) {
  const asked = { ...state };
  if (shown && sameResults(shown, asked) && !shown.failed) return;
  clear();
  const key = write(listOf(asked));
  if (kept.has(key)) {
    abort("look", "read");
    done(asked, kept.get(key));
    return;
  }
  busy(true);
  const quick = { q: asked.q, k: 6, where: asked.where };
  const whole = { ...quick, answers: 3, explain: asked.explain || null, min_confidence: asked.guesses ? 0 : null };
  let answered = false;
  const look = later(wait ? LOOK : 0, async () => {
    const found = await get("/api/search", quick, "look");
    if (!answered && sameResults(asked, state)) draw(asked, found, null);
  });
  const readAll = later(wait ? READ : 0, async () => {
    const found = await get("/api/ask", whole, "read");
    answered = true;
    abort("look");
    keep(key, found);
    if (sameResults(asked, state)) done(asked, found);
  });
  await Promise.all([look.catch(quiet), readAll]);
}

function later(wait, work) {
  return new Promise((resolve, reject) => {
    timers.push(setTimeout(() => work().then(resolve, reject), wait));
  });
}

function clear() {
  timers.forEach(clearTimeout);
  timers = [];
}

function quiet() {} // the answer's own failure is told

function keep(key, found) {
  kept.set(key, found);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

function draw(asked, found, answer) {
  renderResults($("results"), asked, found, answer, {
    guess: () => move({ ...state, guesses: true }, { replace: true }),
    unfilter: () => move({ ...state, where: [] }),
  });
}

function done(asked, found) {
  busy(false);
  shown = asked;
  draw(asked, null, found);
  $("told").textContent = summary(found);
}

function busy(is) {
  $("busy").hidden = !is;
  $("results").setAttribute("aria-busy", String(is));
}

function failed(error) {
  if (error.name === "AbortError") return;
  busy(false);
  const failure = error instanceof Failure ? error : new Failure(0, `The page stumbled: ${error.message}`);
  if (failure.status === 401) {
    closed();
    return;
  }
  if (state.doc !== null) {
    $("document").replaceChildren(
      h("p", {}, h("a", { class: "button back", href: write(listOf(state)), "data-back": "" }, "Back")),
      h("section", { class: "card notice", role: "alert" }, h("h1", { id: "title", tabindex: "-1" }, "It can’t be shown"), h("p", {}, failure.message)),
    );
    return;
  }
  shown = { ...state, failed: true };
  renderFailure($("results"), failure, () => results());
  if (failure.status === 429 && failure.retry) timers.push(setTimeout(() => results(), 1000 * failure.retry));
}

/** Goes to a state; with `replace` the back button doesn't stop at the one before. */
function move(next, { replace = false, focus = false } = {}) {
  if (state.doc === null && next.doc !== null) place = window.scrollY;
  const from = state;
  state = next;
  history[replace ? "replaceState" : "pushState"](null, "", write(next));
  show({ focus }).then(() => returned(from));
}

function returned(from) {
  if (from.doc === null || state.doc !== null) return;
  window.scrollTo(0, place);
  const link = opened && [...document.querySelectorAll("a.go")].find((other) => other.getAttribute("href") === opened);
  (link || input).focus({ preventScroll: true });
}

function typed() {
  const q = input.value.trim();
  const fresh = !state.q || state.doc !== null;
  state = { ...listOf(state), q, guesses: false };
  history[fresh && q ? "pushState" : "replaceState"](null, "", write(state));
  if (q) {
    frame();
    results({ wait: 1 }).catch(failed);
  } else {
    clear();
    abort("look", "read");
    busy(false);
    shown = null;
    show();
  }
}

/** The parts of the page that a question needs, without waiting. */
function frame() {
  document.body.classList.remove("blank", "reading");
  $("hero").hidden = true;
  $("results").hidden = false;
  $("document").hidden = true;
  $("filters").hidden = false;
  document.title = `${state.q} · spanseek`;
}

function back() {
  if (history.state === null && opened !== null) history.back();
  else move(listOf(state));
}

function closed() {
  document.body.classList.add("closed");
  $("gate").hidden = false;
  for (const id of ["hero", "filters", "results", "document"]) $(id).hidden = true;
  $("token").focus();
}

async function enter(token) {
  try {
    await letIn(token);
    $("gate").hidden = true;
    document.body.classList.remove("closed");
    await begin();
  } catch (error) {
    closed();
    $("gate-problem").textContent = error.message;
  }
}

async function begin() {
  try {
    const [status, found] = await Promise.all([get("/api/status"), get("/api/facets")]);
    facets = found;
    const kinds = Object.keys(status.formats).length;
    $("holdings").textContent = status.documents
      ? `${counted(status.documents, "document")} of ${counted(kinds, "kind")}, ${counted(status.chunks, "passage")}. Answers come in their own words, each with its place.`
      : "The index is empty: spanseek index PATH fills it.";
    await show();
  } catch (error) {
    failed(error);
  }
}

input.addEventListener("input", typed);
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  state = { ...listOf(state), q: input.value.trim() };
  history.pushState(null, "", write(state));
  show();
});
$("gate").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("token").value.trim());
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-place], a[data-back], #brand");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  if ("back" in link.dataset) back();
  else if ("place" in link.dataset) {
    opened = link.getAttribute("href");
    move(read(new URL(link.href).search), { focus: true });
  } else {
    move({ ...listOf(state), q: "", where: [] });
    input.focus();
  }
});
window.addEventListener("popstate", () => {
  const from = state;
  state = read();
  show({ focus: state.doc !== null }).then(() => returned(from));
});

listen({ input, back, inDocument: () => state.doc !== null });
themes($("theme"));
history.scrollRestoration = "manual";
const handed = new URLSearchParams(location.hash.slice(1)).get("token");
if (handed) {
  history.replaceState(null, "", location.pathname + location.search);
  enter(handed);
} else begin();
if (!state.q && state.doc === null) input.focus();
