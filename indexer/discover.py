"""Which files do these paths mean? Folders are walked, hidden entries left out, links to folders not followed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from retriever.storable import is_storable


@dataclass(frozen=True, slots=True)
class Found:
    """A file that should be indexed, or the reason why one can't be."""

    path: Path
    problem: str | None = None
    size: int = 0


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
        return (not self.include or _matches(relative, self.include)) and not _matches(relative, self.exclude)


def discover(paths: Iterable[Path], selection: Selection, ignore: Path) -> Iterator[Found]:
    """Every file that `paths` mean, each once, folders in order of their names.

    Args:
        paths: Files and folders. A file that is named outright counts whatever the selection says.
        selection: Which files of folders count.
        ignore: The index folder, which isn't searched for documents.
    """
    seen: set[str] = set()
    for path in paths:
        for found in _walk(path, path, selection, ignore.absolute()) if path.is_dir() else [_check(path)]:
            name = os.path.normpath(found.path.absolute())
            if name not in seen:
                seen.add(name)
                yield replace(found, path=Path(name))


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
    return _walk(folder, start, selection, ignore.absolute(), entered)


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
        if _is_left_out(on_the_way, folder, selection, ignore.absolute()) or on_the_way.is_symlink():
            return False
    if path.is_dir():
        return not _is_left_out(path, folder, selection, ignore.absolute()) and not path.is_symlink()
    relative = path.relative_to(folder).as_posix()
    if _hidden(path.name, selection) or _matches(relative, selection.exclude):
        return False
    return selection.takes(relative) or not os.path.lexists(path)  # what is gone may have been a folder


def _walk(
    folder: Path,
    start: Path,
    selection: Selection,
    ignore: Path,
    entered: Callable[[Path], None] | None = None,
) -> Iterator[Found]:
    problems: list[Found] = []

    def unreadable(error: OSError) -> None:
        problems.append(Found(Path(error.filename), f"folder can't be read: {error.strerror}"))

    for here, folders, files in os.walk(start, onerror=unreadable):
        if entered is not None:
            entered(Path(here))
        kept = []
        for name in sorted(folders):
            path = Path(here, name)
            if _is_left_out(path, folder, selection, ignore):
                continue
            if path.is_symlink():
                problems.append(Found(path, "link to a folder: name the folder itself to index it"))
            else:
                kept.append(name)
        folders[:] = kept
        for name in sorted(files):
            path = Path(here, name)
            if not _hidden(name, selection) and selection.takes(path.relative_to(folder).as_posix()):
                yield _check(path)
        yield from problems
        problems.clear()
    yield from problems


def _is_left_out(path: Path, folder: Path, selection: Selection, ignore: Path) -> bool:
    """Whether a folder below `folder` isn't looked into, and nothing is said of it."""
    if path.absolute() == ignore or _is_index(path) or _hidden(path.name, selection):
        return True
    return _matches(path.relative_to(folder).as_posix(), selection.exclude)


def _check(path: Path) -> Found:
    if not is_storable(str(path)):
        return Found(path, "its name isn't UTF-8: rename it to index it")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return Found(path, "link to a file that isn't there" if path.is_symlink() else "no such file")
    except OSError as error:
        loops = "loop of links" if error.strerror and "symbolic links" in error.strerror else None
        return Found(path, loops or f"can't be read: {error.strerror}")
    return Found(path, size=size)


def _is_index(folder: Path) -> bool:
    return (folder / "index.sqlite").is_file() and (folder / "writer.lock").is_file()


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
