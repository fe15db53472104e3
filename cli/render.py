"""What a person reads: answers with their places, then passages.

Every entry hangs by the same indent: a figure in the margin (a confidence, a rank), then what was found, where, and
the text around it. Green is the answer, yellow the question's words, cyan the place. A place whose file isn't what was
indexed any more says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.rule import Rule
from rich.text import Text

from cli.one_line import one_line, printable
from cli.snippet import LONGEST, snippet, snippet_around
from cli.terminal import shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from retriever.types import Answer, AnswerScores, Hit, Response, Scores, Timings

Shades = Sequence[tuple[int, int, float]]
"""For each token of a passage: start, end, and the probability that the answer covers it."""

_INDENT = 5
_BRIEF = 200
"""Columns around the answers after the best, and of passages below answers: two or three lines."""
_LEAST_CONTEXT = 10
"""Columns below which what is left of title and headings says nothing."""
_ANSWER = "bold green"
_SHADES = (("black on green", 0.5), ("bold green", 0.2), ("green", 0.05))
"""Styles and the probability each starts at; the terminal's own colours, for dark and light backgrounds."""
_SOURCES = {
    "changed": "(changed since it was indexed)",
    "gone": "(its file is gone)",
    "unknown": "(its file can't be compared)",
}
"""In brackets, so that without colours they can't be taken for a title."""


def print_response(
    out: Console,
    response: Response,
    *,
    answers: bool = True,
    whole: bool = False,
    explain: bool = False,
    shades: Sequence[Shades] = (),
) -> None:
    """Prints answers and passages.

    Args:
        out: Where to.
        response: What was found.
        answers: Whether answers were looked for: they are shown, or a line says that there are none.
        whole: Show passages whole, not their best part.
        explain: Show where each score comes from, and every passage.
        shades: For each of the response's passages how likely its words are the answer; or nothing.
    """
    found = response.answers if answers else ()
    for answer in found:
        longest = LONGEST if answer is found[0] else _BRIEF
        _print_answer(out, answer, longest, whole=whole, explain=explain)
    hits = [hit for hit in response.hits if explain or not any(_is_shown_with(hit, a) for a in found)]
    if found and hits:
        title = "All passages" if explain else "More passages"
        if out.is_terminal:
            out.print(Rule(Text(title, style="dim"), align="left", style="dim"))
        else:
            out.print(f"{title}:")
        out.print()
    elif answers and hits:
        out.print(_no_answer(response.confidence))
        out.print()
    longest = _BRIEF if found and not explain else LONGEST
    shade_of = dict(zip((hit.rank for hit in response.hits), shades, strict=True)) if shades else {}
    for hit in hits:
        _print_hit(out, hit, response.question, longest, shade_of.get(hit.rank, ()), whole=whole)
        if explain:
            _print_body(out, Text(_explain_hit(hit), style="dim"))
        out.print()
    if explain:
        out.print(Text(_explain_time(response.timings, response.read), style="dim"))


def _print_answer(out: Console, answer: Answer, longest: int, *, whole: bool, explain: bool) -> None:
    text = one_line(answer.text).text
    fits = not out.is_terminal or cell_len(text) <= out.width - _INDENT
    headline = Text(f"{percent(answer.confidence):>{_INDENT - 2}}  ", style="green")
    headline.append(text, style=_ANSWER)
    out.print(headline, no_wrap=True, overflow="ellipsis", crop=out.is_terminal)
    _print_place(out, Text(" " * _INDENT), answer)
    offset = answer.passage.start
    part = snippet_around(
        answer.passage.text,
        answer.start - offset,
        answer.end - offset,
        headings=answer.headings,
        whole=whole,
        longest=longest,
    )
    if part.text != text or not fits:  # else it would say the same again
        body = Text(part.text)
        for start, end in part.marks:
            body.stylize(_ANSWER, start, end)
        _print_body(out, body)
    if explain:
        _print_body(out, Text(_explain_answer(answer), style="dim"))
    out.print()


def _print_hit(out: Console, hit: Hit, question: str, longest: int, shades: Shades, *, whole: bool) -> None:
    _print_place(out, Text(f"{hit.rank:>{_INDENT - 2}}  ", style="dim"), hit)
    start, end, weight = max(shades, key=lambda shade: shade[2], default=(0, 0, 0.0))
    if _shade(weight):
        part = snippet_around(hit.text, start, end, headings=hit.headings, whole=whole, longest=longest)
        body = Text(part.text)
        for first, last, style in _runs([(*part.locate(a, b), _shade(w)) for a, b, w in shades]):
            body.stylize(style, first, last)
    else:
        part = snippet(hit.text, question, headings=hit.headings, whole=whole, longest=longest)
        body = Text(part.text)
        for first, last in part.marks:
            body.stylize("bold yellow", first, last)
    _print_body(out, body)


def _runs(shaded: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Neighbouring words of one shade joined, with the space between them."""
    runs: list[tuple[int, int, str]] = []
    for start, end, style in shaded:
        if not style or start == end:
            continue
        if runs and runs[-1][2] == style and start - runs[-1][1] <= 1:
            runs[-1] = (runs[-1][0], end, style)
        else:
            runs.append((start, end, style))
    return runs


def _shade(weight: float) -> str:
    return next((style for style, least in _SHADES if weight >= least), "")


def _print_body(out: Console, text: Text) -> None:
    lines = text.wrap(out, max(1, out.width - _INDENT)) if out.is_terminal else [text]
    for line in lines:
        line.rstrip()
        out.print(Text(" " * _INDENT) + line)


def _print_place(out: Console, line: Text, found: Answer | Hit) -> None:
    """The place, never cut, then title and headings; the innermost say most, and stay where room is short."""
    line.append(printable(_place(found)), style="bold cyan")
    mark = Text(_SOURCES.get(found.source, ""), style="dim yellow")
    beside = line.cell_len + 1 + mark.cell_len <= out.width
    if mark and beside:
        line.append(" ").append_text(mark)
    room = out.width - line.cell_len - 2
    parts = list(dict.fromkeys(one_line(part).text for part in (found.title, *found.headings) if part))
    context = " > ".join(parts)
    while len(parts) > 1 and cell_len(context) > room:
        parts = parts[1:]
        context = " > ".join(("…", *parts))
    if context and room >= min(cell_len(context), _LEAST_CONTEXT):
        line.append(f"  {context}", style="dim")
    if room >= 0:
        out.print(line, no_wrap=True, overflow="ellipsis", crop=out.is_terminal)
    else:
        out.print(line, overflow="fold")
    if mark and not beside:
        _print_body(out, mark)


def _place(found: Answer | Hit) -> str:
    """`path:line`, or the page where there is one."""
    place = shown_path(found.path) if found.path is not None else found.document_id
    if found.path is not None and "#" in found.document_id and not found.document_id.endswith(place):
        place += "#" + found.document_id.rsplit("#", 1)[1]
    if found.page is not None:
        return f"{place} page {found.page}"
    return f"{place}:{found.line}" if found.line is not None else place


def _is_shown_with(hit: Hit, answer: Answer) -> bool:
    """Whether the passage is the one that the answer stands in."""
    return (
        hit.document_id == answer.document_id
        and hit.start < answer.passage.end
        and answer.passage.start < hit.end
    )


def _no_answer(confidence: float) -> str:
    guess = f" (best guess: {percent(confidence)})" if confidence > 0 else ""
    return f"No answer found in these documents{guess}. The closest passages:"


def percent(probability: float) -> str:
    """Whole percent; nothing is certain, and nothing that was found is impossible.

    >>> percent(0.874), percent(0.9999), percent(0.0001)
    ('87%', '99%', '<1%')
    """
    if probability < 0.005:
        return "<1%"
    return f"{min(probability, 0.99):.0%}"


def _explain_answer(answer: Answer) -> str:
    scores = answer.scores
    start, end, none = (
        f"{math.exp(min(part, 0)):.0%}" for part in (scores.start, scores.end, scores.no_answer)
    )
    words = f"start {start} · end {end} · no answer {none}"
    return f"{words} · passage {scores.fused:.3f} · {_explain_sides(scores)} · characters {answer.start}-{answer.end}"


def _explain_hit(hit: Hit) -> str:
    return f"score {hit.score:.3f} · {_explain_sides(hit.scores)} · characters {hit.start}-{hit.end}"


def _explain_time(timings: Timings, read: int) -> str:
    """The stages that took any time, each in milliseconds, and all of them; loading isn't part of it."""
    passages = f"read {read} passage{'s' * (read != 1)}"
    stages = {
        "question": timings.encode,
        "meaning": timings.dense,
        "words": timings.lexical,
        "fetch": timings.fetch,
        passages: timings.read,
        "rank": timings.rank,
    }
    total = timings.total - timings.load
    parts = [f"{name} {_milliseconds(spent)}" for name, spent in stages.items() if spent]
    if timings.load:
        parts.append(f"loading models before that {_milliseconds(timings.load)}")
    return f"{_milliseconds(total)} ms: " + " · ".join(parts)


def _milliseconds(spent: float) -> str:
    """Two or more digits.

    >>> _milliseconds(0.04), _milliseconds(3.21), _milliseconds(1234.5)
    ('0.0', '3.2', '1,234')
    """
    return f"{spent:,.1f}" if spent < 10 else f"{spent:,.0f}"


def _explain_sides(scores: Scores | AnswerScores) -> str:
    dense = "not among the nearest" if scores.dense is None else f"cosine {scores.dense:.3f}"
    lexical = "none of its best" if scores.lexical is None else f"BM25 {scores.lexical:.2f}"
    return f"meaning: {dense} · words: {lexical}"
