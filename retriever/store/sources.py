"""Is a file still what was indexed? Asked of the few files whose passages are shown.

An index that somebody sends may name any path. So nothing is opened but regular files, nothing is waited for, no more
is read than was indexed, and all that is ever said of a file is one of four words.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from retriever.store.records import FileRecord
from retriever.types import SourceState

_RACY_NS = 2_000_000_000
"""A file changed this shortly before it was read may change again without its time showing it."""
_LONGEST = 64 << 20
"""Bytes that are worth reading for a mark on a result: a tenth of a second."""
_BLOCK = 1 << 20


def is_same(known: FileRecord, seen: FileRecord) -> bool:
    """Whether a file's size and time show that it is as it was when it was read."""
    return (
        known.sha256 is not None
        and (known.size, known.mtime_ns) == (seen.size, seen.mtime_ns)
        and known.seen_ns - known.mtime_ns > _RACY_NS
    )


def source_state(path: Path, known: FileRecord) -> SourceState:
    """How a file compares with what was indexed of it: by size, then by time, and by content where time says nothing.

    Args:
        path: The file.
        known: What was recorded when it was indexed.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # something else stands in its place
            return "gone"
        seen = FileRecord(known.path, status.st_size, status.st_mtime_ns, None, known.seen_ns)
        if seen.size != known.size:
            return "changed"
        if known.sha256 is None:  # it couldn't be read last time, or is being indexed now
            return "unknown"
        if is_same(known, seen):
            return "same"
        if known.size > _LONGEST:
            return "unknown"
        return "same" if file_sha256(path, known.size) == known.sha256 else "changed"
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    except (OSError, ValueError):  # no permission; no path at all, such as one with a NUL
        return "unknown"


def file_sha256(path: Path, size: int) -> str:
    """SHA-256 of the first `size` bytes of a regular file, or of all where it has fewer.

    Raises:
        OSError: It can't be read, or isn't a regular file.
    """
    digest = hashlib.sha256()
    # a pipe or a device that took the file's place since it was looked at must not be waited for
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} isn't a regular file")
        while size > 0 and (block := file.read(min(size, _BLOCK))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()
