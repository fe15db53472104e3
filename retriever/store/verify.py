"""Is the index whole, does every offset hold, and are the files still what was indexed?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retriever.errors import IndexDamagedError, IndexNotFoundError
from retriever.store.checksums import CHUNK_COLUMNS, DOCUMENT_COLUMNS, DOCUMENTS, ChunkRow, DocumentRow
from retriever.store.dense import Generation
from retriever.store.failures import sqlite_told
from retriever.store.layout import IndexPaths
from retriever.store.lexical import LexicalReader
from retriever.store.manifest import Manifest, read_manifest
from retriever.store.schema import connect
from retriever.store.sources import file_sha256

_ATTEMPTS = 5
"""How often it is looked again where something seems to be wrong while somebody writes."""
_UNIT_TOLERANCE = 0.01
"""How far from 1 the length of a float16 vector may be."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found.

    Attributes:
        documents: Looked at.
        chunks: Looked at.
        damage: What is wrong with the index itself, a line each.
        missing: Files that are gone.
        stale: Files that have changed since they were indexed.
    """

    documents: int
    chunks: int
    damage: tuple[str, ...]
    missing: tuple[str, ...]
    stale: tuple[str, ...]


def verify(root: Path) -> Verification:
    """Reads the whole index, and every file that it was made from, and compares.

    Raises:
        IndexNotFoundError: There is no index.
        IndexDamagedError: It is so damaged that it doesn't even say what it is.
        IndexFormatError: It is of another format version.
    """
    paths = IndexPaths(root)
    if not paths.database.exists():
        raise IndexNotFoundError(f"there is no index at {root}: make one with 'spanseek index PATH'")
    for _ in range(_ATTEMPTS):
        found, revision = _look(paths)
        if not found.damage or _revision(paths) == revision:  # FAISS and tantivy are read as they are by now
            break
    return found


def _revision(paths: IndexPaths) -> int:
    connection = connect(paths.database)
    try:
        with sqlite_told(paths.root):
            return read_manifest(connection).revision
    finally:
        connection.close()


def _look(paths: IndexPaths) -> tuple[Verification, int]:
    """What is found, and the revision that it was found in."""
    connection = connect(paths.database)
    try:
        with sqlite_told(paths.root):
            connection.execute("BEGIN")
            manifest = read_manifest(connection)
        damage: list[str] = []
        for part in (
            _database_damage(connection),
            _document_damage(connection, manifest),
            _generation_damage(connection, manifest, paths),
            _lexical_damage(connection, manifest, paths),
        ):
            try:
                damage += part
            except sqlite3.DatabaseError as error:
                damage.append(f"database: {error}")
        missing, stale = ([], []) if damage else _compare_files(connection, paths)
    finally:
        connection.close()
    found = Verification(manifest.documents, manifest.chunks, tuple(damage), tuple(missing), tuple(stale))
    return found, manifest.revision


def _database_damage(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"database: {line}"
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"database: row {row} of {table} points at nothing in {parent}"


def _document_damage(connection: sqlite3.Connection, manifest: Manifest) -> Iterator[str]:
    """Rows that aren't what was written, places outside of their document, text that no chunk covers."""
    counts = connection.execute(
        "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks)"
    ).fetchone()
    if counts != (manifest.documents, manifest.chunks):
        yield (
            f"database: {counts[0]} documents and {counts[1]} passages, where there should be "
            f"{manifest.documents} and {manifest.chunks}"
        )
    documents = f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS} ORDER BY d.key"  # noqa: S608
    chunks = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.document = ? ORDER BY c.start, c.id"  # noqa: S608
    for row in connection.execute(documents):
        document = DocumentRow(*row)
        if not document.is_whole():
            yield f"{document.id}: isn't what was written"
            continue
        text, covered = document.text, 0
        found = [ChunkRow(*row) for row in connection.execute(chunks, [document.key])]
        if not all(chunk.is_whole() for chunk in found):
            yield f"{document.id}: a passage isn't what was written"
            continue
        for chunk in found:
            start, end = chunk.start, chunk.end
            if not 0 <= start < end <= len(text):
                yield f"{document.id}: a passage at {start}-{end} lies outside its {len(text)} characters"
                continue
            if text[covered:start].strip():
                yield f"{document.id}: no passage covers the characters {covered}-{start}"
            covered = max(covered, end)
            yield from _vector_damage(document.id, chunk, manifest)
        if text[covered:].strip():
            yield f"{document.id}: no passage covers the characters {covered}-{len(text)}"


def _vector_damage(document: str, chunk: ChunkRow, manifest: Manifest) -> Iterator[str]:
    vector = np.frombuffer(chunk.vector, dtype=np.float16).astype(np.float32)
    if len(vector) != manifest.dimension:
        yield f"{document}: the vector of passage {chunk.id} has {len(vector)} numbers, not {manifest.dimension}"
    elif not abs(float(np.linalg.norm(vector)) - 1.0) < _UNIT_TOLERANCE:
        yield f"{document}: the vector of passage {chunk.id} isn't of length 1"


def _generation_damage(
    connection: sqlite3.Connection, manifest: Manifest, paths: IndexPaths
) -> Iterator[str]:
    masked = connection.execute(
        "SELECT count(*) FROM tombstones t JOIN chunks c ON c.id = t.chunk"
    ).fetchone()[0]
    if masked:
        yield f"vectors: {masked} passages are taken for deleted"
    if not manifest.shards:
        return
    try:
        stored = Generation(paths.vectors, manifest).ids()
    except FileNotFoundError:
        yield "vectors: a file is missing"
        return
    except IndexDamagedError as error:
        yield f"vectors: {error}"
        return
    rows = connection.execute("SELECT id FROM chunks WHERE id <= ?", [manifest.generation_end])
    deleted = connection.execute("SELECT chunk FROM tombstones WHERE chunk <= ?", [manifest.generation_end])
    expected = np.array([row[0] for row in (*rows, *deleted)], dtype=np.int64)
    lost = np.setdiff1d(expected, stored)
    foreign = np.setdiff1d(stored, expected)
    if len(lost) or len(foreign):
        yield f"vectors: {len(lost)} passages missing, {len(foreign)} too many"


def _lexical_damage(connection: sqlite3.Connection, manifest: Manifest, paths: IndexPaths) -> Iterator[str]:
    """Passages that words don't find. More than are stored is no damage: they are let go with the next commit."""
    try:
        with closing(LexicalReader(paths.lexical, manifest.language, noted=False)) as reader:
            held = reader.chunks(reader.searcher())
    except IndexDamagedError as error:
        yield f"words: {error}"
        return
    stored = [row[0] for row in connection.execute("SELECT id FROM chunks")]
    if lost := len(np.setdiff1d(stored, held)):
        yield f"words: {lost} of {len(stored)} passages missing"
    if len(held) != len(set(held)):
        yield "words: passages are there more than once"


def _compare_files(connection: sqlite3.Connection, paths: IndexPaths) -> tuple[list[str], list[str]]:
    missing, stale = [], []
    for stored, size, sha256 in connection.execute(
        "SELECT path, size, sha256 FROM files WHERE skipped IS NULL AND sha256 IS NOT NULL ORDER BY path"
    ):
        path = paths.actual_path(stored)
        try:
            if path.stat().st_size != size or file_sha256(path, size) != sha256:
                stale.append(str(path))
        except (OSError, ValueError):  # ValueError: no path at all, such as one with a NUL
            missing.append(str(path))
    return missing, stale
