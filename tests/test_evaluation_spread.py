"""A part of a set that stands for all of it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from retriever.evaluation import spread


def test_all_where_there_are_no_more() -> None:
    assert spread("abc", None) == spread("abc", 3) == spread("abc", 9) == ["a", "b", "c"]


@given(st.integers(1, 300), st.integers(1, 300))
def test_as_many_as_asked_for_at_even_distances(size: int, count: int) -> None:
    found = spread(range(size), count)
    assert len(found) == min(size, count)
    steps = {later - earlier for earlier, later in pairwise(found)}
    assert found[0] == 0
    assert all(step >= 1 for step in steps)
    assert max(steps, default=1) - min(steps, default=1) <= 1
    assert size - found[-1] <= size // count + 1
