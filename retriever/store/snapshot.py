"""One committed state of an index, and what a search asks of it. What is shown is checked: rows by their checksums."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from retriever.errors import FilterError
from retriever.filters import Filter, compile_filters
from retriever.store.checksums import (
    CHUNK_COLUMNS,
    DOCUMENT_COLUMNS,
    DOCUMENTS,
    whole_chunks,
    whole_documents,
)
from retriever.store.failures import damaged
from retriever.store.layout import IndexPaths
from retriever.store.lexical import LexicalHit, LexicalReader
from retriever.store.manifest import Manifest
from retriever.store.records import FileRecord
from retriever.store.sources import source_state
from retriever.store.state import Allowed, State
from retriever.store.vectors import DenseHit, Selection, Vectors
from retriever.types import Anchor, Document, IndexStatus, SourceState

_FILTERS_KEPT = 8


class StoredChunk(NamedTuple):
    """A chunk's row: which document it is of, and where in it.

    `section` is the same for chunks that may be shown as one passage: those under the same headings, but not rows of
    a sheet, which are a passage each.
    """

    id: int
    document: int
    start: int
    end: int
    section: str


@dataclass(frozen=True, slots=True)
class Place:
    """A range of a document's text that chunks make up, the first of which begins it."""

    chunks: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """What a hit shows of a place; `page`, `line` and `headings` are those of its first chunk.

    `file` is what was recorded of its file; `None` for a document from memory.
    """

    document_id: str
    path: str | None
    title: str
    page: int | None
    line: int | None
    headings: tuple[str, ...]
    text: str
    file: FileRecord | None = None


@dataclass(frozen=True, slots=True)
class Anchors:
    """Where a document's pages and lines begin; `lines` is `None` where they are the text's own."""

    pages: tuple[Anchor, ...]
    lines: tuple[Anchor, ...] | None


class Snapshot:
    """One state of an index, and the questions that a search asks of it."""

    def __init__(
        self, connection: sqlite3.Connection, state: State, lexical: LexicalReader, paths: IndexPaths
    ) -> None:
        self._db = connection
        self._state = state
        self._lexical = lexical
        self._paths = paths
        self._sources: dict[FileRecord, SourceState] = {}

    @property
    def manifest(self) -> Manifest:
        """The manifest of this state."""
        return self._state.manifest

    def allowed(self, filters: Sequence[Filter]) -> Allowed | None:
        """What filters leave; `None` where there are no filters."""
        if not filters:
            return None
        known, key = self._state.filtered, tuple(filters)
        found = known.get(key)  # other threads may empty it at any time
        if found is None:
            found = self._allowed(filters)
            if len(known) >= _FILTERS_KEPT:
                known.clear()
            known[key] = found
        return found

    def _allowed(self, filters: Sequence[Filter]) -> Allowed:
        condition, values = compile_filters(filters)
        # The condition is made of fixed parts; values are parameters.
        matching = f"SELECT d.key FROM documents d LEFT JOIN files f ON f.id = d.file WHERE {condition}"  # noqa: S608
        try:
            documents = [row[0] for row in self._db.execute(matching, values)]
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):
                raise FilterError(f"these filters are more than SQLite takes: {error}") from error
            raise
        query = "SELECT id FROM chunks WHERE document IN (SELECT value FROM json_each(?))"
        chunks = self._db.execute(query, [json.dumps(documents)])
        ids = np.sort(np.array([row[0] for row in chunks], dtype=np.int64))
        border = np.searchsorted(ids, self.manifest.generation_end, side="right")
        return Allowed(documents, ids, ids[border:], Selection(ids[:border], self._state.living.without))

    def look_ahead(self, vectors: Vectors, limit: int) -> None:
        """As `State.look_ahead`."""
        self._state.look_ahead(vectors, limit)

    def dense(self, vector: Vectors, limit: int, allowed: Allowed | None) -> list[DenseHit]:
        """As `State.nearest`."""
        return self._state.nearest(vector, limit, allowed)

    def lexical(self, question: str, limit: int, allowed: Allowed | None) -> list[LexicalHit]:
        """The chunks that hold the question's words best, best first."""
        state = self._state
        documents = allowed.documents if allowed is not None else None
        asked = limit
        while True:
            hits = self._lexical.search(state.searcher, question, asked, documents)
            # tantivy may still hold, or already hold, chunks that aren't of this state.
            found = [hit for hit in hits if hit.chunk < state.next_id and hit.chunk not in state.deleted]
            if len(found) >= limit or len(hits) < asked:
                return found[:limit]
            asked *= 2

    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]:
        """Chunks of this state by id, in no particular order; `passages` checks those that are shown.

        Raises:
            IndexDamagedError: One isn't there.
        """
        rows = self._db.execute(
            'SELECT id, document, start, "end", headings FROM chunks'
            " WHERE id IN (SELECT value FROM json_each(?))",
            [json.dumps(list(ids))],
        )
        sheets = self._sheets()
        found = [
            StoredChunk(row[0], row[1], row[2], row[3], str(row[0]) if row[1] in sheets else row[4])
            for row in rows
        ]
        if len(found) != len(set(ids)):
            raise damaged(f"{len(set(ids)) - len(found)} passages are missing", self._paths.root)
        return found

    def chunks_near(self, ids: Sequence[int], documents: Collection[int]) -> list[StoredChunk]:
        """Those of some chunks that are of some documents, in no particular order.

        A document's ids lie close together, so that few other rows are looked at.
        """
        ranges = self._db.execute(
            "SELECT (SELECT id FROM chunks WHERE document = value ORDER BY id LIMIT 1),"
            " (SELECT id FROM chunks WHERE document = value ORDER BY id DESC LIMIT 1) FROM json_each(?)",
            [json.dumps(list(documents))],
        ).fetchall()
        asked = np.array(ids, dtype=np.int64)[:, None]
        bounds = np.array(ranges, dtype=np.int64).reshape(-1, 2)
        within = ((bounds[:, 0] <= asked) & (asked <= bounds[:, 1])).any(axis=1)
        return [chunk for chunk in self.chunks(asked[within, 0].tolist()) if chunk.document in documents]

    def _sheets(self) -> frozenset[int]:
        """Keys of documents whose rows are passages of their own; asked once for a state, of an index of SQLite's."""
        kept = self._state.sheets
        if not kept:
            rows = self._db.execute("SELECT key FROM documents WHERE format IN ('csv', 'xlsx', 'ods')")
            kept.append(frozenset(row[0] for row in rows))
        return kept[0]

    def passages(self, places: Sequence[Place]) -> list[StoredPassage]:
        """What a hit shows, for each place, in the order of `places`; the rows that it is made of are checked.

        Raises:
            IndexDamagedError: One isn't what was written.
        """
        query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id IN (SELECT value FROM json_each(?))"  # noqa: S608
        whole_chunks(self._db.execute(query, [json.dumps([id_ for place in places for id_ in place.chunks])]))
        rows = self._db.execute(
            "SELECT place.key, d.id, f.path, d.title, c.page, c.line, c.headings,"
            " substr(d.text, place.value ->> 1 + 1, place.value ->> 2 - place.value ->> 1),"
            " f.size, f.mtime_ns, f.sha256, f.seen_ns, d.key"
            " FROM json_each(?) place JOIN chunks c ON c.id = place.value ->> 0"
            " JOIN documents d ON d.key = c.document LEFT JOIN files f ON f.id = d.file",
            [json.dumps([(place.chunks[0], place.start, place.end) for place in places])],
        ).fetchall()
        self._check({row[-1] for row in rows})
        found = {
            row[0]: StoredPassage(
                document_id=row[1],
                path=None if row[2] is None else str(self._paths.actual_path(row[2])),
                title=row[3],
                page=row[4],
                line=row[5],
                headings=tuple(json.loads(row[6])),
                text=row[7],
                file=None if row[2] is None else FileRecord(row[2], *row[8:-1]),
            )
            for row in rows
        }
        if len(found) != len(places):
            raise damaged(f"{len(places) - len(found)} passages are missing", self._paths.root)
        return [found[i] for i in range(len(places))]

    def source(self, passage: StoredPassage) -> SourceState:
        """Whether a passage's file is still what was indexed; each file is looked at once."""
        file = passage.file
        if file is None:
            return "same"
        if file not in self._sources:
            self._sources[file] = source_state(self._paths.actual_path(file.path), file)
        return self._sources[file]

    def anchors(self, documents: Sequence[int]) -> dict[int, Anchors]:
        """Pages and lines of documents, by their keys, in one query."""
        self._check(documents)
        rows = self._db.execute(
            "SELECT key, pages, lines FROM documents WHERE key IN (SELECT value FROM json_each(?))",
            [json.dumps(list(documents))],
        )
        return {key: Anchors(_anchors(pages), lines and _anchors(lines)) for key, pages, lines in rows}

    def document(self, document_id: str) -> Document | None:
        """A document by id; `None` where there is none."""
        query = f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS} WHERE d.id = ?"  # noqa: S608
        for row in whole_documents(self._db.execute(query, [document_id])):
            return Document(
                id=row.id,
                path=None if row.path is None else str(self._paths.actual_path(row.path)),
                format=row.format,
                title=row.title,
                language=row.language,
                metadata=json.loads(row.metadata),
                text=row.text,
                pages=_anchors(row.pages),
            )
        return None

    def _check(self, documents: Iterable[int]) -> None:
        """Looks at the checksums of documents, the first time that they are shown in this state."""
        new = sorted(set(documents) - self._state.whole)
        query = f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS} WHERE d.key = ?"  # noqa: S608
        for key in new:  # one by one: they may be large
            whole_documents(self._db.execute(query, [key]))
            self._state.whole.add(key)

    def texts(self) -> Iterator[str]:
        """The text of every chunk, by id."""
        rows = self._db.execute(
            'SELECT substr(d.text, c.start + 1, c."end" - c.start)'
            " FROM chunks c JOIN documents d ON d.key = c.document ORDER BY c.id"
        )
        yield from (row[0] for row in rows)

    def document_ids(self) -> list[str]:
        """Ids of all documents, sorted.

        Raises:
            IndexDamagedError: The table and its index name others: neither has checksums over all of them.
        """
        ids = [
            row[0]
            for row in self._db.execute("SELECT id FROM documents INDEXED BY sqlite_autoindex_documents_1")
        ]
        others = [row[0] for row in self._db.execute("SELECT id FROM documents NOT INDEXED")]
        if None in ids or set(ids) != set(others):
            raise damaged("it isn't certain which documents there are", self._paths.root)
        return sorted(ids)

    def status(self) -> IndexStatus:
        """What the index holds and how it was made."""
        files, skipped, documents, chunks = self._db.execute(
            "SELECT (SELECT count(*) FROM files WHERE skipped IS NULL),"
            " (SELECT count(*) FROM files WHERE skipped IS NOT NULL),"
            " (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks)"
        ).fetchone()
        formats = self._db.execute(
            "SELECT format, count(*) FROM documents GROUP BY format ORDER BY 2 DESC, 1"
        )
        manifest = self._state.manifest
        return IndexStatus(
            files=files,
            skipped=skipped,
            documents=documents,
            chunks=chunks,
            formats=dict(formats.fetchall()),
            encoder=manifest.encoder,
            dimension=manifest.dimension,
            language=manifest.language,
            pending=len(self._state.delta_ids),
            search="exact" if manifest.trained is None else "lists",
            lists=self._state.generation.lists if self._state.generation is not None else 0,
            probes=manifest.probes,
            recall=manifest.recall,
            wide_recall=manifest.wide_recall,
            size=self._paths.size(),
        )


def _anchors(stored: str) -> tuple[Anchor, ...]:
    return tuple(Anchor(*pair) for pair in json.loads(stored))
