"""Inverted lists: the dense side of a large index.

Vectors go to the list of their nearest centroid (Jegou et al., "Product Quantization for Nearest Neighbor Search",
2011), in 4 bits a number of what the centroid leaves. A search reads the lists of the centroids nearest to the
question, and gives more candidates than are wanted: who asks scores them again by their own vectors (`plain.py`).

Files are FAISS's own. One, `trained`, holds the centroids and the scale of the codes; the others hold lists, and share
it. A file of lists ends in a CRC-32 for each of its lists; the manifest has that of all before the lists and of those
checksums. The lists are mapped into memory, not read, and a list is checked when a search first comes to it.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from retriever.errors import REPAIR, IndexDamagedError
from retriever.store.manifest import Shard
from retriever.store.vectors import Ids, Selection, Vectors, open_file, opening, write_file

_ID_BYTES = 8
_TRAINING_ROUNDS = 8
TRAINING_VECTORS_PER_LIST = 40


def lists_for(count: int) -> int:
    """How many lists so many vectors go to: about 4 times the root, a power of 2."""
    return 1 << max(4, round(math.log2(4 * count**0.5) - 0.25))


def train(path: Path, sample: Vectors, lists: int) -> Shard:
    """Finds centroids and the scale of codes, and writes them.

    Args:
        path: Where to.
        sample: `(N, C)`, some of the vectors.
        lists: How many centroids.
    """
    dimension = sample.shape[1]
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dimension),
        dimension,
        lists,
        faiss.ScalarQuantizer.QT_4bit,
        faiss.METRIC_INNER_PRODUCT,
    )
    index.cp.niter = _TRAINING_ROUNDS
    index.cp.min_points_per_centroid = 1  # no advice on the terminal
    index.train(sample)
    size, checksum = write_file(path, lambda writer: faiss.write_index(index, writer))
    return Shard(path.name, "trained", 0, 0, size, checksum)


class Trained:
    """Centroids and the scale of codes. Immutable; safe to share by threads.

    Raises:
        FileNotFoundError: The file isn't there.
        IndexDamagedError: It isn't what was written.
    """

    def __init__(self, folder: Path, shard: Shard, dimension: int) -> None:
        self.shard = shard
        self._index = open_file(folder, shard, dimension)
        self.lists = int(self._index.nlist)

    def nearest(self, vector: Vectors, probes: int) -> tuple[Vectors, Ids]:
        """Inner products with the nearest centroids, and their numbers, both `(1, probes)`."""
        scores, numbers = self._index.quantizer.search(vector[None, :], min(probes, self.lists))
        return scores, numbers

    def empty(self) -> Any:
        """A FAISS index with the centroids and no vectors."""
        return faiss.clone_index(self._index)


class ListsFile:
    """A file of lists opened for search. Immutable, but for what it knows to be whole; safe to share by threads.

    Args:
        folder: That it lies in.
        shard: What the manifest says of it.
        trained: What its codes mean.

    Raises:
        FileNotFoundError: It isn't there.
        IndexDamagedError: What is before its lists isn't what was written.
    """

    def __init__(self, folder: Path, shard: Shard, trained: Trained) -> None:
        self._path = path = folder / shard.name
        self.count = shard.count
        self._file = path.open("rb")  # stays readable when a merge deletes it
        try:
            self._sums = self._check(shard, trained)
            with opening(path):
                flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
                self._index: Any = faiss.read_index(str(path), flags)
        except BaseException:
            self._file.close()
            raise
        self._whole = np.zeros(trained.lists, dtype=bool)
        self._lock = threading.Lock()
        self._places = self._places_of(trained.lists)

    def _check(self, shard: Shard, trained: Trained) -> NDArray[np.uint32]:
        """Checks what is before the lists, and the lists' checksums, which it returns."""
        sums_size = 4 * trained.lists
        descriptor = self._file.fileno()
        size = os.fstat(descriptor).st_size
        code = int(trained.empty().code_size) + _ID_BYTES
        head = size - sums_size - shard.count * code
        if size != shard.size or head < 0:
            raise IndexDamagedError(f"{self._path} is damaged{REPAIR}")
        sums = os.pread(descriptor, sums_size, size - sums_size)
        if zlib.crc32(sums, zlib.crc32(os.pread(descriptor, head, 0))) != shard.checksum:
            raise IndexDamagedError(f"{self._path} is damaged{REPAIR}")
        return np.frombuffer(sums, dtype="<u4")

    def _places_of(self, lists: int) -> NDArray[np.int64]:
        """Where each list begins, and the last one ends: `(lists + 1,)`."""
        inverted = self._index.invlists
        sizes = np.fromiter((inverted.list_size(i) for i in range(lists)), dtype=np.int64, count=lists)
        code = int(self._index.code_size) + _ID_BYTES
        end = os.fstat(self._file.fileno()).st_size - 4 * lists
        return np.concatenate([[0], np.cumsum(sizes * code)]) + end - int(sizes.sum()) * code

    def close(self) -> None:
        """Lets go of the file; FAISS's own mapping ends with the object."""
        self._file.close()

    def __del__(self) -> None:
        self.close()

    def ids(self) -> Ids:
        """Ids of all chunks that are in it."""
        every = np.arange(len(self._whole))
        self._make_sure(every)
        return np.concatenate([np.empty(0, dtype=np.int64), *(self.entries(i)[0] for i in every.tolist())])

    def entries(self, number: int) -> tuple[Ids, NDArray[np.uint8]]:
        """Ids `(N,)` and codes `(N, bytes)` of a list."""
        self._make_sure(np.array([number]))
        inverted = self._index.invlists
        size = int(inverted.list_size(number))
        if not size:
            return np.empty(0, dtype=np.int64), np.empty((0, int(self._index.code_size)), dtype=np.uint8)
        codes = faiss.rev_swig_ptr(inverted.get_codes(number), size * int(self._index.code_size))
        return faiss.rev_swig_ptr(inverted.get_ids(number), size).copy(), codes.reshape(size, -1).copy()

    def search(
        self, vector: Vectors, limit: int, selection: Selection, nearest: tuple[Vectors, Ids]
    ) -> tuple[Ids, NDArray[np.float32]]:
        """Candidates by the inner product with their codes; FAISS fills up with id -1 where it finds fewer.

        Args:
            vector: `(C,)`, of length 1.
            limit: How many.
            selection: Which count.
            nearest: The lists to look through, from `Trained.nearest`.

        Raises:
            IndexDamagedError: One of the lists isn't what was written.
        """
        centroids, numbers = nearest
        self._make_sure(numbers[0])
        scores = np.empty((1, limit), dtype=np.float32)
        ids = np.empty((1, limit), dtype=np.int64)
        parameters: Any = faiss.SearchParametersIVF
        pointer: Any = faiss.swig_ptr
        self._index.search_preassigned_c(
            1,
            pointer(vector[None, :]),
            limit,
            pointer(numbers),
            pointer(centroids),
            pointer(scores),
            pointer(ids),
            False,
            parameters(nprobe=numbers.shape[1], sel=selection.faiss),
        )
        return ids[0], scores[0]

    def _make_sure(self, numbers: NDArray[np.int64]) -> None:
        """Checks lists that no search has come to yet."""
        new = numbers[~self._whole[numbers]]
        for number in new.tolist():
            start, end = int(self._places[number]), int(self._places[number + 1])
            # Read, not looked at where it is mapped: an error of the disk is then one, and not a signal.
            block = os.pread(self._file.fileno(), end - start, start)
            if len(block) != end - start or zlib.crc32(block) != self._sums[number]:
                raise IndexDamagedError(f"{self._path} is damaged{REPAIR}")
        with self._lock:
            self._whole[new] = True


class ListsBuilder:
    """Fills lists in memory, and writes them.

    Args:
        trained: The centroids.
    """

    def __init__(self, trained: Trained) -> None:
        self._index = trained.empty()
        self._lists = trained.lists
        self._last = 0

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Adds vectors, by ascending ids."""
        self._index.add_with_ids(vectors, ids)
        self._last = int(ids[-1])

    def take_over(self, files: Sequence[ListsFile], dropped: Ids) -> None:
        """Adds what is in other files, but for some ids, without looking at vectors again.

        Raises:
            IndexDamagedError: They aren't what was written.
        """
        pointer: Any = faiss.swig_ptr
        gone = np.zeros(int(dropped.max(initial=-1)) + 2, dtype=bool)  # the last one stands for all beyond
        gone[dropped] = True
        for number, file in itertools.product(range(self._lists), files):
            ids, codes = file.entries(number)
            if not len(ids):
                continue
            kept = ~gone[np.minimum(ids, len(gone) - 1)]
            ids, codes = np.ascontiguousarray(ids[kept]), np.ascontiguousarray(codes[kept])
            if len(ids):
                self._index.invlists.add_entries(number, len(ids), pointer(ids), pointer(codes))
                self._last = max(self._last, int(ids.max()))
                self._index.ntotal += len(ids)

    def write(self, path: Path) -> Shard:
        """Writes all of it.

        Raises:
            OSError: It can't be written.
        """
        index = self._index
        index.quantizer = faiss.IndexFlatIP(index.d)  # the centroids lie in a file of their own
        head, sums = index.ntotal * (int(index.code_size) + _ID_BYTES), np.zeros(self._lists, dtype="<u4")
        inverted, code = index.invlists, int(index.code_size)
        for number in range(self._lists):
            size = int(inverted.list_size(number))
            if size:
                codes: Any = faiss.rev_swig_ptr(inverted.get_codes(number), size * code)
                ids: Any = faiss.rev_swig_ptr(inverted.get_ids(number), size)
                sums[number] = zlib.crc32(ids, zlib.crc32(codes))

        def write(writer: Any) -> None:
            faiss.write_index(index, writer)
            writer(faiss.swig_ptr(sums), 1, sums.nbytes)

        size, _ = write_file(path, write)
        with path.open("rb") as file:
            checksum = zlib.crc32(sums.tobytes(), zlib.crc32(file.read(size - sums.nbytes - head)))
        return Shard(path.name, "lists", int(index.ntotal), self._last, size, checksum)
