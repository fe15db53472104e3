"""When a new generation of FAISS files is due, and how it is made from SQLite's vectors."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace

from retriever.store import vectors
from retriever.store.checksums import CHUNK_COLUMNS, stacked, whole_chunks
from retriever.store.layout import IndexPaths
from retriever.store.manifest import Manifest

_BLOCK = 8192
"""Vectors read from SQLite at once."""
_AT_LEAST = 2048
_SHARE = 0.1


def needs_generation(connection: sqlite3.Connection, manifest: Manifest) -> bool:
    """Whether so much came or went since the current generation that a search would feel it."""
    total, added, deleted = connection.execute(
        "SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM chunks WHERE id > ?),"
        " (SELECT count(*) FROM tombstones)",
        [manifest.generation_end],
    ).fetchone()
    return bool(max(added, deleted) >= max(_AT_LEAST, _SHARE * total))


def write_generation(connection: sqlite3.Connection, paths: IndexPaths, manifest: Manifest) -> Manifest:
    """Writes the next generation; returns the manifest that names it, for the caller to commit.

    Raises:
        IndexDamagedError: A stored vector isn't what was written.
        OSError: The files can't be written.
    """

    def blocks() -> vectors.Blocks:
        last = 0
        query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id > ? ORDER BY c.id LIMIT ?"  # noqa: S608
        while rows := whole_chunks(connection.execute(query, [last, _BLOCK])):
            last = rows[-1].id
            yield stacked(rows, manifest.dimension)

    count, end = connection.execute("SELECT count(*), coalesce(max(id), 0) FROM chunks").fetchone()
    number = manifest.generation + 1
    built = vectors.build(paths.generation(number), manifest.dimension, count, blocks)
    return replace(manifest, generation=number, generation_end=end, recall=built.recall, shards=built.shards)


def drop_old_generations(paths: IndexPaths, current: int) -> None:
    """Deletes other generations, and what a build left unfinished.

    A reader that has one open keeps it until it closes it; one that is about to open it starts again.
    """
    if paths.vectors.is_dir():
        for path in paths.vectors.iterdir():
            if path == paths.generation(current):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
