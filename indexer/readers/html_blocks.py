"""Turns a tree of HTML elements into blocks of text, in one pass without recursion."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from lxml import etree

from indexer.readers.compose import Composer, clean, clean_line
from indexer.readers.html_boilerplate import Filter
from indexer.readers.tables import table_lines

_BLOCKS = frozenset(
    "html body main article section div p ul ol li dl dt dd blockquote pre table thead tbody tfoot tr td th caption "
    "figure figcaption header footer nav aside address form fieldset legend details summary hr center h1 h2 h3 h4 h5 "
    "h6 hgroup dir menu title button".split()
)
_LISTS = frozenset({"ul", "ol", "dl", "dir", "menu"})
_ITEMS = frozenset({"li", "dt", "dd"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_COLUMNS = 1000
_LAYOUT_CELL = 1500  # characters: nobody writes this much into a cell of data


class BlockWriter:
    """Writes an element's text to a composer."""

    def __init__(self, composer: Composer, filter_: Filter) -> None:
        self._composer = composer
        self._filter = filter_
        self._buffer: list[str] = []
        self._line: int | None = None
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
                if (
                    not isinstance(tag, str)
                    or (element is not root and self._filter.drops(element))
                    or self._write_whole(element)
                ):
                    walk.skip_subtree()
                    skipped = element
                else:
                    self._start(element, tag)
            else:
                if element is skipped:
                    skipped = None
                elif tag in _BLOCKS:
                    self._end(tag)
                if element is not root and element.tail:
                    self._add(element.tail, element)
        self._flush()

    def _start(self, element: Any, tag: str) -> None:
        if tag in _BLOCKS:
            self._flush()
            self._line = element.sourceline
            if tag in _LISTS:
                self._lists += 1
            elif tag == "li":
                self._prefix = "- "
        elif tag == "br":
            self._buffer.append("\n")
        if element.text:
            self._add(element.text, element)

    def _end(self, tag: str) -> None:
        self._flush()
        if tag == "li":
            self._prefix = ""
        elif tag in _LISTS:
            self._lists -= 1
            self._list_open = self._list_open and self._lists > 0

    def _write_whole(self, element: Any) -> bool:
        """Writes elements that are more than their blocks; False for all others."""
        tag = element.tag
        if tag in _HEADINGS:
            if next(element.iter("table", "ul", "ol", "p"), None) is not None:
                return False
            self._flush()
            self._composer.heading(self._text_of(element), _HEADINGS[tag], line=element.sourceline)
            self._list_open = False
            return True
        if tag == "pre" or tag == "listing":
            self._flush()
            lines = [clean_line(line) for line in self._text_of(element).strip("\n").split("\n")]
            self._composer.block(dedent("\n".join(lines)).strip("\n"), line=element.sourceline)
            self._list_open = False
            return True
        if tag == "table":
            return self._write_table(element)
        return False

    def _write_table(self, table: Any) -> bool:
        if next((inner for inner in table.iter("table") if inner is not table), None) is not None:
            return False
        rows, headers = self._grid(table)
        cells = [cell for row in rows for cell in row if cell]
        if len(cells) < 2 or max(len(row) for row in rows) < 2 or max(map(len, cells)) > _LAYOUT_CELL:
            return False
        self._flush()
        caption = table.find("caption")
        lines = [clean(self._text_of(caption))] if caption is not None else []
        lines += table_lines(rows, headers or None)
        self._composer.block_lines(lines, line=table.sourceline)
        self._list_open = False
        return True

    def _grid(self, table: Any) -> tuple[list[list[str]], int]:
        """Rows of cells with spans filled in, and how many of the first rows are headers."""
        rows: list[list[str]] = []
        headers = 0
        hanging: dict[int, tuple[int, str]] = {}  # column -> rows still to fill from above, text
        for tr in table.iter("tr"):
            if self._filter.drops(tr):
                continue
            elements = [cell for cell in tr if cell.tag in ("td", "th") and not self._filter.drops(cell)]
            is_header = bool(elements) and (
                all(cell.tag == "th" for cell in elements) or (tr.getparent().tag == "thead")
            )
            row: list[str] = []
            below: dict[int, tuple[int, str]] = {}
            for cell in elements:
                self._fill(row, hanging, below)
                text = clean(self._text_of(cell))
                across, down = _span(cell, "colspan"), _span(cell, "rowspan")
                for offset in range(min(across, _COLUMNS - len(row))):
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
        return rows, headers

    def _fill(
        self, row: list[str], hanging: dict[int, tuple[int, str]], below: dict[int, tuple[int, str]]
    ) -> None:
        while len(row) in hanging and len(row) < _COLUMNS:
            left, text = hanging.pop(len(row))
            below[len(row)] = (left - 1, text)
            row.append(text)

    def _text_of(self, element: Any) -> str:
        """All text in an element, blocks apart."""
        parts: list[str] = [element.text or ""]
        walk = etree.iterwalk(element, events=("start", "end"))
        for event, inner in walk:
            if inner is element:
                continue
            if event == "end":
                if inner.tag in _BLOCKS:
                    parts.append(" ")
                parts.append(inner.tail or "")
            elif not isinstance(inner.tag, str) or self._filter.drops(inner):
                walk.skip_subtree()
            else:
                if inner.tag in _BLOCKS:
                    parts.append(" ")
                parts += ["\n" if inner.tag == "br" else "", inner.text or ""]
        return "".join(parts)

    def _add(self, text: str, element: Any) -> None:
        if self._line is None:
            self._line = element.sourceline
        self._buffer.append(" ".join(text.split("\n")))

    def _flush(self) -> None:
        """Ends the block that is being gathered; an empty line inside it makes two of it."""
        if not self._buffer:
            return
        lines = [clean(line) for line in "".join(self._buffer).split("\n")]
        self._buffer.clear()
        in_list = self._lists > 0
        tight = self._list_open and in_list
        for paragraph in "\n".join(lines).strip("\n").split("\n\n"):
            text = paragraph.strip("\n")
            if self._prefix:
                text = text.lstrip("•·▪◦ ")
            if text:
                self._composer.block(self._prefix + text, line=self._line, tight=tight)
                self._prefix = ""
                self._list_open = in_list
                tight = in_list


def _span(cell: Any, name: str) -> int:
    try:
        return max(1, min(int(cell.get(name, 1)), _COLUMNS))
    except ValueError:
        return 1
