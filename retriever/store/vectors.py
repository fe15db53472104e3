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
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from retriever.errors import REPAIR, IndexDamagedError
from retriever.store.layout import make_folder, sync_folder
from retriever.store.manifest import Shard

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Blocks = Iterable[tuple[Ids, Vectors]]

APPROXIMATE_FROM = 1_000_000
SHARD = 32_768
TARGET_RECALL = 0.95
_PROBED_QUERIES = 200
_WRITTEN_AT_ONCE = 1 << 20
_READ_AT_ONCE = 1 << 22
_TRAINING_VECTORS_PER_LIST = 50


@dataclass(frozen=True, slots=True)
class DenseHit:
    """A chunk and the cosine between its vector and the question's."""

    chunk: int
    score: float


@dataclass(frozen=True, slots=True)
class Built:
    """A generation that was written: recall@10 of its search against exact search (1.0 for an exact index), and files."""

    recall: float
    shards: tuple[Shard, ...]


def build(folder: Path, dimension: int, count: int, blocks: Callable[[], Blocks]) -> Built:
    """Writes a generation: aside, synced to disk, then renamed, so that a folder with this name is whole.

    Args:
        folder: Where to; one that is there was never committed, and is replaced.
        dimension: Length of a vector.
        count: How many vectors there are.
        blocks: Gives them, ids ascending, in blocks; called more than once.

    Raises:
        OSError: It can't be written.
    """
    aside = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    make_folder(folder.parent)
    make_folder(aside)
    recall, shards = 1.0, []
    if count >= APPROXIMATE_FROM:
        index = faiss.IndexIDMap2(_approximate(dimension, count, blocks))
        for ids, vectors in blocks():
            index.add_with_ids(vectors, ids)
        recall = _choose_probes(index, count, blocks)
        shards.append(_write(index, aside / _shard_name(0, 1)))
    else:
        for number, (ids, vectors) in enumerate(_resized(blocks(), SHARD)):
            index = faiss.IndexIDMap2(_exact(dimension))
            index.add_with_ids(vectors, ids)
            shards.append(_write(index, aside / _shard_name(number, -(-count // SHARD))))
    sync_folder(aside)
    shutil.rmtree(folder, ignore_errors=True)  # of a build whose commit failed: nobody has it open
    aside.replace(folder)
    sync_folder(folder.parent)
    return Built(recall, tuple(shards))


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


def _write(index: Any, path: Path) -> Shard:
    """Writes a file through Python's own, since FAISS doesn't notice that the last of it didn't fit on the disk."""
    size = checksum = 0
    failed: list[OSError] = []
    with path.open("xb") as file:

        def write(block: bytes) -> int:
            nonlocal size, checksum
            try:
                file.write(block)
            except OSError as error:
                failed.append(error)
                return 0
            size += len(block)
            checksum = zlib.crc32(block, checksum)
            return len(block)

        untyped: Any = faiss  # its type information leaves out the writer
        try:
            faiss.write_index(index, untyped.PyCallbackIOWriter(write, _WRITTEN_AT_ONCE))
        except RuntimeError:
            if failed:
                raise failed[0] from None
            raise
        file.flush()
        os.fsync(file.fileno())
    return Shard(path.name, size, checksum)


class Generation:
    """A generation's FAISS files opened for search. Immutable; safe to share by threads.

    Args:
        folder: Of the generation.
        dimension: Length of a vector.
        shards: What the manifest says of its files.

    Raises:
        FileNotFoundError: The folder, or one of its files, isn't there.
        IndexDamagedError: A file isn't what was written.
    """

    def __init__(self, folder: Path, dimension: int, shards: Sequence[Shard]) -> None:
        self._shards = [_open(folder, shard, dimension) for shard in shards]

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


def _open(folder: Path, expected: Shard, dimension: int) -> Any:
    """Reads a file that is what was written: FAISS believes what a file says of its size, and crashes where it lies."""
    path = folder / expected.name
    size = checksum = 0
    with path.open("rb") as file:
        while block := file.read(_READ_AT_ONCE):
            size += len(block)
            checksum = zlib.crc32(block, checksum)
    if (size, checksum) != (expected.size, expected.checksum):
        raise IndexDamagedError(f"{path} is damaged{REPAIR}")
    try:
        shard: Any = faiss.read_index(str(path))
    except RuntimeError as error:
        if path.exists():
            raise IndexDamagedError(f"{path} is damaged{REPAIR}") from error
        raise FileNotFoundError(path) from error  # a merge took it away just now
    if shard.d != dimension:
        raise IndexDamagedError(f"{path} holds vectors of another length{REPAIR}")
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
