"""One page of the PDF on standard input: its picture, or where some words stand on it, on standard output.

Run as a process of its own with one argument, JSON: `page` from 1, and either `width` in pixels or `text`, `before`
and `after`. Exit code 3: the last line of standard error says why there is nothing.
"""

from __future__ import annotations

import ctypes
import io
import json
import resource
import sys
import unicodedata
from contextlib import suppress
from difflib import SequenceMatcher
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium_c

_MEMORY = 4 << 30
_SECONDS = 20
_TALLEST = 4.0
"""A page that is more times as tall as it is wide is drawn narrower."""
_MOST_CHARACTERS = 200_000
_NO_LETTER = frozenset({0x02, 0xAD, 0xFFFE, 0xFFFF})

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in parts of the page's width and height; y grows downwards."""


class NothingError(Exception):
    """There is nothing to give; the message says why."""


def main() -> None:
    """Reads, draws, writes."""
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    with suppress(ValueError, OSError):  # where the system has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    asked = json.loads(sys.argv[1])
    try:
        page = _page(sys.stdin.buffer.read(), asked["page"])
        if "width" in asked:
            made = _picture(page, asked["width"])
        else:
            boxes = [
                _sides(box) for box in find(_characters(page), asked["text"], asked["before"], asked["after"])
            ]
            made = json.dumps(
                {"width": page.get_width(), "height": page.get_height(), "boxes": boxes}
            ).encode()
    except (pypdfium2.PdfiumError, MemoryError, ValueError):
        _fail("the page can't be drawn: the PDF is damaged")
    except NothingError as error:
        _fail(str(error))
    sys.stdout.buffer.write(made)


def _fail(reason: str) -> None:
    sys.stderr.write(f"{reason}\n")
    sys.exit(3)


def _page(content: bytes, number: int) -> Any:
    if not content.lstrip()[:1024].count(b"%PDF"):
        raise NothingError("only PDFs have pictures of their pages")
    document = pypdfium2.PdfDocument(content)
    if not 1 <= number <= len(document):
        raise NothingError(f"there is no page {number}: the document has {len(document)}")
    return document[number - 1]


def _picture(page: Any, width: int) -> bytes:
    wide, tall = page.get_size()
    scale = width / max(wide, tall / _TALLEST, 1.0)
    picture = page.render(scale=scale, draw_annots=True, may_draw_forms=False).to_pil()
    written = io.BytesIO()
    picture.convert("RGB").quantize(256, dither=0).save(written, "PNG", optimize=False, compress_level=6)
    return written.getvalue()


def _characters(page: Any) -> list[tuple[str, Box]]:
    """Letters in the file's order, folded, each with its place as the page is shown."""
    text_page = page.get_textpage()
    raw = text_page.raw
    width, height = page.get_size()
    rect = pdfium_c.FS_RECTF()
    found: list[tuple[str, Box]] = []
    for index in range(min(pdfium_c.FPDFText_CountChars(raw), _MOST_CHARACTERS)):
        code = pdfium_c.FPDFText_GetUnicode(raw, index)
        if code in _NO_LETTER or code < 33 or 0xD800 <= code < 0xE000:
            continue
        if not pdfium_c.FPDFText_GetLooseCharBox(raw, index, ctypes.byref(rect)):
            continue
        one, other = (
            _on_page(page, rect.left, rect.top, width, height),
            _on_page(page, rect.right, rect.bottom, width, height),
        )
        box = min(one[0], other[0]), min(one[1], other[1]), max(one[0], other[0]), max(one[1], other[1])
        found += [(sign, box) for sign in folded(chr(code))]
    return found


_GRID = 10_000


def _on_page(page: Any, x: float, y: float, width: float, height: float) -> tuple[float, float]:
    """A place in parts of the page as it is shown: cropped and turned."""
    left, top = ctypes.c_int(), ctypes.c_int()
    across, down = (
        (_GRID, round(_GRID * height / width)) if width >= height else (round(_GRID * width / height), _GRID)
    )
    pdfium_c.FPDF_PageToDevice(page.raw, 0, 0, across, down, 0, x, y, ctypes.byref(left), ctypes.byref(top))
    return left.value / across, top.value / down


def folded(text: str) -> str:
    """Only letters, digits and signs, as they compare: no blanks, hyphens, ligatures or accents on their own.

    >>> folded("An ofﬁce-\\nhour")
    'anofficehour'
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in plain if not sign.isspace() and sign not in "-‐‑\u00ad\u0002")


def find(characters: list[tuple[str, Box]], text: str, before: str, after: str) -> list[Box]:
    """Where a text stands, a box for each line; where it stands several times, where what is around it fits best.

    Args:
        characters: Of the page, in the file's order, which needn't be that of reading.
        text: What to find.
        before: What is read before it.
        after: What is read after it.
    """
    page = "".join(sign for sign, _ in characters)
    wanted = folded(text)
    if not wanted:
        return []
    ahead, behind = folded(before), folded(after)
    places = _occurrences(page, wanted)
    if places:
        start = max(places, key=lambda place: _fit(page, place, place + len(wanted), ahead, behind))
        return _lines([box for _, box in characters[start : start + len(wanted)]])
    # Its parts may be apart in the file: cells of a row, columns, a footnote in between.
    boxes: list[Box] = []
    words = [folded(word) for word in text.split()]
    around = ahead[-60:] + wanted + behind[:60]
    centre = _centre(page, around)
    if centre is None:
        return []
    for word in filter(None, words):
        near = [place for place in _occurrences(page, word) if abs(place - centre) < 400 + len(wanted)]
        if near:
            place = min(near, key=lambda place: abs(place - centre))
            boxes += [box for _, box in characters[place : place + len(word)]]
    return _lines(boxes) if len(boxes) >= 0.6 * len(wanted) else []


def _occurrences(page: str, wanted: str) -> list[int]:
    places: list[int] = []
    place = page.find(wanted)
    while place >= 0 and len(places) < 500:
        places.append(place)
        place = page.find(wanted, place + 1)
    return places


def _fit(page: str, start: int, end: int, before: str, after: str) -> int:
    """How much of what is around a place is what should be: letters in common, outwards, the nearest first."""
    return _common(page[:start][-80:][::-1], before[::-1]) + _common(page[end : end + 80], after)


def _common(one: str, other: str) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def _centre(page: str, around: str) -> int | None:
    """Where the longest stretch that a page shares with a text stands."""
    match = SequenceMatcher(None, page, around, autojunk=False).find_longest_match()
    return match.a + match.size // 2 if match.size >= 4 else None


def _lines(boxes: list[Box]) -> list[Box]:
    """Boxes of letters as one for each line."""
    lines: list[Box] = []
    for box in boxes:
        if lines:
            last = lines[-1]
            overlap = min(last[3], box[3]) - max(last[1], box[1])
            if overlap > 0.4 * min(last[3] - last[1], box[3] - box[1]) and box[0] - last[2] < 0.2:
                lines[-1] = (
                    min(last[0], box[0]),
                    min(last[1], box[1]),
                    max(last[2], box[2]),
                    max(last[3], box[3]),
                )
                continue
        lines.append(box)
    return lines


def _sides(box: Box) -> dict[str, float]:
    left, top, right, bottom = box
    return {
        "left": round(left, 5),
        "top": round(top, 5),
        "width": round(right - left, 5),
        "height": round(bottom - top, 5),
    }


if __name__ == "__main__":
    main()
