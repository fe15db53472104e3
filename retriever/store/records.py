"""What a writer is given: files as they were seen, documents ready to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.types import Chunk, Extract


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What is known of a file on disk.

    Attributes:
        path: As it is stored.
        size: Bytes.
        mtime_ns: Modification time.
        sha256: Of its content; `None` while it isn't wholly indexed.
        seen_ns: When it was read.
        skipped: Why it was skipped; `None` for an indexed file.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str | None
    seen_ns: int
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document ready to be written.

    Attributes:
        id: The document's id.
        file: Path of its file as stored; `None` for a document from memory.
        extract: Text and structure.
        sha256: Of everything of it that is stored.
        chunks: Its passages.
        vectors: `(N, C)` float16, one row a chunk.
    """

    id: str
    file: str | None
    extract: Extract
    sha256: str
    chunks: Sequence[Chunk]
    vectors: NDArray[np.float16]
