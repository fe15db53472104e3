// Asking the server. A question that a newer one has made stale is given up, on both ends.

/** What the server said instead of an answer. */
export class Failure extends Error {
  constructor(status, message, retry = 0) {
    super(message);
    this.status = status;
    this.retry = retry;
  }
}

const running = new Map();

/** JSON from a path; with `lane`, what still runs there is aborted first. */
export async function get(path, parameters = {}, lane = null) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined && item !== "") query.append(key, item);
    }
  }
  const stop = new AbortController();
  if (lane) {
    running.get(lane)?.abort();
    running.set(lane, stop);
  }
  let reply;
  try {
    reply = await fetch(query.size ? `${path}?${query}` : path, { signal: stop.signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The server can’t be reached. Is it still running?");
  }
  return answerOf(reply);
}

async function answerOf(reply) {
  const content = await reply.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return {};
  });
  if (reply.ok) return content;
  const retry = Number(reply.headers.get("Retry-After")) || 0;
  throw new Failure(reply.status, content.error || `The server answered ${reply.status}.`, retry);
}

/** Gives up what runs in some lanes. */
export function abort(...lanes) {
  for (const lane of lanes) running.get(lane)?.abort();
}

/** Shows the token to the server, which remembers this browser. */
export async function letIn(token) {
  const reply = await fetch("/api/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (!reply.ok) await answerOf(reply);
}

/** Where a document is asked for: its id is one segment of the path. */
export function documentPath(id, rest = "") {
  return `/api/documents/${encodeURIComponent(id)}${rest}`;
}
