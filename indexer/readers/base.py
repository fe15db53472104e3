"""What a reader is given, what it gives, and what it may not exceed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from retriever.errors import UnreadableError
from retriever.types import Extract

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What one file may cost; past any of these it is skipped, with the reason.

    Attributes:
        file_bytes: Size of a file that is read whole. Files that are read line by line may be of any size.
        expanded_bytes: What a zip container (docx, xlsx, pptx, odt, epub) may unpack to.
        expansion: How many times its own size a zip container may unpack to. Looked at only from 16 MiB on:
            small files of repetitive XML go far beyond it.
        pages: Pages of a PDF.
        characters: Text of one document.
    """

    file_bytes: int = 256 * _MIB
    expanded_bytes: int = 512 * _MIB
    expansion: int = 200
    pages: int = 20_000
    characters: int = 50_000_000


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A regular file that can be opened, and what is known of it before it is parsed."""

    path: Path
    size: int

    def read_bytes(self, limits: ReadLimits) -> bytes:
        """The whole content.

        Raises:
            UnreadableError: It is larger than the limit.
        """
        with self.path.open("rb") as file:
            # one byte more than allowed: a file that grows while it is read can't get past the limit
            data = file.read(limits.file_bytes + 1)
        if len(data) > limits.file_bytes:
            raise UnreadableError(f"larger than {limits.file_bytes / _MIB:.0f} MiB")
        return data

    def head(self, count: int = 8192) -> bytes:
        """The first `count` bytes, or all there are."""
        with self.path.open("rb") as file:
            return file.read(count)


class Reader(Protocol):
    """Reads one format."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the file's documents: one, but for formats that hold many.

        Raises:
            UnreadableError: It can't be read as a document; the message is the reason. A format that holds
                many documents raises it after the last good one and names those that were bad.
        """
        ...
