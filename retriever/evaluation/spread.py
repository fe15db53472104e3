"""A part of a set that stands for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(items: Sequence[T], count: int | None) -> list[T]:
    """So many of the items, at even distances, in their order; all of them where there are no more.

    The first few hundred questions of SQuAD are about three articles, and easier than the rest: what they say isn't
    what the set says.

    >>> spread("abcdefgh", 3)
    ['a', 'c', 'f']
    """
    if count is None or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
