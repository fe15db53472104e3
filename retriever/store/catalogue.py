"""What documents does an index hold? Their list, page by page; what they can be filtered by; the file of one."""

from __future__ import annotations

import json
import posixpath
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from retriever.errors import FilterError
from retriever.filters import Filter, compile_filters
from retriever.storable import storable_text
from retriever.store.checksums import DOCUMENT_COLUMNS, DOCUMENTS, whole_documents
from retriever.store.layout import IndexPaths
from retriever.store.manifest import Manifest, read_manifest
from retriever.store.reader import read_transaction
from retriever.store.records import FileRecord
from retriever.store.schema import connect
from retriever.types import Metadata

_MOST_KEYS = 12
_MOST_VALUES = 60
_LONGEST_VALUE = 60
_FEW = 20
"""A key with more values than this, all different, names documents rather than kinds of them."""
_FOLDER_LEVELS = 3
_GLOB = re.compile(r"[*?\[]")
_State = tuple[int, Manifest]
"""Which file it is, and what that says of itself: the number alone may be given to another one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document of the list.

    Attributes:
        characters: Code points of its text.
        pages: Number of its last page that has text; 0 where the format has none.
    """

    id: str
    path: str | None
    format: str
    title: str
    language: str
    metadata: Metadata
    characters: int
    pages: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that documents can be filtered by.

    Attributes:
        name: How it is shown.
        documents: How many have it.
        where: The filter's expression.
    """

    name: str
    documents: int
    where: str


@dataclass(frozen=True, slots=True)
class Facets:
    """What documents can be filtered by.

    Attributes:
        folders: In order of their names, three levels deep, those that tell documents apart.
        formats: The commonest first.
        metadata: By key; the commonest keys, each with its commonest values.
    """

    folders: tuple[Choice, ...]
    formats: tuple[Choice, ...]
    metadata: tuple[tuple[str, tuple[Choice, ...]], ...]


class Catalogue:
    """Lists an index's documents. Safe to share by threads; each question opens a connection of its own."""

    def __init__(self, root: Path) -> None:
        self._paths = IndexPaths(root)
        self._facets: tuple[_State, Facets] | None = None

    def page(self, offset: int, limit: int, filters: Sequence[Filter] = ()) -> tuple[int, list[Entry]]:
        """How many documents there are, and `limit` of them from `offset` on, sorted by id.

        Raises:
            FilterError: The filters are more than SQLite takes.
            IndexDamagedError: One isn't what was written.
        """
        condition, values = compile_filters(filters)
        with self._reading() as db:
            try:
                query = f"SELECT count(*) FROM {DOCUMENTS} WHERE {condition}"  # noqa: S608 - fixed parts
                total = db.execute(query, values).fetchone()[0]
            except sqlite3.Error as error:
                if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):
                    raise FilterError(f"these filters are more than SQLite takes: {error}") from error
                raise
            keys = db.execute(
                f"SELECT d.key FROM {DOCUMENTS} WHERE {condition} ORDER BY d.id LIMIT ? OFFSET ?",  # noqa: S608
                [*values, limit, offset],
            ).fetchall()
            return total, [self._entry(db, key) for (key,) in keys]

    def facets(self) -> Facets:
        """What documents can be filtered by; made anew when the index has changed."""
        # Before it is opened: one that is replaced meanwhile is looked through once more, rather than never.
        file = self._paths.database.stat().st_ino if self._paths.database.exists() else 0
        with self._reading() as db:
            state = file, read_manifest(db)
            if self._facets is None or self._facets[0] != state:
                self._facets = state, Facets(_folders(db), _formats(db), tuple(_metadata(db)))
            return self._facets[1]

    def counts(self) -> tuple[int, int]:
        """How many documents and passages there are."""
        with self._reading() as db:
            manifest = read_manifest(db)
            return manifest.documents, manifest.chunks

    def file(self, document_id: str) -> tuple[Path, FileRecord] | None:
        """The file of a document, and what was recorded of it; `None` for one from memory, or none at all."""
        with self._reading() as db:
            row = db.execute(
                "SELECT f.path, f.size, f.mtime_ns, f.sha256, f.seen_ns FROM documents d"
                " JOIN files f ON f.id = d.file WHERE d.id = ?",
                [storable_text(document_id)],
            ).fetchone()
        return None if row is None else (self._paths.actual_path(row[0]), FileRecord(*row))

    def _entry(self, db: sqlite3.Connection, key: int) -> Entry:
        query = f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS} WHERE d.key = ?"  # noqa: S608
        row = whole_documents(db.execute(query, [key]))[0]  # one by one: they may be large
        pages = json.loads(row.pages)
        return Entry(
            id=row.id,
            path=None if row.path is None else str(self._paths.actual_path(row.path)),
            format=row.format,
            title=row.title,
            language=row.language,
            metadata=json.loads(row.metadata),
            characters=len(row.text),
            pages=pages[-1][1] if pages else 0,
        )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(connect(self._paths.database)) as db, read_transaction(db, self._paths):
            yield db


def _folders(db: sqlite3.Connection) -> tuple[Choice, ...]:
    """Folders that hold some documents, but not all: below the deepest one that has all of them."""
    counts: Counter[str] = Counter()
    total = 0
    rows = db.execute("SELECT f.path, count(*) FROM documents d JOIN files f ON f.id = d.file GROUP BY f.id")
    for path, count in rows:
        total += count
        folder = posixpath.dirname(path)
        while folder not in ("", "/"):
            counts[folder] += count
            folder = posixpath.dirname(folder)
    common = max((folder for folder, count in counts.items() if count == total), key=len, default="")
    base = f"{common}/" if common else ""
    inner = sorted(folder for folder in counts if folder.startswith(base) and folder != common)
    return tuple(
        Choice(name, counts[folder], f"path={_escaped(folder)}/*")
        for folder in inner
        if (name := folder.removeprefix(base)).strip("/").count("/") < _FOLDER_LEVELS
    )


def _escaped(text: str) -> str:
    """A text that a glob takes as it is."""
    return _GLOB.sub(lambda sign: f"[{sign.group()}]", text)


def _formats(db: sqlite3.Connection) -> tuple[Choice, ...]:
    rows = db.execute("SELECT format, count(*) FROM documents GROUP BY format ORDER BY 2 DESC, 1")
    return tuple(Choice(name, count, f"format={name}") for name, count in rows)


def _metadata(db: sqlite3.Connection) -> Iterator[tuple[str, tuple[Choice, ...]]]:
    """Keys whose values say something of several documents."""
    rows = db.execute(
        "SELECT entry.key, CASE entry.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
        " ELSE CAST(entry.atom AS TEXT) END, count(*)"
        " FROM documents d, json_each(d.metadata) entry"
        " WHERE entry.type IN ('text', 'integer', 'real', 'true', 'false') GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
    )
    values: dict[str, list[tuple[str, int]]] = {}
    for key, value, count in rows:
        values.setdefault(key, []).append((value, count))
    telling = {
        key: found
        for key, found in values.items()
        if (len(found) <= _FEW or found[0][1] > 1) and not re.search(r"[=<>!]", key) and key.strip() == key
    }
    commonest = sorted(telling, key=lambda key: (-sum(count for _, count in telling[key]), key))
    for key in commonest[:_MOST_KEYS]:
        choices = [
            Choice(value, count, f"{key}={value}")
            for value, count in telling[key][:_MOST_VALUES]
            if value == value.strip() and 0 < len(value) <= _LONGEST_VALUE
        ]
        if choices:
            yield key, tuple(choices)
