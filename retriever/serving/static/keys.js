// The keyboard: / asks, arrows move among the results, escape goes back.

export function listen({ input, back, inDocument }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, textarea, select");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      input.focus();
      input.select();
    } else if (event.key === "Escape") {
      if (inDocument()) {
        event.preventDefault();
        back();
      } else if (event.target !== input) {
        input.focus();
        input.select();
      }
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !inDocument() && (!typing || event.target === input)) {
      if (step(event.key === "ArrowDown" ? 1 : -1, input)) event.preventDefault();
    } else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && inDocument() && !typing) {
      const [before, after] = document.querySelectorAll(".turn");
      (event.key === "ArrowLeft" ? before : after)?.click();
    }
  });
}

/** Moves the focus among the results; above the first is the search box. */
function step(by, input) {
  const links = [...document.querySelectorAll("#results a.go")];
  if (links.length === 0) return false;
  const at = links.indexOf(document.activeElement);
  if (at < 0 && by < 0) return false;
  const next = at + by;
  if (next < 0) input.focus();
  else if (next < links.length) {
    links[next].focus({ preventScroll: true });
    links[next].closest("article").scrollIntoView({ block: "nearest" });
  }
  return true;
}
