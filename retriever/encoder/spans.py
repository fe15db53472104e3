"""From scores of tokens to spans: one distribution over a passage, and the likeliest spans in it.

A passage in several windows has one distribution: each window's scores are taken relative to its own 'no answer', so
that they are comparable, every token counts in the window in which it has most context on both sides (as in BERT's
reading of SQuAD), and one softmax goes over all of them and 'no answer'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.encoder.reading import Window

Scores = NDArray[np.float32]

LONGEST_ANSWER = 30
"""Tokens; longer spans aren't considered."""


@dataclass(frozen=True, slots=True)
class SpanScores:
    """Log-probabilities over one passage's tokens and 'no answer'.

    Attributes:
        offsets: Each token's place in the passage, half-open, in code points.
        start: `(T,)`, that the answer starts at each token.
        end: `(T,)`, that it ends with each.
        no_start: That there is none, by the start's distribution.
        no_end: The same by the end's.
    """

    offsets: Sequence[tuple[int, int]]
    start: Scores
    end: Scores
    no_start: float
    no_end: float

    @property
    def no_answer(self) -> float:
        """Log-probability of no answer, start's and end's together."""
        return self.no_start + self.no_end


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """A span of a passage, in code points, and its log-probabilities."""

    start: int
    end: int
    start_score: float
    end_score: float

    @property
    def score(self) -> float:
        """Start's and end's together."""
        return self.start_score + self.end_score


def normalise(offsets: Sequence[tuple[int, int]], windows: Sequence[tuple[Window, Scores]]) -> SpanScores:
    """One distribution over a passage that was read in windows.

    Args:
        offsets: Of the passage's tokens, `T` of them.
        windows: Each with its scores `(t, 2)` of start and end, relative to its own 'no answer'.
    """
    scores = np.full((len(offsets), 2), -np.inf, dtype=np.float32)
    context = np.full(len(offsets), -1)
    for window, inside in windows:
        place = np.arange(len(inside))
        own = np.minimum(place, len(inside) - 1 - place)
        here = slice(window.first, window.first + len(inside))
        better = own > context[here]
        scores[here][better] = inside[better]
        context[here][better] = own[better]
    whole = np.concatenate([np.zeros((1, 2), dtype=np.float32), scores])  # 'no answer' first, at 0
    whole -= np.logaddexp.reduce(whole, axis=0, keepdims=True)
    return SpanScores(offsets, whole[1:, 0], whole[1:, 1], float(whole[0, 0]), float(whole[0, 1]))


def best_spans(
    scores: SpanScores,
    most: int,
    *,
    cuts: Sequence[int] = (),
    unspoken: Sequence[bool] = (),
    longest: int = LONGEST_ANSWER,
) -> list[ScoredSpan]:
    """The likeliest spans that don't overlap, best first.

    Args:
        scores: Of one passage.
        most: At most so many.
        cuts: Tokens, none of them the first, that no span has inside itself with the token before.
        unspoken: For each token, whether it alone is no answer; no span is made of such tokens only.
        longest: In tokens.
    """
    length = len(scores.start)
    if not length:
        return []
    width = min(longest, length)
    padded = np.concatenate([scores.end, np.full(width - 1, -np.inf, dtype=np.float32)])
    ends = np.lib.stride_tricks.sliding_window_view(padded, width)  # (T, width): ends from each start on
    pairs = scores.start[:, None] + ends
    if cuts:
        part = parts(length + width - 1, cuts)
        pairs[part[:length, None] != np.lib.stride_tricks.sliding_window_view(part, width)] = -np.inf
    if any(unspoken):
        said = np.concatenate([~np.asarray(unspoken, dtype=np.bool_), np.zeros(width - 1, dtype=np.bool_)])
        inside = np.lib.stride_tricks.sliding_window_view(said, width)
        pairs[~np.logical_or.accumulate(inside, axis=1)] = -np.inf
    found: list[ScoredSpan] = []
    while len(found) < most:
        best = int(pairs.argmax())
        first, extra = divmod(best, width)
        if not np.isfinite(pairs[first, extra]):
            break
        last = first + extra
        found.append(
            ScoredSpan(
                scores.offsets[first][0],
                scores.offsets[last][1],
                float(scores.start[first]),
                float(scores.end[last]),
            )
        )
        # nothing that overlaps it is another answer
        pairs[first : last + 1] = -np.inf
        for start in range(max(0, first - width + 1), first):
            pairs[start, first - start :] = -np.inf
    return found


def parts(length: int, cuts: Sequence[int]) -> NDArray[np.int64]:
    """Which part of the passage each token is in, `(length,)`; a new one begins at each cut."""
    begins = np.zeros(length, dtype=np.int64)
    begins[list(cuts)] = 1
    return begins.cumsum()


def coverage(scores: SpanScores, *, cuts: Sequence[int] = (), longest: int = LONGEST_ANSWER) -> Scores:
    """Probability that each token is part of the answer, `(T,)`: over all spans up to `longest` tokens.

    Start and end are taken as independent, as everywhere here.

    Args:
        scores: Of one passage.
        cuts: As for `best_spans`.
        longest: In tokens.
    """
    length = len(scores.start)
    part = parts(length, cuts)
    start, end = np.exp(scores.start), np.exp(scores.end)
    total = np.zeros(length, dtype=np.float32)
    for extra in range(min(longest, length)):
        mass = start[: length - extra] * end[extra:]  # spans of extra + 1 tokens, by their first
        mass = np.where(part[: length - extra] == part[extra:], mass, 0)
        steps = np.zeros(length + 1, dtype=np.float32)
        steps[: length - extra] += mass
        steps[extra + 1 :] -= mass
        total += np.cumsum(steps[:-1])
    return np.clip(total, 0.0, 1.0)
