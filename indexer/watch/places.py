"""Which paths count, which files are there, and which of those that aren't may be taken for deleted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from indexer.discover import Selection, discover_below, is_reached

TEMPORARY = (
    "*~", "~$*", "#*#", "*.swp", "*.swx", "*.tmp", "*.part", "*.partial", "*.crdownload", "*.download",
    "*___jb_tmp___", "*___jb_old___", "*.sb-*-*",
)  # fmt: skip
"""What editors, office programs and browsers write beside a file while they work on it, and what they keep of the old
one. Most of it is hidden (`.name.swp`, `.~lock.name#`) and left out for that."""

Signature = tuple[int, int, int, int]
"""Of a file: changes whenever it is written to or replaced."""


@dataclass(slots=True)
class Scan:
    """What was found at some paths.

    Attributes:
        files: Files that count.
        problems: What counts, but isn't looked into or can't be, and why.
        folders: Folders that were looked into.
        missing: Paths at which there is nothing.
    """

    files: dict[Path, None] = field(default_factory=dict)
    problems: dict[Path, str] = field(default_factory=dict)
    folders: dict[Path, None] = field(default_factory=dict)
    missing: dict[Path, None] = field(default_factory=dict)


class Places:
    """The files and folders that are watched."""

    def __init__(self, roots: Iterable[str | Path], selection: Selection, index: Path) -> None:
        paths = (Path(os.path.normpath(Path(root).absolute())) for root in roots)
        self.roots: Sequence[Path] = tuple(dict.fromkeys(paths))
        self.selection = replace(selection, exclude=(*selection.exclude, *TEMPORARY))
        self._index = index.absolute()
        self._devices: dict[Path, int] = {}
        self._filled: set[Path] = set()

    def counts(self, path: Path) -> bool:
        """Whether something that happened at a path matters."""
        return any(self._is_of(root, path) for root in self.roots)

    def scan(self, paths: Iterable[Path] | None = None) -> Scan:
        """What there is at or below some paths that count; by default, at all of them."""
        found = Scan()
        for path in self.roots if paths is None else paths:
            if path in found.folders or path in found.files:
                continue
            if not os.path.lexists(path):
                found.missing[path] = None
            elif path.is_dir():
                self._scan_folder(path, found)
            else:
                found.files[path] = None
                self._filled.update(root for root in self.roots if path.is_relative_to(root))
        return found

    def may_be_removed(self, path: Path) -> bool:
        """Whether a path at which there is nothing was deleted, and isn't on a disk that isn't there just now.

        So what was given to be watched must be there, and not be empty since the beginning; and the folders that are
        left on the way to the path must be on the disks that they were on when they were first looked into.
        """
        roots = [root for root in self.roots if path.is_relative_to(root)]
        return bool(roots) and all(self._may_be_removed(root, path) for root in roots)

    def _may_be_removed(self, root: Path, path: Path) -> bool:
        if path == root or not root.is_dir():
            return False
        folders = [folder for folder in path.parents if folder.is_relative_to(root) and folder.is_dir()]
        if folders == [root] and root not in self._filled:
            return False
        devices = [_device(folder) for folder in folders]
        return all(
            self._devices.get(folder, device) == device
            for folder, device in zip(folders, devices, strict=True)
        )

    def is_there(self, root: Path) -> bool:
        """Whether what was given to be watched can be seen, on the disk on which it was at first."""
        device = _device(root)
        return device is not None and self._devices.setdefault(root, device) == device

    def _is_of(self, root: Path, path: Path) -> bool:
        if path == root:
            return True
        return (
            path.is_relative_to(root)
            and not root.is_file()
            and is_reached(root, path, self.selection, self._index)
        )

    def _scan_folder(self, path: Path, found: Scan) -> None:
        for root in self.roots:
            if path != root and not (
                path.is_relative_to(root) and is_reached(root, path, self.selection, self._index)
            ):
                continue

            def enter(folder: Path, root: Path = root) -> None:
                found.folders[folder] = None
                if (device := _device(folder)) is not None:
                    self._devices.setdefault(folder, device)
                if folder == root and _has_entries(folder):
                    self._filled.add(root)

            for item in discover_below(root, path, self.selection, self._index, enter):
                if item.problem is None:
                    found.files[item.path] = None
                else:
                    found.problems[item.path] = item.problem


def signature(path: Path) -> Signature | None:
    """Of what is at a path, or where a link there leads to; `None` where that is nothing that can be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def is_settled(path: Path, now: float, settle: float) -> bool:
    """Whether nothing has happened to a file for some seconds: a file that is still being written isn't read.

    Args:
        path: A file.
        now: Seconds since the epoch.
        settle: So many seconds. A time that is yet to come, as clocks of other machines have, says nothing.
    """
    try:
        status = path.stat()
    except OSError:
        return True
    return not stat.S_ISREG(status.st_mode) or not 0 <= now - status.st_ctime < settle


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None


def _has_entries(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return True
