"""Plain text, source code, settings, subtitles: the file's own text, nothing taken from it."""

from __future__ import annotations

from collections.abc import Iterator

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.detect import PLAIN, format_of
from indexer.readers.encoding import decode
from retriever.types import Extract


class TextReader:
    """Reads what has no structure that a search could use."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the decoded file."""
        name = format_of(file.path)
        yield Extract(text=decode(file.read_bytes(limits)), format=name if name in PLAIN else "text")
