"""Beside each file of lists, the vectors of its chunks as SQLite holds them, to score candidates again.

SQLite could give them too, but five times as slowly. The file has one row after the other by ascending id, float16;
then a CRC-32 for each, of its id and vector; then the ids. A row is checked whenever it is read, so that nothing else
has to be: an id that isn't what was written doesn't fit its checksum.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from retriever.errors import REPAIR, IndexDamagedError
from retriever.store.manifest import Shard
from retriever.store.vectors import Ids, Vectors

_NUMBER_BYTES, _SUM_BYTES, _ID_BYTES = 2, 4, 8
_BLOCK = 8192
_LOW = 0xFFFFFFFF
"""The bits of an id that a checksum begins with."""


def plain_name(shard: Shard) -> str:
    """The file beside a file of lists."""
    return f"{shard.name.removesuffix('.faiss')}.f16"


def plain_size(shard: Shard, dimension: int) -> int:
    """How long that file is."""
    return shard.count * (_NUMBER_BYTES * dimension + _SUM_BYTES + _ID_BYTES)


class PlainFile:
    """Vectors by id. Immutable; safe to share by threads.

    Raises:
        FileNotFoundError: The file isn't there.
        IndexDamagedError: It isn't as long as it should be.
    """

    def __init__(self, folder: Path, shard: Shard, dimension: int) -> None:
        self._path = folder / plain_name(shard)
        self._width = _NUMBER_BYTES * dimension
        self._file = self._path.open("rb")  # stays readable when a merge deletes it
        count = shard.count
        if os.fstat(self._file.fileno()).st_size != plain_size(shard, dimension):
            self._file.close()
            raise IndexDamagedError(f"{self._path} is damaged{REPAIR}")
        sums = count * self._width
        self._sums = np.memmap(self._file, dtype="<u4", mode="r", offset=sums, shape=(count,))
        self._ids = np.memmap(
            self._file, dtype="<i8", mode="r", offset=sums + _SUM_BYTES * count, shape=(count,)
        )

    def __del__(self) -> None:
        self._file.close()

    def read(self, ids: Ids) -> Vectors:
        """Vectors `(N, C)` of chunks `(N,)` that are in it.

        Raises:
            IndexDamagedError: One isn't what was written.
        """
        descriptor, width = self._file.fileno(), self._width
        places = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        sums = self._sums[places].tolist()
        rows = []
        for id_, place, sum_ in zip((ids & _LOW).tolist(), (places * width).tolist(), sums, strict=True):
            row = os.pread(descriptor, width, place)
            if zlib.crc32(row, id_) != sum_:
                raise IndexDamagedError(f"{self._path} is damaged{REPAIR}")
            rows.append(row)
        return np.frombuffer(b"".join(rows), dtype="<f2").reshape(len(ids), -1).astype(np.float32)

    def blocks(self) -> Sequence[tuple[int, int]]:
        """Ranges of rows to go through it by."""
        return [(start, min(start + _BLOCK, len(self._ids))) for start in range(0, len(self._ids), _BLOCK)]

    def copy(self, start: int, end: int) -> tuple[Ids, Ids, bytes]:
        """Ids, checksums and vectors of a range of rows, as they lie there."""
        data = os.pread(self._file.fileno(), (end - start) * self._width, start * self._width)
        return np.array(self._ids[start:end]), np.array(self._sums[start:end]), data


class PlainWriter:
    """Writes such a file, aside of the file of lists whose name it gets.

    Args:
        path: Of that file of lists.
        dimension: Length of a vector.
    """

    def __init__(self, path: Path, dimension: int) -> None:
        self._width = _NUMBER_BYTES * dimension
        path = path.with_suffix(".f16")
        path.unlink(missing_ok=True)
        self._file = path.open("xb")
        self._ids: list[Ids] = []
        self._sums: list[Ids] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Adds vectors, by ascending ids."""
        data = vectors.astype("<f2").tobytes()
        width = self._width
        sums = [_sum(id_, data[i * width : (i + 1) * width]) for i, id_ in enumerate(ids.tolist())]
        self._put(ids, np.array(sums, dtype=np.int64), data)

    def take_over(self, file: PlainFile, dropped: Ids) -> None:
        """Adds all rows of another file but for some ids; its checksums go with them, and are checked when asked."""
        for start, end in file.blocks():
            ids, sums, data = file.copy(start, end)
            kept = ~np.isin(ids, dropped)
            rows = np.frombuffer(data, dtype=np.uint8).reshape(len(ids), self._width)
            self._put(ids[kept], sums[kept], rows[kept].tobytes())

    def _put(self, ids: Ids, sums: Ids, data: bytes) -> None:
        self._ids.append(ids)
        self._sums.append(sums)
        self._file.write(data)

    def finish(self) -> None:
        """Writes what comes after the vectors, to stay.

        Raises:
            OSError: It can't be written.
        """
        self._file.write(np.concatenate(self._sums).astype("<u4").tobytes())
        self._file.write(np.concatenate(self._ids).astype("<i8").tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())


def _sum(id_: int, vector: bytes) -> int:
    return zlib.crc32(vector, id_ & _LOW)
