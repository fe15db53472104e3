"""One batch: from what was found in the folders to what is written to the index, and what is said of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.api import Indexer
from indexer.files import look_at
from indexer.report import IndexReport, Progress
from indexer.watch.places import Places, Scan, Signature, is_settled, signature
from indexer.watch.reports import WatchReport
from retriever.errors import UnreadableError
from retriever.store.known import KnownFile, known_below, known_files
from retriever.store.sources import is_same

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

_LONGEST_GROWTH = 300.0
"""Seconds after which a file that is written to all the time is read as it is."""


class StoppedError(Exception):
    """The end was asked for while an index was being brought up to date."""


class Updater:
    """Writes to an index, which is locked only meanwhile; keeps its encoder from one batch to the next."""

    def __init__(
        self,
        index: Path,
        places: Places,
        encoder: str | TextEncoder | None,
        settle: float,
        report: Callable[[WatchReport], None],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.stop = threading.Event()
        self._index = index
        self._places = places
        self._encoder = encoder
        self._settle = settle
        self._report = report
        self._progress = progress
        self._seen: dict[Path, Signature] = {}
        """Files that were read or skipped, as they were then."""
        self._told: dict[Path, str] = {}
        """Reasons why something can't be looked into; each is told once."""

    def has_index(self) -> bool:
        """Whether there is an index."""
        return (self._index / "index.sqlite").exists()

    def forget_encoder(self) -> None:
        """Loads it anew next time: the index may be another one."""
        if not isinstance(self._encoder, str):
            self._encoder = None

    def first_run(self) -> None:
        """Brings the index up to date with all files at once, settled or not: what changes meanwhile is heard of."""
        with self._open() as indexer:
            run = self._add(indexer, self._places.roots)
            removed = self._remove(indexer, self._vanished())
        for skip in run.skipped:
            path = Path(skip.path)
            if (seen := signature(path)) is not None:
                self._seen[path] = seen
            self._told[path] = skip.reason
            self._report(WatchReport("skipped", path, message=skip.reason))
        kept = max(0, run.vanished - removed)
        self._report(WatchReport("ready", run=replace(run, removed=run.removed + removed, vanished=kept)))

    def update(self, scan: Scan, heard: Mapping[Path, float]) -> list[Path]:
        """Brings the index up to date with some files and folders.

        Args:
            scan: What there is at them.
            heard: Which they are, and when they were first heard of, by the monotonic clock.

        Returns:
            Files that are still being written, and were left for later.
        """
        known: dict[Path, KnownFile] = {}
        for folder in (*scan.folders, *scan.missing):
            if folder.parent == folder or folder.parent not in scan.folders:
                known |= known_below(self._index, folder)
        known |= known_files(self._index, (path for path in scan.files if path not in known))
        self._tell_problems(scan)
        now, clock = time.monotonic(), time.time()
        changed: list[Path] = []
        growing: list[Path] = []
        for path in scan.files:
            if self._is_changed(path, known.get(path), heard=path in heard):
                grown = now - heard.get(path, now) >= _LONGEST_GROWTH
                (changed if grown or is_settled(path, clock, self._settle) else growing).append(path)
        vanished = [path for path in known if self._is_gone(path)]
        if changed or vanished:
            self._write(changed, vanished, known)
        return growing

    def _is_changed(self, path: Path, known: KnownFile | None, *, heard: bool) -> bool:
        """Whether a file must be read, or at least hashed."""
        if known is not None:
            try:
                if is_same(known.record, look_at(path, known.record.path)):
                    return False
            except UnreadableError:
                pass
        return heard or self._seen.get(path) != signature(path)

    def _is_gone(self, path: Path) -> bool:
        return not os.path.lexists(path) and self._places.may_be_removed(path)

    def _write(self, changed: list[Path], vanished: list[Path], known: Mapping[Path, KnownFile]) -> None:
        begun = time.monotonic()
        before = {path: signature(path) for path in changed}
        with self._open() as indexer:
            run = self._add(indexer, changed)
            self._remove(indexer, vanished)
        seconds = time.monotonic() - begun
        reasons = {Path(skip.path): skip.reason for skip in run.skipped}
        after = known_files(self._index, [*changed, *vanished])
        self._seen |= {path: seen for path, seen in before.items() if seen is not None}
        alone = seconds if len(changed) == 1 else None
        for path in changed:
            self._tell_of(path, known.get(path), after.get(path), reasons.get(path), alone)
        for path in vanished:
            self._seen.pop(path, None)
            if path not in after and known[path].documents:
                self._report(WatchReport("removed", path))
        if len(changed) > 1 and run.chunks:
            message = f"{len(changed):,} files, {run.chunks:,} passages in {seconds:.1f} s"
            self._report(WatchReport("notice", message=message))

    def _tell_of(
        self,
        path: Path,
        before: KnownFile | None,
        after: KnownFile | None,
        reason: str | None,
        seconds: float | None,
    ) -> None:
        """What became of a file."""
        if reason is not None:
            if os.path.lexists(path):  # else it came and went, which is no news
                self._report(WatchReport("skipped", path, message=reason))
        elif after is not None and (before is None or before.record.sha256 != after.record.sha256):
            known = before is not None and before.documents
            self._report(WatchReport("updated" if known else "indexed", path, after.passages, seconds))

    def _tell_problems(self, scan: Scan) -> None:
        for path in (*scan.files, *scan.folders):
            self._told.pop(path, None)
        for path, reason in scan.problems.items():
            if self._told.get(path) != reason:
                self._told[path] = reason
                self._report(WatchReport("skipped", path, message=reason))

    def _add(self, indexer: Indexer, paths: Iterable[Path]) -> IndexReport:
        run = indexer.add_paths(paths, selection=self._places.selection, progress=self._on_progress)
        if run.chunks or run.reused:
            self._encoder = indexer.encoder  # it took long to load
        return run

    def _remove(self, indexer: Indexer, vanished: Iterable[Path]) -> int:
        """Removes files that are gone, if they still are: a disk may have gone meanwhile."""
        gone = [path for path in vanished if self._is_gone(path)]
        return indexer.add_paths(gone, prune=True).removed if gone else 0

    def _vanished(self) -> list[Path]:
        """Files that the index has and that aren't there, though what they were in is."""
        self._places.scan()
        vanished: dict[Path, None] = {}
        for root in self._places.roots:
            missing = [path for path in known_below(self._index, root) if not os.path.lexists(path)]
            gone = [path for path in missing if self._is_gone(path)]
            if len(gone) < len(missing):
                message = f"{root} is empty, or not all there: what the index has of it is kept"
                self._report(WatchReport("notice", message=message))
            vanished |= dict.fromkeys(gone)
        return list(vanished)

    def _open(self) -> Indexer:
        return Indexer.open(self._index, encoder=self._encoder)

    def _on_progress(self, progress: Progress) -> None:
        if self.stop.is_set():
            raise StoppedError
        if self._progress is not None:
            self._progress(progress)
