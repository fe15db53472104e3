"""What is looked at of a file before it is read, and its hash; `retriever.store.sources` compares."""

from __future__ import annotations

import hashlib
import stat
import time
from collections.abc import Callable
from pathlib import Path

from retriever.errors import UnreadableError
from retriever.store.records import FileRecord

_BLOCK = 1 << 20


def look_at(path: Path, stored: str) -> FileRecord:
    """A file's record before its content is known.

    Raises:
        UnreadableError: It isn't a file that can be read.
    """
    seen_ns = time.time_ns()
    try:
        status = path.stat()
    except OSError as error:
        raise UnreadableError(f"can't be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for for ever
        raise UnreadableError("not a regular file")
    return FileRecord(stored, status.st_size, status.st_mtime_ns, None, seen_ns)


def file_hash(path: Path, step: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of a file's content.

    Args:
        path: The file.
        step: Called after every MiB; what it raises ends the work.

    Raises:
        UnreadableError: It can't be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                step()
    except PermissionError as error:
        raise UnreadableError("no permission to read it") from error
    except OSError as error:
        raise UnreadableError(f"can't be read: {error.strerror}") from error
    return digest.hexdigest()
