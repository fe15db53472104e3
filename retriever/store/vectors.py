"""The dense side: immutable FAISS files over chunk ids, one a generation.

Small indexes are exact: float16 codes, the precision that SQLite stores, searched in full. From `APPROXIMATE_FROM`
chunks on, an inverted file with 8-bit codes takes over (Jegou et al., "Product Quantization for Nearest Neighbor
Search", 2011, for the inverted file), and as many lists are probed as recall@10 against exact search asks for,
measured on the index's own vectors when it is built.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from retriever.errors import IndexFormatError

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Blocks = Iterable[tuple[Ids, Vectors]]

APPROXIMATE_FROM = 200_000
TARGET_RECALL = 0.95
_PROBED_QUERIES = 200
_TRAINING_VECTORS_PER_LIST = 50


@dataclass(frozen=True, slots=True)
class DenseHit:
    """A chunk and the cosine between its vector and the question's."""

    chunk: int
    score: float


def build(path: Path, dimension: int, count: int, blocks: Callable[[], Blocks]) -> float:
    """Writes a generation: aside, synced to disk, then renamed, so that a file with this name is whole.

    Args:
        path: Where to.
        dimension: Length of a vector.
        count: How many vectors there are.
        blocks: Gives them, ids ascending, in blocks; called more than once.

    Returns:
        recall@10 of its search against exact search; 1.0 for an exact index.
    """
    inner = _approximate(dimension, count, blocks) if count >= APPROXIMATE_FROM else _exact(dimension)
    index = faiss.IndexIDMap2(inner)
    for ids, vectors in blocks():
        index.add_with_ids(vectors, ids)
    recall = _choose_probes(index, count, blocks) if count >= APPROXIMATE_FROM else 1.0
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(".tmp")
    faiss.write_index(index, str(aside))
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)
    return recall


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Generation:
    """A FAISS file opened for search. Immutable; safe to share by threads."""

    def __init__(self, path: Path, dimension: int) -> None:
        try:
            self._index: Any = faiss.read_index(str(path))
        except RuntimeError as error:
            if not path.exists():
                raise FileNotFoundError(path) from error
            raise IndexFormatError(f"{path} is damaged: run 'spanseek compact'") from error
        if self._index.d != dimension:
            raise IndexFormatError(f"{path} holds vectors of another length: run 'spanseek compact'")

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        """Ids of all chunks that are in it."""
        ids: Ids = faiss.vector_to_array(self._index.id_map)
        return ids

    def search(self, vector: Vectors, limit: int, *, only: Ids | None, without: Ids) -> list[DenseHit]:
        """The nearest chunks by inner product.

        Args:
            vector: `(C,)`, of length 1.
            limit: At most this many.
            only: Ids that may be found; `None` for all.
            without: Ids that may not.

        Returns:
            Best first.
        """
        parameters = self._parameters(only, without)
        limit = min(limit, len(self))
        if limit < 1:
            return []
        scores, ids = self._index.search(vector[None, :], limit, params=parameters)
        # FAISS fills up with id -1 where it finds fewer.
        return [
            DenseHit(int(chunk), float(score))
            for chunk, score in zip(ids[0], scores[0], strict=True)
            if chunk >= 0
        ]

    def _parameters(self, only: Ids | None, without: Ids) -> Any:
        """FAISS's search parameters with a selector of the ids that count."""
        selector: Any = None
        if only is not None:
            selector = faiss.IDSelectorBatch(np.setdiff1d(only, without))
        elif len(without):
            selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(without))
        parameters: Any = faiss.SearchParameters  # its type information leaves out what it is made with
        inverted = faiss.try_extract_index_ivf(self._index)
        if inverted is not None:
            parameters = faiss.SearchParametersIVF
            return parameters(sel=selector, nprobe=inverted.nprobe)
        return parameters(sel=selector)


def exact_search(ids: Ids, matrix: Vectors, vector: Vectors, limit: int) -> list[DenseHit]:
    """Exact inner products in numpy: the delta's search, and the reference that FAISS is tested against.

    Args:
        ids: `(N,)`.
        matrix: `(N, C)`.
        vector: `(C,)`.
        limit: At most this many.
    """
    if not len(ids) or limit < 1:
        return []
    scores = matrix @ vector  # (N,)
    best = np.argpartition(-scores, min(limit, len(ids)) - 1)[:limit]
    best = best[np.lexsort((ids[best], -scores[best]))]
    return [DenseHit(int(ids[i]), float(scores[i])) for i in best]


def _exact(dimension: int) -> Any:
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _approximate(dimension: int, count: int, blocks: Callable[[], Blocks]) -> Any:
    lists = 4 * int(math.sqrt(count))
    sample = _sample(count, lists * _TRAINING_VECTORS_PER_LIST, blocks)
    quantizer = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dimension, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.train(sample)
    return index


def _sample(count: int, wanted: int, blocks: Callable[[], Blocks]) -> Vectors:
    """About `wanted` vectors, spread evenly over all."""
    step = max(1, count // wanted)
    return np.concatenate([vectors[::step] for _, vectors in blocks()])


def _choose_probes(index: Any, count: int, blocks: Callable[[], Blocks]) -> float:
    """Sets the fewest probed lists that reach TARGET_RECALL on a sample of the index's own vectors."""
    inverted = faiss.extract_index_ivf(index)
    queries = _sample(count, _PROBED_QUERIES, blocks)[: 2 * _PROBED_QUERIES]
    heap = faiss.ResultHeap(len(queries), 10, keep_max=True)
    for ids, vectors in blocks():
        scores, places = faiss.knn(queries, vectors, 10, metric=faiss.METRIC_INNER_PRODUCT)
        heap.add_result(scores, ids[places])
    heap.finalize()
    recall = 0.0
    probes = 1
    while recall < TARGET_RECALL and probes < inverted.nlist:
        probes = min(2 * probes, inverted.nlist)
        inverted.nprobe = probes
        _, found = index.search(queries, 10)
        recall = float(np.mean([len(np.intersect1d(f, e)) / 10 for f, e in zip(found, heap.I, strict=True)]))
    return recall
