"""Reading an index: each search sees one committed state of it, and never waits for a writer.

A reader keeps what it loaded (FAISS generation, delta, tantivy searcher) until a commit makes it old. A snapshot is
a SQLite read transaction and the loaded state of the same revision.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from retriever.errors import REPAIR, IndexDamagedError, IndexFormatError, IndexNotFoundError
from retriever.store.checksums import (
    CHUNK_COLUMNS,
    stacked,
    whole_chunks,
)
from retriever.store.dense import Generation
from retriever.store.failures import of_system, sqlite_told
from retriever.store.layout import IndexPaths
from retriever.store.lexical import LexicalReader
from retriever.store.manifest import Manifest, read_manifest
from retriever.store.rows import next_id
from retriever.store.schema import connect
from retriever.store.snapshot import Snapshot
from retriever.store.state import State
from retriever.store.vectors import Ids, Selection, Vectors

_ATTEMPTS = 100
"""How often a snapshot is tried again while commits come in between; each try takes milliseconds."""


class IndexReader:
    """An index opened for reading. Safe to share by threads; each has a connection of its own."""

    def __init__(self, root: Path) -> None:
        self.paths = IndexPaths(root)
        if not self.paths.database.exists():
            raise IndexNotFoundError(f"there is no index at {root}: make one with 'spanseek index PATH'")
        self._connections: list[sqlite3.Connection] = []
        self._free: list[sqlite3.Connection] = []
        self._pool = threading.Lock()
        self._lock = threading.Lock()
        self._closed = False
        self._state: State | None = None
        self._lexical: LexicalReader | None = None
        try:
            with self._connection() as connection, sqlite_told(root):
                self.manifest = read_manifest(connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes every connection; a search after that is an error."""
        with self._lock, self._pool:
            self._closed = True
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._free.clear()
            if self._lexical is not None:
                self._lexical.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One committed state of the index; nothing seen through it changes. One may be opened within another."""
        with self._connection() as connection:
            for _ in range(_ATTEMPTS):
                with read_transaction(connection, self.paths):
                    manifest = read_manifest(connection)  # the first read fixes what this transaction sees
                    state = self._load(connection, manifest)
                    if state is not None:
                        yield Snapshot(connection, state, self._lexical_reader(), self.paths)
                        return
        raise IndexFormatError(f"the index at {self.paths.root} can't be read: run 'spanseek verify'")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One that nobody else uses meanwhile, this thread included: a search may be under way while another begins."""
        with self._pool:
            if self._closed:
                raise IndexNotFoundError("this index was closed; open it again")
            connection = self._free.pop() if self._free else None
        if connection is None:
            connection = connect(self.paths.database)
            with self._pool:
                self._connections.append(connection)
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pool:
            if self._closed:
                connection.close()
            else:
                self._free.append(connection)

    def _lexical_reader(self) -> LexicalReader:
        if self._lexical is None:
            self._lexical = LexicalReader(self.paths.lexical, self.manifest.language)
        return self._lexical

    def _load(self, connection: sqlite3.Connection, manifest: Manifest) -> State | None:
        """The state of the transaction's revision; `None` if a commit came in between."""
        with self._lock:
            old = self._state
            if old is not None and old.manifest.revision == manifest.revision:
                return old
            searcher = self._lexical_reader().searcher()
            try:
                generation = self._generation(manifest, old)
            except FileNotFoundError:
                if self._latest_revision() == manifest.revision:
                    raise IndexDamagedError(
                        f"a file of vectors is missing from {self.paths.root}{REPAIR}"
                    ) from None
                return None
            # tantivy was read after the transaction began. It agrees with it unless a later commit has begun to
            # take out what that commit deleted.
            if self._latest_revision() != manifest.revision:
                return None
            if old is not None and old.manifest.revision > manifest.revision:  # another index took its place
                old = None
            if old is None:
                _check_counts(connection, manifest)
            self._state = _state(connection, manifest, generation, searcher, old)
            self.manifest = manifest
            return self._state

    def _generation(self, manifest: Manifest, old: State | None) -> Generation | None:
        """The files of a generation, opened unless they are already."""
        before = old.generation if old is not None else None
        if not manifest.shards:
            return None
        if old is not None and before is not None and old.manifest.files == manifest.files:
            return before
        try:
            return Generation(self.paths.vectors, manifest, before)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise of_system(error, self.paths.root) from error

    def _latest_revision(self) -> int:
        """As committed by now, outside of any transaction of this thread."""
        probe = connect(self.paths.database)
        try:
            with sqlite_told(self.paths.root):
                return read_manifest(probe).revision
        finally:
            probe.close()


@contextmanager
def read_transaction(connection: sqlite3.Connection, paths: IndexPaths) -> Iterator[None]:
    """What is read in the body is of one state."""
    with sqlite_told(paths.root):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _state(
    connection: sqlite3.Connection,
    manifest: Manifest,
    generation: Generation | None,
    searcher: Any,
    old: State | None,
) -> State:
    """What is to be loaded of a revision; of what an earlier one had, only what has changed is read.

    Raises:
        IndexDamagedError: The parts don't hold what the manifest says.
    """
    end = manifest.generation_end
    rows = connection.execute("SELECT chunk FROM tombstones ORDER BY chunk").fetchall()
    deleted = np.array([row[0] for row in rows], dtype=np.int64)
    ids, matrix = _delta(connection, manifest, old, deleted)
    tombstones = deleted[deleted <= end]
    found = (len(generation) if generation is not None else 0) - len(tombstones) + len(ids)
    masked = int(np.isin(ids, deleted).sum())  # intersect1d() would import what takes 15 ms
    if (found, masked) != (manifest.chunks, 0) or searcher.num_docs < manifest.chunks:
        raise IndexDamagedError(
            f"{found} of {manifest.chunks} passages are stored, {searcher.num_docs} of them found by their words, "
            f"{masked} taken for deleted{REPAIR}"
        )
    return State(
        manifest,
        generation,
        ids,
        matrix,
        Selection(None, tombstones),
        frozenset(deleted.tolist()),
        next_id(connection, "chunks"),
        searcher,
    )


def _delta(
    connection: sqlite3.Connection, manifest: Manifest, old: State | None, deleted: Ids
) -> tuple[Ids, Vectors]:
    """Chunks that came after the generation: ids `(N,)` and vectors `(N, C)`."""
    ids, matrix = np.empty(0, dtype=np.int64), np.empty((0, manifest.dimension), dtype=np.float32)
    after = manifest.generation_end
    if old is not None:
        kept = (old.delta_ids > after) & ~np.isin(old.delta_ids, deleted)
        ids, matrix = old.delta_ids[kept], old.delta[kept]
        after = max(after, old.next_id - 1)
    query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id > ? ORDER BY c.id"  # noqa: S608
    new_ids, new = stacked(whole_chunks(connection.execute(query, [after])), manifest.dimension)
    return np.concatenate([ids, new_ids]), np.concatenate([matrix, new])


def _check_counts(connection: sqlite3.Connection, manifest: Manifest) -> None:
    """Whether SQLite's indexes, which a search goes by, hold as many rows as the manifest says.

    A column of each is counted: count(*) goes by whichever index is smallest, even where one is named.
    """
    documents, formats, chunks = connection.execute(
        "SELECT (SELECT count(id) FROM documents INDEXED BY sqlite_autoindex_documents_1),"
        " (SELECT count(format) FROM documents INDEXED BY documents_format),"
        " (SELECT count(document) FROM chunks INDEXED BY chunks_document)"
    ).fetchone()
    if (documents, formats, chunks) != (manifest.documents, manifest.documents, manifest.chunks):
        raise IndexDamagedError(
            f"{chunks} of {manifest.chunks} passages are stored, {min(documents, formats)} of {manifest.documents} documents{REPAIR}"
        )
