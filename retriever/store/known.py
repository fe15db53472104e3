"""What an index holds of files, asked without opening it for writing or for searching: what a watched folder is compared with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from retriever.storable import is_storable
from retriever.store.failures import sqlite_told
from retriever.store.inputs import below
from retriever.store.layout import IndexPaths
from retriever.store.manifest import is_begun
from retriever.store.records import FileRecord
from retriever.store.schema import connect

_FILES = (
    "SELECT f.path, f.size, f.mtime_ns, f.sha256, f.seen_ns, f.skipped,"
    " (SELECT count(*) FROM documents d WHERE d.file = f.id),"
    " (SELECT count(*) FROM chunks c JOIN documents d ON d.key = c.document WHERE d.file = f.id)"
    " FROM files f WHERE "
)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as an index knows it.

    Attributes:
        path: Where it is, or was.
        record: What was recorded of it.
        documents: How many documents the index holds of it.
        passages: How many passages they make.
    """

    path: Path
    record: FileRecord
    documents: int
    passages: int


def known_files(root: Path, paths: Iterable[Path]) -> dict[Path, KnownFile]:
    """Those of some files that an index knows.

    Args:
        root: The index folder; where there is no index, nothing is known.
        paths: Absolute paths of files.

    Raises:
        IndexAccessError: The index can't be read.
        IndexDamagedError: It isn't one.
    """
    layout = IndexPaths(root)
    stored = {layout.stored_path(path): path for path in paths if is_storable(str(path))}
    rows = _rows(layout, "f.path IN (SELECT value FROM json_each(?))", [json.dumps(list(stored))])
    return {stored[row.record.path]: row for row in rows}


def known_below(root: Path, folder: Path) -> dict[Path, KnownFile]:
    """Every file that an index knows at or below a path.

    Args:
        root: The index folder.
        folder: An absolute path, which needn't be there.

    Raises:
        IndexAccessError: The index can't be read.
        IndexDamagedError: It isn't one.
    """
    layout = IndexPaths(root)
    if not is_storable(str(folder)):
        return {}
    condition, values = below(layout, folder)
    return {row.path: row for row in _rows(layout, condition, values)}


def _rows(layout: IndexPaths, condition: str, values: Sequence[str]) -> Iterator[KnownFile]:
    if not layout.database.exists():
        return
    with closing(connect(layout.database)) as connection, sqlite_told(layout.root):
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'files'").fetchone():
            return  # one whose making was stopped at its very beginning
        # A condition is made of fixed parts; values are parameters.
        for row in connection.execute(_FILES + condition, values).fetchall():
            yield KnownFile(layout.actual_path(row[0]), FileRecord(*row[:6]), row[6], row[7])


def has_index(root: Path) -> bool:
    """Whether there is an index at `root`, and not only one whose making was stopped at its very beginning.

    Raises:
        IndexDamagedError: There is something that isn't a SQLite database.
    """
    paths = IndexPaths(root)
    if not paths.database.exists():
        return False
    with closing(connect(paths.database)) as connection, sqlite_told(root):
        return is_begun(connection)
