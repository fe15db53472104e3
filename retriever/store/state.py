"""What is loaded of one revision of an index, and which of its chunks are nearest to a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.filters import Filter
from retriever.store.dense import Generation
from retriever.store.manifest import Manifest
from retriever.store.vectors import DenseHit, Ids, Selection, Vectors, exact_search

_FEW = 2000
"""So few chunks that a filter leaves are compared one by one: faster than looking through all lists for them."""
_KEPT_AHEAD = 64
"""Questions; those that nobody came to ask after all are forgotten in time."""


@dataclass(frozen=True, slots=True)
class State:
    """What is loaded of one revision."""

    manifest: Manifest
    generation: Generation | None
    delta_ids: Ids  # (N,)
    delta: Vectors  # (N, C)
    living: Selection
    """All of the generation that wasn't deleted since."""
    deleted: frozenset[int]
    next_id: int
    """The id that the next chunk gets."""
    searcher: Any
    whole: set[int] = field(default_factory=set)
    """Keys of documents whose checksums were found right."""
    sheets: list[frozenset[int]] = field(default_factory=list)
    """Once it was asked for: keys of documents whose rows are passages of their own."""
    filtered: dict[tuple[Filter, ...], Allowed] = field(default_factory=dict)
    """What the last few filters leave."""
    ahead: dict[tuple[bytes, int], list[DenseHit]] = field(default_factory=dict)
    """What was found ahead, by vector and limit, until it is asked for."""

    def look_ahead(self, vectors: Vectors, limit: int) -> None:
        """Finds for several vectors at once, `(Q, C)`, what `nearest` will be asked of all chunks for each.

        Only where all vectors are compared: lists are looked through for each by itself.
        """
        if self.generation is None or not self.generation.is_exact or len(vectors) < 2:
            return
        older = self.generation.search_many(vectors, limit, self.living.without)
        for forgotten in list(self.ahead)[:-_KEPT_AHEAD]:  # other threads take some out, too
            self.ahead.pop(forgotten, None)
        for vector, found in zip(vectors, older, strict=True):
            newer = exact_search(self.delta_ids, self.delta, vector, limit)
            self.ahead[vector.tobytes(), limit] = _nearest(newer, found, limit)

    def nearest(self, vector: Vectors, limit: int, allowed: Allowed | None) -> list[DenseHit]:
        """The nearest chunks to `vector (C,)`, best first: generation and delta together.

        Raises:
            IndexDamagedError: A vector, or a list, isn't what was written.
        """
        if allowed is None and self.ahead:
            known = self.ahead.pop((vector.tobytes(), limit), None)
            if known is not None:
                return known
        ids, matrix = self.delta_ids, self.delta
        if allowed is not None:
            kept = np.isin(ids, allowed.newer)
            ids, matrix = ids[kept], matrix[kept]
        newer = exact_search(ids, matrix, vector, limit)
        older = newer[0][:0], newer[1][:0]
        if self.generation is not None:
            older = self._in_generation(self.generation, vector, limit, allowed)
        return _nearest(newer, older, limit)

    def _in_generation(
        self, generation: Generation, vector: Vectors, limit: int, allowed: Allowed | None
    ) -> tuple[Ids, NDArray[np.float32]]:
        living = self.living
        if allowed is not None:
            living = allowed.older
            if living.only is not None and len(living.only) <= _FEW and not generation.is_exact:
                return exact_search(*generation.vectors(living.only), vector, limit)
        candidates, scores = generation.search(vector, limit, living)
        if not generation.is_exact:
            return exact_search(*generation.vectors(candidates), vector, limit)
        return candidates, scores


@dataclass(frozen=True, slots=True)
class Allowed:
    """The documents and chunks that a filter leaves."""

    documents: Sequence[int]
    chunks: Ids
    newer: Ids
    """Those of the chunks that came after the generation."""
    older: Selection
    """The others, but for those that were deleted since."""


def _nearest(
    newer: tuple[Ids, NDArray[np.float32]], older: tuple[Ids, NDArray[np.float32]], limit: int
) -> list[DenseHit]:
    """The best of both, best first; of equal ones, the lesser id."""
    ids, scores = np.concatenate([newer[0], older[0]]), np.concatenate([newer[1], older[1]])
    best = np.lexsort((ids, -scores))[:limit]
    return [
        DenseHit(chunk, score) for chunk, score in zip(ids[best].tolist(), scores[best].tolist(), strict=True)
    ]
