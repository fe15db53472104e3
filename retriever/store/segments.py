"""Are tantivy's files what it wrote? It keeps a CRC-32 at the end of each, and doesn't look at it when it searches.

The end of a file is: JSON with the checksum of all that is before it, the JSON's length and a magic number, both
32 bits, little-endian (tantivy's `directory/footer.rs`).
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

from retriever.errors import IndexDamagedError

_MAGIC = 1337
_END = struct.Struct("<II")
_PARTS = ("fast", "fieldnorm", "idx", "pos", "store", "term")
_READ_AT_ONCE = 1 << 22
META = "meta.json"


class SegmentCheck:
    """Checks the files of a tantivy index that `meta.json` names; each but once, since they never change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whole: set[str] = set()

    def published(self) -> bytes:
        """`meta.json` as it is now; another text means another state of the index."""
        try:
            return (self._folder / META).read_bytes()
        except OSError as error:
            raise _damaged(self._folder / META, error) from error

    def check(self, published: bytes) -> bool:
        """Checks all files that this text of `meta.json` names.

        Returns:
            Whether they are there: one that is missing may have been replaced since.

        Raises:
            IndexDamagedError: One of them isn't what tantivy wrote.
        """
        try:
            names = [name for segment in json.loads(published)["segments"] for name in _files(segment)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(self._folder / META, error) from error
        for name in names:
            if name not in self._whole:
                try:
                    _check_file(self._folder / name)
                except FileNotFoundError:
                    return False
                self._whole.add(name)
        self._whole.intersection_update(names)
        return True


def _files(segment: dict[str, Any]) -> list[str]:
    name = str(segment["segment_id"]).replace("-", "")
    files = [f"{name}.{part}" for part in _PARTS]
    if segment["deletes"]:
        files.append(f"{name}.{segment['deletes']['opstamp']}.del")
    return files


def _check_file(path: Path) -> None:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        try:
            file.seek(max(0, size - _END.size))
            length, magic = _END.unpack(file.read(_END.size))
            body = size - _END.size - length
            if magic != _MAGIC or body < 0:
                raise ValueError("its end is missing")
            file.seek(body)
            expected = json.loads(file.read(length))["crc"]
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise _damaged(path, error) from error
        file.seek(0)
        checksum = 0
        while body:
            block = file.read(min(body, _READ_AT_ONCE))
            checksum = zlib.crc32(block, checksum)
            body -= len(block)
        if checksum != expected:
            raise _damaged(path, "its checksum is wrong")


def _damaged(path: Path, reason: object) -> IndexDamagedError:
    return IndexDamagedError(f"{path} is damaged ({reason}): run 'spanseek verify --repair'")
