// What is shown is in the address: it can be shared, and the back button works.

/** What an address asks for. */
export function read(search = location.search) {
  const query = new URLSearchParams(search);
  return {
    q: query.get("q") || "",
    where: query.getAll("where"),
    explain: query.has("explain"),
    guesses: query.has("guesses"),
    doc: query.get("doc"),
    start: number(query.get("start")),
    end: number(query.get("end")),
    page: number(query.get("page")),
    text: query.has("text"),
  };
}

function number(value) {
  return value !== null && /^\d{1,12}$/.test(value) ? Number(value) : null;
}

/** The address of a state. */
export function write(state) {
  const query = new URLSearchParams();
  if (state.q) query.set("q", state.q);
  for (const filter of state.where) query.append("where", filter);
  if (state.explain) query.set("explain", "");
  if (state.guesses) query.set("guesses", "");
  if (state.doc !== null) {
    query.set("doc", state.doc);
    for (const key of ["start", "end", "page"]) if (state[key] !== null) query.set(key, state[key]);
    if (state.text) query.set("text", "");
  }
  const text = query.toString().replace(/=(?=&|$)/g, "");
  return text ? `/?${text}` : "/";
}

/** The state without a document. */
export function listOf(state) {
  return { ...state, doc: null, start: null, end: null, page: null, text: false };
}

/** The state that shows a place in a document. */
export function placeOf(state, found) {
  return { ...listOf(state), doc: found.document, start: found.start, end: found.end, page: found.page ?? null };
}

/** Whether two states have the same results. */
export function sameResults(one, other) {
  return (
    one.q === other.q &&
    one.explain === other.explain &&
    one.guesses === other.guesses &&
    one.where.length === other.where.length &&
    one.where.every((filter, i) => filter === other.where[i])
  );
}
