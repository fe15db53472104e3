"""The dense side: immutable FAISS files over chunk ids, a folder of them for each generation.

Up to a million chunks the search is exact: float16 codes, the precision that SQLite stores, searched in full, in files
of at most `SHARD` chunks, so that building them takes no more memory for a long corpus than for a short one. From `APPROXIMATE_FROM`
chunks on, an inverted file with 8-bit codes takes over (Jegou et al., "Product Quantization for Nearest Neighbor
Search", 2011, for the inverted file), and as many lists are probed as recall@10 against exact search asks for,
measured on the index's own vectors when it is built.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from retriever.errors import IndexFormatError
from retriever.store.layout import make_folder, sync_folder

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Blocks = Iterable[tuple[Ids, Vectors]]

APPROXIMATE_FROM = 1_000_000
SHARD = 32_768
TARGET_RECALL = 0.95
_PROBED_QUERIES = 200
_TRAINING_VECTORS_PER_LIST = 50


@dataclass(frozen=True, slots=True)
class DenseHit:
    """A chunk and the cosine between its vector and the question's."""

    chunk: int
    score: float


def build(folder: Path, dimension: int, count: int, blocks: Callable[[], Blocks]) -> float:
    """Writes a generation: aside, synced to disk, then renamed, so that a folder with this name is whole.

    Args:
        folder: Where to; must not exist.
        dimension: Length of a vector.
        count: How many vectors there are.
        blocks: Gives them, ids ascending, in blocks; called more than once.

    Returns:
        recall@10 of its search against exact search; 1.0 for an exact index.
    """
    aside = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    make_folder(folder.parent)
    make_folder(aside)
    recall = 1.0
    if count >= APPROXIMATE_FROM:
        index = faiss.IndexIDMap2(_approximate(dimension, count, blocks))
        for ids, vectors in blocks():
            index.add_with_ids(vectors, ids)
        recall = _choose_probes(index, count, blocks)
        _write(index, aside / _shard_name(0, 1))
    else:
        for number, (ids, vectors) in enumerate(_resized(blocks(), SHARD)):
            index = faiss.IndexIDMap2(_exact(dimension))
            index.add_with_ids(vectors, ids)
            _write(index, aside / _shard_name(number, -(-count // SHARD)))
    sync_folder(aside)
    aside.replace(folder)
    sync_folder(folder.parent)
    return recall


def _shard_name(number: int, total: int) -> str:
    """Says how many there are, so that one that is lost is missed."""
    return f"{number:04d}-of-{total:04d}.faiss"


def _resized(blocks: Blocks, size: int) -> Blocks:
    """The same ids and vectors in blocks of exactly `size`, but for the last."""
    ids, vectors, held = [], [], 0
    for block_ids, block_vectors in blocks:
        while len(block_ids):
            room = size - held
            ids.append(block_ids[:room])
            vectors.append(block_vectors[:room])
            held += len(ids[-1])
            block_ids, block_vectors = block_ids[room:], block_vectors[room:]
            if held == size:
                yield np.concatenate(ids), np.concatenate(vectors)
                ids, vectors, held = [], [], 0
    if held:
        yield np.concatenate(ids), np.concatenate(vectors)


def _write(index: Any, path: Path) -> None:
    faiss.write_index(index, str(path))
    with path.open("rb") as file:
        os.fsync(file.fileno())


class Generation:
    """A generation's FAISS files opened for search. Immutable; safe to share by threads.

    Raises:
        FileNotFoundError: The folder, or one of its files, isn't there.
        IndexFormatError: A file is damaged.
    """

    def __init__(self, folder: Path, dimension: int) -> None:
        paths = sorted(folder.glob("*.faiss"))
        if not folder.is_dir() or (paths and len(paths) != int(paths[0].stem.rpartition("-")[2])):
            raise FileNotFoundError(folder)
        self._shards = [_open(path, dimension) for path in paths]

    def __len__(self) -> int:
        return sum(int(shard.ntotal) for shard in self._shards)

    def ids(self) -> Ids:
        """Ids of all chunks that are in it."""
        ids: list[Ids] = [faiss.vector_to_array(shard.id_map) for shard in self._shards]
        return np.concatenate([np.empty(0, dtype=np.int64), *ids])

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
        selector = _selector(only, without)
        hits: list[DenseHit] = []
        for shard in self._shards:
            wanted = min(limit, int(shard.ntotal))
            scores, ids = shard.search(vector[None, :], wanted, params=_parameters(shard, selector))
            # FAISS fills up with id -1 where it finds fewer.
            hits += [
                DenseHit(int(chunk), float(score))
                for chunk, score in zip(ids[0], scores[0], strict=True)
                if chunk >= 0
            ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk))[:limit]


def _open(path: Path, dimension: int) -> Any:
    try:
        shard: Any = faiss.read_index(str(path))
    except RuntimeError as error:
        if not path.exists():
            raise FileNotFoundError(path) from error
        raise IndexFormatError(f"{path} is damaged: run 'spanseek compact'") from error
    if shard.d != dimension:
        raise IndexFormatError(f"{path} holds vectors of another length: run 'spanseek compact'")
    return shard


def _selector(only: Ids | None, without: Ids) -> Any:
    """Which ids count, for FAISS; `None` for all."""
    if only is not None:
        return faiss.IDSelectorBatch(np.setdiff1d(only, without))
    if len(without):
        return faiss.IDSelectorNot(faiss.IDSelectorBatch(without))
    return None


def _parameters(shard: Any, selector: Any) -> Any:
    parameters: Any = faiss.SearchParameters  # its type information leaves out what it is made with
    inverted = faiss.try_extract_index_ivf(shard)
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
