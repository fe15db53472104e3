"""Where a section that is too long is cut: between paragraphs, else sentences, lines, clauses, words."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from indexer.chunking.measure import Measure
from indexer.chunking.sections import Section
from indexer.chunking.sentences import BLANK_LINE, NEWLINE, sentence_spans, trimmed
from retriever.config import ChunkingConfig
from retriever.graphemes import is_inside_grapheme
from retriever.types import Span

_BLANK_LINE = re.compile(BLANK_LINE)
_NON_BLANK = re.compile(r"\S")

# A boundary counts only where it leaves at least this part of `max_tokens` on its near side (and, if the rest
# is the last chunk, on its far side): a chunk of a few words is found by every question and answers none.
_LEAST_BEFORE_PARAGRAPH = 1 / 4
_LEAST_BEFORE_SENTENCE = 1 / 8
_INSIDE_SENTENCES = (
    (re.compile(rf"{NEWLINE}\s*"), 1 / 2),
    (re.compile(r"[,;:)\]–—]+\s+|[、，；：]+\s*"), 1 / 2),
    (re.compile(r"\s+"), 1 / 8),
)


class _Splitter:
    """Cuts one section; `position`s are always those of a character that isn't blank."""

    def __init__(self, text: str, section: Section, measure: Measure, config: ChunkingConfig) -> None:
        whole = trimmed(text, section.start, section.end) or Span(section.start, section.start)
        self.text = text
        self.start, self.end = whole.start, whole.end
        self.measure = measure
        self.config = config
        self.sentences: list[int] = []  # where they start
        self.between_paragraphs: list[int] = []
        self.between_sentences: list[int] = []
        if not self.fits(self.start, self.end):
            edges = [self.start, *(b for b in section.breaks if self.start < b < self.end), self.end]
            for begin, stop in pairwise(edges):
                self.sentences += [span.start for span in sentence_spans(text, begin, stop)]
            paragraph, openings = self.start, set()
            for blank in _BLANK_LINE.finditer(text, self.start, self.end):
                if _opens_what_follows(text[paragraph : blank.start()]):
                    openings.add(blank.end())
                else:
                    self.between_paragraphs.append(blank.end())
                paragraph = blank.end()
            self.between_sentences = [cut for cut in self.sentences if cut not in openings]

    def size(self, start: int, end: int) -> int:
        return self.measure.size(start, end)

    def fits(self, start: int, end: int) -> bool:
        return self.size(start, end) <= self.config.max_tokens

    def pieces(self) -> Iterator[Span]:
        start, covered = self.start, self.start  # of the next piece: where it starts, what is new in it
        while start < self.end and not self.fits(start, self.end):
            cut = self.outside_sentences(start, covered)
            if cut is None and start < covered:  # no room for a whole sentence more: don't repeat any
                start = covered
                continue
            cut = cut or self.inside_sentence(start)
            piece = trimmed(self.text, start, cut)
            if piece is not None:
                yield piece
                start = self.repeated_from(piece, cut)
            covered = cut
        if start < self.end:
            yield Span(start, self.end)

    def furthest(self, start: int) -> int:
        """The last place where a piece from `start` on can end."""
        position = max(self.measure.furthest(start, self.config.max_tokens), start + 1)
        following = _NON_BLANK.search(self.text, position, self.end)
        return following.start() if following else self.end

    def outside_sentences(self, start: int, covered: int) -> int | None:
        """The best boundary of a paragraph or sentence, or None where there is none."""
        limit = self.config.max_tokens
        last = self.furthest(start)
        first = self.measure.earliest(self.end, limit)
        windows = [(covered + 1, last)]  # where a cut may be at the earliest, where it is best
        if first <= last:  # two pieces will do: rather make them alike
            windows.insert(0, (max(first, covered + 1), self.middle(start)))
        for earliest, ideal in windows:
            for cuts, part in (
                (self.between_paragraphs, _LEAST_BEFORE_PARAGRAPH),
                (self.between_sentences, _LEAST_BEFORE_SENTENCE),
            ):
                cut = _nearest(cuts, ideal, earliest, last)
                if cut and min(self.size(covered, cut), self.size(cut, self.end)) >= part * limit:
                    return cut
        return None

    def inside_sentence(self, start: int) -> int:
        """The best place to cut where a sentence alone is too long."""
        last = self.furthest(start)
        first = self.measure.earliest(self.end, self.config.max_tokens)
        earliest, ideal = start + 1, last
        if first <= last:
            earliest = max(first, earliest)
            ideal = min(max(self.middle(start), earliest), last)
        for pattern, part in _INSIDE_SENTENCES:
            cuts = [match.end() for match in pattern.finditer(self.text, start, last)]
            cut = _nearest(cuts, ideal, earliest, last)
            if cut is None or is_inside_grapheme(self.text, cut, start):
                continue
            if self.size(start, cut) >= part * self.size(start, ideal):
                return cut
        return self.between_characters(start, ideal, last)

    def between_characters(self, start: int, ideal: int, last: int) -> int:
        for cut in (ideal, last):
            while is_inside_grapheme(self.text, cut, start):
                cut -= 1
            if cut > start:
                break
        else:  # one grapheme longer than a chunk
            cut = last
        following = _NON_BLANK.search(self.text, cut, self.end)
        return following.start() if following else self.end

    def middle(self, start: int) -> int:
        return self.measure.furthest(start, -(-self.size(start, self.end) // 2))

    def repeated_from(self, piece: Span, cut: int) -> int:
        """Where the piece after `piece` starts: at `cut`, or before it by whole sentences."""
        index = bisect_left(self.sentences, cut)
        if index == len(self.sentences) or self.sentences[index] != cut:
            return cut
        last_piece = self.fits(cut, self.end)
        start = cut
        while index > 0:
            index -= 1
            earlier = self.sentences[index]
            if earlier <= piece.start or self.size(earlier, piece.end) > self.config.overlap_tokens:
                break
            if last_piece and not self.fits(earlier, self.end):  # would make one piece more
                break
            start = earlier
        return start


def _opens_what_follows(paragraph: str) -> bool:
    """Whether a paragraph ends in a colon or looks like a title, ruled or not, that no reader marked."""
    words = paragraph.strip("=-~^*+#\"' \t\r\n")
    return words.endswith(":") or (words[-1:].isalnum() and len(words.splitlines()) == 1 and len(words) <= 80)


def split(text: str, section: Section, measure: Measure, config: ChunkingConfig) -> list[Span]:
    """Cuts a section into pieces of at most `config.max_tokens`, as few as it takes and none of them tiny.

    As long as more than two pieces are left, each is filled up to the last boundary that fits; the last two
    are made about equal. A piece repeats the end of the one before it (`config.overlap_tokens`) where the cut
    lies between sentences.
    """
    return list(_Splitter(text, section, measure, config).pieces())


def _nearest(cuts: Sequence[int], ideal: int, first: int, last: int) -> int | None:
    """The one of `cuts` (ascending) in `[first, last]` that is nearest to `ideal`."""
    ideal = min(max(ideal, first), last)
    index = bisect_right(cuts, ideal)
    candidates = [cut for cut in cuts[max(index - 1, 0) : index + 1] if first <= cut <= last]
    return min(candidates, key=lambda cut: abs(cut - ideal), default=None)
