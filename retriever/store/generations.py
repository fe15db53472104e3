"""When files of vectors are due, and how they are made from SQLite's vectors.

New chunks become a file of their own; it takes in the newer ones of the files that are there while those are less than
twice as large, so that sizes at least double from one file to the next older one and each chunk is written again only
as often as the index doubles. Up to APPROXIMATE_FROM chunks files are exact. From there on they hold inverted lists,
whose centroids are found anew, and all files with them, when the index has grown to four times of what they were found
for. In between, chunks only join the lists.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from retriever.errors import IndexDamagedError
from retriever.store.checksums import CHUNK_COLUMNS, stacked, whole_chunks
from retriever.store.dense import Generation
from retriever.store.inverted import (
    TRAINING_VECTORS_PER_LIST,
    ListsBuilder,
    ListsFile,
    Trained,
    lists_for,
    train,
)
from retriever.store.layout import IndexPaths, make_folder, sync_folder
from retriever.store.manifest import Manifest, Shard
from retriever.store.plain import PlainFile, PlainWriter, plain_name, plain_size
from retriever.store.recall import QUERIES, RecallCheck
from retriever.store.rows import next_id
from retriever.store.vectors import Ids, Vectors, write_exact

APPROXIMATE_FROM = 65_536
"""Chunks from which exact search takes longer than some 5 ms on one core."""
EXACT_FILE = 32_768
LISTS_FILE = 1 << 20
"""The most chunks in a file, so that making one takes no more memory for a long corpus than for a short one."""
_GROWTH = 4
"""How many times of what they were found for centroids serve."""
_BLOCK = 8192
"""Vectors read from SQLite at once."""
_AT_LEAST = 2048
_SHARE_DELETED = 0.1


def needs_generation(connection: sqlite3.Connection, manifest: Manifest) -> bool:
    """Whether so much came or went since the current generation that a search would feel it."""
    added, deleted = connection.execute(
        "SELECT (SELECT count(*) FROM chunks WHERE id > ?), (SELECT count(*) FROM tombstones WHERE chunk <= ?)",
        [manifest.generation_end, manifest.generation_end],
    ).fetchone()
    return bool(added >= _AT_LEAST or deleted >= max(_AT_LEAST, _SHARE_DELETED * manifest.chunks))


def write_generation(
    connection: sqlite3.Connection, paths: IndexPaths, manifest: Manifest, *, anew: bool = False
) -> Manifest:
    """Writes the files of the next generation; returns the manifest that names them, for the caller to commit.

    Args:
        connection: To the index.
        paths: Of the index.
        manifest: As of the last commit.
        anew: Make all files from SQLite's vectors, whatever there is.

    Raises:
        IndexDamagedError: A stored vector isn't what was written.
        OSError: The files can't be written.
    """
    make_folder(paths.vectors)
    build = _Build(connection, paths, manifest)
    if not anew and not build.is_outgrown:
        with suppress(
            IndexDamagedError, FileNotFoundError
        ):  # of a file; if a vector is damaged, that is found again
            return build.extended()
    return build.anew()


class _Build:
    """One build of a generation."""

    def __init__(self, connection: sqlite3.Connection, paths: IndexPaths, manifest: Manifest) -> None:
        self._db = connection
        self._folder = paths.vectors
        self._before = manifest
        self._number = manifest.generation + 1
        self._parts = 0
        (self._count,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
        # The last id that was ever given, be it deleted or not: who holds newer chunks lets go of them by this.
        end = next_id(connection, "chunks") - 1
        deleted = connection.execute(
            "SELECT chunk FROM tombstones WHERE chunk <= ? ORDER BY chunk", [manifest.generation_end]
        )
        self._deleted: Ids = np.array([row[0] for row in deleted], dtype=np.int64)
        self._next = replace(manifest, generation=self._number, generation_end=end)

    @property
    def is_outgrown(self) -> bool:
        """Whether the files that are there are of a kind, or of centroids, that the index has left behind."""
        if self._before.trained is None:
            return bool(self._count >= APPROXIMATE_FROM)
        return bool(self._count >= _GROWTH * self._before.trained_on or self._count < APPROXIMATE_FROM // 2)

    def anew(self) -> Manifest:
        """All files, from SQLite's vectors."""
        if self._count < APPROXIMATE_FROM // (1 if self._before.trained is None else 2):
            self._next = replace(
                self._next,
                shards=(),
                trained=None,
                trained_on=0,
                probes=0,
                recall=1.0,
                wide_recall=1.0,
                measured_on=0,
            )
            return self._done(self._write_exact(0))
        lists = lists_for(self._count)
        _, sample = self._spread(lists * TRAINING_VECTORS_PER_LIST)
        shard = train(self._folder / self._name(), sample, lists)
        del sample
        self._next = replace(self._next, shards=(), trained=shard, trained_on=self._count)
        trained = Trained(self._folder, shard, self._before.dimension)
        check = RecallCheck(self._spread(QUERIES)[1])
        return self._measured(self._done(self._write_lists(trained, [], 0, check)), check)

    def extended(self) -> Manifest:
        """A file of what came since, and of the files that are small beside it; the others stay."""
        added = self._db.execute(
            "SELECT count(*) FROM chunks WHERE id > ?", [self._before.generation_end]
        ).fetchone()[0]
        most = EXACT_FILE if self._before.trained is None else LISTS_FILE
        kept = list(self._before.shards)
        taken: list[Shard] = []
        rewrite = len(self._deleted) >= max(_AT_LEAST, _SHARE_DELETED * self._count)
        while kept and (rewrite or (kept[-1].count < 2 * added and kept[-1].count + added <= most)):
            added += kept[-1].count
            taken.insert(0, kept.pop())
        after = kept[-1].last if kept else 0
        if self._before.trained is None:
            return self._done([*kept, *self._write_exact(after)])
        trained = Trained(self._folder, self._before.trained, self._before.dimension)
        files = [
            (ListsFile(self._folder, shard, trained), PlainFile(self._folder, shard, self._before.dimension))
            for shard in taken
        ]
        # Measured again where everything is written again, which is each time that the index has doubled.
        check = RecallCheck(self._spread(QUERIES)[1]) if not kept else None
        written = self._write_lists(trained, files, self._before.generation_end, check)
        done = self._done([*kept, *written])
        return done if check is None else self._measured(done, check)

    def _done(self, shards: Sequence[Shard]) -> Manifest:
        sync_folder(self._folder)
        return replace(self._next, shards=tuple(shards))

    def _measured(self, manifest: Manifest, check: RecallCheck) -> Manifest:
        generation = Generation(self._folder, manifest)
        found = check.measure(generation)
        return replace(
            manifest,
            probes=found.probes,
            recall=found.recall,
            wide_recall=found.wide_recall,
            measured_on=self._count,
        )

    def _write_exact(self, after: int) -> list[Shard]:
        """Files of all chunks with ids greater than `after`."""
        return [
            write_exact(self._folder / self._name(), self._before.dimension, ids, vectors)
            for ids, vectors in _joined(self._blocks(after), EXACT_FILE)
        ]

    def _write_lists(
        self,
        trained: Trained,
        taken: Sequence[tuple[ListsFile, PlainFile]],
        after: int,
        check: RecallCheck | None,
    ) -> list[Shard]:
        """Files of all chunks with ids greater than `after`, and of what is in the files that are taken in."""
        if check is not None and after:
            for ids, vectors in self._blocks(0, after):
                check.add(ids, vectors)
        shards = []
        blocks = self._blocks(after)
        block = next(blocks, None)
        while taken or block is not None:
            path = self._folder / self._name()
            builder = ListsBuilder(trained)
            with PlainWriter(path, self._before.dimension) as plain:
                fit = _that_fit([lists.count for lists, _ in taken])
                builder.take_over([lists for lists, _ in taken[:fit]], self._deleted)
                for _, beside in taken[:fit]:
                    plain.take_over(beside, self._deleted)
                taken = taken[fit:]
                while not taken and block is not None and len(builder) + len(block[0]) <= LISTS_FILE:
                    builder.add(*block)
                    plain.add(*block)
                    if check is not None:
                        check.add(*block)
                    block = next(blocks, None)
                plain.finish()
            shards.append(builder.write(path))
        return [shard for shard in shards if shard.count]

    def _name(self) -> str:
        self._parts += 1
        return f"{self._number:08d}-{self._parts:04d}.faiss"

    def _blocks(self, after: int, until: int | None = None) -> Iterator[tuple[Ids, Vectors]]:
        """Ids `(N,)`, ascending, and vectors `(N, C)` of chunks, in blocks."""
        query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id > ? AND c.id <= ? ORDER BY c.id LIMIT ?"  # noqa: S608
        until = self._next.generation_end if until is None else until
        while rows := whole_chunks(self._db.execute(query, [after, until, _BLOCK])):
            after = rows[-1].id
            yield stacked(rows, self._before.dimension)

    def _spread(self, wanted: int) -> tuple[Ids, Vectors]:
        """About so many chunks, spread evenly over all."""
        query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id >= ? ORDER BY c.id LIMIT 1"  # noqa: S608
        first, last = self._db.execute(
            "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM chunks"
        ).fetchone()
        places = np.linspace(first, last, min(wanted, self._count)).astype(np.int64)
        ids, vectors = [], []
        for i in range(0, len(places), _BLOCK):
            rows = whole_chunks(
                self._db.execute(query, [place]).fetchone() for place in places[i : i + _BLOCK].tolist()
            )
            some_ids, some = stacked(rows, self._before.dimension)
            ids.append(some_ids)
            vectors.append(some)
        every, where = np.unique(np.concatenate(ids), return_index=True)
        return every, np.concatenate(vectors)[where]


def _that_fit(counts: Sequence[int]) -> int:
    """How many files from the first on go into one; one at least, if there are any."""
    total = 0
    for number, count in enumerate(counts):
        total += count
        if number and total > LISTS_FILE:
            return number
    return len(counts)


def _joined(blocks: Iterator[tuple[Ids, Vectors]], size: int) -> Iterator[tuple[Ids, Vectors]]:
    """Blocks put together while they hold at most `size`."""
    ids: list[Ids] = []
    vectors: list[Vectors] = []
    for block_ids, block in blocks:
        if ids and sum(map(len, ids)) + len(block_ids) > size:
            yield np.concatenate(ids), np.concatenate(vectors)
            ids, vectors = [], []
        ids.append(block_ids)
        vectors.append(block)
    if ids:
        yield np.concatenate(ids), np.concatenate(vectors)


def names_of(manifest: Manifest) -> dict[str, int]:
    """The files of a generation, and how long each is."""
    lists = [shard for shard in manifest.shards if shard.kind == "lists"]
    return {shard.name: shard.size for shard in manifest.files} | {
        plain_name(shard): plain_size(shard, manifest.dimension) for shard in lists
    }


def drop_old_files(paths: IndexPaths, manifest: Manifest) -> None:
    """Deletes files of other generations, and what a build left unfinished.

    A reader that has one open keeps it until it closes it; one that is about to open it starts again.
    """
    if not paths.vectors.is_dir():
        return
    names = names_of(manifest)
    for path in paths.vectors.iterdir():
        if path.name in names:
            continue
        if path.is_dir() and not path.is_symlink():  # a generation of format version 2
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
