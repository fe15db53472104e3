"""XML of any kind: the text of its elements, block by block, with articles' and patents' headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.containers import parse_xml_part
from indexer.readers.html import extract_html
from indexer.readers.tables import table_lines
from retriever.errors import UnreadableError
from retriever.types import Extract

# What runs inside a sentence in JATS, DocBook, TEI, DITA, USPTO's patents and the like.
_INLINE = frozenset(
    "b i u o em emph emphasis strong bold italic underline sc sub sup subscript superscript span a ref xref ext-link "
    "link ulink uri email monospace code literal inline-formula math named-content styled-content roman sans-serif "
    "smallcaps sub2 sup2 figref claim-ref crossref patcit citation hi q quote term tt font name surname given-names "
    "first-name last-name abbrev year month day volume issue fpage lpage lb highlight pdat".split()
)
_TITLES = frozenset({"title", "heading", "head", "article-title", "invention-title", "title-of-invention"})
_SKIPPED = frozenset(
    {
        "style",
        "script",
        "tex-math",
        "annotation",
        "object-id",
        "journal-meta",
        "article-id",
        "contrib-id",
        "pub-id",
        "us-references-cited",
        "references-cited",
        "classifications-ipcr",
        "classification-national",
        "context",
        "unit",
        "us-field-of-classification-search",
        "field-of-search",
        "schemaref",
    }
)  # codes and numbers for machines
_SECTIONS = frozenset(
    {"sec", "section", "chapter", "app", "appendix", "part", "sect1", "sect2", "sect3", "sect4", "div"}
)
_MARKUP = re.compile(r"<(\w+)[\s>].*</\1>", re.DOTALL)  # a page inside a value, as in XBRL
_ROWS = frozenset({"tr", "row"})
_CELLS = frozenset({"td", "th", "entry"})


class XmlReader:
    """Reads `.xml` by what its elements look like, whatever its schema."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the document; one that breaks off, with what can be read of it, before it is reported."""
        root, problem = parse_xml_part(file.read_bytes(limits))
        writer = _Writer(limits)
        writer.write(root)
        if writer.composer.length:
            language = root.get("{http://www.w3.org/XML/1998/namespace}lang") or root.get("lang") or ""
            yield writer.composer.extract("xml", title=writer.title, language=language)
        if problem or not writer.composer.length:
            raise UnreadableError(problem or "no text in it")


class _Writer:
    """Walks the tree once, without recursion."""

    def __init__(self, limits: ReadLimits) -> None:
        self.composer = Composer(limits)
        self._limits = limits
        self.title = ""
        self._buffer: list[str] = []
        self._line: int | None = None
        self._depth = 1
        self._tight = False

    def write(self, root: Any) -> None:
        """Writes the text of `root` and all in it."""
        walk = etree.iterwalk(root, events=("start", "end"))
        without_rows = None
        for event, element in walk:
            tag = _name(element)
            if event == "end":
                self._end(tag)
                without_rows = None if element is without_rows else without_rows
                if element is not root and element.tail:
                    self._buffer.append(element.tail)
            elif (tag == "" and not isinstance(element, etree._Entity)) or tag in _SKIPPED:
                walk.skip_subtree()
            elif tag in _TITLES and _is_heading(element):
                self._flush()
                self._heading(element, tag)
                walk.skip_subtree()
            elif tag in {"table", "tgroup"} and without_rows is None and self._table(element):
                walk.skip_subtree()
            else:
                if tag in {"table", "tgroup"} and without_rows is None:
                    without_rows = element  # nor has any table in it rows
                self._start(element, tag)
        self._flush()

    def _start(self, element: Any, tag: str) -> None:
        if tag in _SECTIONS:
            self._depth += 1
        if tag not in _INLINE:
            self._flush()
            self._line = element.sourceline
        elif _stands_apart(element):
            self._buffer.append(" ")
        if element.text:
            self._buffer.append(element.text)

    def _end(self, tag: str) -> None:
        if tag in _SECTIONS:
            self._depth -= 1
        if tag not in _INLINE and tag not in _SKIPPED:
            self._flush()

    def _heading(self, element: Any, tag: str) -> None:
        text = clean("".join(element.itertext()))
        if not text:
            return
        is_title = (
            tag in {"article-title", "invention-title", "title-of-invention"} or not self.composer.length
        )
        if is_title and not self.title:
            self.title = text
        level = 1 if is_title else self._depth if self._depth > 1 else 2
        self.composer.heading(text, level, line=element.sourceline)
        self._tight = False

    def _table(self, element: Any) -> bool:
        rows: list[list[str]] = []
        headers = 0
        for row in element.iter():
            if _name(row) in _ROWS:
                cells = [cell for cell in row if _name(cell) in _CELLS]
                rows.append([clean(" ".join(cell.itertext())) for cell in cells])
                parent = row.getparent()
                if headers == len(rows) - 1 and parent is not None and _name(parent) == "thead":
                    headers += 1
        if not any(any(row) for row in rows):
            return False
        self._flush()
        self.composer.block_lines(table_lines(rows, headers or None), line=element.sourceline)
        self._tight = False
        return True

    def _flush(self) -> None:
        """Ends a block; short values of elements side by side (records, lists) stay together."""
        if not self._buffer:
            return
        text = clean("".join(self._buffer))
        self._buffer.clear()
        if _MARKUP.match(text):
            text = extract_html(text, self._limits).text
        if text:
            is_short = len(text) < 80 and not text.endswith((".", "!", "?"))
            self.composer.block(text, line=self._line, tight=self._tight and is_short)
            self._tight = is_short


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _stands_apart(element: Any) -> bool:
    """Whether it is a value in a record (a name's parts) rather than a part of running text."""
    previous = element.getprevious()
    parent = element.getparent()
    return (
        previous is not None
        and parent is not None
        and not (parent.text or "").strip()
        and not (previous.tail or "").strip()
    )


def _is_heading(element: Any) -> bool:
    """Titles of cited works are no headings of this one."""
    return all(
        _name(ancestor)
        not in {"ref", "citation", "element-citation", "mixed-citation", "patcit", "nplcit", "bibl"}
        for ancestor in element.iterancestors()
    )
