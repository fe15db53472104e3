"""The middle of a run: every passage of a batch gets its vector, from the encoder or from what was known of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from indexer.batches import BATCH_TOKENS, IN_FLIGHT, Batch, Position, Wanted
from indexer.report import Tally
from retriever.store.inputs import Vector
from retriever.store.records import PreparedDocument

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder


class Embedder:
    """Embeds batches, one after the other.

    Args:
        encoder: Gives the index's encoder, when there is something to embed.
        context_tokens: How many tokens of a passage's context it takes.
        tally: Passages are counted here.
    """

    def __init__(self, encoder: Callable[[], TextEncoder], context_tokens: int, tally: Tally) -> None:
        self._encoder = encoder
        self._context_tokens = context_tokens
        self._tally = tally
        self._position = Position()
        self._recent: deque[dict[int, Vector]] = deque(maxlen=IN_FLIGHT)

    def embed(self, batch: Batch) -> Iterator[Position]:
        """Fills `batch.vectors`; yields how far the run was before, each time that some are embedded."""
        wanted = {}
        for key, passage in batch.wanted.items():
            vector = self._find_recent(key)
            if vector is None:
                wanted[key] = passage
            else:
                batch.vectors[key] = vector
        new: dict[int, Vector] = {}
        for part in _parts(wanted):
            passages = [wanted[key].passage for key in part]
            vectors = self._encoder().encode_passages(passages, context_tokens=self._context_tokens)
            new |= zip(part, vectors.astype(np.float16), strict=True)
            self._tally.chunks += len(part)
            yield self._position
        batch.vectors |= new
        self._tally.reused += batch.chunks - len(new)
        self._recent.append(new)
        self._position = batch.position

    def _find_recent(self, key: int) -> Vector | None:
        """Of a passage that was embedded shortly before, so that the index may not have it yet."""
        return next((vectors[key] for vectors in self._recent if key in vectors), None)


def prepared(batch: Batch) -> list[PreparedDocument]:
    """The documents of a batch that is embedded, ready to be written."""
    return [
        PreparedDocument(
            document.id,
            document.file,
            document.extract,
            document.sha256,
            document.chunks,
            np.stack([batch.vectors[key] for key in document.inputs]),
        )
        for document in batch.documents
    ]


def _parts(wanted: dict[int, Wanted]) -> Iterator[list[int]]:
    """The passages in parts that the encoder is given: all at once, but for those of a very long document."""
    part: list[int] = []
    tokens = 0
    for key in sorted(wanted, key=lambda key: wanted[key].tokens, reverse=True):
        part.append(key)
        tokens += wanted[key].tokens
        if tokens >= 2 * BATCH_TOKENS:
            yield part
            part, tokens = [], 0
    if part:
        yield part
