"""The tables of `index.sqlite`, as numbered migrations, and how a connection to it is opened.

    manifest    one row a setting: format version, encoder, its fingerprint, dimension, chunking, language,
                generation, revision
    files       what was seen on disk: size, mtime, hash, whether it was indexed and, if not, why
    documents   id, text and what is known of it; `file` is NULL for a document that was given from memory
    chunks      passages: place in the document, headings, vector (float16), what it was made of (`inputs.py`)
    tombstones  chunks that were deleted since the current generation was built, and that it may still hold

Ids of chunks are never used twice (AUTOINCREMENT), so that an id in a FAISS or tantivy file means one chunk
for ever, or nothing. Documents, chunks and the manifest have checksums (`checksums.py`) of what else is in their rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.store.checksums import (
    CHUNK_COLUMNS,
    DOCUMENT_COLUMNS,
    DOCUMENTS,
    chunk_checksum,
    document_checksum,
    manifest_checksum,
)
from retriever.store.failures import of_sqlite
from retriever.store.inputs import INPUT_COLUMN, INPUT_INDEX, fill_inputs
from retriever.store.mirror import is_needed

if TYPE_CHECKING:
    from sqlite_utils import Database

_NAME, _APPLIED = "spanseek", "_sqlite_migrations"
"""The name of all migrations together, and the table in which sqlite-utils keeps those that were applied."""

Migration = Callable[["Database"], None]
_MIGRATIONS: list[Migration] = []


def migrations() -> Callable[[Migration], Migration]:
    """Notes the function that follows as the next migration; its name is what a database remembers it by."""

    def note(migration: Migration) -> Migration:
        _MIGRATIONS.append(migration)
        return migration

    return note


_CACHE_KB = 16_000
"""What a connection holds of the database: of a million passages, all pages that lead to those with rows, and more."""

_TABLES = """
CREATE TABLE manifest (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    seen_ns INTEGER NOT NULL,
    skipped TEXT
);

CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    file INTEGER REFERENCES files(id) ON DELETE CASCADE,
    format TEXT NOT NULL,
    title TEXT NOT NULL,
    language TEXT NOT NULL,
    metadata TEXT NOT NULL,
    text TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    pages TEXT NOT NULL,
    lines TEXT,
    run INTEGER NOT NULL
);
CREATE INDEX documents_file ON documents(file);

CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents(key) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    page INTEGER,
    line INTEGER,
    headings TEXT NOT NULL,
    vector BLOB NOT NULL
);
CREATE INDEX chunks_document ON chunks(document);

CREATE TABLE tombstones (
    chunk INTEGER PRIMARY KEY
);
"""


@migrations()
def m001_tables(db: Database) -> None:
    for statement in _TABLES.split(";"):
        if statement.strip():
            db.execute(statement)


_CHECKSUMS = (
    "ALTER TABLE documents ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chunks ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0",
)


@migrations()
def m002_checksums(db: Database) -> None:
    """Format version 2: checksums of rows; FAISS files are made anew, to have theirs in the manifest."""
    for statement in _CHECKSUMS:
        db.execute(statement)
    document_query = f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS} WHERE d.key = ?"  # noqa: S608 - of fixed parts
    chunk_query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id = ?"  # noqa: S608
    # Text that isn't UTF-8 any more keeps a checksum that isn't right: `verify --repair` takes it out.
    for (key,) in db.execute("SELECT key FROM documents").fetchall():
        with suppress(sqlite3.OperationalError):
            row = db.execute(document_query, [key]).fetchone()
            db.execute("UPDATE documents SET checksum = ? WHERE key = ?", [document_checksum(*row[:-1]), key])
    for (id_,) in db.execute("SELECT id FROM chunks").fetchall():
        with suppress(sqlite3.OperationalError):
            row = db.execute(chunk_query, [id_]).fetchone()
            db.execute("UPDATE chunks SET checksum = ? WHERE id = ?", [chunk_checksum(*row[:-1]), id_])
    manifest = dict(db.execute("SELECT key, value FROM manifest").fetchall())
    if manifest:
        documents, chunks = db.execute(
            "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks)"
        ).fetchone()
        manifest |= {
            "format_version": "2",
            "generation": "0",
            "generation_end": "0",
            "shards": "[]",
            "documents": str(documents),
            "chunks": str(chunks),
            "revision": str(int(manifest["revision"]) + 1),
        }
        manifest["checksum"] = str(manifest_checksum(manifest))
        db.execute("DELETE FROM manifest")
        db.conn.executemany("INSERT INTO manifest (key, value) VALUES (?, ?)", list(manifest.items()))


_INDEXES = (
    "CREATE INDEX documents_run ON documents(run)",
    "CREATE INDEX documents_format ON documents(format)",
)


@migrations()
def m003_files_of_lists(db: Database) -> None:
    """Format version 3: what is known of inverted lists is in the manifest; FAISS files are made anew. What is asked of
    all documents by each run is asked of an index: their texts needn't be read for it."""
    for statement in _INDEXES:
        db.execute(statement)
    manifest = dict(db.execute("SELECT key, value FROM manifest").fetchall())
    if manifest:
        manifest |= {
            "format_version": "3",
            "generation_end": "0",
            "shards": "[]",
            "trained": "null",
            "trained_on": "0",
            "probes": "0",
            "recall": "1.0",
            "wide_recall": "1.0",
            "measured_on": "0",
            "revision": str(int(manifest["revision"]) + 1),
        }
        manifest["checksum"] = str(manifest_checksum(manifest))
        db.execute("DELETE FROM manifest")
        db.conn.executemany("INSERT INTO manifest (key, value) VALUES (?, ?)", list(manifest.items()))


@migrations()
def m004_inputs(db: Database) -> None:
    """A number for what each vector was made of. No new format version: who doesn't know the column needn't fill it."""
    db.execute(INPUT_COLUMN)
    fill_inputs(db.conn)
    db.execute(INPUT_INDEX)


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun and ended in so many words.

    Raises:
        IndexDamagedError: The file isn't a SQLite database.
        IndexAccessError: It may not be read, or written.
    """
    if write and not path.exists():
        path.touch(mode=0o600)  # what SQLite puts beside it gets the same permissions
    try:
        try:
            return _connect(path, write=write)
        except sqlite3.OperationalError as error:
            if not write and is_needed(path.parent) and not _has_log(path):
                return _connect(path, write=False, immutable=True)
            if write or error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            # A kill while the file was made, before it had a log: only who may write can take it back.
            _connect(path, write=True).close()
            return _connect(path, write=False)
    except sqlite3.Error as error:
        raise of_sqlite(error, path.parent) from error


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _connect(path: Path, *, write: bool, immutable: bool = False) -> sqlite3.Connection:
    """Connects. `immutable` needs no files beside the database: where none can be made, and nobody writes."""
    connection = sqlite3.connect(
        path if write else f"file:{_uri(path)}?mode=ro{'&immutable=1' if immutable else ''}",
        uri=not write,
        isolation_level=None,
        timeout=30,
        check_same_thread=False,
    )
    try:
        if write:
            connection.execute("PRAGMA journal_mode = WAL")
            # In WAL mode a commit then survives a kill of the process and of the system alike.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        connection.execute("SELECT count(*) FROM sqlite_schema")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _uri(path: Path) -> str:
    return path.absolute().as_uri().removeprefix("file://")


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables up to date; sqlite-utils keeps the list of what was applied in the database.

    It takes longer to import than all the rest of opening an index, and is needed only where something is to be done.
    """
    names = {migration.__name__ for migration in _MIGRATIONS}
    if names <= _applied(connection):
        return
    from sqlite_utils import Database, Migrations

    numbered = Migrations(_NAME)
    for migration in _MIGRATIONS:
        numbered(name=migration.__name__)(migration)
    numbered.apply(Database(connection, execute_plugins=False))


def _applied(connection: sqlite3.Connection) -> set[str]:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ?"
    if connection.execute(query, [_APPLIED]).fetchone() is None:
        return set()
    query = f"SELECT name FROM {_APPLIED} WHERE migration_set = ?"  # noqa: S608
    return {row[0] for row in connection.execute(query, [_NAME])}


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything in the body, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
