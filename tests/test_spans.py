"""From token scores to spans: small cases by hand, everything else against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.encoder.reading import Window
from retriever.encoder.spans import ScoredSpan, Scores, SpanScores, best_spans, coverage, normalise

NUMBERS = st.integers(-40, 40).map(lambda tenths: tenths / 8)


def places(count: int) -> list[tuple[int, int]]:
    """Tokens of two characters with a blank between them."""
    return [(3 * i, 3 * i + 2) for i in range(count)]


def window(first: int, scores: list[tuple[float, float]]) -> tuple[Window, Scores]:
    return Window(np.zeros(len(scores) + 4, dtype=np.int64), 3, first), np.array(
        scores, dtype=np.float32
    ).reshape(-1, 2)


def scored(start: list[float], end: list[float], none: tuple[float, float] = (-1.0, -1.0)) -> SpanScores:
    return SpanScores(
        places(len(start)), np.array(start, dtype=np.float32), np.array(end, dtype=np.float32), *none
    )


def logarithms(*probabilities: float) -> list[float]:
    return [math.log(p) for p in probabilities]


def test_one_window_is_a_log_softmax_with_no_answer() -> None:
    scores = normalise(places(3), [window(0, [(1.0, -2.0), (0.5, 0.0), (-1.0, 3.0)])])
    starts = math.log(1 + math.exp(1.0) + math.exp(0.5) + math.exp(-1.0))
    ends = math.log(1 + math.exp(-2.0) + math.exp(0.0) + math.exp(3.0))
    assert scores.start == pytest.approx([1.0 - starts, 0.5 - starts, -1.0 - starts], abs=1e-6)
    assert scores.end == pytest.approx([-2.0 - ends, -ends, 3.0 - ends], abs=1e-6)
    assert (scores.no_start, scores.no_end) == pytest.approx((-starts, -ends), abs=1e-6)
    assert scores.no_answer == pytest.approx(-starts - ends, abs=1e-6)
    assert scores.offsets == places(3)


def test_every_token_counts_where_it_has_most_context() -> None:
    # Context on the nearer side: 0 1 1 0 in the first window, 0 1 1 0 in the one two tokens on.
    first = [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0), (4.0, 40.0)]
    second = [(5.0, 50.0), (6.0, 60.0), (7.0, 70.0), (8.0, 80.0)]
    scores = normalise(places(6), [window(0, first), window(2, second)])
    assert scores.start - scores.no_start == pytest.approx([1, 2, 3, 6, 7, 8], abs=1e-5)
    assert scores.end - scores.no_end == pytest.approx([10, 20, 30, 60, 70, 80], abs=1e-4)


def test_of_equal_context_the_earlier_window_counts() -> None:
    # 0 1 1 0 and, one token on, 0 1 1 0: token 2 has as much in both
    first = [(1.0, 0.0)] * 4
    second = [(2.0, 0.0)] * 4
    scores = normalise(places(5), [window(0, first), window(1, second)])
    assert scores.start - scores.no_start == pytest.approx([1, 1, 1, 2, 2], abs=1e-6)


def test_an_empty_passage_has_no_answer_for_sure() -> None:
    scores = normalise([], [window(0, [])])
    assert scores.no_answer == 0
    assert best_spans(scores, 5) == []
    assert coverage(scores).shape == (0,)


@settings(deadline=None)
@given(st.data())
def test_probabilities_sum_to_one(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 30))
    room = data.draw(st.integers(1, length))
    firsts = sorted({*range(0, length - room + 1, max(1, room // 2)), length - room})
    windows = [
        window(first, data.draw(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=room, max_size=room)))
        for first in firsts
    ]
    scores = normalise(places(length), windows)
    assert np.isfinite(scores.start).all()
    assert math.exp(scores.no_start) + np.exp(scores.start).sum() == pytest.approx(1, abs=1e-5)
    assert math.exp(scores.no_end) + np.exp(scores.end).sum() == pytest.approx(1, abs=1e-5)


def test_best_spans_by_hand() -> None:
    scores = scored([-1.0, -3.0, -0.5, -2.0], [-4.0, -1.0, -2.0, -0.25])
    # 2...3 is -0.75; of what doesn't touch it, 0...1 is -2, and then nothing is left
    assert best_spans(scores, 5) == [ScoredSpan(6, 11, -0.5, -0.25), ScoredSpan(0, 5, -1.0, -1.0)]
    assert [span.score for span in best_spans(scores, 5)] == [-0.75, -2.0]
    assert best_spans(scores, 1) == [ScoredSpan(6, 11, -0.5, -0.25)]
    # one token each: 3 is -2.25, 2 is -2.5, 1 is -4, 0 is -5
    assert [span.start for span in best_spans(scores, 5, longest=1)] == [9, 6, 3, 0]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), max_size=10),
    st.integers(1, 6),
    st.integers(1, 12),
)
def test_best_spans_are_those_of_all_pairs(pairs: list[tuple[float, float]], most: int, longest: int) -> None:
    scores = scored([start for start, _ in pairs], [end for _, end in pairs])
    every = [
        (-(start + pairs[last][1]), first, last)
        for first, (start, _) in enumerate(pairs)
        for last in range(first, min(len(pairs), first + longest))
    ]
    expected: list[tuple[int, int]] = []
    for _, first, last in sorted(every):
        if len(expected) < most and all(last < f or first > t for f, t in expected):
            expected.append((first, last))
    found = best_spans(scores, most, longest=longest)
    assert [(span.start, span.end) for span in found] == [(3 * f, 3 * t + 2) for f, t in expected]
    assert [(span.start_score, span.end_score) for span in found] == [
        (pairs[f][0], pairs[t][1]) for f, t in expected
    ]


def test_best_spans_leaves_the_scores_as_they_were() -> None:
    scores = scored([-1.0, -2.0], [-2.0, -1.0])
    best_spans(scores, 2)
    assert scores.start.tolist() == [-1.0, -2.0]
    assert scores.end.tolist() == [-2.0, -1.0]


def test_coverage_by_hand() -> None:
    scores = scored(logarithms(0.5, 0.3), logarithms(0.2, 0.6))
    # the spans: 0...0 0.1, 0...1 0.3, 1...1 0.18
    assert coverage(scores) == pytest.approx([0.4, 0.48])
    assert coverage(scores, longest=1) == pytest.approx([0.1, 0.18])
    assert coverage(scores, cuts=[1]) == pytest.approx([0.1, 0.18])


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12), st.integers(1, 14), st.sets(st.integers(1, 11)))
def test_coverage_is_the_sum_over_all_spans(
    pairs: list[tuple[float, float]], longest: int, cutting: set[int]
) -> None:
    cuts = sorted(cut for cut in cutting if cut < len(pairs))
    scores = normalise(places(len(pairs)), [window(0, pairs)])
    expected = np.zeros(len(pairs))
    for first in range(len(pairs)):
        for last in range(first, min(len(pairs), first + longest)):
            if not any(first < cut <= last for cut in cuts):
                expected[first : last + 1] += math.exp(scores.start[first]) * math.exp(scores.end[last])
    found = coverage(scores, cuts=cuts, longest=longest)
    assert found == pytest.approx(expected, abs=1e-5)
    assert (found <= 1).all()
