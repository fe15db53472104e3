"""What a reader is given, what it gives, and what it may not exceed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from retriever.errors import UnreadableError
from retriever.types import Extract

_MIB = 1 << 20


def _half_the_memory() -> int:
    """Half of the machine's memory, from 1 to 8 GiB."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        memory = 4096 * _MIB
    return min(max(memory // 2, 1024 * _MIB), 8192 * _MIB)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What one file may cost; past any of these it is skipped, with the reason.

    Attributes:
        file_bytes: Size of a file that is read whole. Files that are read line by line may be of any size.
        expanded_bytes: What a zip container (docx, xlsx, pptx, odt, epub) may unpack to.
        pages: Pages of a PDF.
        characters: Text of one document.
        stalled_seconds: How long its reader may show no progress: no further document, page or row. Two seconds are added
            for every MiB of the file. Only the process that reads is held to this and what follows.
        seconds: How long reading may take in all, with the same addition. The time that documents wait to be embedded
            isn't part of it.
        memory_bytes: Address space of the process that reads; half of the machine's memory, from 1 to 8 GiB.
    """

    file_bytes: int = 256 * _MIB
    expanded_bytes: int = 512 * _MIB
    pages: int = 20_000
    characters: int = 50_000_000
    stalled_seconds: float = 60.0
    seconds: float = 1800.0
    memory_bytes: int = _half_the_memory()


def _nothing() -> None:
    """The progress that nobody asks for."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A regular file that can be opened, and what is known of it before it is parsed.

    Attributes:
        progress: To be called at every step of what may take long (a page, a row): it tells a reader that works from
            one that hangs, and costs next to nothing.
    """

    path: Path
    size: int
    progress: Callable[[], None] = _nothing

    def read_bytes(self, limits: ReadLimits) -> bytes:
        """The whole content.

        Raises:
            UnreadableError: It is larger than the limit.
        """
        with self.path.open("rb") as file:
            # no more at once than there is, since room is made for it before; one byte more shows that the file grows
            data = file.read(min(self.size, limits.file_bytes) + 1)
            if len(data) > self.size:
                data += file.read(limits.file_bytes + 1 - len(data))
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
