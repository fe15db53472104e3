"""Any text on one line that is safe to print, and the way from a place in the text to its place on the line."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

_WORD = re.compile(r"\S+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_REPLACED = "\ufffd"


@dataclass(frozen=True, slots=True)
class OneLine:
    """A text with its blanks collapsed.

    Attributes:
        text: Words with one space between them.
        origins: Where in the original each character of `text` stands, ascending.
    """

    text: str
    origins: tuple[int, ...]

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """Where the original's `[start, end)` stands on the line, without blanks at its ends; half-open.

        >>> one_line("the\\n\\t team  manager").locate(3, 10)
        (4, 8)
        """
        first, last = bisect_left(self.origins, start), bisect_left(self.origins, end)
        while first < last and self.text[first] == " ":
            first += 1
        while first < last and self.text[last - 1] == " ":
            last -= 1
        return first, last


def one_line(text: str) -> OneLine:
    """Collapses blanks and replaces control characters, which could move the cursor or change colours.

    >>> one_line("a\\tb\\r\\n\\x1b[31mc").text
    'a b �[31mc'
    """
    words: list[str] = []
    origins: list[int] = []
    for match in _WORD.finditer(text):
        if words:
            origins.append(origins[-1] + 1)  # the space stands for the first blank after the word
        words.append(match.group())
        origins.extend(range(*match.span()))
    return OneLine(printable(" ".join(words)), tuple(origins))


def printable(text: str) -> str:
    """The text with each control character replaced, one for one."""
    return _CONTROL.sub(_REPLACED, text)
