"""Is the index whole, does every offset hold, and are the files still what was indexed?"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retriever.errors import IndexFormatError
from retriever.store.layout import IndexPaths
from retriever.store.lexical import LexicalReader
from retriever.store.manifest import Manifest, read_manifest
from retriever.store.schema import connect
from retriever.store.vectors import Generation

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
        IndexFormatError: It is of another format version, or no database.
    """
    paths = IndexPaths(root)
    connection = connect(paths.database)
    try:
        connection.execute("BEGIN")
        manifest = read_manifest(connection)
        documents, chunks = connection.execute(
            "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks)"
        ).fetchone()
        damage = [
            *_database_damage(connection),
            *_document_damage(connection, manifest),
            *_generation_damage(connection, manifest, paths),
            *_lexical_damage(connection, manifest, paths),
        ]
        missing, stale = _compare_files(connection, paths)
    finally:
        connection.close()
    return Verification(documents, chunks, tuple(damage), tuple(missing), tuple(stale))


def _database_damage(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"database: {line}"
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"database: row {row} of {table} points at nothing in {parent}"


def _document_damage(connection: sqlite3.Connection, manifest: Manifest) -> Iterator[str]:
    """Chunks whose place isn't in their document, text that no chunk covers, vectors that aren't of length 1."""
    for key, id_, text in connection.execute("SELECT key, id, text FROM documents ORDER BY key"):
        covered = 0
        query = 'SELECT start, "end", vector, headings FROM chunks WHERE document = ? ORDER BY start, id'
        for start, end, blob, headings in connection.execute(query, [key]):
            if not 0 <= start < end <= len(text):
                yield f"{id_}: a passage at {start}-{end} lies outside its {len(text)} characters"
                continue
            if text[covered:start].strip():
                yield f"{id_}: no passage covers the characters {covered}-{start}"
            covered = max(covered, end)
            vector = np.frombuffer(blob, dtype=np.float16).astype(np.float32)
            if len(vector) != manifest.dimension:
                yield f"{id_}: the vector at {start}-{end} has {len(vector)} numbers, not {manifest.dimension}"
            elif not abs(float(np.linalg.norm(vector)) - 1.0) < _UNIT_TOLERANCE:
                yield f"{id_}: the vector at {start}-{end} isn't of length 1"
            json.loads(headings)
        if text[covered:].strip():
            yield f"{id_}: no passage covers the characters {covered}-{len(text)}"


def _generation_damage(
    connection: sqlite3.Connection, manifest: Manifest, paths: IndexPaths
) -> Iterator[str]:
    if not manifest.generation:
        return
    path = paths.generation(manifest.generation)
    try:
        stored = Generation(path, manifest.dimension).ids()
    except FileNotFoundError:
        yield f"vectors: {path.name} is missing; run 'spanseek compact'"
        return
    except IndexFormatError as error:
        yield f"vectors: {error}"
        return
    rows = connection.execute("SELECT id FROM chunks WHERE id <= ?", [manifest.generation_end])
    deleted = connection.execute("SELECT chunk FROM tombstones WHERE chunk <= ?", [manifest.generation_end])
    expected = np.array([row[0] for row in (*rows, *deleted)], dtype=np.int64)
    lost = np.setdiff1d(expected, stored)
    foreign = np.setdiff1d(stored, expected)
    if len(lost) or len(foreign):
        yield f"vectors: {len(lost)} passages missing, {len(foreign)} too many; run 'spanseek compact'"


def _lexical_damage(connection: sqlite3.Connection, manifest: Manifest, paths: IndexPaths) -> Iterator[str]:
    """Passages that words don't find. More than are stored is no damage: they are let go with the next commit."""
    try:
        reader = LexicalReader(paths.lexical, manifest.language)
        held = reader.chunks(reader.searcher())
    except IndexFormatError as error:
        yield f"words: {error}"
        return
    stored = [row[0] for row in connection.execute("SELECT id FROM chunks")]
    if lost := len(np.setdiff1d(stored, held)):
        yield f"words: {lost} of {len(stored)} passages missing; run 'spanseek compact'"
    if len(held) != len(set(held)):
        yield "words: passages are there more than once; run 'spanseek compact'"


def _compare_files(connection: sqlite3.Connection, paths: IndexPaths) -> tuple[list[str], list[str]]:
    missing, stale = [], []
    for stored, size, sha256 in connection.execute(
        "SELECT path, size, sha256 FROM files WHERE skipped IS NULL ORDER BY path"
    ):
        path = paths.actual_path(stored)
        try:
            if path.stat().st_size != size or _sha256(path) != sha256:
                stale.append(str(path))
        except OSError:
            missing.append(str(path))
    return missing, stale


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
