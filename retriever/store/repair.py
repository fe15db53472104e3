"""Makes a damaged index whole: rebuilds what is derived, and takes out what is no longer what was written.

What is taken out is said, and its files are read anew by the next `spanseek index`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retriever.errors import REPAIR, IndexDamagedError, IndexNotFoundError
from retriever.store.checksums import (
    CHUNK_COLUMNS,
    DOCUMENT_COLUMNS,
    DOCUMENTS,
    ChunkRow,
    DocumentRow,
)
from retriever.store.failures import told
from retriever.store.inputs import fill_inputs
from retriever.store.layout import IndexPaths, sync_folder
from retriever.store.lock import WriterLock
from retriever.store.manifest import read_manifest, write_manifest
from retriever.store.schema import connect, migrate, transaction
from retriever.store.verify import Verification, verify
from retriever.store.writer import IndexWriter

_MOST_ROWS = 10_000_000
"""Asked for where a table doesn't say how many it has."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done.

    Attributes:
        before: What was wrong; nothing is done where nothing is.
        lost: Ids of documents that had to be taken out; how many of them can't be read is a line of its own.
        after: The index as it is now.
    """

    before: tuple[str, ...]
    lost: tuple[str, ...]
    after: Verification


def repair(root: Path) -> Repair:
    """Looks at an index, and mends what is wrong with it. Where pages of SQLite's are broken, who has it open for
    reading must open it again.

    Raises:
        IndexNotFoundError: There is no index.
        IndexLockedError: Somebody is writing to it.
        IndexDamagedError: It doesn't even say what it is.
        IndexFormatError: It is of a later format version.
    """
    paths = IndexPaths(root)
    if not paths.database.exists():
        raise IndexNotFoundError(f"there is no index at {root}: make one with 'spanseek index PATH'")
    try:
        return _repair(root, paths)
    except IndexDamagedError as error:
        reason = str(error).removesuffix(REPAIR)
        raise IndexDamagedError(f"{reason}, beyond repair: index into a new folder") from error


def _repair(root: Path, paths: IndexPaths) -> Repair:
    IndexWriter.upgrade(root)
    found = verify(root)
    if not found.damage:
        return Repair((), (), found)
    lost: list[str] = []
    if any(line.startswith("database:") for line in found.damage):
        lost += _salvage(paths)
    with IndexWriter.open(root, recover=False) as writer:
        lost += writer.drop_damaged()
        writer.compact()
    return Repair(found.damage, tuple(dict.fromkeys(lost)), verify(root))


def _salvage(paths: IndexPaths) -> list[str]:
    """Copies all rows that are whole into a new database, and puts it in the place of the damaged one.

    Returns:
        Ids of documents that were left behind; those that can't be read any more are one line.

    Raises:
        IndexAccessError: There is no room for the copy, or it may not be written.
    """
    with told(paths.root), WriterLock(paths.lock):
        _remove(paths.repaired)
        try:
            lost = _save(paths)
            with paths.repaired.open("rb") as file:
                os.fsync(file.fileno())
        except BaseException:
            _remove(paths.repaired)
            raise
        # SQLite would take the old log for the new file's. What is in it has been emptied into the old file, which
        # stays as it is until the new one takes its place.
        for path in _files(paths.database)[1:]:
            path.unlink(missing_ok=True)
        sync_folder(paths.root)
        paths.repaired.replace(paths.database)
        sync_folder(paths.root)
    return lost


def _save(paths: IndexPaths) -> list[str]:
    old, new = connect(paths.database, write=True), connect(paths.repaired, write=True)
    try:
        with suppress(sqlite3.DatabaseError):  # a log that is damaged ends where it is
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        manifest = read_manifest(old)
        migrate(new)
        with transaction(new):
            _copy(old, new)
            fill_inputs(new)
            documents, chunks = new.execute(
                "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks)"
            ).fetchone()
            lost = _left_behind(old, new, manifest.documents)
            if lost:  # some of a file's documents may have come over, and others not
                new.execute("UPDATE files SET sha256 = NULL WHERE skipped IS NULL")
            changed = {
                "generation_end": 0,
                "shards": (),
                "trained": None,
                "documents": documents,
                "chunks": chunks,
            }
            write_manifest(new, replace(manifest, revision=manifest.revision + 1, **changed))
    finally:
        new.close()  # the last connection empties its log into the file
        old.close()
    return lost


def _left_behind(old: sqlite3.Connection, new: sqlite3.Connection, expected: int) -> list[str]:
    """Ids of documents that didn't come over, by what the old index of ids still knows."""
    saved = {row[0] for row in new.execute("SELECT id FROM documents")}
    known: set[str] = set()
    with suppress(sqlite3.DatabaseError):
        for (id_,) in old.execute("SELECT id FROM documents INDEXED BY sqlite_autoindex_documents_1"):
            known.add(str(id_))
    lost = sorted(known - saved)
    unnamed = expected - len(saved) - len(lost)
    return lost + ([f"{unnamed} whose names can't be read"] if unnamed > 0 else [])


def _remove(database: Path) -> None:
    for path in _files(database):
        path.unlink(missing_ok=True)


def _files(database: Path) -> list[Path]:
    return [database, *(database.with_name(f"{database.name}-{part}") for part in ("wal", "shm"))]


def _copy(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Copies what is whole; a document that misses a chunk is dropped later, with the rest of what is damaged."""
    files: dict[str, int] = {}
    for row in _readable(
        old, "files", "id", "SELECT path, size, mtime_ns, sha256, seen_ns, skipped FROM files"
    ):
        added = new.execute(
            "INSERT OR IGNORE INTO files (path, size, mtime_ns, sha256, seen_ns, skipped) VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
        files[str(row[0])] = added.lastrowid or 0
    for row in _readable(old, "documents", "d.key", f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS}"):  # noqa: S608
        document = DocumentRow(*row)
        if not document.is_whole() or (document.path is not None and document.path not in files):
            continue
        new.execute(
            "INSERT INTO documents (key, id, file, format, title, language, metadata, text, sha256, pages, lines,"
            " checksum, run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            [document.key, document.id, files.get(document.path or ""), *document[3:]],
        )
    for row in _readable(old, "chunks", "c.id", f"SELECT {CHUNK_COLUMNS} FROM chunks c"):  # noqa: S608
        chunk = ChunkRow(*row)
        if chunk.is_whole():
            new.execute(
                'INSERT INTO chunks (id, document, start, "end", page, line, headings, vector, checksum)'
                " SELECT ?, key, ?, ?, ?, ?, ?, ?, ? FROM documents WHERE key = ?",
                [chunk.id, *chunk[2:], chunk.document],
            )


def _readable(connection: sqlite3.Connection, table: str, key: str, query: str) -> Iterator[tuple[Any, ...]]:
    """All rows that SQLite can still read, asked for one by one, since one that it can't ends a query."""
    try:
        last = connection.execute(f"SELECT max({key.rpartition('.')[2]}) FROM {table}").fetchone()[0] or 0  # noqa: S608
    except sqlite3.DatabaseError:
        last = _MOST_ROWS
        with suppress(sqlite3.DatabaseError):
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [table]).fetchone()
            last = min(last, row[0] if row else 0)
    for number in range(1, last + 1):
        try:
            row = connection.execute(f"{query} WHERE {key} = ?", [number]).fetchone()
        except sqlite3.DatabaseError:
            continue
        if row is not None:
            yield row
