"""Pictures of a PDF's pages, and where on them some words stand.

PDFium reads what strangers wrote, so it runs in a process of its own (`picture_worker.py`), for one page, with limits
of time and memory. The file comes to it as its standard input, looked at before: it opens nothing itself.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retriever.serving.documents import opened

if TYPE_CHECKING:
    from retriever.store.catalogue import Catalogue

_AT_ONCE = 2
_KEPT = 24
_MOST_BYTES = 32 << 20
_CONTEXT = 160


class PictureError(Exception):
    """A page can't be drawn. The message is one line."""


@dataclass(frozen=True, slots=True)
class Words:
    """What to look for on a page, with some of the text around it, which tells one place from another."""

    text: str
    before: str = ""
    after: str = ""

    @classmethod
    def of(cls, text: str, start: int, end: int) -> Words:
        """`text[start:end]`, of a page's text."""
        return cls(text[start:end], text[max(0, start - _CONTEXT) : start], text[end : end + _CONTEXT])


class Pictures:
    """Draws pages; remembers the last ones.

    Args:
        catalogue: Whose documents.
        seconds: A page that takes longer is given up.
    """

    def __init__(self, catalogue: Catalogue, seconds: float) -> None:
        self._catalogue = catalogue
        self._seconds = seconds
        self._kept: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def page(self, document_id: str, page: int, width: int) -> bytes:
        """A page as PNG, so many pixels wide.

        Raises:
            NoOriginalError: The document has no file, or that has changed.
            PictureError: It has no such page, or it can't be drawn.
        """
        return await self._made(document_id, {"page": page, "width": width})

    async def boxes(self, document_id: str, page: int, words: Words) -> dict[str, object]:
        """Where words stand: `boxes`, one a line, each left, top, width, height in parts of the page's.

        Raises:
            NoOriginalError: The document has no file, or that has changed.
            PictureError: It has no such page, or it can't be read.
        """
        asked = {"page": page, "text": words.text, "before": words.before, "after": words.after}
        found: dict[str, object] = json.loads(await self._made(document_id, asked))
        return found

    async def _made(self, document_id: str, asked: Mapping[str, object]) -> bytes:
        record = await asyncio.to_thread(self._catalogue.file, document_id)
        key = document_id, str(record and record[1].sha256), json.dumps(asked)
        if key not in self._kept:
            async with self._turn:
                self._kept[key] = await asyncio.to_thread(self._work, document_id, asked)
        self._kept.move_to_end(key)
        made = self._kept[key]
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made

    def _work(self, document_id: str, asked: Mapping[str, object]) -> bytes:
        command = [sys.executable, "-P", "-m", "retriever.serving.picture_worker", json.dumps(asked)]
        with opened(self._catalogue, document_id) as original:
            try:
                ended = subprocess.run(  # noqa: S603 - our own module
                    command, stdin=original.file, capture_output=True, timeout=self._seconds, check=False
                )
            except subprocess.TimeoutExpired:
                raise PictureError("the page takes too long to draw") from None
        if ended.returncode == 3:
            raise PictureError(ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1])
        if ended.returncode or len(ended.stdout) > _MOST_BYTES:
            raise PictureError("the page can't be drawn")
        return ended.stdout
