"""Turns a tree of HTML elements into blocks of text, in one pass without recursion."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from lxml import etree

from indexer.readers.compose import Composer, clean_line
from indexer.readers.html_boilerplate import Filter
from indexer.readers.source_lines import SourceText
from indexer.readers.tables import table_lines
from retriever.types import Anchor

BLOCKS = frozenset(
    "html body main article section div p ul ol li dl dt dd blockquote pre table thead tbody tfoot tr td th caption "
    "figure figcaption header footer nav aside address form fieldset legend details summary hr center h1 h2 h3 h4 h5 "
    "h6 hgroup dir menu title button".split()
)
_LISTS = frozenset({"ul", "ol", "dl", "dir", "menu"})
_ITEMS = frozenset({"li", "dt", "dd"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_COLUMNS = 1000
_LAYOUT_CELL = 1500  # characters: nobody writes this much into a cell of data
_LAST_LINE = 65_535  # libxml2 counts no further


class BlockWriter:
    """Writes an element's text to a composer, with the line of the page that each word stands on.

    The parser knows on which line a tag ends. From there on the line breaks of the text are counted; what it doesn't
    keep, such as a comment of several lines, puts the count out until the next tag.
    """

    def __init__(self, composer: Composer, filter_: Filter) -> None:
        self._composer = composer
        self._filter = filter_
        self._buffer = SourceText()
        self._here = 1  # the line that what comes next begins on
        self._prefix = ""
        self._lists = 0
        self._list_open = False  # the last block was an item of the list that we are still in

    def write(self, root: Any) -> None:
        """Writes `root` and all in it, but what the filter drops."""
        walk = etree.iterwalk(root, events=("start", "end"))
        skipped = None
        for event, element in walk:
            tag = element.tag
            if event == "start":
                self._reach(element)
                if (
                    not isinstance(tag, str)
                    or (element is not root and self._filter.drops(element))
                    or self._write_whole(element)
                ):
                    self._pass(element)
                    walk.skip_subtree()
                    skipped = element
                else:
                    self._start(element, tag)
            else:
                if element is skipped:
                    skipped = None
                elif tag in BLOCKS:
                    self._end(tag)
                if element is not root and element.tail:
                    self._buffer.add(element.tail, self._read(element.tail))
        self._flush()

    def _reach(self, element: Any) -> None:
        """Goes on to the end of an element's first tag."""
        if (line := element.sourceline) is not None and line < _LAST_LINE:
            self._here = max(self._here, line)

    def _read(self, text: str) -> int:
        """Goes on to the end of a text; gives the line that it begins on."""
        begins = self._here
        self._here += text.count("\n")
        return begins

    def _pass(self, element: Any) -> None:
        """Goes on to the end of an element."""
        last = element
        while len(last):
            last = last[-1]
        if (last.sourceline or _LAST_LINE) < _LAST_LINE:  # what comes before it needn't be counted
            self._reach(last)
            self._read(last.text or "")
            while last is not element:
                self._read(last.tail or "")
                last = last.getparent()
            return
        for event, inner in etree.iterwalk(element, events=("start", "end")):
            if event == "start":
                self._reach(inner)
                self._read(inner.text or "")
            elif inner is not element:
                self._read(inner.tail or "")

    def _start(self, element: Any, tag: str) -> None:
        if tag in BLOCKS:
            self._flush()
            if tag in _LISTS:
                self._lists += 1
            elif tag == "li":
                self._prefix = "- "
        elif tag == "br":
            self._buffer.add_break(self._here)
        if element.text:
            self._buffer.add(element.text, self._read(element.text))

    def _end(self, tag: str) -> None:
        self._flush()
        if tag == "li":
            self._prefix = ""
        elif tag in _LISTS:
            self._lists -= 1
            self._list_open = self._list_open and self._lists > 0

    def _write_whole(self, element: Any) -> bool:
        """Writes elements that are more than their blocks; False for all others. Goes on to no other line."""
        begins = self._here
        try:
            return self._written_whole(element)
        finally:
            self._here = begins

    def _written_whole(self, element: Any) -> bool:
        tag = element.tag
        if tag in _HEADINGS:
            if next(element.iter("table", "ul", "ol", "p"), None) is not None:
                return False
            self._flush()
            for text, lines in self._text_of(element).blocks():
                self._composer.heading(text, _HEADINGS[tag], lines=lines)
            self._list_open = False
            return True
        if tag == "pre" or tag == "listing":
            self._flush()
            self._write_lines(element)
            self._list_open = False
            return True
        if tag == "table":
            return self._write_table(element)
        return False

    def _write_lines(self, element: Any) -> None:
        """Writes text whose line breaks are meant."""
        lines, numbers = [""], [0]
        for piece, line in self._pieces(element):
            for extra, part in enumerate(piece.split("\n")):
                if extra:
                    lines.append("")
                    numbers.append(0)
                lines[-1] += part
                numbers[-1] = numbers[-1] or (line + extra if part else 0)
        text = dedent("\n".join(map(clean_line, lines))).rstrip("\n")
        anchors, position = [], 0
        blank = len(text) - len(text.lstrip("\n"))
        for part, number in zip(text.split("\n")[blank:], numbers[blank:], strict=False):
            if part:
                anchors.append(Anchor(position, number))
            position += len(part) + 1
        self._composer.block(text[blank:], lines=anchors)

    def _write_table(self, table: Any) -> bool:
        if next((inner for inner in table.iter("table") if inner is not table), None) is not None:
            return False
        caption = table.find("caption")
        title = [] if caption is None else self._text_of(caption).blocks()
        rows, numbers, headers = self._grid(table)
        cells = [cell for row in rows for cell in row if cell]
        if len(cells) < 2 or max(len(row) for row in rows) < 2 or max(map(len, cells)) > _LAYOUT_CELL:
            return False
        self._flush()
        shown = table_lines(rows, headers or None)
        lines = [text for text, _ in title] + shown
        # what table_lines leaves out are headers and empty rows; titles above the headers stay first
        filled = [(row, number) for row, number in zip(rows, numbers, strict=True) if any(row)]
        left = len(filled) - len(shown)
        of = [filled[i if line in filled[i][0] else left + i][1] for i, line in enumerate(shown)]
        self._composer.block_lines(lines, numbers=[anchors[0].number for _, anchors in title] + of)
        self._list_open = False
        return True

    def _grid(self, table: Any) -> tuple[list[list[str]], list[int], int]:
        """Rows of cells with spans filled in, the line each begins on, and how many of the first rows are headers."""
        rows: list[list[str]] = []
        numbers: list[int] = []
        headers = 0
        hanging: dict[int, tuple[int, str]] = {}  # column -> rows still to fill from above, text
        for tr in table.iter("tr"):
            if self._filter.drops(tr):
                continue
            self._reach(tr)
            begins: int | None = None
            elements = [cell for cell in tr if cell.tag in ("td", "th") and not self._filter.drops(cell)]
            is_header = bool(elements) and (
                all(cell.tag == "th" for cell in elements) or (tr.getparent().tag == "thead")
            )
            row: list[str] = []
            below: dict[int, tuple[int, str]] = {}
            for cell in elements:
                self._fill(row, hanging, below)
                self._reach(cell)
                blocks = self._text_of(cell).blocks()
                text = " ".join(block for block, _ in blocks)
                if begins is None and blocks:
                    begins = blocks[0][1][0].number
                across, down = _span(cell, "colspan"), _span(cell, "rowspan")
                for offset in range(min(across, max(_COLUMNS - len(row), 1))):
                    repeated = text if offset == 0 or is_header else ""
                    if down > 1:
                        below[len(row)] = (down - 1, repeated)
                    row.append(repeated)
            self._fill(row, hanging, below)
            hanging = {column: entry for column, entry in below.items() if entry[0] > 0}
            if is_header and headers == len(rows) and (len(elements) > 1 or not rows):
                headers += 1
            if row:
                rows.append(row)
                numbers.append(begins if begins is not None else self._here)
        return rows, numbers, headers

    def _fill(
        self, row: list[str], hanging: dict[int, tuple[int, str]], below: dict[int, tuple[int, str]]
    ) -> None:
        while len(row) in hanging and len(row) < _COLUMNS:
            left, text = hanging.pop(len(row))
            below[len(row)] = (left - 1, text)
            row.append(text)

    def _text_of(self, element: Any) -> SourceText:
        """All text in an element, as one block."""
        text = SourceText()
        for piece, line in self._pieces(element):
            text.add(piece, line)
        return text

    def _pieces(self, element: Any) -> list[tuple[str, int]]:
        """All text in an element, blocks apart, and the line that each piece begins on."""
        self._reach(element)
        parts = [(element.text or "", self._read(element.text or ""))]
        walk = etree.iterwalk(element, events=("start", "end"))
        for event, inner in walk:
            if inner is element:
                continue
            if event == "end":
                if inner.tag in BLOCKS:
                    parts.append((" ", self._here))
                parts.append((inner.tail or "", self._read(inner.tail or "")))
                continue
            self._reach(inner)
            if not isinstance(inner.tag, str) or self._filter.drops(inner):
                self._pass(inner)
                walk.skip_subtree()
            else:
                if inner.tag in BLOCKS:
                    parts.append((" ", self._here))
                elif inner.tag == "br":
                    parts.append(("\n", self._here))
                parts.append((inner.text or "", self._read(inner.text or "")))
        return parts

    def _flush(self) -> None:
        """Ends the block that is being gathered; an empty line inside it makes two of it."""
        if not self._buffer:
            return
        blocks = self._buffer.blocks()
        self._buffer = SourceText()
        in_list = self._lists > 0
        tight = self._list_open and in_list
        for block, lines in blocks:
            text = block.lstrip("•·▪◦ ") if self._prefix else block
            if text:
                shift = len(self._prefix) - (len(block) - len(text))
                # a bullet that stood on a line of its own is gone, and that line with it
                places = {max(0, place.start + shift) if place.start else 0: place.number for place in lines}
                moved = [Anchor(start, number) for start, number in places.items()]
                self._composer.block(self._prefix + text, lines=moved, tight=tight)
                self._prefix = ""
                self._list_open = in_list
                tight = in_list


def _span(cell: Any, name: str) -> int:
    try:
        return max(1, min(int(cell.get(name, 1)), _COLUMNS))
    except ValueError:
        return 1
