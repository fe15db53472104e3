"""The part of a passage that is worth showing, and what to mark in it.

Everything is found in the passage as it is and then carried over to the line that is shown, so that marks are right
whatever blanks and line breaks the passage has.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from cli.one_line import OneLine, one_line
from indexer.chunking import sentence_spans
from retriever.graphemes import is_inside_grapheme

LONGEST = 420
"""Columns of a snippet: about five lines."""
_WORD = re.compile(r"\w+")
_HEADING_SENTENCES = 3
_HEADING_SIGNS = "#=-~*_ \t\r\n"
_LONG_WORD = 30
"""A cut is moved by at most this many characters to fall between words; some scripts have no spaces."""
# Words that mark nothing when they are highlighted.
_COMMON = frozenset(
    "a an and are as at be by can did do does for from had has have how i in is it its may my of on or our so that the "
    "their there these they this to was we were what when where which who whom whose why will with would you your".split()
)

_Stretch = tuple[int, int]
"""Half-open."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A stretch of a passage, on one line.

    Attributes:
        line: The whole passage on one line.
        start: Where the stretch starts on it.
        end: Where it ends.
        begin: Where the passage's own text begins, after headings that are shown elsewhere.
        marks: Stretches of `text` to highlight.
    """

    line: OneLine
    start: int
    end: int
    begin: int = 0
    marks: tuple[_Stretch, ...] = ()

    @property
    def text(self) -> str:
        """What to show, with … where the passage goes on."""
        after = " …" if self.end < len(self.line.text) else ""
        return f"{self._before}{self.line.text[self.start : self.end]}{after}"

    def locate(self, start: int, end: int) -> _Stretch:
        """Where the passage's `[start, end)` stands in `text`, or as much of it as is shown; maybe nothing."""
        first, last = self.line.locate(start, end)
        first, last = max(first, self.start) + self.shift, min(last, self.end) + self.shift
        return first, max(first, last)

    @property
    def shift(self) -> int:
        """What a place in `text` is greater by than its place on the line."""
        return len(self._before) - self.start

    @property
    def _before(self) -> str:
        return "… " if self.start > self.begin else ""


def snippet(
    passage: str, question: str, *, headings: Sequence[str] = (), whole: bool = False, longest: int = LONGEST
) -> Snippet:
    """The stretch of a passage that has most of the question's words, cut between sentences; they are marked.

    Args:
        passage: A passage's text.
        question: What was asked.
        headings: Those over the passage: where it begins with them, they aren't repeated.
        whole: The whole passage instead.
        longest: About how many columns.
    """
    wanted = {_stem(word) for word in _WORD.findall(question)} - {_stem(word) for word in _COMMON}
    line = one_line(passage)
    part = Snippet(line, 0, len(line.text))
    if not whole:
        longest = _characters(line, longest)
        sentences = _sentences(passage, line, headings)
        start, end = _best_stretch(line, sentences, wanted, longest)
        first = next((word.span() for word in _wanted_words(line, start, end, wanted)), (start, start))
        part = Snippet(line, *_cut(line.text, (start, end), first, longest), _begin(sentences))
    shift = part.shift
    words = _wanted_words(line, part.start, part.end, wanted)
    return replace(part, marks=tuple((word.start() + shift, word.end() + shift) for word in words))


def snippet_around(
    passage: str,
    start: int,
    end: int,
    *,
    headings: Sequence[str] = (),
    whole: bool = False,
    longest: int = LONGEST,
) -> Snippet:
    """The sentences around `passage[start:end]`, which is marked and always there as a whole.

    Args:
        passage: A passage's text.
        start: Where the words begin that it is about.
        end: Where they end.
        headings: As in `snippet`.
        whole: As in `snippet`.
        longest: As in `snippet`, unless the words alone are longer.
    """
    line = one_line(passage)
    words = line.locate(start, end)
    part = Snippet(line, 0, len(line.text))
    if not whole:
        longest = _characters(line, longest)
        sentences = _sentences(passage, line, headings)
        around = _grown(sentences, words, longest) or (0, len(line.text))
        part = Snippet(line, *_cut(line.text, around, words, longest), _begin(sentences))
    return replace(part, marks=(part.locate(start, end),))


def _sentences(passage: str, line: OneLine, headings: Sequence[str]) -> list[_Stretch]:
    """The passage's sentences on the line, without the headings that it begins with, if there is more."""
    spans = sentence_spans(passage)
    first = last = 0  # a heading may be several sentences: "2. Who signs? Who doesn't?"
    while last - first < _HEADING_SENTENCES and last < len(spans) - 1:
        if passage[spans[first].start : spans[last].end].strip(_HEADING_SIGNS) in headings:
            first = last + 1
        last += 1
    return [line.locate(span.start, span.end) for span in spans[first:]]


def _begin(sentences: Sequence[_Stretch]) -> int:
    return sentences[0][0] if sentences else 0


def _characters(line: OneLine, columns: int) -> int:
    """How many of the line's characters about fill so many columns: some scripts have wide ones."""
    return min(columns, columns * len(line.text) // max(cell_len(line.text), 1))


def _wanted_words(line: OneLine, start: int, end: int, wanted: set[str]) -> list[re.Match[str]]:
    return [word for word in _WORD.finditer(line.text, start, end) if _stem(word.group()) in wanted]


def _best_stretch(line: OneLine, sentences: Sequence[_Stretch], wanted: set[str], longest: int) -> _Stretch:
    """The consecutive sentences with most of the wanted words."""
    best, best_score = (0, len(line.text)), -1.0
    found = [{_stem(word.group()) for word in _wanted_words(line, *s, wanted)} for s in sentences]
    for first, (start, _) in enumerate(sentences):
        words: set[str] = set()
        for last in range(first, len(sentences)):
            end = sentences[last][1]
            if end - start > longest and last > first:
                break
            words |= found[last]
            # Of stretches with as many of the words, the longer one, which gives more to read, then the earlier.
            score = len(words) + min(end - start, longest) / (2 * longest)
            if score > best_score:
                best, best_score = (start, end), score
    return best


def _grown(sentences: Sequence[_Stretch], words: _Stretch, longest: int) -> _Stretch | None:
    """The sentences that hold the words, and neighbours on both sides while they fit; None if none hold them."""
    holding = [n for n, (start, end) in enumerate(sentences) if start < words[1] and words[0] < end]
    if not holding:
        return None
    first, last = holding[0], holding[-1]
    while True:
        start, end = sentences[first][0], sentences[last][1]
        before = first > 0 and end - sentences[first - 1][0] <= longest
        after = last + 1 < len(sentences) and sentences[last + 1][1] - start <= longest
        if before and (not after or words[0] - start <= end - words[1]):
            first -= 1
        elif after:
            last += 1
        else:
            return min(start, words[0]), max(end, words[1])  # words may begin in a heading


def _cut(text: str, around: _Stretch, words: _Stretch, longest: int) -> _Stretch:
    """What is left of `around` if it must be cut: about `longest` characters with `words` in their middle."""
    low, high = around
    if high - low <= longest:
        return around
    room = max(0, longest - (words[1] - words[0]))
    start = max(low, min(words[0] - room // 2, high - longest, words[0]))
    end = min(high, max(start + longest, words[1]))
    if start > low:
        space = text.find(" ", start - 1, min(start + _LONG_WORD, words[0]))
        start = space + 1 if space >= 0 else start
        while start < words[0] and is_inside_grapheme(text, start):
            start += 1
    if end < high:
        space = text.rfind(" ", max(end - _LONG_WORD, words[1]), end + 1)
        end = space if space >= 0 else end
        while end > words[1] and is_inside_grapheme(text, end):
            end -= 1
    return start, end


def _stem(word: str) -> str:
    """A rough stem without accents: enough to see that two forms are one word."""
    folded = "".join(
        c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c)
    )
    for ending in ("ing", "ies", "ed", "es", "s", "e"):
        if folded.endswith(ending) and len(folded) - len(ending) >= 3:
            return folded[: -len(ending)]
    return folded
