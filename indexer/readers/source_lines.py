"""Text that is put together from pieces of a file, with the line of the file that each word stands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from indexer.readers.compose import clean, visible
from retriever.types import Anchor

_BREAK = "\n"


@dataclass(slots=True)
class SourceText:
    """Pieces of text in order; those of one line may be words that were torn apart by markup.

    >>> text = SourceText()
    >>> text.add("One\\n two ", 7)
    >>> text.add("three", 9)
    >>> text.blocks()
    [('One two three', [Anchor(start=0, number=7), Anchor(start=4, number=8), Anchor(start=8, number=9)])]
    """

    _parts: list[str] = field(default_factory=list)
    _lines: list[int] = field(default_factory=list)  # of each part; a part has no line break of the file

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, text: str, line: int) -> None:
        """Adds text that begins on a line of the file; its line breaks are the file's, and mean no more than space."""
        for number, part in enumerate(text.split("\n"), start=line):
            self._parts.append(part if number == line else f" {part}")
            self._lines.append(number)

    def add_break(self, line: int) -> None:
        """Adds a line break that is meant."""
        self._parts.append(_BREAK)
        self._lines.append(line)

    def blocks(self) -> list[tuple[str, list[Anchor]]]:
        """The paragraphs, clean, that empty lines part; each with the places in it where a line of the file begins."""
        found: list[tuple[str, list[Anchor]]] = []
        lines, anchors, length = list[str](), list[Anchor](), 0
        for parts in [*self._broken(), []]:
            words, places = _joined(parts)
            if words:
                anchors += [Anchor(length + anchor.start, anchor.number) for anchor in places]
                lines.append(words)
                length += len(words) + 1
            elif lines:
                found.append(("\n".join(lines), anchors))
                lines, anchors, length = [], [], 0
        return found

    def _broken(self) -> list[list[tuple[str, int]]]:
        """The parts of each line of what is read."""
        lines: list[list[tuple[str, int]]] = [[]]
        for part, number in zip(self._parts, self._lines, strict=True):
            if part == _BREAK:
                lines.append([])
            else:
                lines[-1].append((part, number))
        return lines


def _joined(parts: list[tuple[str, int]]) -> tuple[str, list[Anchor]]:
    """One clean line, and where in it the file's lines begin."""
    found: list[str] = []
    anchors: list[Anchor] = []
    length = 0
    is_apart = True
    for number, group in groupby(parts, key=itemgetter(1)):
        raw = visible("".join(part for part, _ in group))
        if words := clean(raw):
            if found and (is_apart or raw[0].isspace()):  # else markup tears a word apart
                found.append(" ")
                length += 1
            anchors.append(Anchor(length, number))
            found.append(words)
            length += len(words)
            is_apart = raw[-1].isspace()
        elif raw:
            is_apart = True
    return "".join(found), anchors
