"""The lexical side: BM25 over a tantivy index of chunks.

tantivy keeps immutable segments and publishes by an atomic rename of `meta.json`. It may run ahead of SQLite, never
behind: additions are committed before SQLite's transaction, deletions after it, and who searches drops ids that
SQLite doesn't know. BM25 is Robertson's with tantivy's constants, k1 = 1.2, b = 0.75.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tantivy import Document, FieldType, Index, Occur, Query, Schema, SchemaBuilder, Searcher

from retriever.errors import REPAIR, IndexDamagedError
from retriever.store.analysis import analyzer, fold
from retriever.store.failures import tantivy_told, told
from retriever.store.layout import make_folder, sync_folder
from retriever.store.mirror import Mirror, is_needed
from retriever.store.segments import META, SegmentCheck

_ANALYZER = "spanseek"
_HEAP_BYTES = 48_000_000
"""What tantivy's writer may hold in memory before it writes a segment."""


_K1 = 1.2


class LexicalHit(NamedTuple):
    """A chunk and its BM25 score.

    Attributes:
        chunk: Its id.
        score: BM25.
        coverage: The score's share of the greatest that any passage could have for these words, from 0 to 1.
    """

    chunk: int
    score: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Held:
    """How many chunks there are, and the sum of their ids: what has both in common has, in practice, the same ids."""

    chunks: int
    ids: int


def _schema() -> Schema:
    builder = SchemaBuilder()
    builder.add_unsigned_field("chunk", indexed=True, fast=True)
    builder.add_unsigned_field("document", indexed=True, fast=True)
    builder.add_text_field("body", tokenizer_name=_ANALYZER, index_option="position")
    return builder.build()


def _open(folder: Path, language: str, root: Path, *, create: bool) -> Index:
    with tantivy_told(root):
        if not create and not Index.exists(str(folder)):
            raise ValueError(f"{META} is missing")
        index = Index(_schema(), path=str(folder), reuse=True)
    index.register_tokenizer(_ANALYZER, analyzer(language))
    return index


class LexicalWriter:
    """Adds and deletes chunks; nothing of it is seen before `commit`."""

    def __init__(self, folder: Path, language: str) -> None:
        make_folder(folder)
        self._folder = folder
        self._segments = SegmentCheck(folder)
        if (
            folder / META
        ).exists():  # looked at before tantivy does, which panics where it expected something else
            with told(folder.parent):
                if not self._segments.check(self._segments.published()):  # nobody else writes to it
                    raise IndexDamagedError(f"a file is missing from {folder}{REPAIR}")
        self._index = _open(folder, language, folder.parent, create=True)
        sync_folder(folder)
        self._schema = self._index.schema
        with self._told():
            self._writer = self._index.writer(heap_size=_HEAP_BYTES, num_threads=1)

    def add(self, chunk: int, document: int, text: str) -> None:
        """Adds a chunk's text."""
        entry = Document()
        entry.add_unsigned("chunk", chunk)
        entry.add_unsigned("document", document)
        entry.add_text("body", fold(text))
        with self._told():
            self._writer.add_document(entry)

    def delete(self, chunks: Iterable[int]) -> None:
        """Deletes chunks; ids that aren't there are passed over."""
        ids = list(chunks)
        if ids:
            # Not delete_documents_by_term: it makes a signed term of any number, which no unsigned field holds.
            with self._told():
                self._writer.delete_documents_by_query(Query.term_set_query(self._schema, "chunk", ids))

    def delete_from(self, chunk: int) -> None:
        """Deletes every chunk with this id or a greater one."""
        query = Query.range_query(self._schema, "chunk", FieldType.Unsigned, chunk, 2**63)
        with self._told():
            self._writer.delete_documents_by_query(query)

    def delete_all(self) -> None:
        """Empties the index."""
        with self._told():
            self._writer.delete_all_documents()

    def commit(self) -> None:
        """Publishes everything since the last commit, atomically and for good."""
        with self._told():
            self._writer.commit()
        # tantivy syncs its files, but not the name that it publishes them by.
        sync_folder(self._folder)

    def rollback(self) -> None:
        """Forgets everything since the last commit."""
        with self._told():
            self._writer.rollback()

    def held(self) -> Held:
        """What is there as of the last commit."""
        with self._told():
            self._index.reload()
        searcher = self._index.searcher()
        if not searcher.num_docs:
            return Held(0, 0)
        found = searcher.aggregate(Query.all_query(), {"ids": {"sum": {"field": "chunk"}}})
        return Held(int(searcher.num_docs), int(found["ids"]["value"]))

    def is_in_step(self, revision: int) -> bool:
        """Whether what is published now was in step with SQLite at this revision; if not, it may be all the same."""
        with told(self._folder.parent):
            return self._segments.is_in_step(revision)

    def close(self, in_step_with: int | None = None) -> None:
        """Waits for merges in the background, and ends the writer. What wasn't committed is dropped.

        Args:
            in_step_with: The revision of SQLite that holds the same chunks, if one does.
        """
        with self._told():
            self._writer.rollback()
            self._writer.wait_merging_threads()
        if in_step_with is not None:
            with told(self._folder.parent):
                self._segments.note_in_step(in_step_with)

    def _told(self) -> AbstractContextManager[None]:
        return tantivy_told(self._folder.parent)


class LexicalReader:
    """Finds chunks by their words, in the state of the last `reload`.

    Args:
        folder: Of the index.
        language: Whose stemmer.
        noted: As for `SegmentCheck`.
    """

    def __init__(self, folder: Path, language: str, *, noted: bool = True) -> None:
        self._folder = folder
        self._segments = SegmentCheck(folder, noted=noted)
        self._mirror = Mirror(folder) if is_needed(folder) else None
        try:
            self._load(lambda: self._open(language))
        except BaseException:
            self.close()
            raise
        self._schema = self._index.schema
        self._analyzer = analyzer(language)
        self._question_analyzer = analyzer(language, question=True)

    def searcher(self) -> Searcher:
        """The newest committed state; it stays as it is however the index changes.

        Raises:
            IndexDamagedError: A file isn't what was written.
        """
        self._load(self._index.reload)
        return self._index.searcher()

    def close(self) -> None:
        """Removes what was put aside to read the index."""
        if self._mirror is not None:
            self._mirror.close()

    def _open(self, language: str) -> None:
        place = self._folder if self._mirror is None else self._mirror.path
        self._index = _open(place, language, self._folder.parent, create=False)
        self._index.config_reader(reload_policy="manual")

    def _load(self, load: Callable[[], None]) -> None:
        """Loads the newest state, all files of which have been checked."""
        with told(self._folder.parent), tantivy_told(self._folder.parent):
            self._load_whole(load)

    def _load_whole(self, load: Callable[[], None]) -> None:
        before = b""
        while True:
            published = self._segments.published()
            if self._segments.check(published):
                if self._mirror is not None:
                    self._mirror.follow(published, self._segments.files(published))
                load()
                if self._segments.published() == published:
                    return
            elif published == before:
                raise IndexDamagedError(f"a file is missing from {self._folder}{REPAIR}")
            before = published

    def chunks(self, searcher: Searcher) -> list[int]:
        """Ids of all chunks that are there; a damaged one is -1."""
        if not searcher.num_docs:
            return []
        with tantivy_told(self._folder.parent):
            found: list[tuple[float, Any]] = searcher.search(
                Query.all_query(), int(searcher.num_docs), count=False
            ).hits
            ids = searcher.fast_field_values("chunk", [address for _, address in found])
        return [-1 if chunk is None else int(chunk) for chunk in ids]

    def search(
        self, searcher: Searcher, question: str, limit: int, documents: Sequence[int] | None = None
    ) -> list[LexicalHit]:
        """The best chunks that hold any of the question's words.

        Args:
            searcher: From `searcher()`.
            question: Any text; its words are joined by OR, without those that only make it a question.
            limit: At most this many.
            documents: Only chunks of these documents; `None` for all.

        Returns:
            Best first.
        """
        folded = fold(question, query=True)
        terms = list(
            dict.fromkeys(self._question_analyzer.analyze(folded))
            or dict.fromkeys(self._analyzer.analyze(folded))
        )
        if not terms or limit < 1 or searcher.num_docs == 0:
            return []
        clauses: list[tuple[Occur, Query]] = [
            (Occur.Should, Query.term_query(self._schema, "body", term)) for term in terms
        ]
        query = Query.boolean_query(clauses)
        if documents is not None:
            wanted = Query.term_set_query(self._schema, "document", list(documents))
            query = Query.boolean_query(
                [(Occur.Must, query), (Occur.Must, Query.const_score_query(wanted, 0.0))]
            )
        with tantivy_told(self._folder.parent):
            found: list[tuple[float, Any]] = searcher.search(query, limit, count=False).hits
            chunks = searcher.fast_field_values("chunk", [address for _, address in found])
            ceiling = _ceiling(searcher, terms)
        return [
            LexicalHit(int(chunk), score, min(1.0, score / ceiling))
            for (score, _), chunk in zip(found, chunks, strict=True)
            if chunk is not None
        ]


def _ceiling(searcher: Searcher, terms: Sequence[str]) -> float:
    """What BM25 can't exceed for these words: each of them there without end, in a passage of no length."""
    total = int(searcher.num_docs)
    frequencies = [int(searcher.doc_freq("body", term)) for term in terms]
    return (
        sum((_K1 + 1) * math.log(1 + (total - df + 0.5) / (df + 0.5)) for df in frequencies if df <= total)
        or 1.0
    )
