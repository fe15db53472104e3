"""How long a stretch of text is, in the encoder's tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

CHARACTERS_PER_TOKEN = 12
"""No token stands for more characters than this.

Running text has 3 to 6 characters to a token in the languages a vocabulary is made for. But WordPiece makes
one unknown token of any word over 100 characters, and none at all of some characters, so that a line of
base64 would count as next to nothing.
"""


class Measure:
    """Sizes of stretches of one text; each answer takes logarithmic time.

    Args:
        token_spans: Half-open code-point span of each token of the whole text, in order. Spans may touch or
            coincide (bytes of one character), but neither starts nor ends may go back.
    """

    def __init__(self, token_spans: Sequence[tuple[int, int]]) -> None:
        spans = [(start, end) for start, end in token_spans if start < end]
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def tokens(self, start: int, end: int) -> int:
        """Number of tokens that overlap `[start, end)`."""
        if start >= end:
            return 0
        return bisect_left(self._starts, end) - bisect_right(self._ends, start)

    def size(self, start: int, end: int) -> int:
        """Number of tokens, or of `CHARACTERS_PER_TOKEN` characters begun, whichever is more."""
        return max(self.tokens(start, end), -((start - end) // CHARACTERS_PER_TOKEN))

    def furthest(self, start: int, size: int) -> int:
        """The largest `end` for which `[start, end)` is not larger than `size`; may lie past the text."""
        end = start + size * CHARACTERS_PER_TOKEN
        first_left_out = bisect_right(self._ends, start) + size
        return min(end, self._starts[first_left_out]) if first_left_out < len(self._starts) else end

    def earliest(self, end: int, size: int) -> int:
        """The smallest `start` for which `[start, end)` is not larger than `size`; may lie before the text."""
        start = end - size * CHARACTERS_PER_TOKEN
        last_left_out = bisect_left(self._starts, end) - size - 1
        return max(start, self._ends[last_left_out]) if last_left_out >= 0 else start
