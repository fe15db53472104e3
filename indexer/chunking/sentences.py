"""Where sentences end, by rules: fast, without a model, for any language with the usual marks.

A boundary that is missed makes a sentence longer; one that is wrong tears it apart. Where the rules can't
tell, they miss.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from indexer.chunking.abbreviations import (
    ABBREVIATIONS,
    BEFORE_A_NUMBER,
    BEFORE_AN_ORDINAL,
    GERMAN_MONTHS,
)
from retriever.graphemes import is_inside_grapheme
from retriever.types import Span

NEWLINE = r"(?>\r\n|\r|\n)"  # atomic: CR LF must not count as two
BLANK_LINE = rf"{NEWLINE}[^\S\r\n]*{NEWLINE}\s*|\u2029\s*"

_CLOSING = r"""["'”’»›“‘)\]}）］｝〉》」』】〕]"""  # “ and ‘ close a quotation in German
_ITEM = r"(?:[-*+•‣◦⁃▪●○–—]|\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})[.)])[^\S\r\n]"
_TABLE_LINE = r"\||\+[-=]|={2,}+[^\S\r\n]+="  # not a line of === alone, which rules a heading

_BOUNDARY = re.compile(
    rf"(?P<blank>{BLANK_LINE})"
    rf"|(?P<line>{NEWLINE}[^\S\r\n]*(?={_ITEM}|{_TABLE_LINE}))"
    rf"|(?P<row>\|[^\S\r\n]*{NEWLINE})"
    # a run of marks is tried once, from its first: leaders of a table of contents can be very long
    rf"|(?<![.!?…])(?P<western>[.!?…]++)(?P<closing>{_CLOSING}*+)(?:\[\w{{1,3}}\])*+(?=\s)"  # and [3]
    rf"|(?P<eastern>[。！？．｡।॥؟۔]++){_CLOSING}*+"
)
_LAST_WORD = re.compile(r"[^\s(\[{\"'“„«/]+\Z")
_NEXT_WORD = re.compile(r"\s*[\"'“”„«‘(\[{¿¡*_]*([^\s.,;:!?)\]}]*)")
_LIST_NUMBER = re.compile(r"(?:\A|[\r\n])[^\S\r\n]*\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})\Z")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")  # e.g, U.S, z.B
_LONGEST_LOOK = 40  # characters looked at on either side of a full stop


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Sentences of `text[start:end]`, in order, trimmed of white space; together they hold all else.

    Sentences end at . ! ? … and their Chinese, Japanese, Devanagari and Arabic counterparts, together with
    closing quotes and brackets, at blank lines, and before list items and lines of tables; not after
    abbreviations, initials, ordinals and numbers of lists, nor where the text goes on in lower case.

    >>> [text[s.start : s.end] for text in ["Dr. No paid 3.5 %. He left!"] for s in sentence_spans(text)]
    ['Dr. No paid 3.5 %.', 'He left!']
    """
    end = len(text) if end is None else end
    spans = []
    begin = start
    for boundary in [*_boundaries(text, start, end), end]:
        sentence = trimmed(text, begin, boundary)
        if sentence is not None:
            spans.append(sentence)
        begin = boundary
    return spans


_NON_BLANK = re.compile(r"\S")


def trimmed(text: str, start: int, end: int) -> Span | None:
    """`[start, end)` without the white space at its ends, or None if it has nothing else."""
    first = _NON_BLANK.search(text, start, end)
    if first is None:
        return None
    while text[end - 1].isspace():
        end -= 1
    return Span(first.start(), end)


def _boundaries(text: str, start: int, end: int) -> Iterator[int]:
    for match in _BOUNDARY.finditer(text, start, end):
        if match["western"]:
            if _ends_sentence(text, match, start, end):
                yield match.end()
        elif match["eastern"]:
            if not _is_decimal_point(text, match) and not is_inside_grapheme(text, match.end()):
                yield match.end()
        else:
            yield match.end()


def _is_decimal_point(text: str, match: re.Match[str]) -> bool:
    """Whether this is the full-width full stop of ３．５."""
    before, after = match.start() - 1, match.end()
    return (
        match.group() == "．" and before >= 0 and text[before].isdigit() and text[after : after + 1].isdigit()
    )


def _ends_sentence(text: str, match: re.Match[str], start: int, end: int) -> bool:
    mark = match.start()
    if mark == start or text[mark - 1].isspace():  # ". . . ." or ".NET"
        return False
    following = _NEXT_WORD.match(text, match.end(), min(match.end() + _LONGEST_LOOK, end))
    next_word = following[1] if following else ""
    if next_word[:1].islower():
        return match["western"][-1] in "!?" and not match["closing"]
    if match["western"] != "." or match["closing"]:
        return True
    before = text[max(mark - _LONGEST_LOOK, start) : mark]
    return not _is_abbreviation(before, next_word)


def _is_abbreviation(before: str, next_word: str) -> bool:
    """Whether the full stop between `before` and `next_word` belongs to the last word of `before`."""
    last = _LAST_WORD.search(before)
    if last is None:
        return False
    word = last.group()
    folded = word.lower()
    if _LIST_NUMBER.search(before):
        return True
    if word.isdigit():
        words = before[: last.start()].split()
        is_ordinal = next_word.lower() in GERMAN_MONTHS or (bool(words) and words[-1] in BEFORE_AN_ORDINAL)
        return len(word) <= 2 and is_ordinal
    if folded in BEFORE_A_NUMBER and next_word[:1].isdigit():
        return True
    if len(word) == 1 and word.isalpha():
        # "J. Smith" and "z. B.", but not "for all x. Then"
        return word.isupper() or len(next_word) == 1
    if folded in ("a.m", "p.m"):
        return not next_word[:1].isupper()
    return folded in ABBREVIATIONS or _DOTTED.fullmatch(word) is not None
