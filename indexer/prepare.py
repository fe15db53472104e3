"""From what a reader extracted to what the index stores: text made storable, hashed, cut, with contexts."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from indexer.chunking import chunk_document
from retriever.config import ChunkingConfig
from retriever.context import context_line
from retriever.storable import storable_text, storable_value
from retriever.store.inputs import input_key
from retriever.types import Chunk, Extract, Metadata, Passage


@dataclass(frozen=True, slots=True)
class CutDocument:
    """A document with its chunks, ready to be embedded.

    Attributes:
        id: Its id.
        file: Stored path of its file.
        extract: Text and structure.
        sha256: `content_hash` of it.
        chunks: Its passages.
        inputs: For each of them the number of what its vector is made of.
        tokens: For each of them how many tokens it has, its context left out.
    """

    id: str
    file: str | None
    extract: Extract
    sha256: str
    chunks: Sequence[Chunk]
    inputs: Sequence[int]
    tokens: Sequence[int]

    def passage(self, place: int) -> Passage:
        """What the encoder is given of a chunk."""
        return _passage(self.extract, self.chunks[place])


def storable(extract: Extract) -> Extract:
    """The same with every NUL and lone surrogate in text, title and metadata replaced by U+FFFD."""
    return replace(
        extract,
        text=storable_text(extract.text),
        title=storable_text(extract.title),
        metadata=cast(Metadata, storable_value(dict(extract.metadata))),
    )


def content_hash(extract: Extract) -> str:
    """SHA-256 over everything of a document that is stored or decides how it is cut.

    The lines in the original are left out: a row that only moved in its file is the same document.
    """
    digest = hashlib.sha256()
    metadata = json.dumps(extract.metadata, sort_keys=True, default=str)
    structure = [
        [(heading.start, heading.end, heading.level) for heading in extract.headings],
        [(row.start, row.end) for row in extract.rows],
        [(anchor.start, anchor.number) for anchor in extract.pages],
    ]
    for part in (
        extract.format,
        extract.title,
        extract.language,
        metadata,
        json.dumps(structure),
        extract.text,
    ):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def cut(
    document_id: str,
    file: str | None,
    extract: Extract,
    sha256: str,
    token_spans: Callable[[str], Sequence[tuple[int, int]]],
    config: ChunkingConfig,
) -> CutDocument:
    """Cuts a document into chunks."""
    spans = token_spans(extract.text)
    chunks = chunk_document(extract, lambda _: spans, config)
    starts = [start for start, _ in spans]
    passages = (_passage(extract, chunk) for chunk in chunks)
    return CutDocument(
        document_id,
        file,
        extract,
        sha256,
        chunks,
        inputs=[input_key(passage.context, passage.text) for passage in passages],
        tokens=[bisect_left(starts, chunk.end) - bisect_left(starts, chunk.start) for chunk in chunks],
    )


def _passage(extract: Extract, chunk: Chunk) -> Passage:
    return Passage(extract.text[chunk.start : chunk.end], context_line(extract.title, chunk.headings))
