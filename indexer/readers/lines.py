"""The lines of a text with their offsets, as editors count them: ended by LF, CRLF or CR and by nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BREAK = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Line:
    """A line, `text[start:end]` without its break; `next` is where the line below starts."""

    start: int
    end: int
    next: int


def lines_of(text: str) -> list[Line]:
    """All lines of a text; after a last break there is no further line.

    >>> [text[line.start:line.end] for text in ["a\\r\\nb\\n"] for line in lines_of(text)]
    ['a', 'b']
    """
    lines = []
    start = 0
    for match in _BREAK.finditer(text):
        lines.append(Line(start, match.start(), match.end()))
        start = match.end()
    if start < len(text):
        lines.append(Line(start, len(text), len(text)))
    return lines
