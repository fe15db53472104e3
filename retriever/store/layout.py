"""The index folder: every file in it, named once.

    index.sqlite            the truth: documents, chunks, vectors, files, manifest (with its -wal and -shm)
    vectors/*.faiss         immutable FAISS files; the manifest names those of the current generation
    vectors/*.f16           beside those with inverted lists: the vectors as SQLite holds them, by id
    lexical/                a tantivy index
    lexical.seen            which of its files were found whole, so that not every process reads all of them
    writer.lock             held by the one writer; names it
    repaired.sqlite         while `verify --repair` saves what can be read

Everything but `index.sqlite` can be rebuilt from it (`spanseek verify --repair`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from retriever.errors import IndexNotFoundError
from retriever.storable import is_storable

FORMAT_VERSION = 3


@dataclass(frozen=True, slots=True)
class IndexPaths:
    """The places inside an index folder."""

    root: Path

    def __post_init__(self) -> None:
        """Refuses a place that tantivy can't be told of.

        Raises:
            IndexNotFoundError: The path isn't UTF-8.
        """
        path = str(self.root.absolute())
        if not is_storable(path):
            shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
            raise IndexNotFoundError(
                f"there can be no index at {shown}: a path must be UTF-8; rename the folder"
            )

    @property
    def database(self) -> Path:
        return self.root / "index.sqlite"

    @property
    def repaired(self) -> Path:
        """A database that `verify --repair` is writing; it takes the place of the damaged one once it is whole."""
        return self.root / "repaired.sqlite"

    @property
    def vectors(self) -> Path:
        return self.root / "vectors"

    @property
    def lexical(self) -> Path:
        return self.root / "lexical"

    @property
    def seen(self) -> Path:
        """A note that can be lost: which files of the lexical index were found whole."""
        return self.root / "lexical.seen"

    @property
    def lock(self) -> Path:
        return self.root / "writer.lock"

    @property
    def base(self) -> Path:
        """The folder that holds the index; paths of documents below it are stored relative to it."""
        return self.root.absolute().parent

    def size(self) -> int:
        """Bytes of all files together."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def stored_path(self, path: Path) -> str:
        """How a file's path is stored: relative to `base` below it, so that both can be moved together."""
        absolute = path.absolute()
        if absolute.is_relative_to(self.base):
            return absolute.relative_to(self.base).as_posix()
        return absolute.as_posix()

    def stored_names(self, names: Iterable[str]) -> list[str]:
        """The same as `stored_path` for many, given as absolute paths without `..` in them."""
        below = f"{self.base.as_posix().rstrip('/')}/"
        return [name.removeprefix(below) for name in names]

    def actual_path(self, stored: str) -> Path:
        """The file that a stored path means."""
        return self.base / stored


def size_of(path: Path) -> int | None:
    """Of a file, in bytes; `None` where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, that only their owner can look into, for good; one that is there stays."""
    if path.is_dir():
        return
    if not path.parent.exists():
        make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder last through a loss of power."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written to, but not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that have no such thing
            raise
    finally:
        os.close(descriptor)
