"""The dense side: immutable FAISS files over chunk ids; the manifest names those that make up the current generation.

A file holds the chunks of one range of ids. While the index is small each is exact: float16 codes, the precision that
SQLite stores, searched in full. From `generations.APPROXIMATE_FROM` chunks on they are inverted lists (`inverted.py`).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from retriever.errors import REPAIR, IndexDamagedError
from retriever.store.manifest import Shard

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]

_WRITTEN_AT_ONCE = 1 << 20
_READ_AT_ONCE = 1 << 22
_WIDENED_AT_ONCE = 1024
"""Vectors: a block of them stays in the processor's cache."""
_BIAS = np.float32(2.0 ** (127 - 15))
"""Between the exponents of float32 and of float16."""


class DenseHit(NamedTuple):
    """A chunk and the cosine between its vector and the question's."""

    chunk: int
    score: float


class Selection:
    """Which ids may be found: those of `only` (all where it is `None`), but none of `without`.

    A bit for each id, so that FAISS asks it of every code that it meets for nearly nothing.
    """

    def __init__(self, only: Ids | None, without: Ids) -> None:
        self.only, self.without = only, without
        self.faiss: Any = None
        if only is not None:
            self.only = np.setdiff1d(only, without, assume_unique=True)
            self.faiss = _bitmap(self.only)
        elif len(without):
            self.faiss = faiss.IDSelectorNot(_bitmap(without))


def _bitmap(ids: Ids) -> Any:
    bits = np.zeros(int(ids.max(initial=-1)) + 1, dtype=bool)
    bits[ids] = True
    selector: Any = faiss.IDSelectorBitmap  # its type information has other arguments
    return selector(np.packbits(bits, bitorder="little"))


def write_exact(path: Path, dimension: int, ids: Ids, vectors: Vectors) -> Shard:
    """Writes a file that is searched exactly.

    Args:
        path: Where to.
        dimension: Length of a vector.
        ids: `(N,)`, ascending.
        vectors: `(N, C)`.

    Raises:
        OSError: It can't be written.
    """
    index: Any = faiss.IndexIDMap2(
        faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    )
    index.add_with_ids(vectors, ids)
    size, checksum = write_file(path, lambda writer: faiss.write_index(index, writer))
    return Shard(path.name, "exact", len(ids), int(ids[-1]), size, checksum)


def write_file(path: Path, write: Callable[[Any], None]) -> tuple[int, int]:
    """Writes a file through Python's own, since FAISS doesn't notice that the last of it didn't fit on the disk.

    Args:
        path: Where to; what a build that failed left there is replaced.
        write: Writes to the FAISS writer that it is given.

    Returns:
        Length in bytes, and CRC-32.

    Raises:
        OSError: It can't be written.
    """
    size = checksum = 0
    failed: list[OSError] = []
    path.unlink(missing_ok=True)
    with path.open("xb") as file:

        def write_block(block: bytes) -> int:
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
            write(untyped.PyCallbackIOWriter(write_block, _WRITTEN_AT_ONCE))
        except RuntimeError:
            if failed:
                raise failed[0] from None
            raise
        file.flush()
        os.fsync(file.fileno())
    return size, checksum


class ExactFile:
    """An exact file opened for search. Immutable; safe to share by threads.

    Args:
        folder: That it lies in.
        shard: What the manifest says of it.
        dimension: Length of a vector.

    Raises:
        FileNotFoundError: It isn't there.
        IndexDamagedError: It isn't what was written.
    """

    def __init__(self, folder: Path, shard: Shard, dimension: int) -> None:
        self._index = open_file(folder, shard, dimension)

    def ids(self) -> Ids:
        """Ids of all chunks that are in it."""
        ids: Ids = faiss.vector_to_array(self._index.id_map)
        return ids

    def search(self, vector: Vectors, limit: int, selection: Selection) -> tuple[Ids, NDArray[np.float32]]:
        """The nearest chunks by inner product, and their scores; FAISS fills up with id -1 where it finds fewer."""
        parameters: Any = faiss.SearchParameters  # its type information leaves out what it is made with
        scores, ids = self._index.search(
            vector[None, :], min(limit, self._index.ntotal), params=parameters(sel=selection.faiss)
        )
        return ids[0], scores[0]

    def search_many(
        self, vectors: Vectors, limit: int, without: Ids
    ) -> list[tuple[Ids, NDArray[np.float32]]]:
        """As `search` for each of several vectors at once, without some ids; in no particular order.

        Each block of codes is read and widened once for all of them, where FAISS would do it for each: for eight, a
        third of the time.

        Args:
            vectors: `(Q, C)`.
            limit: At most this many each.
            without: Ids that aren't wanted.
        """
        ids, codes = self.ids(), self._codes()
        scores = np.empty((len(ids), len(vectors)), dtype=np.float32)
        block = np.empty((min(_WIDENED_AT_ONCE, len(ids)), codes.shape[1]), dtype=np.uint32)
        for first in range(0, len(ids), _WIDENED_AT_ONCE):
            some = codes[first : first + _WIDENED_AT_ONCE]
            np.matmul(_widened(some, block[: len(some)]), vectors.T, out=scores[first : first + len(some)])
        if len(without):
            scores[np.isin(ids, without)] = -np.inf
        found = []
        for column in scores.T:
            best = np.argpartition(-column, min(limit, len(ids)) - 1)[:limit]
            best = best[np.isfinite(column[best])]
            found.append((ids[best], column[best]))
        return found

    def _codes(self) -> NDArray[np.uint16]:
        """The vectors' codes where FAISS has them, `(N, C)`: the bits of float16."""
        quantiser: Any = faiss.downcast_index(self._index.index)
        size = self._index.ntotal * self._index.d
        bits: NDArray[np.uint8] = faiss.rev_swig_ptr(quantiser.codes.data(), 2 * size)
        return bits.view(np.uint16).reshape(self._index.ntotal, self._index.d)


def _widened(halves: NDArray[np.uint16], into: NDArray[np.uint32]) -> Vectors:
    """The bits of finite float16 as float32, in the memory of `into`; numpy's own way takes three times as long.

    Sign, exponent and fraction are shifted to where float32 has them, the exponent then counts from another bias.
    """
    signed = into.view(np.int32)
    signed[...] = halves.view(np.int16)  # copies the sign to all upper bits
    np.left_shift(signed, 13, out=signed)
    np.bitwise_and(into, np.uint32(0x8FFFFFFF), out=into)
    wide = into.view(np.float32)
    np.multiply(wide, _BIAS, out=wide)
    return wide


def open_file(folder: Path, shard: Shard, dimension: int) -> Any:
    """Reads a file that is what was written: FAISS believes what a file says of its size, and crashes where it lies.

    Raises:
        FileNotFoundError: It isn't there.
        IndexDamagedError: It isn't what was written.
    """
    path = folder / shard.name
    size = checksum = 0
    with path.open("rb") as file:
        while block := file.read(_READ_AT_ONCE):
            size += len(block)
            checksum = zlib.crc32(block, checksum)
    if (size, checksum) != (shard.size, shard.checksum):
        raise IndexDamagedError(f"{path} is damaged{REPAIR}")
    with opening(path):
        index: Any = faiss.read_index(str(path))
    if index.d != dimension or index.ntotal != shard.count:
        raise IndexDamagedError(f"{path} holds other vectors than it should{REPAIR}")
    return index


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Tells what FAISS says of a file that it can't open.

    Raises:
        FileNotFoundError: It isn't there.
        IndexDamagedError: It isn't what was written.
    """
    try:
        yield
    except RuntimeError as error:
        if path.exists():
            raise IndexDamagedError(f"{path} is damaged{REPAIR}") from error
        raise FileNotFoundError(path) from error  # a merge took it away just now


def exact_search(ids: Ids, matrix: Vectors, vector: Vectors, limit: int) -> tuple[Ids, NDArray[np.float32]]:
    """Exact inner products in numpy: the delta's search, and the reference that FAISS is tested against.

    Args:
        ids: `(N,)`.
        matrix: `(N, C)`.
        vector: `(C,)`.
        limit: At most this many.

    Returns:
        Ids and scores, best first; of equal ones, the lesser id.
    """
    if not len(ids) or limit < 1:
        return ids[:0], np.empty(0, dtype=np.float32)
    # row by row on this thread: as fast as a matrix product, whose helper thread has to be waited for on a busy machine
    scores = np.vecdot(matrix, vector)  # (N,)
    best = np.argpartition(-scores, min(limit, len(ids)) - 1)[:limit]
    best = best[np.lexsort((ids[best], -scores[best]))]
    return ids[best], scores[best]
