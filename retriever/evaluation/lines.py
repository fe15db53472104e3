"""Lines of text files, perhaps compressed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from retriever.errors import DatasetError


def numbered_lines(path: Path, what: str = "text") -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line that is not blank.

    Args:
        path: A file in UTF-8.
        what: What it should be, for a message.

    Raises:
        DatasetError: The file can't be read, or isn't UTF-8, or its compression (by gzip, if it ends in `.gz`) is broken.
    """
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as file
        ):
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}: expected {what} in UTF-8, perhaps compressed by gzip: {error}"
        ) from error
