"""A generation of FAISS files opened for search: exact files, or inverted lists."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from retriever.store.inverted import ListsFile, Trained
from retriever.store.manifest import Manifest, Shard
from retriever.store.plain import PlainFile
from retriever.store.vectors import ExactFile, Ids, Selection, Vectors

_CANDIDATES = 1.5
"""How many times as many candidates as are wanted lists give, to be scored again."""
_WANTED = 200
"""The least that count as wanted: what recall is measured with."""

_SETTLED = 10
"""The best so many stay the same when a filtered search is done."""


class Generation:
    """A generation. Immutable; safe to share by threads.

    Args:
        folder: That its files lie in.
        manifest: What is known of them.
        before: An earlier generation, whose files needn't be opened again.

    Raises:
        FileNotFoundError: One of the files isn't there.
        IndexDamagedError: A file isn't what was written.
    """

    def __init__(self, folder: Path, manifest: Manifest, before: Generation | None = None) -> None:
        known = before._files if before is not None else {}
        self._trained: Trained | None = None
        if manifest.trained is not None:
            if (
                before is not None
                and before._trained is not None
                and before._trained.shard == manifest.trained
            ):
                self._trained = before._trained
            else:
                self._trained = Trained(folder, manifest.trained, manifest.dimension)
        self._files: dict[Shard, ExactFile | ListsFile] = {
            shard: known.get(shard) or self._open(folder, shard, manifest.dimension)
            for shard in manifest.shards
        }
        plain = before._plain if before is not None else {}
        self._plain: dict[Shard, PlainFile] = {
            shard: plain.get(shard) or PlainFile(folder, shard, manifest.dimension)
            for shard in manifest.shards
            if self._trained is not None
        }
        self._probes = manifest.probes

    def _open(self, folder: Path, shard: Shard, dimension: int) -> ExactFile | ListsFile:
        if self._trained is not None:
            return ListsFile(folder, shard, self._trained)
        return ExactFile(folder, shard, dimension)

    def __len__(self) -> int:
        return sum(shard.count for shard in self._files)

    @property
    def lists(self) -> int:
        """How many lists there are; 0 for none."""
        return 0 if self._trained is None else self._trained.lists

    @property
    def is_exact(self) -> bool:
        """Whether scores are exact; else candidates are to be scored again."""
        return self._trained is None

    def ids(self) -> Ids:
        """Ids of all chunks that are in it; all of it is checked."""
        for shard, file in self._files.items():
            for some in np.array_split(np.sort(file.ids()), 1 + shard.count // 8192):
                if shard in self._plain:
                    self._plain[shard].read(some)
        return np.concatenate([np.empty(0, dtype=np.int64), *(file.ids() for file in self._files.values())])

    def search(
        self, vector: Vectors, limit: int, selection: Selection, *, probes: int | None = None
    ) -> tuple[Ids, NDArray[np.float32]]:
        """The nearest chunks by inner product, best first; of lists, `_CANDIDATES` times as many, roughly scored.

        Args:
            vector: `(C,)`, of length 1.
            limit: How many are wanted.
            selection: Which may be found.
            probes: How many lists to look through; `None` for as many as give the recall that the manifest promises.

        Raises:
            IndexDamagedError: A list isn't what was written.
        """
        with _one_thread():
            return self._search(vector, limit, selection, probes)

    def search_many(
        self, vectors: Vectors, limit: int, without: Ids
    ) -> list[tuple[Ids, NDArray[np.float32]]]:
        """As `search` for each of several vectors `(Q, C)`, of all chunks without some; only where scores are exact."""
        parts = [file.search_many(vectors, limit, without) for file in self._exact()]
        return [_best([part[i] for part in parts], limit) for i in range(len(vectors))]

    def vectors(self, chunks: Ids) -> tuple[Ids, Vectors]:
        """Ids `(N,)` and vectors `(N, C)` of some of the chunks that lists hold.

        Raises:
            IndexDamagedError: One isn't what was written.
        """
        chunks = np.sort(chunks)
        borders = np.searchsorted(chunks, [shard.last for shard in self._plain], side="right")
        parts = np.split(chunks, borders)[: len(self._plain)]
        found = [file.read(part) for file, part in zip(self._plain.values(), parts, strict=True) if len(part)]
        return chunks, np.concatenate(found) if found else np.empty((0, 0), dtype=np.float32)

    def _search(
        self, vector: Vectors, limit: int, selection: Selection, probes: int | None
    ) -> tuple[Ids, NDArray[np.float32]]:
        if self._trained is None:
            return _best([file.search(vector, limit, selection) for file in self._exact()], limit)
        wanted = math.ceil(_CANDIDATES * max(limit, _WANTED))
        share = 1.0 if selection.only is None else len(selection.only) / max(1, len(self))
        probes = min(self._trained.lists, math.ceil((probes or self._probes) / max(share, 1e-9)))
        before: Ids | None = None
        while True:
            nearest = self._trained.nearest(vector, probes)
            found = _best([file.search(vector, wanted, selection, nearest) for file in self._lists()], wanted)
            best = np.sort(found[0][:_SETTLED])
            is_settled = selection.only is None or (before is not None and np.array_equal(best, before))
            if (is_settled and len(found[0]) == wanted) or probes == self._trained.lists:
                return found
            # What a filter leaves may lie elsewhere: further lists are looked through until they change nothing.
            before = best
            probes = min(2 * probes, self._trained.lists)

    def _exact(self) -> list[ExactFile]:
        return [file for file in self._files.values() if isinstance(file, ExactFile)]

    def _lists(self) -> list[ListsFile]:
        return [file for file in self._files.values() if isinstance(file, ListsFile)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps FAISS from waking a thread for each core, of which all but one wait: it shares out questions, not files.

    The setting is this thread's own.
    """
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _best(found: list[tuple[Ids, NDArray[np.float32]]], limit: int) -> tuple[Ids, NDArray[np.float32]]:
    if not found:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    ids = np.concatenate([part[0] for part in found])
    scores = np.concatenate([part[1] for part in found])
    ids, scores = ids[ids >= 0], scores[ids >= 0]
    best = np.lexsort((ids, -scores))[:limit]
    return ids[best], scores[best]
