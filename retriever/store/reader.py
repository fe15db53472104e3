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
from typing import Self

import numpy as np

from retriever.errors import REPAIR, IndexDamagedError, IndexFormatError, IndexNotFoundError
from retriever.store.checksums import (
    CHUNK_COLUMNS,
    stacked,
    whole_chunks,
)
from retriever.store.failures import of_system, sqlite_told
from retriever.store.layout import IndexPaths
from retriever.store.lexical import LexicalReader
from retriever.store.manifest import Manifest, read_manifest
from retriever.store.schema import connect
from retriever.store.snapshot import Snapshot, State
from retriever.store.vectors import Generation

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
            generation = old.generation if old else None
            try:
                if not manifest.generation:
                    generation = None
                elif old is None or old.manifest.generation != manifest.generation or generation is None:
                    generation = self._open_generation(manifest)
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
            _check_counts(connection, manifest, int(searcher.num_docs))
            query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id > ? ORDER BY c.id"  # noqa: S608
            ids, matrix = stacked(
                whole_chunks(connection.execute(query, [manifest.generation_end])), manifest.dimension
            )
            rows = connection.execute("SELECT chunk FROM tombstones ORDER BY chunk").fetchall()
            tombstones = np.array([row[0] for row in rows], dtype=np.int64)
            self._state = State(manifest, generation, ids, matrix, tombstones, searcher)
            self.manifest = manifest
            return self._state

    def _open_generation(self, manifest: Manifest) -> Generation:
        path = self.paths.generation(manifest.generation)
        try:
            return Generation(path, manifest.dimension, manifest.shards)
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


def _check_counts(connection: sqlite3.Connection, manifest: Manifest, lexical: int) -> None:
    """Whether all parts hold what the manifest says; tantivy may hold more, see `lexical.py`."""
    documents, chunks, masked = connection.execute(
        "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks),"
        " (SELECT count(*) FROM tombstones t JOIN chunks c ON c.id = t.chunk)"
    ).fetchone()
    if (documents, chunks, masked) != (manifest.documents, manifest.chunks, 0) or lexical < chunks:
        raise IndexDamagedError(
            f"{chunks} of {manifest.chunks} passages are stored, {lexical} of them found by their words, "
            f"{masked} taken for deleted{REPAIR}"
        )
