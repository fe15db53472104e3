"""Markdown: the file's own text; headings where CommonMark sees them, front matter as metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.encoding import decode
from indexer.readers.frontmatter import front_matter
from indexer.readers.lines import Line, lines_of
from retriever.types import Extract, Heading

if TYPE_CHECKING:
    from markdown_it.token import Token

_ATX = re.compile(r"[ \t]*#{1,6}(?:[ \t]+|$)")
_ATTRIBUTES = re.compile(r"\{[#.:][^{}]*\}")
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_EMPHASIS = re.compile(r"\*+|`+|(?<!\w)_{1,2}(?=\S)|(?<=\S)_{1,2}(?!\w)")
_LONGEST_HEADING = 300  # a longer one is a paragraph with a rule right below it


class MarkdownReader:
    """Reads Markdown by CommonMark's rules for blocks."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the decoded file with its headings."""
        text = decode(file.read_bytes(limits))
        metadata, end = front_matter(text)
        headings = tuple(_headings(text, end))
        title = metadata.get("title")
        if not isinstance(title, str):
            title = next((_plain(text[h.start : h.end]) for h in headings if h.level == 1), "")
        language = metadata.get("language", metadata.get("lang"))
        yield Extract(
            text=text,
            format="markdown",
            title=" ".join(title.split()),
            language=language if isinstance(language, str) and re.fullmatch("[a-z]{2}", language) else "",
            metadata=metadata,
            headings=headings,
        )


def _headings(text: str, start: int) -> Iterator[Heading]:
    lines = lines_of(text)
    # Front matter as empty lines: the lines below keep their numbers.
    source = "\n".join("" if line.start < start else text[line.start : line.end] for line in lines)
    for token in _blocks(source):
        if token.map is None:
            continue
        first, last = token.map
        if token.markup.startswith("#"):
            begin, end = _within_atx(text, lines[first])
        else:
            begin, end = _trimmed(text, lines[first].start, lines[last - 2].end)
        if begin < end <= begin + _LONGEST_HEADING:
            yield Heading(begin, end, int(token.tag[1:]))


def _blocks(source: str) -> list[Any]:
    """The tokens that open a heading outside of lists and quotes."""
    from markdown_it import MarkdownIt

    found = _Headings()
    parser = MarkdownIt("commonmark").enable("table")
    parser.block.parse(source, parser, {}, found)  # what stands inside a paragraph isn't asked for
    return found


class _Headings(list[Any]):
    """What the parser adds its tokens to; whenever a block is closed, only headings are kept.

    A million short paragraphs would be gigabytes of tokens.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept = 0

    def append(self, token: Token) -> None:
        super().append(token)
        if token.level == 0 and token.nesting != 1:
            if self[self._kept].type == "heading_open":
                self._kept += 1
            del self[self._kept :]


def _within_atx(text: str, line: Line) -> tuple[int, int]:
    content = text[line.start : line.end]
    opening = _ATX.match(content)
    begin = opening.end() if opening else 0
    inner = content[begin:].rstrip()
    unhashed = inner.rstrip("#")
    if unhashed == "" or unhashed[-1] in " \t":
        inner = unhashed.rstrip()
    brace = inner.rfind("{")
    if brace >= 0 and _ATTRIBUTES.fullmatch(inner, brace):
        inner = inner[:brace]
    return _trimmed(text, line.start + begin, line.start + begin + len(inner))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())


def _plain(heading: str) -> str:
    return _EMPHASIS.sub("", _LINK.sub(r"\1", heading))
