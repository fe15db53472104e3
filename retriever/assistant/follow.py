"""The index of a server that runs for days: loaded when it is needed, and opened again when it was made anew."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.api import Retriever
from retriever.config import RerankConfig
from retriever.errors import IndexFormatError, IndexNotFoundError
from retriever.store.layout import IndexPaths

if TYPE_CHECKING:
    from retriever.encoder import SpanScorer, TextEncoder


class FollowedIndex:
    """Gives a retriever of the index that is there now. Safe to share by threads.

    A retriever follows the commits of its index, but not one that was deleted and made again, or mended into a new
    file.
    """

    def __init__(self, root: Path, rerank: RerankConfig | None = None) -> None:
        """Opens the index, without loading a model.

        Raises:
            IndexNotFoundError: There is no index.
            IndexFormatError: It can't be used.
        """
        self._root = root
        self._database = IndexPaths(root).database
        self._rerank = rerank or RerankConfig()
        self._lock = threading.Lock()
        self._models: tuple[TextEncoder, SpanScorer] | None = None
        self._old: list[Retriever] = []
        self._retriever = Retriever.open(root, rerank=self._rerank)
        self._identity = self._look()

    def retriever(self) -> Retriever:
        """The one to ask now.

        Raises:
            IndexNotFoundError: The index is gone.
            IndexFormatError: It can't be used.
        """
        with self._lock:
            if (identity := self._look()) != self._identity:
                opened = self._open()
                self._old.append(self._retriever)  # somebody may be asking it just now
                self._retriever, self._identity = opened, identity
            return self._retriever

    def keep_models(self, retriever: Retriever) -> None:
        """Keeps the models that a question has loaded for an index that takes this one's place."""
        self._models = retriever.encoder, retriever.scorer

    def close(self) -> None:
        """Closes what was opened."""
        for retriever in (*self._old, self._retriever):
            retriever.close()

    def _open(self) -> Retriever:
        if self._models is not None:
            encoder, scorer = self._models
            try:
                return Retriever.open(self._root, encoder=encoder, scorer=scorer, rerank=self._rerank)
            except IndexFormatError:  # it was made with another encoder
                return Retriever.open(self._root, scorer=scorer, rerank=self._rerank)
        return Retriever.open(self._root, rerank=self._rerank)

    def _look(self) -> tuple[int, int]:
        try:
            status = self._database.stat()
        except OSError as error:
            raise IndexNotFoundError(f"the index at {self._root} is gone: {error.strerror}") from error
        return status.st_dev, status.st_ino
