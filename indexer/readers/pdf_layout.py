"""From characters with a place on a page to paragraphs in reading order."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

_CELL_GAP = 1.2  # em: wider than any justified space
_LONGEST_WORD = 100
_MOST_PLACES = 5_000_000
_WORD_GAP = 0.15  # em
_GUTTER_GAP = 0.6  # em
_BULLET = re.compile(r"(?:[•·▪◦‣●○■□–*]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)])\s", re.IGNORECASE)
_LEADER = re.compile(r"(?:\s*\.){5,}\s*")  # of a table of contents
_BROKEN = re.compile(r"((?:[^\W\d_]+-)*[^\W\d_]{2,})[-‐]$")
_PREFIXES = frozenset(  # with these a hyphen is more often the word's own
    "self well non long short high low cross half all part full real open state two three four five ten one first second "
    "third single multi fine large small light dark hard ready right left early late co ex vice so user end time data".split()
)
_LONE_MARK = re.compile(r"[•·▪◦‣●○■□–*]|\(?(?:\d{1,2}(?:\.\d+)*|[A-Za-z]|[ivx]{1,5})[.)]?|\[\d+\]")
_MARK_GAP = 4.0  # em


@dataclass(slots=True)
class Piece:
    """Text that runs on without a gap on one line; y grows upwards."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    size: float
    """Height of most of its signs, about 1.2 em."""
    is_vertical: bool = False


@dataclass(slots=True)
class Line:
    """Pieces side by side."""

    pieces: list[Piece]
    text: str = ""
    left: float = 0.0
    bottom: float = 0.0
    right: float = 0.0
    top: float = 0.0
    is_row: bool = False

    def has_place(self, piece: Piece) -> bool:
        """Whether a piece can stand in this line without covering any of it."""
        if self.right - piece.left < 2 or piece.right - self.left < 2:  # beyond its ends
            return True
        return all(min(p.right, piece.right) - max(p.left, piece.left) < 2 for p in self.pieces)

    def add(self, piece: Piece) -> None:
        """Adds a piece to a line whose bounds are known."""
        self.pieces.append(piece)
        self.left, self.right = min(self.left, piece.left), max(self.right, piece.right)
        self.bottom, self.top = min(self.bottom, piece.bottom), max(self.top, piece.top)

    def finish(self) -> Line:
        """Fills in what follows from the pieces."""
        pieces = sorted(self.pieces, key=lambda piece: piece.left)
        if _is_right_to_left("".join(piece.text for piece in pieces)):
            pieces.reverse()
        self.left = min(piece.left for piece in pieces)
        self.right = max(piece.right for piece in pieces)
        self.bottom = min(piece.bottom for piece in pieces)
        self.top = max(piece.top for piece in pieces)
        parts = [pieces[0].text]
        for before, piece in itertools.pairwise(pieces):
            gap = max(piece.left - before.right, before.left - piece.right) / max(before.size, piece.size)
            if gap > _CELL_GAP and not (
                before is pieces[0] and gap < _MARK_GAP and _LONE_MARK.fullmatch(before.text)
            ):
                parts.append("  ")
                self.is_row = True
            elif gap > _WORD_GAP:
                parts.append(" ")
            parts.append(piece.text)
        self.text = _LEADER.sub(" … ", "".join(parts)).strip()
        self.is_row = self.is_row or "…" in self.text[-8:]
        return self

    @property
    def size(self) -> float:
        """Height of most of its text."""
        return max(self.pieces, key=lambda piece: len(piece.text)).size


@dataclass(slots=True)
class Block:
    """A paragraph, a list's item or rows of a table: lines as they shall be read."""

    lines: list[str]
    size: float
    tight: bool = False
    is_table: bool = False
    top: float = field(default=0.0)

    @property
    def text(self) -> str:
        """Rows stay lines, wrapped lines run on."""
        return "\n".join(self.lines) if self.is_table else join_lines(self.lines)


def is_item(text: str) -> bool:
    """Whether it begins as an item of a list with bullets does."""
    return bool(re.match(r"[•·▪◦‣●○■□–*]\s", text))


def join_lines(lines: Sequence[str]) -> str:
    """Undoes line breaks, and hyphens that were put in for them.

    >>> join_lines(["an exam-", "ple of a long-", "term plan"])
    'an example of a long-term plan'
    >>> join_lines(["the CPU-", "bound part of North-", "East"])
    'the CPU-bound part of North-East'
    """
    parts: list[str] = []
    for line in lines:
        last = parts[-1] if parts else ""
        broken = _BROKEN.search(last[-_LONGEST_WORD:])
        if broken:
            word = broken.group(1)
            is_whole = not line[:1].islower() or word.isupper() or "-" in word or word.lower() in _PREFIXES
            parts[-1] = last if is_whole else last[:-1]
        elif last and not (_is_dense(last[-1]) and _is_dense(line[:1])):
            parts.append(" ")
        if line:
            parts.append(line)
    return "".join(parts)


def order(pieces: list[Piece]) -> list[Line]:
    """The page's lines in reading order: columns one after the other, rows of tables whole."""
    flat = [piece for piece in pieces if not piece.is_vertical]
    lines = _ordered(flat, 0)
    return lines + [Line([piece]).finish() for piece in pieces if piece.is_vertical]


def blocks(lines: Sequence[Line]) -> list[Block]:
    """Groups lines in reading order into paragraphs and tables."""
    found: list[Block] = []
    pitches = [
        before.bottom - line.bottom
        for before, line in itertools.pairwise(lines)
        if 0 < before.bottom - line.bottom < 3 * line.size and abs(before.size - line.size) < 1
    ]
    pitch = median(pitches) if pitches else 0.0
    start = 0
    for index in range(1, len(lines) + 1):
        if index == len(lines) or _breaks(lines, start, index, pitch):
            group = lines[start:index]
            starts_item = bool(_BULLET.match(group[0].text))
            found.append(
                Block(
                    [line.text for line in group],
                    median(line.size for line in group),
                    tight=starts_item and bool(found) and bool(_BULLET.match(found[-1].lines[0])),
                    is_table=group[0].is_row,
                    top=group[0].top,
                )
            )
            start = index
    return found


def _breaks(lines: Sequence[Line], start: int, index: int, pitch: float) -> bool:
    """Whether a new block begins at `index`."""
    before, line = lines[index - 1], lines[index]
    size = max(line.size, 1.0)
    drop = before.bottom - line.bottom
    if before.is_row != line.is_row:
        return True
    if abs(before.size - size) > 0.18 * max(before.size, size):
        return True
    is_new_column = drop < -0.5 * size
    if is_new_column:
        return line.is_row or before.text.endswith((".", "?", "!", ":")) or not line.text[:1].islower()
    if line.is_row:
        return drop > 2.5 * size
    if pitch and size > 1.15 * pitch:  # larger than the text around: a heading, whose lines are of any length
        return drop > 1.5 * size
    if drop > max(1.4 * pitch if pitch else 0, 1.25 * size) or drop > 2.2 * size:
        return True
    if _BULLET.match(line.text):
        return True
    if abs(drop) < 0.5 * size:
        return False
    group = lines[start:index]
    left = min(member.left for member in group)
    right = max(member.right for member in [*group, line])
    width = max(right - left, 1.0)
    indented = (
        line.left - before.left > 0.8 * size and len(group) > 1 and abs(before.left - left) < 0.3 * size
    )
    ended = before.text.endswith((".", "?", "!", ":", '."', ".”", ".)"))
    is_short = right - before.right > 0.15 * width + size
    if indented and (ended or is_short):
        return True
    return (
        is_short
        and (ended or not line.text[:1].islower())
        and len(group) >= 1
        and right - before.right > 3 * size
    )


def _ordered(pieces: list[Piece], depth: int) -> list[Line]:
    if not pieces:
        return []
    gutter = _gutter(pieces) if depth < 3 else None
    if gutter is None:
        return _lines(pieces)
    found: list[Line] = []
    left: list[Piece] = []
    right: list[Piece] = []

    def finish_columns() -> None:
        if left and right and _are_columns(left, right):
            found.extend(_ordered(left, depth + 1) + _ordered(right, depth + 1))
        else:
            found.extend(_lines(left + right))
        left.clear()
        right.clear()

    crossing = [piece for piece in pieces if piece.left < gutter - 1 and piece.right > gutter + 1]
    bands = _lines(crossing)
    crossing_ids = set(map(id, crossing))
    rest = deque(
        sorted((piece for piece in pieces if id(piece) not in crossing_ids), key=lambda piece: -piece.top)
    )
    for band in bands:
        middle = (band.top + band.bottom) / 2
        while rest and (rest[0].top + rest[0].bottom) / 2 > middle:
            piece = rest.popleft()
            same_line = piece.bottom < middle < piece.top
            (band.pieces if same_line else left if piece.right <= gutter + 1 else right).append(piece)
        while rest and rest[0].bottom < middle < rest[0].top:
            band.pieces.append(rest.popleft())
        finish_columns()
        found.append(band.finish())
    for piece in rest:
        (left if piece.right <= gutter + 1 else right).append(piece)
    finish_columns()
    return found


def _gutter(pieces: list[Piece]) -> float | None:
    """Where a column of white runs between two columns of prose."""
    lines = _lines(pieces)
    start = min(line.left for line in lines)
    width = max(line.right for line in lines) - start
    if len(lines) < 6 or width < 100:
        return None
    size = median(piece.size for piece in pieces)
    best, best_count = None, 0
    edges = sorted({round(piece.left) for piece in pieces if 0.2 < (piece.left - start) / width < 0.8})
    if len(edges) * len(pieces) > _MOST_PLACES:  # a drawing, or made to keep us busy
        return None
    for edge in edges:
        gutter = edge - 0.5 * _GUTTER_GAP * size
        right = sum(1 for piece in pieces if 0 <= piece.left - edge + 1 < 2.5 * size and len(piece.text) > 15)
        if right < 4 or right <= best_count // 2:
            continue
        clear = both = crossed = 0
        for line in lines:
            on_left = [p for p in line.pieces if p.right <= gutter + 1]
            on_right = [p for p in line.pieces if p.left >= gutter - 1]
            if len(on_left) + len(on_right) < len(line.pieces):
                crossed += 1
            else:
                clear += 1
                both += sum(len(p.text) for p in on_left) > 15 and sum(len(p.text) for p in on_right) > 15
        score = clear + both + right - 2 * crossed
        if both + right >= 6 and clear > 0.25 * len(lines) and score > best_count:
            best, best_count = gutter, score
    return best


def _are_columns(left: list[Piece], right: list[Piece]) -> bool:
    """Prose fills its column's width; cells of a table don't."""
    for side in (left, right):
        lines = _lines(side)
        width = max(line.right for line in lines) - min(line.left for line in lines)
        long = sum(1 for line in lines if line.right - line.left > 0.6 * width and len(line.text) > 18)
        if long < 0.35 * len(lines) or (
            len(lines) > 3 and sum(line.is_row for line in lines) > 0.6 * len(lines)
        ):
            return False
    aligned = len(_lines(left + right))
    # cells stand on common lines with their neighbours, and few of them wrap
    return aligned >= 3 or max(len(left), len(right)) >= 3


def _lines(pieces: list[Piece]) -> list[Line]:
    """Groups pieces that stand beside each other, from top to bottom."""
    found: list[Line] = []
    for piece in sorted(pieces, key=lambda piece: (-(piece.top + piece.bottom), piece.left)):
        for line in reversed(found[-4:]):
            overlap = min(line.top, piece.top) - max(line.bottom, piece.bottom)
            if overlap > 0.5 * min(piece.size, line.top - line.bottom) and line.has_place(piece):
                line.add(piece)
                break
        else:
            found.append(Line([piece], "", piece.left, piece.bottom, piece.right, piece.top))
    return [line.finish() for line in found]


def _is_dense(sign: str) -> bool:
    """Whether a sign is of a script without spaces."""
    return (
        "\u3040" <= sign <= "\u30ff"
        or "\u3400" <= sign <= "\u9fff"
        or "\u3000" <= sign <= "\u303f"
        or "\uff00" <= sign <= "\uff60"
    )


def _is_right_to_left(text: str) -> bool:
    letters = [sign for sign in text if sign.isalpha()]
    return 2 * sum("\u0590" <= sign <= "\u08ff" or "\ufb1d" <= sign <= "\ufefc" for sign in letters) > len(
        letters
    )
