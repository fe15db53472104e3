"""Are tantivy's files what it wrote? It keeps a CRC-32 at the end of each, and doesn't look at it when it searches.

The end of a file is: JSON with the checksum of all that is before it, the JSON's length and a magic number, both
32 bits, little-endian (tantivy's `directory/footer.rs`).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retriever.errors import REPAIR, IndexDamagedError
from retriever.store.seen import SeenFiles

_MAGIC = 1337
_END = struct.Struct("<II")
_COUNT = struct.Struct("<I")
_LENGTHS = "fieldnorm"
_KNOWN_VERSION = 7
"""Of tantivy's format: what is known of its files beyond their ends holds for this one."""
_PARTS = ("fast", "fieldnorm", "idx", "pos", "store", "term")
_READ_AT_ONCE = 1 << 22
_WORTH_NOTING = 1 << 24
"""Bytes that take longer to read than a note of it takes to write."""
META = "meta.json"


class SegmentCheck:
    """Checks the files of a tantivy index that `meta.json` names; each but once, since they never change.

    What some process has found whole is noted beside the folder (`seen.py`).

    Args:
        folder: Of the index.
        noted: Whether the note is believed; `verify` reads everything.
    """

    def __init__(self, folder: Path, *, noted: bool = True) -> None:
        self._folder = folder
        self._noted = noted
        self._note = folder.with_name(f"{folder.name}.seen")
        self._whole: set[tuple[str, int | None]] = set()

    def published(self) -> bytes:
        """`meta.json` as it is now; another text means another state of the index.

        Raises:
            OSError: It isn't there, or can't be read.
        """
        return (self._folder / META).read_bytes()

    def files(self, published: bytes) -> dict[str, int | None]:
        """The files that this text of `meta.json` names; for those of lengths, how many rows they must have.

        Raises:
            IndexDamagedError: It isn't what tantivy wrote.
        """
        try:
            return dict(file for segment in json.loads(published)["segments"] for file in _files(segment))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(self._folder / META, error) from error

    def check(self, published: bytes) -> bool:
        """Checks all files that this text of `meta.json` names.

        Returns:
            Whether they are there: one that is missing may have been replaced since.

        Raises:
            IndexDamagedError: One of them isn't what tantivy wrote.
            OSError: It can't be read.
        """
        named = self.files(published)
        new = [(name, rows) for name, rows in named.items() if (name, rows) not in self._whole]
        if new and not self._check(new, SeenFiles(self._note), set(named)):
            return False
        self._whole.intersection_update(named.items())
        return True

    def is_in_step(self, revision: int) -> bool:
        """Whether a writer left SQLite, at this revision, in step with what is published now."""
        return SeenFiles(self._note).in_step(revision, self.published())

    def note_in_step(self, revision: int) -> None:
        """Notes that SQLite, at this revision, is in step with what is published now."""
        published, seen = self.published(), SeenFiles(self._note)
        seen.set_in_step(revision, published)
        seen.save(set(self.files(published)))

    def _check(self, new: Sequence[tuple[str, int | None]], seen: SeenFiles, names: set[str]) -> bool:
        """Checks files that this process hasn't checked yet."""
        read = 0
        for name, rows in new:
            path = self._folder / name
            try:
                if not self._noted or not seen.knows(path, rows):
                    held = _check_file(path)
                    if rows is not None and held not in (rows, None):
                        raise _damaged(self._folder / META, f"{name} holds {held} rows, not {rows}")
                    seen.add(path, rows)
                    read += path.stat().st_size
            except FileNotFoundError:
                return False
            self._whole.add((name, rows))
        if read > _WORTH_NOTING:
            seen.save(names)
        return True


def _files(segment: dict[str, Any]) -> list[tuple[str, int | None]]:
    """A segment's files; with the one of lengths, how many rows it must have."""
    name = str(segment["segment_id"]).replace("-", "")
    rows = int(segment["max_doc"])
    files = [(f"{name}.{part}", rows if part == _LENGTHS else None) for part in _PARTS]
    if segment["deletes"]:
        files.append((f"{name}.{segment['deletes']['opstamp']}.del", None))
    return files


def _check_file(path: Path) -> int | None:
    """Checks a file; returns how many rows the one of lengths has, where its format is the one known here."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        try:
            file.seek(max(0, size - _END.size))
            length, magic = _END.unpack(file.read(_END.size))
            body = size - _END.size - length
            if magic != _MAGIC or body < 0:
                raise ValueError("its end is missing")
            file.seek(body)
            end = json.loads(file.read(length))
            expected, version = end["crc"], end["version"]["index_format_version"]
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise _damaged(path, error) from error
        file.seek(0)
        checksum, left, block = 0, body, b""
        while left:
            block = file.read(min(left, _READ_AT_ONCE))
            checksum = zlib.crc32(block, checksum)
            left -= len(block)
        if checksum != expected:
            raise _damaged(path, "its checksum is wrong")
    if path.suffix != f".{_LENGTHS}" or version != _KNOWN_VERSION or len(block) < _COUNT.size:
        return None
    # A byte for each row of the one field that has lengths, then a table of fields, then that table's length.
    (table,) = _COUNT.unpack(block[-_COUNT.size :])
    return int(body - table - _COUNT.size)


def _damaged(path: Path, reason: object) -> IndexDamagedError:
    return IndexDamagedError(f"{path} is damaged ({reason}){REPAIR}")
