"""A tantivy index in a folder that can't be written to: tantivy opens a lock file for writing even to read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from retriever.store.segments import META


class Mirror:
    """A temporary folder with links to the files of a tantivy index, and a copy of what it publishes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._temporary = TemporaryDirectory(prefix="spanseek-")

    @property
    def path(self) -> Path:
        """The folder to open instead."""
        return Path(self._temporary.name)

    def follow(self, published: bytes, names: Iterable[str]) -> None:
        """Brings it to the state of this text of `meta.json`, which names these files."""
        for name in names:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(self._folder / name)
        aside = self.path / f"{META}.new"
        aside.write_bytes(published)
        aside.replace(self.path / META)

    def close(self) -> None:
        """Removes the folder."""
        self._temporary.cleanup()


def is_needed(folder: Path) -> bool:
    """Whether a folder is there and can't be written to."""
    return folder.is_dir() and not os.access(folder, os.W_OK)
