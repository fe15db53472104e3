"""From what a reader extracted to what the index stores: text made storable, hashed, cut, with contexts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from indexer.chunking import chunk_document
from retriever.config import ChunkingConfig
from retriever.context import context_line
from retriever.storable import storable_text, storable_value
from retriever.types import Chunk, Extract, Metadata, Passage


@dataclass(frozen=True, slots=True)
class CutDocument:
    """A document with its chunks, ready to be embedded."""

    id: str
    file: str | None
    extract: Extract
    sha256: str
    chunks: Sequence[Chunk]

    def passages(self) -> list[Passage]:
        """What the encoder is given, one a chunk."""
        extract = self.extract
        return [
            Passage(extract.text[chunk.start : chunk.end], context_line(extract.title, chunk.headings))
            for chunk in self.chunks
        ]


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
    return CutDocument(document_id, file, extract, sha256, chunk_document(extract, token_spans, config))
