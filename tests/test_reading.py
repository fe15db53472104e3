"""How question, context and passage become windows: layouts by hand, and nothing is left out whatever the lengths."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.encoder.reading import Ids, PairLayout, ReadingConfig

START, SEPARATOR = 2, 3
NOTHING: Ids = np.empty(0, dtype=np.int64)


def layout(**sizes: int) -> PairLayout:
    return PairLayout(START, SEPARATOR, ReadingConfig(**sizes))


def ids(*values: int) -> Ids:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("question", "context", "expected", "begin"),
    [
        (ids(10, 11), NOTHING, [2, 10, 11, 3, 20, 21, 22, 3], 4),
        (ids(10, 11), ids(12), [2, 10, 11, 3, 12, 3, 20, 21, 22, 3], 6),
        (NOTHING, NOTHING, [2, 3, 20, 21, 22, 3], 2),
        (NOTHING, ids(12), [2, 3, 12, 3, 20, 21, 22, 3], 4),
    ],
    ids=["question", "question and context", "passage only", "context only"],
)
def test_a_window_by_hand(question: Ids, context: Ids, expected: list[int], begin: int) -> None:
    (window,) = layout().windows(question, context, ids(20, 21, 22))
    assert window.ids.tolist() == expected
    assert (window.begin, window.first) == (begin, 0)
    assert window.segments.tolist() == [0] * begin + [1] * 4


def test_a_passage_without_tokens_is_one_window() -> None:
    (window,) = layout().windows(ids(10), NOTHING, NOTHING)
    assert window.ids.tolist() == [2, 10, 3, 3]
    assert window.segments.tolist() == [0, 0, 0, 1]


def test_question_and_context_are_read_up_to_their_limits() -> None:
    (window,) = layout(question_tokens=3, context_tokens=2).windows(
        ids(10, 11, 12, 13, 14), ids(15, 16, 17), ids(20)
    )
    assert window.ids.tolist() == [2, 10, 11, 12, 3, 15, 16, 3, 20, 3]


def test_a_long_passage_by_hand() -> None:
    passage = np.arange(100, 126)  # 26 tokens; 24 - 4 - 1 = 19 have room
    windows = layout(max_length=24, stride=5).windows(ids(10, 11), NOTHING, passage)
    assert [window.first for window in windows] == [0, 5, 7]
    for window in windows:
        assert window.ids.tolist() == [2, 10, 11, 3, *range(100 + window.first, 119 + window.first), 3]


def test_a_stride_over_the_room_skips_nothing() -> None:
    windows = layout(max_length=20, stride=128).windows(NOTHING, NOTHING, np.arange(40))  # room for 17
    assert [window.first for window in windows] == [0, 17, 23]


@pytest.mark.parametrize(
    ("first", "last", "expected"), [(0, 4, range(4)), (3, 7, range(3, 7)), (3, 40, range(3, 22))]
)
def test_a_crop_by_hand(first: int, last: int, expected: range) -> None:
    window = layout(max_length=24).crop(ids(10, 11), NOTHING, np.arange(40), first, last)
    assert window.ids.tolist() == [2, 10, 11, 3, *expected, 3]
    assert (window.begin, window.first) == (4, first)


def test_sizes_are_saved_and_loaded() -> None:
    config = ReadingConfig(1, 2, 3, 4)
    assert ReadingConfig.from_json(config.to_json()) == config


@settings(max_examples=300, deadline=None)
@given(
    question=st.integers(0, 500),
    context=st.integers(0, 100),
    length=st.integers(0, 700),
    limits=st.tuples(st.integers(0, 64), st.integers(0, 32)),
    room=st.integers(0, 200),
    stride=st.integers(1, 200),
)
def test_windows_leave_nothing_out(
    question: int, context: int, length: int, limits: tuple[int, int], room: int, stride: int
) -> None:
    # the longest head takes limits + 3, the end 1, and a passage has 16 at the least
    most = sum(limits) + 4 + 16 + room
    config = ReadingConfig(most, stride, *limits)
    passage = np.arange(1000, 1000 + length)
    asked, over = np.full(question, 10), np.full(context, 11)
    windows = PairLayout(START, SEPARATOR, config).windows(asked, over, passage)
    head = windows[0].ids[: windows[0].begin]
    read = set()
    for window in windows:
        part = window.ids[window.begin : -1]
        assert len(window.ids) <= most
        assert len(window.ids) == len(window.segments)
        assert window.segments.sum() == len(part) + 1
        assert np.array_equal(window.ids[: window.begin], head)
        assert np.array_equal(part, passage[window.first : window.first + len(part)])
        assert window.ids[-1] == SEPARATOR
        read.update(part.tolist())
    assert read == set(passage.tolist())
    assert head.tolist().count(10) == min(question, limits[0])
    assert head.tolist().count(11) == min(context, limits[1])
    for before, after in pairwise(windows):
        assert 0 < after.first - before.first <= stride
        assert len(after.ids) == len(before.ids)
