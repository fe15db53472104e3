"""Which files do these paths mean? Folders are walked, hidden entries left out, links to folders not followed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        name = _normal(path)
        walked = _walk(name, name, selection, _normal(ignore)) if path.is_dir() else [_check(name)]
        for found in walked:
            if found.name not in seen:
                seen.add(found.name)
                yield found


def discover_below(
    folder: Path, start: Path, selection: Selection, ignore: Path, entered: Callable[[Path], None]
) -> Iterator[Found]:
    """Of the files that `folder` means, those below `start`.

    Args:
        folder: What globs are relative to.
        start: The same, or a folder below it that `is_reached`.
        selection: Which files count.
        ignore: The index folder.
        entered: Called with each folder that is looked into, before its files come.
    """
    return _walk(
        _normal(folder), _normal(start), selection, _normal(ignore), lambda name: entered(Path(name))
    )


def is_reached(folder: Path, path: Path, selection: Selection, ignore: Path) -> bool:
    """Whether a walk of `folder` would come to `path`, which needn't be there, and doesn't leave it out.

    Args:
        folder: A folder.
        path: Below it.
        selection: Which files count.
        ignore: The index folder.
    """
    names = path.relative_to(folder).parts
    for depth in range(1, len(names)):
        on_the_way = folder.joinpath(*names[:depth])
        if _leaves_out(on_the_way, folder, selection, ignore) or on_the_way.is_symlink():
            return False
    if path.is_dir():
        return not _leaves_out(path, folder, selection, ignore) and not path.is_symlink()
    relative = path.relative_to(folder).as_posix()
    if _hidden(path.name, selection) or selection.leaves_out(relative):
        return False
    return selection.takes(relative) or not os.path.lexists(path)  # what is gone may have been a folder


def _walk(
    root: str, start: str, selection: Selection, ignore: str, entered: Callable[[str], None] | None = None
) -> Iterator[Found]:
    waiting = [start]
    below = len(root.rstrip("/")) + 1
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                if entered is not None:
                    entered(folder)
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, f"folder can't be read: {error.strerror}")
            continue
        folders: list[str] = []
        links: list[Found] = []
        for entry in inside:
            relative = entry.path[below:]
            if not _is_folder(entry):
                if not _hidden(entry.name, selection) and selection.takes(relative):
                    yield _check(entry.path, entry)
            elif _is_left_out(entry.path, relative, selection, ignore):
                continue
            elif entry.is_symlink():
                links.append(Found(entry.path, "link to a folder: name the folder itself to index it"))
            else:
                folders.append(entry.path)
        yield from links
        waiting += reversed(folders)


def _leaves_out(path: Path, folder: Path, selection: Selection, ignore: Path) -> bool:
    return _is_left_out(str(path.absolute()), path.relative_to(folder).as_posix(), selection, _normal(ignore))


def _is_left_out(name: str, relative: str, selection: Selection, ignore: str) -> bool:
    """Whether a folder isn't looked into, and nothing is said of it."""
    if _hidden(name.rpartition("/")[2], selection) or name == ignore or _is_index(name):
        return True
    return selection.leaves_out(relative)


def _normal(path: Path) -> str:
    """The path, absolute and without `..`."""
    return os.path.normpath(path.absolute())


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
