"""The index of a server that runs for days: opened again when it was made anew, with the models that are loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.api import Retriever
from retriever.config import RerankConfig
from retriever.errors import IndexFormatError, IndexNotFoundError
from retriever.store.layout import IndexPaths

if TYPE_CHECKING:
    from retriever.encoder import SpanScorer, TextEncoder


@dataclass(slots=True)
class _Opened:
    """A retriever, which index it is of, and how many use it just now."""

    retriever: Retriever
    identity: tuple[int, int]
    users: int = 0


class FollowedIndex:
    """Gives a retriever of the index that is there now. Safe to share by threads.

    A retriever follows the commits of its index, but not one that was deleted and made again, or mended into a new
    file. The old one is closed when nobody uses it any more.
    """

    def __init__(
        self,
        root: Path,
        rerank: RerankConfig | None = None,
        *,
        encoder: TextEncoder | None = None,
        scorer: SpanScorer | None = None,
        adapted: Callable[[TextEncoder], TextEncoder] | None = None,
    ) -> None:
        """Opens the index.

        Args:
            root: The index folder.
            rerank: How candidates are read.
            encoder: As for `Retriever.open`.
            scorer: Likewise.
            adapted: Puts something around the encoder of each index that is opened; models are then loaded at once.
                By default the first question loads them.

        Raises:
            IndexNotFoundError: There is no index.
            IndexFormatError: It can't be used.
            EncoderError: A model can't be loaded.
        """
        self._root = root
        self._database = IndexPaths(root).database
        self._rerank = rerank or RerankConfig()
        self._adapted = adapted
        self._models: tuple[TextEncoder | None, SpanScorer | None] = (None, scorer)
        self._lock = threading.Lock()
        # Where there is none, the retriever says so.
        self._now = self._open(self._identity() or (0, 0), encoder)

    @contextmanager
    def using(self) -> Iterator[Retriever]:
        """The one to ask now; it stays open for as long as the body runs.

        Raises:
            IndexNotFoundError: The index is gone.
            IndexFormatError: It can't be used.
            EncoderError: As for the constructor.
        """
        with self._lock:
            # Looked at first: one that is replaced meanwhile is opened once more, rather than never.
            identity = self._identity()
            if identity is None:
                raise IndexNotFoundError(f"the index at {self._root} is gone")
            if identity != self._now.identity:
                before, self._now = self._now, self._open(identity)
                if not before.users:
                    before.retriever.close()
            used = self._now
            used.users += 1
        try:
            yield used.retriever
        finally:
            with self._lock:
                used.users -= 1
                if used is self._now:
                    self._keep(used.retriever)
                elif not used.users:
                    used.retriever.close()

    def close(self) -> None:
        """Closes what is open."""
        with self._lock:
            self._now.retriever.close()

    def _open(self, identity: tuple[int, int], encoder: TextEncoder | None = None) -> _Opened:
        known, scorer = self._models
        retriever = self._retriever(encoder or known, scorer)
        if self._adapted is not None and (known is None or retriever.loaded[0] is not known):
            with retriever:
                retriever.load()
                encoder, scorer = self._adapted(retriever.encoder), retriever.scorer
            retriever = self._retriever(encoder, scorer)
        self._keep(retriever)
        return _Opened(retriever, identity)

    def _retriever(self, encoder: TextEncoder | None, scorer: SpanScorer | None) -> Retriever:
        """With what is loaded, if it is the index's."""
        if encoder is not None:
            try:
                return Retriever.open(self._root, encoder=encoder, scorer=scorer, rerank=self._rerank)
            except IndexFormatError:  # it was made with another one
                pass
        return Retriever.open(self._root, scorer=scorer, rerank=self._rerank)

    def _keep(self, retriever: Retriever) -> None:
        """Remembers what is loaded, for an index that takes this one's place."""
        encoder, scorer = retriever.loaded
        self._models = encoder or self._models[0], scorer or self._models[1]

    def _identity(self) -> tuple[int, int] | None:
        """Which file the database is; the number isn't given to another one while this one is open."""
        try:
            status = self._database.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
