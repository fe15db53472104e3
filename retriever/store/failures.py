"""What SQLite, tantivy and the operating system raise, in errors that a user can act on."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retriever.errors import REPAIR, IndexAccessError, IndexDamagedError, SpanseekError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_SQLITE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_BUSY: errno.EAGAIN,
    sqlite3.SQLITE_LOCKED: errno.EAGAIN,
    sqlite3.SQLITE_PROTOCOL: errno.EAGAIN,
}
_LONGEST_REASON = 120
_NUMBER = re.compile(r"os error (\d+)|code: (\d+)")


@contextmanager
def told(root: Path) -> Iterator[None]:
    """What goes wrong in the body with the index at `root` is told in one line.

    Raises:
        IndexAccessError: The disk is full, or it may not be read or written.
        IndexDamagedError: A file isn't what was written, or is missing.
    """
    try:
        with sqlite_told(root):
            yield
    except OSError as error:
        raise of_system(error, root) from error


@contextmanager
def sqlite_told(root: Path) -> Iterator[None]:
    """As `told`, for SQLite alone: where the body does other things too."""
    try:
        yield
    except sqlite3.ProgrammingError:  # closed while it was used
        raise
    except sqlite3.Error as error:
        raise of_sqlite(error, root) from error


@contextmanager
def tantivy_told(root: Path) -> Iterator[None]:
    """As `told`, for tantivy, which raises ValueError for all that goes wrong; where it didn't expect it, it panics."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, ValueError) and type(error).__name__ != "PanicException":
            raise
        reason = str(error) or type(error).__name__
        number = _NUMBER.search(reason)
        if "LockBusy" in reason:
            raise _of_system(errno.EAGAIN, reason, root) from error
        if number is None:
            raise damaged(reason, root) from error
        raise _of_system(int(number.group(1) or number.group(2)), reason, root) from error


def of_sqlite(error: sqlite3.Error, root: Path) -> SpanseekError:
    """The error that tells of one of SQLite's."""
    number = _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return damaged(str(error), root) if number is None else _of_system(number, str(error), root)


def of_system(error: OSError, root: Path) -> SpanseekError:
    """The error that tells of one of the operating system's."""
    return _of_system(error.errno or errno.EIO, str(error), root)


def _of_system(number: int, reason: str, root: Path) -> SpanseekError:
    if number in _FULL:
        return IndexAccessError(
            f"the disk of the index at {root} is full: make room and run this again; what was indexed is kept"
        )
    if number in _FORBIDDEN:
        return IndexAccessError(
            f"the index at {root} is out of reach ({os.strerror(number)}): see who may write there"
        )
    if number in _MISSING:
        return damaged(reason, root)
    return IndexAccessError(f"the index at {root} can't be reached just now ({reason}): try again")


def damaged(reason: str, root: Path) -> IndexDamagedError:
    """The error of an index that isn't what was written; the reason is cut to a line."""
    line = reason.partition("\n")[0][:_LONGEST_REASON]  # SQLite quotes the text that it can't decode
    return IndexDamagedError(f"the index at {root} is damaged ({line}){REPAIR}")
