"""Which files of the lexical index were found whole, by what the system says of them.

Without it every process would read all of them to check them: a gigabyte for a million passages. A file is known by
its inode, size and times of change; whoever writes to it, or puts another in its place, changes those. A disk that
forgets bits doesn't, so that files are read again once a day, and after each start of the system, which empties what it
holds of them in memory.

The note can be lost, and is passed over where it can't be read or written.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path

_GOOD_FOR_S = 24 * 3600
_SETTLED_NS = 2_000_000_000
"""A file that changed this shortly ago may change again without its times showing it."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")

Entry = list[int]


class SeenFiles:
    """What the note at `path` says, and what is added to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot = _boot()
        self._files: dict[str, Entry] = {}
        self._in_step: list[int] = []
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(path.read_bytes())
            if note["sum"] == _sum(note["content"]) and note["content"]["boot"] == self._boot:
                self._files = note["content"]["files"]
                self._in_step = note["content"]["in_step"]

    def knows(self, file: Path, rows: int | None) -> bool:
        """Whether a file with this many rows was found whole lately, and is that file still."""
        entry = self._files.get(file.name)
        if entry is None:
            return False
        *before, checked = entry
        age = time.time() - checked
        return before == _identity(file, rows) and 0 <= age < _GOOD_FOR_S

    def add(self, file: Path, rows: int | None) -> None:
        """Remembers a file that was found whole, unless it is too new to be told from one that changes now."""
        now = time.time_ns()
        identity = _identity(file, rows)
        if now - max(identity[-2:]) > _SETTLED_NS:
            self._files[file.name] = [*identity, now // 1_000_000_000]

    def in_step(self, revision: int, published: bytes) -> bool:
        """Whether a writer left SQLite at this revision in step with what tantivy publishes."""
        return self._in_step == [revision, len(published), zlib.crc32(published)]

    def set_in_step(self, revision: int, published: bytes) -> None:
        """Remembers that they are in step."""
        self._in_step = [revision, len(published), zlib.crc32(published)]

    def save(self, names: set[str]) -> None:
        """Writes the note, of files with these names."""
        content = {
            "boot": self._boot,
            "files": {name: entry for name, entry in self._files.items() if name in names},
            "in_step": self._in_step,
        }
        aside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            with suppress(OSError):  # a disk that is full or can't be written to costs time, no more
                aside.touch(mode=0o600)
                aside.write_text(json.dumps({"content": content, "sum": _sum(content)}), encoding="utf-8")
                aside.replace(self._path)
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def _identity(file: Path, rows: int | None) -> Entry:
    status = file.stat()
    rows = -1 if rows is None else rows
    return [rows, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _boot() -> str:
    """Of this start of the system; on systems that don't tell, files are only known for a day."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _sum(content: object) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
