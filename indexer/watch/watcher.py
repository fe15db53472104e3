"""`Watcher`: an index that follows folders."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from indexer.api import Indexer
from indexer.discover import Selection
from indexer.report import Progress
from indexer.watch.batch import StoppedError, Updater
from indexer.watch.places import Places, Scan, Signature, signature
from indexer.watch.reports import WatchReport
from indexer.watch.signals import LostSignalsError, Signals
from retriever.errors import IndexFormatError, IndexLockedError, SpanseekError
from retriever.store.known import has_index

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

_LONGEST_BURST = 5.0
"""Seconds after which what has settled is taken, though more goes on happening."""
_POLL = 1.0
"""Seconds between looks at what the system doesn't tell of: links, files given by name, whether folders are there."""
_LOOK = 600.0
"""Seconds between looks at everything, since the system may have dropped what it should have told."""
_LOOK_DEAF = 5.0
"""The same where it doesn't tell anything."""
_LOOK_SHARE = 20
"""So many times as long as a look took, there is none."""
_RETRY = 2.0
_LONGEST_RETRY = 60.0


class Watcher:
    """Brings an index up to date with files and folders, and keeps it so.

    The folders are the truth: a file that is gone is removed from the index. What was given to be watched and is gone
    itself, or lies on another disk than before, or was empty from the beginning, is taken for a disk that isn't there:
    nothing is removed for it. A file is read when nothing has happened to it for `settle` seconds; what changes
    together is one batch. The index is locked only while a batch is written.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        index: str | Path,
        *,
        selection: Selection | None = None,
        encoder: str | TextEncoder | None = None,
        report: Callable[[WatchReport], None] | None = None,
        progress: Callable[[Progress], None] | None = None,
        settle: float = 0.5,
    ) -> None:
        """Nothing is done before `run`.

        Args:
            paths: Files and folders.
            index: The index folder; made if there is none.
            selection: Which files of folders count. What editors leave beside a file never does.
            encoder: As for `Indexer.open`.
            report: Called with everything that happens, by the thread that runs it.
            progress: Called now and then while files are added.
            settle: Seconds for which nothing must have happened to a file.

        Raises:
            SpanseekError: One of the paths isn't there.
        """
        self._places = Places(paths, selection or Selection(), Path(index))
        for root in self._places.roots:
            if not os.path.lexists(root):
                raise SpanseekError(f"{root}: no such file or folder")
        self._report = report or (lambda _: None)
        self._updater = Updater(Path(index), self._places, encoder, settle, self._report, progress)
        self._settle = settle
        self._ready = False
        self._is_deaf = False
        # What is to be done
        self._dirty: dict[Path, float] = {}  # where something happened, and when it was first heard of
        self._burst: float | None = None  # when the first of it was heard of since the last batch
        self._heard = 0.0  # and the last
        self._everything = True
        self._must_listen = True
        # What the system doesn't tell of
        self._polled: dict[Path, Signature | None] = {}
        self._folders = {root: _identity(root) for root in self._places.roots}
        self._there = dict.fromkeys(self._places.roots, True)
        self._missed: set[Path] = set()
        self._next_poll = 0.0
        self._next_look = 0.0
        # What went wrong
        self._next_try = 0.0
        self._failure = ""
        self._retry = _RETRY

    def run(self, stop: threading.Event | None = None) -> None:
        """Watches until `stop` is set; what is being committed then is finished.

        What goes wrong with a batch is reported, and the batch tried again later.

        Raises:
            SpanseekError: watchfiles isn't installed.
        """
        self._updater.stop = stop = stop or threading.Event()
        signals = Signals(stop)
        try:
            while not stop.is_set():
                self._gather(signals)
                if not stop.is_set() and self._is_due():
                    self._try_batch(signals)
        except StoppedError:
            pass
        finally:
            signals.close()
        self._report(WatchReport("stopped"))

    # What happened

    def _gather(self, signals: Signals) -> None:
        """Waits a moment for something to happen, and remembers what matters of it."""
        try:
            self._note(path for path in signals.wait() if self._places.counts(path))
        except LostSignalsError:
            self._listen(signals, signals.folders)
            self._next_look = min(self._next_look, time.monotonic() + _LOOK_DEAF)
        now = time.monotonic()
        if now >= self._next_poll:
            self._next_poll = now + _POLL
            self._poll()
        self._everything |= now >= self._next_look

    def _note(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self._heard = time.monotonic()
            self._burst = self._burst or self._heard
            self._dirty.setdefault(path, self._heard)

    def _poll(self) -> None:
        """Looks at what the system doesn't tell of."""
        changed = [path for path, seen in self._polled.items() if signature(path) != seen]
        self._polled |= {path: signature(path) for path in changed}
        self._note(changed)
        for root in self._places.roots:
            if (identity := _identity(root)) != self._folders[root]:
                self._folders[root] = identity
                self._everything = self._must_listen = True
            if self._places.is_there(root) == self._there[root]:
                self._missed.discard(root)
            elif root not in self._missed:  # an editor may be about to replace it: it must be so twice
                self._missed.add(root)
            else:
                self._missed.discard(root)
                self._there[root] = not self._there[root]
                self._everything = True
                self._tell(
                    f"{root} is there again"
                    if self._there[root]
                    else f"{root} is gone, or on another disk: nothing of it is removed from the index"
                )

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next_try:
            return False
        if self._everything:
            return True
        quiet = now - self._heard >= self._settle
        return bool(self._dirty) and (
            quiet or (self._burst is not None and now - self._burst >= _LONGEST_BURST)
        )

    # What is done about it

    def _try_batch(self, signals: Signals) -> None:
        try:
            self._batch(signals)
        except StoppedError:
            raise
        except IndexLockedError as error:
            self._put_off("notice", f"{str(error).partition(';')[0]}: waiting until it is done", _RETRY)
        except Exception as error:  # noqa: BLE001 - a watcher outlives whatever a batch runs into
            if isinstance(error, IndexFormatError):
                self._updater.forget_encoder()
            known = isinstance(error, (SpanseekError, OSError, sqlite3.Error))
            self._put_off("failed", str(error) if known else f"{type(error).__name__}: {error}", self._retry)
            self._retry = min(2 * self._retry, _LONGEST_RETRY)
        else:
            self._failure, self._retry = "", _RETRY

    def _put_off(self, kind: Literal["notice", "failed"], message: str, seconds: float) -> None:
        """Tries again later; the same reason is told once."""
        if message != self._failure:
            self._report(WatchReport(kind, message=" ".join(message.split())))
        self._failure = message
        self._next_try = time.monotonic() + seconds

    def _batch(self, signals: Signals) -> None:
        """Brings the index up to date with what has settled. Where it fails, all of it stays to be done."""
        begun = time.monotonic()
        if not self._updater.has_index():
            self._ready = False  # it was deleted: it is made anew, as a whole
        everything = self._everything or not self._ready
        scan = self._places.scan(None if everything else self._dirty)
        if self._is_listening_due(signals, scan, everything):
            self._must_listen = False
            self._listen(signals, {*signals.folders, *scan.folders} if not everything else scan.folders)
            scan = self._places.scan(None if everything else self._dirty)  # with what came before it listened
        for path in (*scan.files, *scan.problems):
            if path.is_symlink() or path in self._places.roots:
                self._polled.setdefault(path, signature(path))
        for path in scan.missing:
            self._polled.pop(path, None)
        growing: list[Path] = []
        if self._ready:
            growing = self._updater.update(scan, self._dirty)
        else:
            self._updater.first_run()
            self._ready = True
        now = time.monotonic()
        self._dirty, self._burst = {path: self._dirty.get(path, now) for path in growing}, None
        if growing:
            self._next_try = now + self._settle / 2
        if everything:
            self._everything = False
            least = _LOOK_DEAF if self._is_deaf else _LOOK
            self._next_look = now + max(least, _LOOK_SHARE * (now - begun))

    def _is_listening_due(self, signals: Signals, scan: Scan, everything: bool) -> bool:
        """Whether there are folders that aren't listened to; a new one of the same name isn't the same folder."""
        if self._is_deaf and not everything:
            return False
        return (
            self._must_listen
            or not all(signals.hears_of(folder) for folder in scan.folders)
            or any(signals.hears_of(path) for path in self._dirty)
        )

    def _listen(self, signals: Signals, folders: Iterable[Path]) -> None:
        try:
            signals.listen(folders)
            self._is_deaf = False
        except LostSignalsError as error:
            if not self._is_deaf:
                self._tell(
                    f"the system doesn't tell what changes ({str(error).rstrip('.')}): looking every few seconds instead; "
                    "to have it at once, raise fs.inotify.max_user_watches and max_user_instances"
                )
            self._is_deaf = True
            self._next_look = min(self._next_look, time.monotonic() + _LOOK_DEAF)

    def _tell(self, message: str) -> None:
        self._report(WatchReport("notice", message=message))


@contextmanager
def watching(
    paths: Iterable[str | Path],
    index: str | Path,
    *,
    selection: Selection | None = None,
    encoder: str | TextEncoder | None = None,
    report: Callable[[WatchReport], None] | None = None,
    settle: float = 0.5,
) -> Iterator[Watcher]:
    """Watches in a thread of its own for as long as the body runs; then finishes the commit under way.

    Where there is no index, an empty one is there when the body begins, unless this can't begin itself.

    Args:
        paths: As for `Watcher`, like the rest; `report` is called by that thread.

    Raises:
        SpanseekError: One of the paths isn't there, watchfiles isn't installed, or an index can't be made.
    """
    watcher = Watcher(paths, index, selection=selection, encoder=encoder, report=report, settle=settle)
    stop = threading.Event()
    Signals(stop).close()  # raises now what would else be raised in the thread
    if not has_index(Path(index)):
        Indexer.open(index, encoder=encoder).close()
    thread = threading.Thread(target=watcher.run, args=(stop,), name="spanseek-watch")
    thread.start()
    try:
        yield watcher
    finally:
        stop.set()
        thread.join()


def _identity(root: Path) -> tuple[int, int] | None:
    """Which folder it is; `None` for anything else."""
    try:
        status = root.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if root.is_dir() else None
