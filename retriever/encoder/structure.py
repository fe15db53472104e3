"""Where an answer can't go on: between cells of a table, between a header and its value, between paragraphs.

A span scorer that has learned from prose takes a row for a sentence, and an answer for a part of it. What separates
cells is plain in the text, so it need not be learned: no answer reaches across it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

_NEWLINE = r"(?>\r\n|\r|\n)"
_PARAGRAPH = re.compile(rf"{_NEWLINE}[^\S\r\n]*{_NEWLINE}")
_LINE = re.compile(r"[^\r\n]+")
_BARS = re.compile(r"^\s*\|.*\|\s*$")
_BAR = re.compile(r"\|")
_NAME = r"[^\s;:|][^;:|]{0,59}"
# A row with a header beside each value, `Header: value; Header: value`, as readers of sheets write them; its first cell
# may have none.
_ROW = re.compile(rf"^\s*(?:[^\s;:|][^;:|]{{0,79}}; )?{_NAME}: .*; {_NAME}: ")
_MARKS = re.compile(rf"(;) (?={_NAME}: )|(?<=; ){_NAME}(:) |^\s*{_NAME}(:) ")


def borders(text: str) -> list[int]:
    """Places that no answer reaches across, in code points, in order.

    >>> borders("Cell: 7; Volts: 3.6")
    [0, 4, 5, 7, 8, 14, 15, 19]
    """
    return sorted(set(_borders(text)))


def _borders(text: str) -> Iterator[int]:
    for match in _PARAGRAPH.finditer(text):
        yield match.start()
    if "|" not in text and "; " not in text:
        return
    for line in _LINE.finditer(text):
        words = line.group()
        if _BARS.match(words):
            marks = [bar.start() for bar in _BAR.finditer(words)]
        elif _ROW.match(words):
            marks = [mark.start(mark.lastindex or 0) for mark in _MARKS.finditer(words)]
        else:
            continue
        yield line.start()
        yield line.end()
        for mark in marks:
            yield line.start() + mark
            yield line.start() + mark + 1


def cuts(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Tokens that a border lies before, among the places of a text's tokens."""
    starts = [start for start, _ in offsets]
    found = {bisect_left(starts, border) for border in borders(text)}
    return sorted(token for token in found if 0 < token < len(offsets))
