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

import numpy as np
from numpy.typing import NDArray

from retriever.context import context_line
from retriever.store.checksums import CHUNK_COLUMNS, ChunkRow
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
    for key, title, text in db.execute("SELECT key, title, text FROM documents"):
        chunks = db.execute(
            'SELECT id, start, "end", headings FROM chunks WHERE document = ?', [key]
        ).fetchall()
        inputs = []
        for id_, start, end, headings in chunks:
            with suppress(
                ValueError, TypeError, AttributeError
            ):  # damaged: for `verify` to say, not known here
                context = context_line(title, json.loads(headings))
                inputs.append((input_key(context, text[start:end]), id_))
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


def file_paths(db: sqlite3.Connection) -> Iterator[str]:
    """The stored paths of all files."""
    for (path,) in db.execute("SELECT path FROM files ORDER BY path"):
        yield path


def known_vectors(db: sqlite3.Connection, inputs: Iterable[int], dimension: int) -> dict[int, Vector]:
    """Vectors `(C,)` of chunks by the numbers of their inputs; those that aren't there, or damaged, are left out."""
    found: dict[int, Vector] = {}
    # One by one in Python, not IN (...): of a passage that is there a thousand times, one is enough.
    query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.input = ? LIMIT 1"  # noqa: S608
    for key in inputs:
        with suppress(sqlite3.OperationalError):  # text that isn't UTF-8 any more
            row = db.execute(query, [key]).fetchone()
            if row is not None and (vector := _whole_vector(row, dimension)) is not None:
                found[key] = vector
    return found


class FreedVectors:
    """Vectors of chunks that were deleted a while ago: a paragraph that moved may be looked for after it is gone."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[int, Vector] = OrderedDict()

    def keep(self, db: sqlite3.Connection, document: int, dimension: int) -> None:
        """Keeps the vectors of a document that is about to be deleted; the oldest ones make room."""
        query = f"SELECT {CHUNK_COLUMNS}, c.input FROM chunks c WHERE c.document = ?"  # noqa: S608
        with suppress(sqlite3.OperationalError):  # text that isn't UTF-8 any more may be deleted all the same
            for *row, key in db.execute(query, [document]):
                if key is not None and (vector := _whole_vector(row, dimension)) is not None:
                    self._vectors[key] = vector
                    self._vectors.move_to_end(key)
        while len(self._vectors) > _FREED:
            self._vectors.popitem(last=False)

    def find(self, inputs: Iterable[int]) -> dict[int, Vector]:
        """Those of these inputs that are here."""
        return {key: self._vectors[key] for key in inputs if key in self._vectors}


def _whole_vector(row: Sequence[object], dimension: int) -> Vector | None:
    chunk = ChunkRow(*row)  # type: ignore[arg-type]
    if not chunk.is_whole():
        return None
    vector = np.frombuffer(chunk.vector, dtype=np.float16)
    return vector if vector.shape == (dimension,) else None
