"""One writer at a time: an advisory lock on a file that names who holds it.

The operating system releases the lock when its holder ends, however it ends, so that a dead writer never blocks
the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from retriever.errors import IndexLockedError


class WriterLock:
    """Held from construction to `release`.

    Raises:
        IndexLockedError: Somebody else holds it; the message names the process.
        OSError: It can't be written to.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = self._owner()
            self._file.close()
            raise IndexLockedError(f"{owner} is writing to this index; wait until it is done") from error
        except OSError:
            self._file.close()
            raise
        try:
            self._file.truncate(0)
            json.dump(
                {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}, self._file
            )
            self._file.flush()
        except OSError:
            self._file.close()
            raise

    def release(self) -> None:
        """Lets the next writer in."""
        if not self._file.closed:
            with suppress(OSError):  # who held it last is of no interest once nobody does
                self._file.truncate(0)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _owner(self) -> str:
        self._file.seek(0)
        try:
            owner = json.load(self._file)
            since = time.strftime("%H:%M:%S", time.localtime(owner["since"]))
            return f"process {owner['pid']} on {owner['host']} (since {since})"
        except (ValueError, KeyError, TypeError):
            return "another process"
