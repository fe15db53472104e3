"""What a chunk must not mix: the text under one heading with that under another, one row with the next."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from retriever.types import Extract, Heading, Span


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of text that is chunked alone.

    Attributes:
        start: Where it starts.
        end: Where it ends.
        breaks: Starts and ends of the headings inside, in order: a sentence doesn't run across them.
    """

    start: int
    end: int
    breaks: tuple[int, ...] = ()


_DECORATION = re.compile(r"[\s!-/:-@\[-`{-~]*")  # white space and ASCII punctuation
_RULE = re.compile(r"([^\w\s])\1+")


def sections(extract: Extract, fits: Callable[[int, int], bool]) -> Iterator[Section]:
    """The sections of a document, in order; what lies between them is blank.

    A heading with nothing of its own below it goes with what follows, be it another heading or a row.

    Args:
        fits: Whether a stretch is short enough for one chunk. A heading is left apart from a row that would
            be cut only because of it.
    """
    text = extract.text
    headings = extract.headings
    position = 0
    for row in [*extract.rows, Span(len(text), len(text))]:
        within = headings[_first_from(headings, position) : _first_from(headings, row.start)]
        pending: list[Section] = []
        for section, is_bare in _under_headings(text, within, position, row.start):
            pending.append(section)
            if not is_bare:
                yield _joined(pending)
                pending = []
        alone = Section(row.start, row.end)
        if pending and not fits(pending[0].start, row.end) and fits(row.start, row.end):
            yield _joined(pending)
            yield alone
        else:
            yield _joined([*pending, alone])
        position = row.end


def heading_paths(extract: Extract) -> list[tuple[str, ...]]:
    """For each heading of `extract` its text and those of the headings around it, outermost first."""
    paths = []
    open_headings: list[tuple[int, str]] = []
    for heading in extract.headings:
        while open_headings and open_headings[-1][0] >= heading.level:
            open_headings.pop()
        open_headings.append((heading.level, " ".join(extract.text[heading.start : heading.end].split())))
        paths.append(tuple(title for _, title in open_headings if title))
    return paths


def _first_from(headings: Sequence[Heading], position: int) -> int:
    return bisect_left(headings, position, key=lambda heading: heading.start)


def _joined(parts: Sequence[Section]) -> Section:
    return Section(parts[0].start, parts[-1].end, tuple(chain.from_iterable(part.breaks for part in parts)))


def _under_headings(
    text: str, headings: Sequence[Heading], start: int, end: int
) -> Iterator[tuple[Section, bool]]:
    """The text before the first heading, then that of each heading, and whether it has no words of its own."""
    starts = []
    floor = start
    for heading in headings:
        starts.append(_with_markup(text, heading, floor))
        floor = min(heading.end, end)
    first_start = starts[0] if starts else end
    if text[start:first_start].strip():
        yield Section(start, first_start), _is_decoration(text, start, first_start)
    for index, heading in enumerate(headings):
        begin = starts[index]
        stop = starts[index + 1] if index + 1 < len(starts) else end
        heading_end = _line_end(text, min(heading.end, stop), stop)
        yield Section(begin, stop, (begin, heading_end)), _is_decoration(text, heading_end, stop)


def _is_decoration(text: str, start: int, end: int) -> bool:
    return _DECORATION.fullmatch(text, start, end) is not None


def _with_markup(text: str, heading: Heading, floor: int) -> int:
    """Where the heading's block starts: with its `##`, and with the line that is ruled above it.

    Without this, the markup would dangle from the end of the section before.
    """
    line = _line_start(text, heading.start, floor)
    if not _is_decoration(text, line, heading.start):
        return heading.start
    above = _line_start(text, line - 1, floor) if line > floor else line
    rule = text[above:line].strip()
    below = _line_end(text, heading.end, len(text)) + 1
    is_overline = (
        bool(_RULE.fullmatch(rule))
        and text[below : _line_end(text, below, len(text))].strip() == rule
        and text[floor:above].strip(" \t") != "\n"  # there it is the line ruled below the heading before
    )
    return above if is_overline else line


def _line_start(text: str, position: int, floor: int) -> int:
    return max(text.rfind("\n", floor, position), text.rfind("\r", floor, position), floor - 1) + 1


_LINE_BREAK = re.compile(r"[\r\n]")


def _line_end(text: str, position: int, end: int) -> int:
    match = _LINE_BREAK.search(text, position, end)
    return match.start() if match else end
