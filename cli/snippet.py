"""The part of a passage that is worth showing, and the words in it that the question has too."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n{2,}")
_LONGEST = 420
"""Characters of a snippet: about five lines."""
# Words that mark nothing when they are highlighted.
_COMMON = frozenset(
    "a an and are as at be by can did do does for from had has have how i in is it its may my of on or our so that the "
    "their there these they this to was we were what when where which who whom whose why will with would you your".split()
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text on one line, and which parts of it to mark, half-open."""

    text: str
    marks: tuple[tuple[int, int], ...]


def snippet(passage: str, question: str, *, whole: bool = False) -> Snippet:
    """The stretch of a passage that has most of the question's words, cut between sentences.

    Args:
        passage: A passage's text.
        question: What was asked.
        whole: The whole passage instead.
    """
    wanted = {_stem(word) for word in _WORD.findall(question)} - {_stem(word) for word in _COMMON}
    text = " ".join(passage.split()) if whole else _best_part(passage, wanted)
    marks = tuple(match.span() for match in _WORD.finditer(text) if _stem(match.group()) in wanted)
    return Snippet(text, marks)


def _best_part(passage: str, wanted: set[str]) -> str:
    sentences = [" ".join(sentence.split()) for sentence in _SENTENCE.split(passage)]
    sentences = [sentence for sentence in sentences if sentence]
    best, best_score = (0, 0), -1.0
    for first in range(len(sentences)):
        found: set[str] = set()
        length = 0
        for last in range(first, len(sentences)):
            length += len(sentences[last]) + 1
            if length > _LONGEST and last > first:
                break
            found |= {_stem(word) for word in _WORD.findall(sentences[last])} & wanted
            # Of stretches with as many of the words, the longer one, which gives more to read, then the earlier.
            score = len(found) + min(length, _LONGEST) / (2 * _LONGEST)
            if score > best_score:
                best, best_score = (first, last + 1), score
    text = " ".join(sentences[best[0] : best[1]])
    shortened = _shorten(text, wanted)
    before = "… " if best[0] > 0 else ""
    after = " …" if best[1] < len(sentences) and not shortened.endswith("…") else ""
    return f"{before}{shortened}{after}"


def _shorten(text: str, wanted: set[str]) -> str:
    """A stretch that is one endless sentence, cut at words around the first that is wanted."""
    if len(text) <= _LONGEST:
        return text
    first = next((m.start() for m in _WORD.finditer(text) if _stem(m.group()) in wanted), 0)
    start = max(0, min(first - _LONGEST // 3, len(text) - _LONGEST))
    cut = text[start : start + _LONGEST]
    if start > 0:
        cut = "… " + cut.split(" ", 1)[-1]
    if start + _LONGEST < len(text):
        cut = cut.rsplit(" ", 1)[0] + " …"
    return cut


def _stem(word: str) -> str:
    """A rough stem without accents: enough to see that two forms are one word."""
    folded = "".join(
        c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c)
    )
    for ending in ("ing", "ies", "ed", "es", "s", "e"):
        if folded.endswith(ending) and len(folded) - len(ending) >= 3:
            return folded[: -len(ending)]
    return folded
