"""How much of what exact search finds do inverted lists find? Measured on an index's own vectors when it is built.

Questions lie further from passages than passages do (their cosine with the nearest of a million is about 0.6), and lists
find less for them. So it is asked with vectors that lie as far: a passage's, and some of two others'. What they find of
a million differs from what real questions find by no more than 0.02, however many lists are looked through; with
passages' own vectors it would seem 0.07 more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import faiss
import numpy as np

from retriever.store.dense import Generation
from retriever.store.vectors import Ids, Selection, Vectors

QUERIES = 256
TARGET = 0.97
"""Recall@10 that is asked for."""
WIDE_TARGET = 0.9
"""Recall@200 that is asked for: of what is weighed against the words' candidates."""
_NEAR, _WIDE = 10, 200
_OF_OTHERS = 0.8
"""How much of two other passages' vectors is in one that is asked."""


@dataclass(frozen=True, slots=True)
class Measured:
    """As many probes as reach the targets, and recall@10 and recall@200 with them."""

    probes: int
    recall: float
    wide_recall: float


class RecallCheck:
    """Exact search for vectors like those of questions, fed with all of an index, and what lists find of it.

    Args:
        vectors: `(Q, C)` of passages, spread over the index.
    """

    def __init__(self, vectors: Vectors) -> None:
        third = max(1, len(vectors) // 3)
        asked = vectors + _OF_OTHERS * (np.roll(vectors, third, axis=0) + np.roll(vectors, 2 * third, axis=0))
        self._asked: Vectors = asked / np.linalg.norm(asked, axis=1, keepdims=True)
        self._heap = faiss.ResultHeap(len(asked), _WIDE, keep_max=True)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Some of all vectors."""
        depth = min(_WIDE, len(ids))
        scores, places = faiss.knn(self._asked, vectors, depth, metric=faiss.METRIC_INNER_PRODUCT)
        self._heap.add_result(scores, ids[places])

    def measure(self, generation: Generation) -> Measured:
        """Finds out how many lists must be looked through: the fewest, in steps of about a fifth."""
        self._heap.finalize()
        exact = [row[row >= 0] for row in self._heap.I]
        probes = 4
        while True:
            found = [self._find(generation, i, probes) for i in range(len(self._asked))]
            measured = Measured(probes, _share(exact, found, _NEAR), _share(exact, found, _WIDE))
            is_enough = measured.recall >= TARGET and measured.wide_recall >= WIDE_TARGET
            if is_enough or probes >= generation.lists:
                return measured
            probes = min(generation.lists, math.ceil(1.2 * probes))

    def _find(self, generation: Generation, number: int, probes: int) -> Ids:
        anything = Selection(None, np.empty(0, dtype=np.int64))
        found, _ = generation.search(self._asked[number], _WIDE, anything, probes=probes)
        return found


def _share(exact: list[Ids], found: list[Ids], depth: int) -> float:
    """Of the best `depth` by exact search, what is among the candidates: scored again, those come out first."""
    shares = [
        len(np.intersect1d(true[:depth], candidates)) / max(1, len(true[:depth]))
        for true, candidates in zip(exact, found, strict=True)
    ]
    return float(np.mean(shares))
