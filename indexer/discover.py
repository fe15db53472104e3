"""Which files do these paths mean? Folders are walked, hidden entries left out, links to folders not followed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from retriever.storable import is_storable


@dataclass(frozen=True, slots=True)
class Found:
    """A file that should be indexed, or the reason why one can't be.

    Attributes:
        name: Its path, absolute and without `..`.
        problem: Why it can't be indexed.
        size: Bytes.
        mtime_ns: When it was changed, in nanoseconds since 1970.
        seen_ns: When it was looked at.
    """

    name: str
    problem: str | None = None
    size: int = 0
    mtime_ns: int = 0
    seen_ns: int = 0

    @property
    def path(self) -> Path:
        """Its path."""
        return Path(self.name)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of a folder count.

    Globs are matched against a file's name, against its path below the folder that was given, and against any
    end of that path; `*` crosses slashes, and `name/` means everything in folders of that name.

    Attributes:
        include: Only files that one of these matches; all, if empty.
        exclude: No file or folder that one of these matches.
        hidden: Whether files and folders that start with a dot count.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    hidden: bool = False

    def takes(self, relative: str) -> bool:
        """Whether a file, by its path below the folder, counts."""
        return (not self.include or _matches(relative, self.include)) and not self.leaves_out(relative)

    def leaves_out(self, relative: str) -> bool:
        """Whether a file or folder, by its path below the folder, is excluded."""
        return bool(self.exclude) and _matches(relative, self.exclude)


def discover(paths: Iterable[Path], selection: Selection, ignore: Path) -> Iterator[Found]:
    """Every file that `paths` mean, each once, folders in order of their names.

    Args:
        paths: Files and folders. A file that is named outright counts whatever the selection says.
        selection: Which files of folders count.
        ignore: The index folder, which isn't searched for documents.
    """
    seen: set[str] = set()
    for path in paths:
        name = os.path.normpath(path.absolute())
        walked = (
            _walk(name, selection, os.path.normpath(ignore.absolute())) if path.is_dir() else [_check(name)]
        )
        for found in walked:
            if found.name not in seen:
                seen.add(found.name)
                yield found


def _walk(root: str, selection: Selection, ignore: str) -> Iterator[Found]:
    waiting = [root]
    below = len(root.rstrip("/")) + 1
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, f"folder can't be read: {error.strerror}")
            continue
        folders: list[str] = []
        links: list[Found] = []
        for entry in inside:
            if _hidden(entry.name, selection):
                continue
            if not _is_folder(entry):
                if selection.takes(entry.path[below:]):
                    yield _check(entry.path, entry)
            elif entry.path == ignore or _is_index(entry.path) or selection.leaves_out(entry.path[below:]):
                continue
            elif entry.is_symlink():
                links.append(Found(entry.path, "link to a folder: name the folder itself to index it"))
            else:
                folders.append(entry.path)
        yield from links
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links: what is wrong with it is said of it as of a file
        return False


def _check(name: str, entry: os.DirEntry[str] | None = None) -> Found:
    if not is_storable(name):
        return Found(name, "its name isn't UTF-8: rename it to index it")
    seen_ns = time.time_ns()
    try:
        status = entry.stat() if entry is not None else os.stat(name)  # noqa: PTH116 - no Path for each of many files
    except FileNotFoundError:
        return Found(name, "link to a file that isn't there" if os.path.islink(name) else "no such file")  # noqa: PTH114
    except OSError as error:
        loops = "loop of links" if error.strerror and "symbolic links" in error.strerror else None
        return Found(name, loops or f"can't be read: {error.strerror}")
    return Found(name, None, status.st_size, status.st_mtime_ns, seen_ns)


def _is_index(folder: str) -> bool:
    return Path(folder, "index.sqlite").is_file() and Path(folder, "writer.lock").is_file()


def _hidden(name: str, selection: Selection) -> bool:
    return name.startswith(".") and not selection.hidden


def _matches(relative: str, globs: Sequence[str]) -> bool:
    for glob in globs:
        pattern = (
            glob.removeprefix("./").replace("**/", "*/")
            if glob.startswith("**/")
            else glob.removeprefix("./")
        )
        pattern = f"{pattern}*" if pattern.endswith("/") else pattern
        if any(fnmatch(candidate, pattern) for candidate in (relative, f"/{relative}", Path(relative).name)):
            return True
        if fnmatch(f"/{relative}", f"*/{pattern}"):
            return True
    return False
