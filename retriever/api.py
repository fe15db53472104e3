"""`Retriever`: an index opened for questions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from retriever.config import SearchConfig
from retriever.errors import SpanseekError
from retriever.filters import Filter
from retriever.search import search
from retriever.store.reader import IndexReader
from retriever.types import Document, Hit, IndexStatus

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder


class Retriever:
    """Finds passages in an index. Open one with `Retriever.open`; safe to share by threads.

    A retriever follows the index: what a writer has committed is found by the next search.
    """

    def __init__(self, reader: IndexReader, encoder: TextEncoder | None, config: SearchConfig) -> None:
        self._reader = reader
        self._encoder = encoder
        self._config = config

    @classmethod
    def open(
        cls, path: str | Path, *, encoder: TextEncoder | None = None, config: SearchConfig | None = None
    ) -> Self:
        """Opens an index.

        Args:
            path: The index folder.
            encoder: One that is loaded already; by default the index's own is loaded by the first search.
            config: How to search.

        Raises:
            IndexNotFoundError: There is no index.
            IndexFormatError: It is of another format version, another encoder, or damaged.
        """
        reader = IndexReader(Path(path))
        if encoder is not None:
            reader.manifest.check(fingerprint=encoder.fingerprint, dimension=encoder.dimension)
        return cls(reader, encoder, config or SearchConfig())

    def close(self) -> None:
        """Closes the index."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def encoder(self) -> TextEncoder:
        """The index's encoder, loaded when it is first asked for.

        Raises:
            EncoderError: It can't be loaded.
            IndexFormatError: It isn't the one that the index was made with any more.
        """
        if self._encoder is None:
            from retriever.encoder import TextEncoder

            manifest = self._reader.manifest
            encoder = TextEncoder.load(manifest.encoder)
            manifest.check(fingerprint=encoder.fingerprint, dimension=encoder.dimension)
            self._encoder = encoder
        return self._encoder

    def search(
        self,
        question: str,
        k: int = 10,
        *,
        where: Iterable[str | Filter] = (),
        per_document: int | None = None,
    ) -> list[Hit]:
        """The best passages for a question, best first.

        Args:
            question: Any text: a question, a claim, keywords.
            k: At most this many.
            where: Filters like `"year>=2024"` or `"path=handbook/*"`; all must hold.
            per_document: At most this many passages of one document while others are left (default: the config's).

        Raises:
            FilterError: A filter isn't understood.
            SpanseekError: The question is blank, or `k` is less than 1.
        """
        if not question.strip():
            raise SpanseekError("the question is empty: ask something")
        if k < 1:
            raise SpanseekError(f"k must be at least 1, not {k}")
        filters = [Filter.parse(item) if isinstance(item, str) else item for item in where]
        config = self._config
        if per_document is not None:
            config = SearchConfig(config.candidates, config.dense_weight, per_document)
        vector = self.encoder.encode_questions([question])[0]
        with self._reader.snapshot() as snapshot:
            return search(snapshot, question, vector, k, config, filters)

    def document(self, document_id: str) -> Document:
        """A document by its id, as hits name it.

        Raises:
            KeyError: There is none with this id.
        """
        with self._reader.snapshot() as snapshot:
            document = snapshot.document(document_id)
        if document is None:
            raise KeyError(document_id)
        return document

    def document_ids(self) -> Sequence[str]:
        """Ids of all documents, sorted."""
        with self._reader.snapshot() as snapshot:
            return snapshot.document_ids()

    def status(self) -> IndexStatus:
        """What the index holds and how it was made."""
        with self._reader.snapshot() as snapshot:
            return snapshot.status()
