"""What the system says of folders, by watchfiles: where something happened.

Each folder is watched by itself, so that neither what is left out nor what links lead to costs anything. What is heard
is only a hint where to look: the system may drop some of it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.errors import SpanseekError

if TYPE_CHECKING:
    from threading import Event

    from watchfiles.main import FileChange

    Changes = Generator[set[FileChange], None, None]

_WAIT_MS = 250
_GROUP_MS = 100
_STEP_MS = 50
_ATTEMPTS = 5


class LostSignalsError(Exception):
    """Something was missed, and it isn't known what. The message is the reason."""


class Signals:
    """What happens in some folders. Not for use by several threads."""

    def __init__(self, stop: Event) -> None:
        """Hears nothing yet.

        Args:
            stop: Ends waiting.

        Raises:
            SpanseekError: watchfiles isn't installed.
        """
        try:
            import watchfiles  # noqa: F401 - only whether it is there
        except ImportError as error:
            raise SpanseekError("watching needs watchfiles: pip install 'spanseek[watch]'") from error
        self._stop = stop
        self._folders: frozenset[Path] = frozenset()
        self._changes: Changes | None = None
        self._first: set[FileChange] = set()

    @property
    def folders(self) -> frozenset[Path]:
        """Those that are listened to, or were before something was lost."""
        return self._folders

    def listen(self, folders: Iterable[Path]) -> None:
        """Hears of these folders from now on, and not of any others.

        What happens meanwhile isn't lost: who looks into the folders after this sees it.

        Raises:
            LostSignalsError: The system doesn't let so much be watched; nothing is heard then.
        """
        wanted = frozenset(folders)
        for attempt in range(_ATTEMPTS):
            self.close()
            self._folders = frozenset(folder for folder in wanted if os.access(folder, os.R_OK | os.X_OK))
            try:
                self._first, self._changes = _begin(sorted(self._folders), self._stop)
                return
            except (FileNotFoundError, PermissionError) as error:  # one went while it was looked at
                if attempt == _ATTEMPTS - 1:
                    raise LostSignalsError(_reason(error)) from error
            except (OSError, RuntimeError) as error:
                raise LostSignalsError(_reason(error)) from error

    def hears_of(self, folder: Path) -> bool:
        """Whether a folder is among those that are listened to."""
        return self._changes is not None and folder in self._folders

    def wait(self) -> set[Path]:
        """Where something happened, after a quarter of a second at most; maybe nowhere.

        Raises:
            LostSignalsError: As it says; `listen` must be called again.
        """
        if self._changes is None:
            self._stop.wait(_WAIT_MS / 1000)
            return set()
        changes, self._first = self._first, set()
        try:
            changes = changes or next(self._changes, set())
        except (OSError, RuntimeError) as error:  # a limit of the system; a name that isn't UTF-8
            self.close()
            raise LostSignalsError(_reason(error)) from error
        return {Path(path) for _, path in changes}

    def close(self) -> None:
        """Hears nothing any more."""
        if self._changes is not None:
            self._changes.close()
        self._changes, self._first = None, set()


def _begin(folders: Iterable[Path], stop: Event) -> tuple[set[FileChange], Changes]:
    """Begins to listen; gives what was heard in the first moment."""
    from watchfiles import watch

    changes = watch(
        *folders,
        watch_filter=None,
        recursive=False,
        debounce=_GROUP_MS,
        step=_STEP_MS,
        rust_timeout=_WAIT_MS,
        yield_on_timeout=True,
        stop_event=stop,
        ignore_permission_denied=False,  # it would ignore every other error, too
        force_polling=False,
    )
    return next(changes, set()), changes


def _reason(error: Exception) -> str:
    return " ".join(str(error).partition(" about [")[0].split())
