"""Word documents: paragraphs and tables as they follow each other, with what was deleted left out."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.containers import (
    core_properties,
    local_name,
    open_zip,
    parse_xml,
    read_member,
    whole_number,
)
from indexer.readers.tables import table_lines
from retriever.errors import UnreadableError
from retriever.types import Extract

_HEADING = re.compile(r"heading\s*([1-9])", re.IGNORECASE)
_WRAPPERS = frozenset(
    {"sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo", "AlternateContent", "Choice"}
)
_SKIPPED = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText", "pPr", "rPr", "sdtPr", "tblPr"})
_BREAKS = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_COLUMNS = 1000
_BULLETS = "•·▪◦‣–- "


class DocxReader:
    """Reads `.docx` and `.docm`."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the document; footnotes and endnotes come after its end."""
        with open_zip(file, limits) as archive:
            main = _main_part(archive, limits)
            writer = _Writer(Composer(limits), _styles(archive, main, limits))
            body = parse_xml(read_member(archive, main, limits)).find("{*}body")
            if body is None:
                raise UnreadableError("damaged: it has no text part")
            writer.write(body)
            for notes in ("footnotes.xml", "endnotes.xml"):
                name = posixpath.join(posixpath.dirname(main), notes)
                if name in archive.namelist():
                    for note in parse_xml(read_member(archive, name, limits)):
                        if not any(key.endswith("}type") for key in note.attrib):  # separators have one
                            writer.write(note)
            title, metadata, language = core_properties(archive, limits)
        yield writer.composer.extract("docx", title=title, language=language, metadata=metadata)


class _Writer:
    """Writes the blocks of a part."""

    def __init__(self, composer: Composer, styles: dict[str, _Style]) -> None:
        self.composer = composer
        self._styles = styles
        self._in_list = False

    def write(self, parent: Any) -> None:
        """Writes the paragraphs and tables that are children of `parent`."""
        for element in parent:
            name = local_name(element)
            if name == "p":
                self._paragraph(element)
            elif name == "tbl":
                self._table(element)
            elif name in _WRAPPERS:
                self.write(element)

    def _paragraph(self, paragraph: Any) -> None:
        text, boxes = _text(paragraph)
        properties = paragraph.find("{*}pPr")
        level, is_item = self._kind(properties)
        if level and text and len(text) <= 300:
            self.composer.heading(text, level)
            self._in_list = False
        elif text:
            text = f"- {text.lstrip(_BULLETS)}" if is_item else text
            self.composer.block(text, tight=is_item and self._in_list)
            self._in_list = is_item
        for box in boxes:
            self.write(box)

    def _kind(self, properties: Any) -> tuple[int, bool]:
        """Level as a heading, 0 for none; and whether it is an item of a list."""
        if properties is None:
            return 0, False
        style = self._styles.get(_value(properties.find("{*}pStyle")), _Style(0, False))
        outline = _value(properties.find("{*}outlineLvl"))
        level = int(outline) + 1 if whole_number(outline) and int(outline) < 9 else style.level
        numbering = properties.find("{*}numPr/{*}numId")
        return level, (_value(numbering) != "0" if numbering is not None else style.is_item)

    def _table(self, table: Any) -> None:
        self._in_list = False
        rows: list[list[str]] = []
        headers = 0
        for tr in _members(table, "tr"):
            row: list[str] = []
            for tc in _members(tr, "tc"):
                properties = tc.find("{*}tcPr")
                merge = None if properties is None else properties.find("{*}vMerge")
                if merge is not None and _value(merge) != "restart" and rows and len(row) < len(rows[-1]):
                    row.append(rows[-1][len(row)])
                else:
                    row.append(_cell_text(tc))
                across = _value(None if properties is None else properties.find("{*}gridSpan"))
                row += [""] * min(int(across) - 1 if whole_number(across) else 0, _COLUMNS - len(row))
            if tr.find("{*}trPr/{*}tblHeader") is not None and headers == len(rows):
                headers += 1
            rows.append(row)
        if max((len(row) for row in rows), default=0) > 1:
            self.composer.block_lines(table_lines(rows, headers or None))
            return
        for tr in _members(table, "tr"):  # a frame around paragraphs
            for tc in _members(tr, "tc"):
                self.write(tc)


class _Style:
    """What a paragraph style means."""

    def __init__(self, level: int, is_item: bool) -> None:
        self.level = level
        self.is_item = is_item


def _text(paragraph: Any) -> tuple[str, list[Any]]:
    """A paragraph's lines, and the text boxes that hang on it."""
    parts: list[str] = []
    boxes: list[Any] = []
    stack = [paragraph]
    while stack:
        element = stack.pop()
        name = local_name(element)
        if name == "t":
            parts.append(element.text or "")
        elif name in _BREAKS:
            parts.append(_BREAKS[name])
        elif name == "txbxContent":
            boxes.append(element)
        elif name not in _SKIPPED:
            stack.extend(reversed(element))
    lines = [clean(line) for line in "".join(parts).split("\n")]
    return "\n".join(filter(None, lines)), boxes


def _cell_text(cell: Any) -> str:
    texts = []
    for paragraph in cell.iter("{*}p"):
        text, _ = _text(paragraph)
        texts.append(text.replace("\n", " "))
    return " ".join(filter(None, texts))


def _members(parent: Any, name: str) -> Iterator[Any]:
    """Rows of a table or cells of a row, also inside content controls."""
    for element in parent:
        found = local_name(element)
        if found == name:
            yield element
        elif found in _WRAPPERS:
            yield from _members(element, name)


def _main_part(archive: zipfile.ZipFile, limits: ReadLimits) -> str:
    names = archive.namelist()
    if "_rels/.rels" in names:
        for relation in parse_xml(read_member(archive, "_rels/.rels", limits)):
            if relation.get("Type", "").endswith("/officeDocument"):
                target = str(relation.get("Target", "")).lstrip("/")
                if target in names:
                    return target
    if "word/document.xml" in names:
        return "word/document.xml"
    raise UnreadableError("damaged: it has no text part")


def _styles(archive: zipfile.ZipFile, main: str, limits: ReadLimits) -> dict[str, _Style]:
    name = posixpath.join(posixpath.dirname(main), "styles.xml")
    if name not in archive.namelist():
        return {}
    elements = {}
    for style in parse_xml(read_member(archive, name, limits)).iter("{*}style"):
        key = next((value for attribute, value in style.attrib.items() if attribute.endswith("}styleId")), "")
        elements[key] = style
    return {key: _style(key, elements) for key in elements}


def _style(key: str, elements: dict[str, Any]) -> _Style:
    """What a style is, or the one that it is based on."""
    seen: set[str] = set()
    is_item = False
    while key in elements and key not in seen:
        seen.add(key)
        style = elements[key]
        name = _value(style.find("{*}name"))
        heading = _HEADING.fullmatch(name)
        outline = _value(style.find("{*}pPr/{*}outlineLvl"))
        is_item = is_item or name.lower().startswith("list ") or style.find("{*}pPr/{*}numPr") is not None
        if name.lower() == "title":
            return _Style(1, False)
        if heading or (whole_number(outline) and int(outline) < 9):
            return _Style(int(heading.group(1)) if heading else int(outline) + 1, False)
        key = _value(style.find("{*}basedOn"))
    return _Style(0, is_item)


def _value(element: Any) -> str:
    if element is None:
        return ""
    return str(
        next((value for name, value in element.attrib.items() if name.rpartition("}")[2] == "val"), "")
    )
