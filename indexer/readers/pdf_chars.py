"""What PDFium knows of a page's characters."""

from __future__ import annotations

import ctypes
from statistics import median
from typing import Any

import pypdfium2.raw as pdfium_c

from indexer.readers.pdf_layout import Piece

_GAP = 1.0  # em
MOST_CHARACTERS = 200_000  # on one page: more is a drawing
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ft", "ﬆ": "st"}
_HYPHENS = {0x02: "-", 0xFFFE: "-", 0xFFFF: "-", 0xAD: "-"}
# bullets and boxes of Wingdings and Symbol, which have no code of their own
_SYMBOLS = dict.fromkeys(
    (0xF06E, 0xF06F, 0xF071, 0xF072, 0xF076, 0xF0A7, 0xF0A8, 0xF0B7, 0xF0D8, 0xF0E0, 0xF0FC, 0xF0FE), "•"
)
_Box = tuple[float, float, float, float]


def pieces(text_page: Any, rotation: int) -> list[Piece]:
    """The page's text in pieces that have no gap inside, in the file's order."""
    found: list[Piece] = []
    text: list[str] = []
    box: list[float] = []
    heights: list[float] = []
    last: _Box | None = None
    vertical = 0
    rect = pdfium_c.FS_RECTF()
    pointer = ctypes.byref(rect)
    raw = text_page.raw

    def finish() -> None:
        nonlocal vertical
        content = " ".join("".join(text).split())
        if content:
            size = max(median(heights), 1.0)
            found.append(Piece(content, box[0], box[1], box[2], box[3], size, vertical > len(content) / 2))
        text.clear()
        box.clear()
        heights.clear()
        vertical = 0

    high = 0
    for index in range(min(pdfium_c.FPDFText_CountChars(raw), MOST_CHARACTERS)):
        code = pdfium_c.FPDFText_GetUnicode(raw, index)
        if code in (10, 13):
            last = None
            finish()
            continue
        if 0xD800 <= code < 0xDC00:
            high = code
            continue
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00) if high else 0xFFFD
        high = 0
        sign = _HYPHENS.get(code) or _SYMBOLS.get(code) or (chr(code) if code > 31 else " ")
        if sign.isspace():
            if text:
                text.append(" ")
            continue
        if not pdfium_c.FPDFText_GetLooseCharBox(raw, index, pointer):
            continue
        here = _turn((rect.left, rect.bottom, rect.right, rect.top), rotation)
        if last is not None and text:
            runs_down = _runs_down(last, here)
            if not runs_down and not _follows(last, here):
                finish()
            elif runs_down:
                vertical += 1
        text.append(_LIGATURES.get(sign, sign))
        if box:
            box[:] = [min(box[0], here[0]), min(box[1], here[1]), max(box[2], here[2]), max(box[3], here[3])]
        else:
            box[:] = here
        heights.append(here[3] - here[1])
        last = here
    finish()
    return found


def _follows(last: _Box, here: _Box) -> bool:
    size = max(here[3] - here[1], last[3] - last[1], 1.0)
    overlap = min(last[3], here[3]) - max(last[1], here[1])
    gap = max(here[0] - last[2], last[0] - here[2])
    return overlap > 0.25 * min(here[3] - here[1], last[3] - last[1]) and gap < _GAP * size


def _runs_down(last: _Box, here: _Box) -> bool:
    """Whether text runs along the page's side."""
    width = min(last[2] - last[0], here[2] - here[0])
    overlap_x = min(last[2], here[2]) - max(last[0], here[0])
    overlap_y = min(last[3], here[3]) - max(last[1], here[1])
    gap = max(here[1] - last[3], last[1] - here[3])
    return overlap_x > 0.7 * width and overlap_y < 0.2 * (here[3] - here[1]) and gap < max(width, 1.0)


def _turn(box: _Box, rotation: int) -> _Box:
    """A place as it is seen when the page is shown turned clockwise."""
    left, bottom, right, top = box
    if rotation == 90:
        return bottom, -right, top, -left
    if rotation == 180:
        return -right, -top, -left, -bottom
    if rotation == 270:
        return -top, left, -bottom, right
    return box
