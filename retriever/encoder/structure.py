"""Tables, fields and paragraphs in plain text: what a span scorer should see of them, and where no answer goes on.

A span scorer that has learned from prose takes a row for a sentence, and an answer for a part of it. And it sees no
white space: of columns that stand apart by spaces alone, as in what is read from a PDF, nothing is left but one cell's
words after another's. What separates cells is plain in the text, so it need not be learned: it is spelled out for the
scorer, and no answer reaches across it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from retriever.encoder.spans import ScoredSpan, SpanScores, best_spans
from retriever.graphemes import whole_amounts, whole_graphemes, whole_words

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
# Cells that only space parts. What ends a sentence may be followed by two spaces, and a bullet or a number by several.
_GAP = re.compile(r"(?<=[^\s.!?:;,])(?: {2,}|[ ]*\t\s*)(?=\S)|(?<=\S)\t\s*(?=\S)")
_BULLET = re.compile(r"^\s*(?:\W|\w{1,3}[.)])\s")
# The heading of a release in a change log: "1.2.0 - 2024-11-12", "[v2.0] (March 3, 2021)", "Version 1.4: 7 May 2019".
# Which version and when are two answers, and are asked for apart.
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = rf"\d{{4}}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{{4}}|(?:\d\d? )?{_MONTH} (?:\d\d?, )?\d{{4}}"
_RELEASE = re.compile(
    rf"(?<![^\r\n])[ \t#=*]*(?!\d\d?\.\d\d?\.\d{{4}}\b)(?:(?:version|release) )?\[?v?\d+(?:\.\d+)++[\w.+-]*+\]?"
    rf"(?P<between>[ \t]+[-\u2013\u2014][ \t]+|:[ \t]+|,?[ \t]+\(?)(?:{_DATE})(?P<after>\)?[ \t]*)(?![^\r\n])",
    re.IGNORECASE,
)
# A line of fields, one below the other, as over a letter, in front matter and in lists: "From: Ann", "- Badge: 17".
_FIELD = re.compile(r"[ \t]*(?:[-*+\u2022] )?[^\W\d_][\w.-]*(?: [\w.-]+){0,2}: \S")
_JUSTIFIED = 60
"""Characters of a line from which on it may be prose that is set to one width."""
_CLOSED = ".!?:;,|"
"""After one of these at its end a row needs no full stop."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a table: where it stands, and one place between each two cells."""

    start: int
    end: int
    marks: tuple[int, ...]
    spaced: bool
    """Whether space alone parts its cells."""


def borders(text: str) -> list[int]:
    """Places that no answer reaches across, in code points, in order.

    >>> borders("Cell: 7; Volts: 3.6")
    [0, 4, 5, 7, 8, 14, 15, 19]
    >>> borders("1.2.0 (2024-11-12)")
    [5, 7, 17]
    >>> borders("Delegate: Ann Vole\\nStatus: Final")
    [18, 19]
    """
    found = {match.start() for match in _PARAGRAPH.finditer(text)}
    for row in _rows(text):
        found |= {row.start, row.end, min(row.end + 1, len(text))}
        found.update(place for mark in row.marks for place in (mark, mark + 1))
    found.update(_between_fields(text))
    for release in _RELEASE.finditer(text):
        found.update((*release.span("between"), release.start("after")))
    return sorted(found)


def spelled(text: str) -> str:
    """The text as a span scorer should read it, of the same length: cells apart by a bar, rows ended by a full stop.

    Only white space is written over, so that every other character stays in its place.

    >>> spelled("Model  Weight\\nR1     0.9 kg\\nR2     1.2 kg\\n")
    'Model| Weight.R1|    0.9 kg.R2|    1.2 kg.'
    """
    changed: list[str] | None = None
    for row in _rows(text):
        changed = changed or list(text)
        if row.spaced:
            for mark in row.marks:
                changed[mark] = "|"
        if row.end < len(text) and text[row.end - 1] not in _CLOSED:
            changed[row.end] = "."
    return text if changed is None else "".join(changed)


def _rows(text: str) -> Iterator[_Row]:
    """Lines that are rows of a table."""
    if not any(mark in text for mark in ("|", "; ", "  ", "\t")):
        return
    lines = list(_LINE.finditer(text))
    gaps = [_gaps(line.group()) for line in lines]
    for i, line in enumerate(lines):
        words = line.group()
        spaced = False
        if _BARS.match(words):
            marks = [bar.start() for bar in _BAR.finditer(words)]
        elif _ROW.match(words):
            marks = [mark.start(mark.lastindex or 0) for mark in _MARKS.finditer(words)]
        elif _is_spaced(i, lines, gaps):
            marks, spaced = [start for start, _ in gaps[i]], True
        else:
            continue
        start = line.start()
        yield _Row(start, line.end(), tuple(start + mark for mark in marks), spaced)


def _between_fields(text: str) -> Iterator[int]:
    """Where a line of a field ends and the next begins; a field goes on in lines that are set in."""
    if text.count(": ") < 2:
        return
    end = None  # of the field that the line before belongs to
    for line in _LINE.finditer(text):
        below = end is not None and text[end : line.start()] in ("\n", "\r\n", "\r")
        if _FIELD.match(line.group()):
            if end is not None and below:
                yield from (end, line.start())
            end = line.end()
        else:
            end = line.end() if below and re.match(r"[ \t]+\S", line.group()) else None


def _gaps(line: str) -> list[tuple[int, int]]:
    """Where space parts what may be cells."""
    if "  " not in line and "\t" not in line:
        return []
    bullet = _BULLET.match(line)
    return [gap.span() for gap in _GAP.finditer(line, bullet.end() if bullet else 0)]


def _is_spaced(i: int, lines: Sequence[re.Match[str]], gaps: Sequence[list[tuple[int, int]]]) -> bool:
    """Whether a line is a row of cells that space parts, rather than prose that is set to one width or mistyped."""
    if not gaps[i]:
        return False
    line = lines[i].group()
    narrow = all(end - start == 2 and "\t" not in line[start:end] for start, end in gaps[i])
    if not narrow:
        return True
    beside = [lines[j].group() for j in (i - 1, i + 1) if 0 <= j < len(lines) and gaps[j]]
    if not beside and len(gaps[i]) == 1:
        return False
    return len(line) < _JUSTIFIED or any(len(other) != len(line) for other in beside) or not beside


def cuts(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Tokens that a border lies before, among the places of a text's tokens."""
    starts = [start for start, _ in offsets]
    found = {bisect_left(starts, border) for border in borders(text)}
    return sorted(token for token in found if 0 < token < len(offsets))


def unspoken(text: str, offsets: Sequence[tuple[int, int]]) -> list[bool]:
    """For each token, whether it is punctuation or white space alone, and so no answer by itself."""
    return [
        not (token := text[start:end]).isalnum()  # most are words
        and all(unicodedata.category(char)[0] in "PZC" for char in token)
        for start, end in offsets
    ]


def answers_in(text: str, scores: SpanScores, most: int) -> list[ScoredSpan]:
    """The likeliest spans of a passage that can be answers, best first: within its borders, and with words in them.

    What a reader sees as one character, word, number, date, amount or code is in a span whole or not at all. A
    tokenizer that strips accents has none for the mark behind a letter, others take a syllable apart, and all take
    long words apart.

    Args:
        text: The passage's.
        scores: Of its tokens.
        most: At most so many.
    """
    offsets = scores.offsets
    found: list[ScoredSpan] = []
    for span in best_spans(scores, most, cuts=cuts(text, offsets), unspoken=unspoken(text, offsets)):
        start, end = whole_amounts(text, *whole_words(text, span.start, span.end))
        start, end = whole_graphemes(text, start, end)
        if all(end <= other.start or other.end <= start for other in found):
            found.append(replace(span, start=start, end=end))
    return found
