"""Texts and original files of an index's documents, and of nothing else.

An index that somebody sends may name any file of this machine. So a file is shown only if its content is what was
indexed, bit for bit, which is looked at through the very descriptor that it is then read from.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from retriever.as_json import shown_path

if TYPE_CHECKING:
    from retriever.store.catalogue import Catalogue, Choice, Entry, Facets
    from retriever.types import Document

_BLOCK = 1 << 18


class NoOriginalError(Exception):
    """There is no original file to show. The message is one line.

    Attributes:
        gone: There never was one (404), rather than that it is no longer what was indexed (409).
    """

    def __init__(self, reason: str, *, gone: bool = False) -> None:
        super().__init__(reason)
        self.gone = gone


@dataclass(frozen=True, slots=True)
class Original:
    """A document's file as it was indexed, open at its beginning."""

    name: str
    size: int
    file: BinaryIO

    def blocks(self) -> Iterator[bytes]:
        """Its content, once; closes it."""
        left = self.size
        with self.file:
            while left > 0 and (block := self.file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block


def open_original(catalogue: Catalogue, document_id: str) -> Original:
    """Opens the file that a document was read from.

    Raises:
        NoOriginalError: It has none, or that isn't what was indexed any more.
    """
    found = catalogue.file(document_id)
    if found is None:
        raise NoOriginalError("this document has no file", gone=True)
    path, record = found
    if record.sha256 is None:
        raise NoOriginalError("the file wasn't wholly indexed: index it again")
    try:
        file = _open_regular(path)
    except (OSError, ValueError):
        raise NoOriginalError("the file is gone, or may not be read") from None
    try:
        if os.fstat(file.fileno()).st_size != record.size or _sha256(file, record.size) != record.sha256:
            raise NoOriginalError("the file has changed since it was indexed: index it again")
        file.seek(0)
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise NoOriginalError("the file can't be read") from None
        raise
    return Original(path.name, record.size, file)


@contextmanager
def opened(catalogue: Catalogue, document_id: str) -> Iterator[Original]:
    """As `open_original`, closed at the end."""
    original = open_original(catalogue, document_id)
    with original.file:
        yield original


def document_as_json(document: Document, start: int, end: int) -> dict[str, object]:
    """A document with its text from `start` to `end`, in code points."""
    return {
        "document": document.id,
        "path": None if document.path is None else shown_path(document.path),
        "title": document.title,
        "format": document.format,
        "language": document.language,
        "metadata": dict(document.metadata),
        "characters": len(document.text),
        "pages": [{"page": anchor.number, "start": anchor.start} for anchor in document.pages],
        "start": start,
        "end": end,
        "text": document.text[start:end],
    }


def entry_as_json(entry: Entry) -> dict[str, object]:
    """One document of the list."""
    return {
        "document": entry.id,
        "path": None if entry.path is None else shown_path(entry.path),
        "title": entry.title,
        "format": entry.format,
        "language": entry.language,
        "metadata": dict(entry.metadata),
        "characters": entry.characters,
        "pages": entry.pages,
    }


def facets_as_json(facets: Facets) -> dict[str, object]:
    """What documents can be filtered by."""
    return {
        "folders": [_choice(choice) for choice in facets.folders],
        "formats": [_choice(choice) for choice in facets.formats],
        "metadata": [
            {"key": key, "values": [_choice(choice) for choice in choices]}
            for key, choices in facets.metadata
        ],
    }


def page_span(document: Document, page: int) -> tuple[int, int] | None:
    """Where a page's text stands in the document's; `None` for a page without text."""
    for number, anchor in enumerate(document.pages):
        if anchor.number == page:
            later = document.pages[number + 1 :]
            return anchor.start, later[0].start if later else len(document.text)
    return None


def _choice(choice: Choice) -> dict[str, object]:
    return {"name": choice.name, "documents": choice.documents, "where": choice.where}


def _open_regular(path: Path) -> BinaryIO:
    # a pipe or a device in its place must not be waited for
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} isn't a regular file")
    return file


def _sha256(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
