"""What an index knows already: files by their paths, documents by their ids, vectors by the words they were made of.

Whoever indexes asks for many at once, since a question for each of ten thousand files takes longer than all the rest.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retriever.context import context_line
from retriever.store.checksums import CHUNK_COLUMNS, ChunkRow
from retriever.store.layout import IndexPaths
from retriever.store.records import FileRecord

INPUT_COLUMN = "ALTER TABLE chunks ADD COLUMN input INTEGER"
INPUT_INDEX = "CREATE INDEX chunks_input ON chunks(input)"
_KEY_BYTES = 8
_FREED = 16_384
"""Vectors of deleted chunks that are held: 13 MB of them. More at once than a user moves text from file to file."""

Vector = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file that was seen before, and how many documents of it there are."""

    record: FileRecord
    documents: int


def input_key(context: str, text: str) -> int:
    """A number for what a passage's vector is made of, the same in every document: a hash of 64 bits.

    What else decides a vector - the encoder, how many tokens of the context are taken - is the index's, and the same
    for all that is in it. Among a million passages two different ones have the same number with a chance of 1 in 37
    million.
    """
    digest = hashlib.blake2b(digest_size=_KEY_BYTES)
    encoded = context.encode()
    digest.update(len(encoded).to_bytes(_KEY_BYTES, "big") + encoded)
    digest.update(text.encode())
    return int.from_bytes(digest.digest(), "big", signed=True)


def fill_inputs(db: sqlite3.Connection) -> None:
    """Gives every chunk its number, within the caller's transaction: for indexes that were written without."""
    sources = _Sources(db)
    for (document,) in db.execute("SELECT key FROM documents").fetchall():
        inputs = []
        for (id_,) in db.execute("SELECT id FROM chunks WHERE document = ?", [document]).fetchall():
            with suppress(sqlite3.OperationalError):  # text that isn't UTF-8 any more
                row = db.execute(f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id = ?", [id_]).fetchone()  # noqa: S608
                if row is not None and (key := sources.key(ChunkRow(*row))) is not None:
                    inputs.append((key, id_))
        db.executemany("UPDATE chunks SET input = ? WHERE id = ?", inputs)


def seen_files(db: sqlite3.Connection, paths: Sequence[str]) -> dict[str, SeenFile]:
    """What is known of files, by their stored paths; those that aren't known are left out."""
    query = (
        "SELECT f.path, f.size, f.mtime_ns, f.sha256, f.seen_ns, f.skipped,"
        " (SELECT count(*) FROM documents d WHERE d.file = f.id)"
        " FROM files f WHERE f.path IN (SELECT value FROM json_each(?))"
    )
    rows = db.execute(query, [json.dumps(paths)])
    return {row[0]: SeenFile(FileRecord(*row[:-1]), row[-1]) for row in rows}


def below(paths: IndexPaths, folder: Path) -> tuple[str, list[str]]:
    """A condition on `f.path`, and its values: files at or below a path, as they are stored."""
    stored = paths.stored_path(folder)
    if stored == ".":
        return "f.path NOT LIKE '/%'", []
    inside = stored.rstrip("/")
    # "0" is the sign that comes after "/"
    condition, values = "(f.path = ? OR (f.path >= ? AND f.path < ?)", [stored, f"{inside}/", f"{inside}0"]
    if paths.base.is_relative_to(folder.absolute()):  # files beside the index are stored relative to it
        condition += " OR f.path NOT LIKE '/%'"
    return f"{condition})", values


def paths_below(db: sqlite3.Connection, paths: IndexPaths, folders: Iterable[Path]) -> list[str]:
    """The stored paths of all files at or below some paths, each once."""
    found: dict[str, None] = {}
    for folder in folders:
        condition, values = below(paths, folder)
        query = f"SELECT f.path FROM files f WHERE {condition} ORDER BY f.path"  # noqa: S608 - of fixed parts
        found |= dict.fromkeys(row[0] for row in db.execute(query, values))
    return list(found)


def file_paths(db: sqlite3.Connection) -> Iterator[str]:
    """The stored paths of all files."""
    for (path,) in db.execute("SELECT path FROM files ORDER BY path"):
        yield path


def known_vectors(db: sqlite3.Connection, inputs: Iterable[int], dimension: int) -> dict[int, Vector]:
    """Vectors `(C,)` of chunks by the numbers of their inputs; those that aren't there, or damaged, are left out."""
    found: dict[int, Vector] = {}
    sources = _Sources(db)
    # One by one in Python, not IN (...): of a passage that is there a thousand times, one is enough.
    query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.input = ? LIMIT 1"  # noqa: S608
    for key in inputs:
        with suppress(sqlite3.OperationalError):  # text that isn't UTF-8 any more
            row = db.execute(query, [key]).fetchone()
            if row is None:
                continue
            chunk = ChunkRow(*row)
            vector = _whole_vector(chunk, dimension)
            # The number itself has no checksum, nor has its index: neither may lead to another passage's vector.
            if vector is not None and sources.key(chunk) == key:
                found[key] = vector
    return found


class _Sources:
    """What vectors were made of; the document that was asked about last is kept at hand."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._document: int | None = None
        self._title, self._text = "", ""

    def key(self, chunk: ChunkRow) -> int | None:
        """The number of a chunk's input; `None` if it can't be told, since something of it is damaged."""
        if chunk.document != self._document:
            self._document = None
            query = "SELECT title, text FROM documents WHERE key = ?"
            with suppress(sqlite3.OperationalError):  # text that isn't UTF-8 any more
                found = self._db.execute(query, [chunk.document]).fetchone()
                if found is not None:
                    self._document, (self._title, self._text) = chunk.document, found
        if self._document is None:
            return None
        with suppress(ValueError, TypeError, AttributeError):
            context = context_line(self._title, json.loads(chunk.headings))
            return input_key(context, self._text[chunk.start : chunk.end])
        return None


class FreedVectors:
    """Vectors of chunks that were deleted a while ago: a paragraph that moved may be looked for after it is gone."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[int, Vector] = OrderedDict()

    def keep(self, db: sqlite3.Connection, document: int, dimension: int) -> None:
        """Keeps the vectors of a document that is about to be deleted; the oldest ones make room."""
        query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.document = ?"  # noqa: S608
        sources = _Sources(db)
        with suppress(sqlite3.OperationalError):  # text that isn't UTF-8 any more may be deleted all the same
            for row in db.execute(query, [document]):
                chunk = ChunkRow(*row)
                vector, key = _whole_vector(chunk, dimension), sources.key(chunk)
                if vector is not None and key is not None:
                    self._vectors[key] = vector
                    self._vectors.move_to_end(key)
        while len(self._vectors) > _FREED:
            self._vectors.popitem(last=False)

    def find(self, inputs: Iterable[int]) -> dict[int, Vector]:
        """Those of these inputs that are here."""
        return {key: self._vectors[key] for key in inputs if key in self._vectors}


def _whole_vector(chunk: ChunkRow, dimension: int) -> Vector | None:
    if not chunk.is_whole():
        return None
    vector = np.frombuffer(chunk.vector, dtype=np.float16)
    return vector if vector.shape == (dimension,) else None
