"""Checksums of rows: SQLite finds a broken page, but not a bit that fell over in a text or a vector.

CRC-32 as zlib has it: every change of up to 32 neighbouring bits is found, any other with a chance of 1 in 4 billion
of being missed. Not a defence against somebody who means harm: who can write to an index can also write its checksums.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retriever.errors import REPAIR, IndexDamagedError

CHUNK_COLUMNS = 'c.id, c.document, c.start, c."end", c.page, c.line, c.headings, c.vector, c.checksum'
DOCUMENT_COLUMNS = "d.key, d.id, f.path, d.format, d.title, d.language, d.metadata, d.text, d.sha256, d.pages, d.lines, d.checksum"
DOCUMENTS = "documents d LEFT JOIN files f ON f.id = d.file"
"""The tables that DOCUMENT_COLUMNS are of."""


class ChunkRow(NamedTuple):
    """A chunk as it is stored: CHUNK_COLUMNS of `chunks c`."""

    id: int
    document: int
    start: int
    end: int
    page: int | None
    line: int | None
    headings: str
    vector: bytes
    checksum: int

    def is_whole(self) -> bool:
        """Whether its checksum is right."""
        try:
            return self.checksum == chunk_checksum(*self[:-1])
        except (TypeError, ValueError):  # a vector that is NULL, a heading that isn't text
            return False


class DocumentRow(NamedTuple):
    """A document as it is stored: DOCUMENT_COLUMNS of DOCUMENTS."""

    key: int
    id: str
    path: str | None
    format: str
    title: str
    language: str
    metadata: str
    text: str
    sha256: str
    pages: str
    lines: str | None
    checksum: int

    def is_whole(self) -> bool:
        """Whether its checksum is right."""
        try:
            return self.checksum == document_checksum(*self[:-1])
        except (TypeError, ValueError, AttributeError):
            return False


def whole_chunks(rows: Iterable[Sequence[Any]]) -> list[ChunkRow]:
    """Rows of CHUNK_COLUMNS, checked.

    Raises:
        IndexDamagedError: One of them isn't what was written.
    """
    chunks = [ChunkRow(*row) for row in rows]
    for chunk in chunks:
        if not chunk.is_whole():
            raise IndexDamagedError(f"passage {chunk.id} is damaged{REPAIR}")
    return chunks


def stacked(chunks: Sequence[ChunkRow], dimension: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids `(N,)` and vectors `(N, dimension)` of chunks."""
    matrix = np.frombuffer(b"".join(chunk.vector for chunk in chunks), dtype=np.float16)
    ids = np.array([chunk.id for chunk in chunks], dtype=np.int64)
    return ids, matrix.reshape(len(chunks), dimension).astype(np.float32)


def whole_documents(rows: Iterable[Sequence[Any]]) -> list[DocumentRow]:
    """Rows of DOCUMENT_COLUMNS, checked.

    Raises:
        IndexDamagedError: One of them isn't what was written.
    """
    documents = [DocumentRow(*row) for row in rows]
    for document in documents:
        if not document.is_whole():
            raise IndexDamagedError(f"{document.id!r} is damaged{REPAIR}")
    return documents


def chunk_checksum(
    id_: int,
    document: int,
    start: int,
    end: int,
    page: int | None,
    line: int | None,
    headings: str,
    vector: bytes,
) -> int:
    """Of all that is stored of a chunk; its text is its document's."""
    place = f"{id_} {document} {start} {end} {page} {line} {headings}"
    return zlib.crc32(vector, zlib.crc32(place.encode()))


def document_checksum(
    key: int,
    id_: str,
    path: str | None,
    format_: str,
    title: str,
    language: str,
    metadata: str,
    text: str,
    sha256: str,
    pages: str,
    lines: str | None,
) -> int:
    """Of all that is stored of a document but the run that saw it last."""
    rest = json.dumps([key, id_, path, format_, title, language, metadata, sha256, pages, lines])
    return zlib.crc32(text.encode(), zlib.crc32(rest.encode()))


def manifest_checksum(rows: Mapping[str, str]) -> int:
    """Of a manifest's rows, `checksum` itself left out."""
    return zlib.crc32(json.dumps(sorted((k, v) for k, v in rows.items() if k != "checksum")).encode())
