"""Puts a document's text together, block by block, and keeps what stands where right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from indexer.readers.base import ReadLimits
from retriever.errors import UnreadableError
from retriever.types import Anchor, Extract, Heading, Span

if TYPE_CHECKING:
    from retriever.types import Metadata

# Invisible: soft hyphens and zero-width signs split words for a search that sees them. The joiners U+200C and
# U+200D stay, Persian, Indic scripts and emoji are written with them.
_INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF))
_CONTROL = dict.fromkeys((*range(9), *range(14, 32), *range(127, 160)), " ")
_SIGNS = _INVISIBLE | _CONTROL
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """One line of readable text: white space collapsed, nothing that is invisible or can't be encoded.

    >>> clean(" a\\u00a0\\n b\\x00c ")
    'a b c'
    """
    return " ".join(_SURROGATE.sub("�", visible(text)).split())


def visible(text: str) -> str:
    """The text without signs that are invisible, and with space for those that control something."""
    return text.translate(_SIGNS)


def clean_line(text: str) -> str:
    """A line whose inner white space means something (code), without what `clean` takes out."""
    return _SURROGATE.sub("�", text.translate({**_SIGNS, 9: "    "})).rstrip()


class Composer:
    """Builds an `Extract` whose headings, rows, pages and lines fit its text by construction."""

    def __init__(self, limits: ReadLimits) -> None:
        self._limit = limits.characters
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._rows: list[Span] = []
        self._pages: list[Anchor] = []
        self._lines: list[Anchor] = []
        self._next_page: int | None = None

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._length

    @property
    def has_headings(self) -> bool:
        """Whether any heading was added."""
        return bool(self._headings)

    def page(self, number: int) -> None:
        """What is added from here on is on this page; a page that gets no text gets no anchor."""
        self._next_page = number

    def block(
        self,
        text: str,
        *,
        line: int | None = None,
        lines: Sequence[Anchor] = (),
        tight: bool = False,
        joint: str | None = None,
    ) -> int:
        """Adds ready text and returns where it starts; empty text adds nothing.

        Args:
            text: As it shall stand (see `clean`), maybe of several lines.
            line: Its line in the original.
            lines: Its lines in the original, where it is of several; they count from its start.
            tight: On the next line rather than after a blank one (items of a list, rows of a table).
            joint: What to put before it instead of a line break.
        """
        if not text:
            return self._length
        if self._parts:
            self._put(joint if joint is not None else "\n" if tight else "\n\n")
        start = self._length
        if self._next_page is not None:
            self._pages.append(Anchor(start, self._next_page))
            self._next_page = None
        for anchor in [Anchor(0, line)] if line is not None else lines:
            if not (self._lines and self._lines[-1].number == anchor.number):
                self._lines.append(Anchor(start + anchor.start, anchor.number))
        self._put(text)
        return start

    def heading(
        self, text: str, level: int, *, line: int | None = None, lines: Sequence[Anchor] = ()
    ) -> None:
        """Adds a heading, a block of its own; with `lines` it must be clean already."""
        text = clean(text)
        if text:
            start = self.block(text, line=line, lines=lines)
            self._headings.append(Heading(start, self._length, max(1, min(level, 6))))

    def row(self, text: str, *, line: int | None = None) -> None:
        """Adds a row that makes a passage of its own, on the next line."""
        if text:
            start = self.block(text, line=line, tight=bool(self._rows) and self._rows[-1].end == self._length)
            self._rows.append(Span(start, self._length))

    def block_lines(self, lines: list[str], *, line: int | None = None, numbers: Sequence[int] = ()) -> None:
        """Adds lines that belong together (a table, a listing).

        Args:
            lines: Their text.
            line: The line in the original on which all of it begins.
            numbers: Or the line in the original of each.
        """
        anchors, position = [], 0
        for part, number in zip(lines, numbers, strict=False):
            if part:
                anchors.append(Anchor(position, number))
                position += len(part) + 1
        self.block("\n".join(part for part in lines if part), line=line, lines=anchors)

    def extend(self, extract: Extract) -> None:
        """Adds another document's text with its headings and rows; its pages and lines mean nothing here."""
        start = self.block(extract.text)
        self._headings += [Heading(start + h.start, start + h.end, h.level) for h in extract.headings]
        self._rows += [Span(start + row.start, start + row.end) for row in extract.rows]

    def extract(
        self, format_: str, *, title: str = "", language: str = "", metadata: Metadata | None = None
    ) -> Extract:
        """The document."""
        return Extract(
            text="".join(self._parts),
            format=format_,
            title=clean(title),
            language=language_code(language),
            metadata=metadata or {},
            headings=tuple(self._headings),
            rows=tuple(self._rows),
            pages=tuple(self._pages),
            lines=tuple(self._lines),
        )

    def _put(self, text: str) -> None:
        self._length += len(text)
        if self._length > self._limit:
            raise UnreadableError(f"more than {self._limit:,} characters of text")
        self._parts.append(text)


def language_code(tag: str) -> str:
    """The ISO 639-1 code of a language tag, empty where it has none.

    >>> language_code("en-GB"), language_code("x-none"), language_code("")
    ('en', '', '')
    """
    code = re.split(r"[-_]", tag.strip().lower())[0]
    return code if re.fullmatch(r"[a-z]{2}", code) else ""
