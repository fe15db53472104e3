"""AsciiDoc: the file's own text; section titles of both styles, the header's attributes as metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.encoding import decode
from indexer.readers.lines import lines_of
from retriever.types import Extract, Heading

_TITLE = re.compile(r"(={1,6}|#{1,6})[ \t]+(?=[^ \t])")
_FENCE = re.compile(r"(?:([-.+/=*_])\1{3,}|\|===+|```\S*|--)[ \t]*$")
_UNDERLINE = re.compile(r"([=~^+-])\1+[ \t]*$")
_UNDERLINES = "=-~^+"  # outermost first
_LONGEST_TITLE = 500
_ATTRIBUTE = re.compile(r":([A-Za-z][\w-]*):(?:[ \t]+(.*))?$")


class AsciidocReader:
    """Reads AsciiDoc source line by line, as it is written."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the decoded file with its section titles."""
        text = decode(file.read_bytes(limits))
        headings = tuple(_headings(text))
        title = text[headings[0].start : headings[0].end] if headings and headings[0].level == 1 else ""
        yield Extract(
            text=text, format="asciidoc", title=title, metadata=_attributes(text), headings=headings
        )


def _headings(text: str) -> Iterator[Heading]:
    lines = lines_of(text)
    contents = [text[line.start : line.end].rstrip() for line in lines]
    fence = ""
    skip = False
    for number, content in enumerate(contents):
        if skip:  # the line below a two-line title
            skip = False
            continue
        if fence:
            fence = "" if content == fence else fence
            continue
        above = contents[number - 1] if number else ""
        below = contents[number + 1] if number + 1 < len(contents) else ""
        start = lines[number].start
        title = _TITLE.match(content)
        if title:
            # the same signs may stand at the end again
            closed = content.endswith((f" {title[1]}", f"\t{title[1]}"))
            shown = content[title.end() : -len(title[1])].rstrip() if closed else content[title.end() :]
            if 0 < len(shown) <= _LONGEST_TITLE:
                begin = start + title.end()
                yield Heading(begin, begin + len(shown), len(title[1]))
        elif not above and _is_underlined(content, below):
            yield Heading(start, start + len(content), _UNDERLINES.index(below[0]) + 1)
            skip = True
        elif _FENCE.match(content):
            fence = "```" if content.startswith("```") else content


def _is_underlined(title: str, line: str) -> bool:
    """Whether a line is ruled below; AsciiDoc allows the rule to be one sign longer or shorter."""
    return bool(_UNDERLINE.match(line) and re.match(r"[^\W_]", title)) and abs(len(title) - len(line)) <= 1


def _attributes(text: str) -> dict[str, object]:
    """The `:name: value` lines of the header, which ends at the first empty line."""
    metadata: dict[str, object] = {}
    for line in lines_of(text[:50_000]):
        content = text[line.start : line.end].strip()
        attribute = _ATTRIBUTE.match(content)
        if attribute and attribute[2]:
            metadata[attribute[1].lower()] = attribute[2].strip()
        elif not content and line.start:
            break
    return metadata
