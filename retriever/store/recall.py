"""How much of what exact search finds do inverted lists find? Measured on an index's own vectors when it is built."""

from __future__ import annotations

import math
from dataclasses import dataclass

import faiss
import numpy as np

from retriever.store.dense import Generation
from retriever.store.vectors import Ids, Selection, Vectors

QUERIES = 256
TARGET = 0.98
"""Recall@10 that is asked for. Questions lie further from passages than passages do, and find a little less."""
WIDE_TARGET = 0.9
"""Recall@200 that is asked for: of what is weighed against the words' candidates."""
_NEAR, _WIDE = 10, 200


@dataclass(frozen=True, slots=True)
class Measured:
    """As many probes as reach the targets, and recall@10 and recall@200 with them."""

    probes: int
    recall: float
    wide_recall: float


class RecallCheck:
    """Exact search for some of the vectors, fed with all of them, and what lists find of it.

    Args:
        ids: `(Q,)` of chunks that are searched for; each is left out of what it finds.
        vectors: `(Q, C)` of them.
    """

    def __init__(self, ids: Ids, vectors: Vectors) -> None:
        self._ids, self._vectors = ids, vectors
        self._heap = faiss.ResultHeap(len(ids), _WIDE + 1, keep_max=True)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Some of all vectors."""
        depth = min(_WIDE + 1, len(ids))
        scores, places = faiss.knn(self._vectors, vectors, depth, metric=faiss.METRIC_INNER_PRODUCT)
        self._heap.add_result(scores, ids[places])

    def measure(self, generation: Generation) -> Measured:
        """Finds out how many lists must be looked through: the fewest, in steps of about a fifth."""
        self._heap.finalize()
        exact = [_others(row[row >= 0], own) for row, own in zip(self._heap.I, self._ids, strict=True)]
        probes = 4
        while True:
            found = [self._find(generation, i, probes) for i in range(len(self._ids))]
            measured = Measured(probes, _share(exact, found, _NEAR), _share(exact, found, _WIDE))
            is_enough = measured.recall >= TARGET and measured.wide_recall >= WIDE_TARGET
            if is_enough or probes >= generation.lists:
                return measured
            probes = min(generation.lists, math.ceil(1.2 * probes))

    def _find(self, generation: Generation, number: int, probes: int) -> Ids:
        anything = Selection(None, np.empty(0, dtype=np.int64))
        found, _ = generation.search(self._vectors[number], _WIDE, anything, probes=probes)
        return found


def _others(found: Ids, own: int) -> Ids:
    others: Ids = found[found != own][:_WIDE]
    return others


def _share(exact: list[Ids], found: list[Ids], depth: int) -> float:
    """Of the best `depth` by exact search, what is among the candidates: scored again, those come out first."""
    shares = [
        len(np.intersect1d(true[:depth], candidates)) / max(1, len(true[:depth]))
        for true, candidates in zip(exact, found, strict=True)
    ]
    return float(np.mean(shares))
