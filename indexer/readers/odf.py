"""OpenDocument: texts, sheets and presentations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.containers import local_name, open_zip, parse_xml, read_member, whole_number
from indexer.readers.tables import table_lines
from indexer.readers.workbook import Row, write_sheet
from retriever.errors import UnreadableError
from retriever.types import Extract

_FORMATS = {"text": "odt", "spreadsheet": "ods", "presentation": "odp"}
_SKIPPED = frozenset(
    {"tracked-changes", "annotation", "annotation-end", "note", "table-of-content", "settings", "forms"}
)
_SKIPPED_INLINE = frozenset({"note", "annotation", "frame", "custom-shape", "text-box", "p", "h"})
_COLUMNS = 1000


class OdfReader:
    """Reads `.odt`, `.ods` and `.odp`; the pages of the latter are its slides."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the document; footnotes follow the paragraph that they belong to."""
        with open_zip(file, limits) as archive:
            names = archive.namelist()
            if "META-INF/manifest.xml" in names and b"encryption-data" in read_member(
                archive, "META-INF/manifest.xml", limits
            ):
                raise UnreadableError("password-protected")
            if "content.xml" not in names:
                raise UnreadableError("damaged: it has no text part")
            content = parse_xml(read_member(archive, "content.xml", limits))
            body = content.find("{*}body")
            meta = parse_xml(read_member(archive, "meta.xml", limits)) if "meta.xml" in names else None
        main = None if body is None else next((part for part in body if local_name(part) in _FORMATS), None)
        if main is None:
            raise UnreadableError("neither a text nor a sheet nor a presentation")
        format_ = _FORMATS[local_name(main)]
        writer = _Writer(Composer(limits), _title_styles(content))
        if format_ == "ods":
            sheets = list(main.iter("{*}table"))
            for sheet in sheets:
                write_sheet(
                    writer.composer, clean(_attribute(sheet, "name")), _rows(sheet), is_only=len(sheets) == 1
                )
        else:
            writer.write(main)
        metadata: dict[str, object] = {}
        author = _meta(meta, "creator") or _meta(meta, "initial-creator")
        if author:
            metadata["author"] = author
        yield writer.composer.extract(
            format_, title=_meta(meta, "title"), language=_meta(meta, "language"), metadata=metadata
        )


class _Writer:
    """Writes paragraphs, lists and tables in the order of the file."""

    def __init__(self, composer: Composer, title_styles: frozenset[str]) -> None:
        self.composer = composer
        self._title_styles = title_styles
        self._in_list = False
        self._slides = 0

    def write(self, parent: Any, *, is_item: bool = False, is_title: bool = False) -> None:
        """Writes what is in `parent`."""
        for element in parent:
            name = local_name(element)
            if name in _SKIPPED:
                continue
            if name in ("p", "h"):
                self._paragraph(element, name, is_item=is_item, is_title=is_title)
                is_item = False if is_item and name == "p" else is_item
            elif name == "list":
                for item in element:
                    self.write(item, is_item=True)
                if local_name(parent) != "list-item":
                    self._in_list = False
            elif name == "table":
                self._table(element)
            elif name == "page":
                self._slides += 1
                self.composer.page(self._slides)
                self.write(element)
            elif name == "notes":
                self._notes(element)
            else:
                kind = _attribute(element, "class") if name == "frame" else ""
                self.write(element, is_item=is_item, is_title=is_title or kind == "title")

    def _paragraph(self, element: Any, name: str, *, is_item: bool, is_title: bool) -> None:
        text = _text(element)
        level = _attribute(element, "outline-level")
        is_title = is_title or _attribute(element, "style-name") in self._title_styles
        if text and (name == "h" or is_title):
            self.composer.heading(text, int(level) if whole_number(level) and not is_title else 1)
            self._in_list = False
        elif text:
            self.composer.block(f"- {text}" if is_item else text, tight=is_item and self._in_list)
            self._in_list = is_item
        for frame in element.iter("{*}text-box"):
            self.write(frame)
        for note in element.iter("{*}note-body"):
            self.write(note)

    def _table(self, table: Any) -> None:
        self._in_list = False
        rows = [row for _, row in _rows(table)]
        if max((len(row) for row in rows), default=0) < 2:
            for cell in table.iter("{*}table-cell"):
                self.write(cell)
            return
        headers = len(table.findall("{*}table-header-rows/{*}table-row"))
        self.composer.block_lines(table_lines(rows, headers or None))

    def _notes(self, element: Any) -> None:
        lines = [_text(paragraph) for paragraph in element.iter("{*}p")]
        text = "\n".join(filter(None, lines))
        if text:
            self.composer.block(f"Notes: {text}")


def _title_styles(content: Any) -> frozenset[str]:
    """The style of titles, and the document's own variants of it."""
    variants = [
        _attribute(style, "name")
        for style in content.iter("{*}style")
        if _attribute(style, "parent-style-name") == "Title"
    ]
    return frozenset(["Title", *variants])


def _rows(table: Any) -> list[Row]:
    """Rows that hold anything. A repeated row or cell that is empty only pads the sheet."""
    rows: list[Row] = []
    number = 1
    for element in table.iter("{*}table-row"):
        if next(element.iterancestors("{*}table"), None) is not table:
            continue
        cells: list[str] = []
        for cell in element:
            if local_name(cell) not in ("table-cell", "covered-table-cell"):
                continue
            text = " ".join(filter(None, (_text(part).replace("\n", " ") for part in cell.iter("{*}p"))))
            times = _repeated(cell, "number-columns-repeated")
            cells += [text] * min(times, max(_COLUMNS - len(cells), 1 if text else 0))
        while cells and not cells[-1]:
            cells.pop()
        repeated = _repeated(element, "number-rows-repeated")
        if cells:
            rows += [(number + offset, cells) for offset in range(min(repeated, _COLUMNS))]
        number += repeated
    return rows


def _text(paragraph: Any) -> str:
    """A paragraph's lines, without the notes and frames in it."""
    parts = [paragraph.text or ""]
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if isinstance(element, str):
            parts.append(element)
            continue
        name = local_name(element)
        stack.append(element.tail or "")
        if name == "line-break":
            parts.append("\n")
        elif name in ("s", "tab"):
            parts.append(" ")
        elif name not in _SKIPPED_INLINE:
            parts.append(" ".join((element.text or "").split("\n")))
            stack.extend(reversed(element))
    return "\n".join(filter(None, map(clean, "".join(parts).split("\n"))))


def _repeated(element: Any, name: str) -> int:
    value = _attribute(element, name)
    return max(int(value), 1) if whole_number(value) else 1


def _attribute(element: Any, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _meta(meta: Any, name: str) -> str:
    element = None if meta is None else next(meta.iter(f"{{*}}{name}"), None)
    return clean(element.text or "") if element is not None else ""
