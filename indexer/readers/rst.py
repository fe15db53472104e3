"""reStructuredText: the file's own text; section titles by docutils' rules, field lists at the top as metadata."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.encoding import decode
from indexer.readers.lines import Line, lines_of
from retriever.types import Extract, Heading

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*")
_SHORTEST_SHORT = 4  # an adornment shorter than its title is still one from this length on
# Lines that begin something else than a title. `1. Title` isn't among them: docutils takes it for a title too.
_OTHER = re.compile(r"[-*+•‣⁃][ \t]|\.\.(?:[ \t]|$)|__[ \t]|\|[ \t]|>>>[ \t]|:(?![: ])[^:\n]+:(?:[ \t]|$)")
_HEADER = re.compile(r"([A-Za-z][\w-]*):(?:[ \t]+(.*))?")
_FIELD = re.compile(r":(?![: ])((?:[^:\n\\]|\\.|:(?! ))+):(?:[ \t]+(.*))?")


class RstReader:
    """Reads reStructuredText line by line, as it is written."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the decoded file with its section titles."""
        text = decode(file.read_bytes(limits))
        lines = lines_of(text)
        headings = tuple(_headings(text, lines))
        metadata = _metadata(text, lines, headings)
        yield Extract(
            text=text,
            format="rst",
            title=_title(text, headings, metadata),
            metadata=metadata,
            headings=headings,
        )


def _headings(text: str, lines: list[Line]) -> Iterator[Heading]:
    styles: list[tuple[str, bool]] = []
    contents = [text[line.start : line.end].rstrip() for line in lines]
    number = 0
    is_open = True  # whether a block may start here; inside a paragraph none can
    while number < len(contents):
        content = contents[number]
        title = _title_line(contents, number) if is_open else None
        if title is None:
            is_open = not content or content[0] in " \t" or content.startswith((".. ", "__ "))
            number += 1
            continue
        style = (contents[title + 1][0], title > number)
        if style not in styles:
            styles.append(style)
        shown = contents[title]
        start = lines[title].start + len(shown) - len(shown.lstrip())
        yield Heading(start, lines[title].start + len(shown), styles.index(style) + 1)
        number = title + 2


def _title_line(contents: list[str], number: int) -> int | None:
    """Which line is the title of the section that starts at a line: that line, the next, or None."""
    here, below, further = (contents[at] if at < len(contents) else "" for at in range(number, number + 3))
    if _ADORNMENT.fullmatch(here) and below and here == further and not _ADORNMENT.fullmatch(below):
        return number + 1 if _reaches(here, below.strip()) else None
    if not below or not _ADORNMENT.fullmatch(below) or not here or here[0] in " \t":
        return None
    if _ADORNMENT.fullmatch(here) or _OTHER.match(here) or not _reaches(below, here):
        return None
    return number


def _reaches(adornment: str, title: str) -> bool:
    return len(adornment) >= _SHORTEST_SHORT or len(adornment) >= _columns(title)


def _columns(title: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in title)
    return len(title) + wide - sum(map(bool, map(unicodedata.combining, title)))


def _metadata(text: str, lines: list[Line], headings: tuple[Heading, ...]) -> dict[str, object]:
    """The header of a PEP, or the field list at the top, maybe below the document's title."""
    contents = [text[line.start : line.end].rstrip() for line in lines[:500]]
    top = _first_block(contents)
    if len(top) > 1 and _HEADER.fullmatch(top[0]) and not _ADORNMENT.fullmatch(top[1]):
        return _fields(top, _HEADER)
    if not top or _FIELD.fullmatch(top[0]) or not headings:
        return _fields(top, _FIELD)
    title = text[headings[0].start : headings[0].end]
    if title not in (line.strip() for line in top[:2]):
        return {}  # something else comes before the title; what is below it is no docinfo
    below = next((at for at, line in enumerate(lines) if line.start > headings[0].end), len(lines)) + 1
    return _fields(_first_block(contents[below:]), _FIELD)


def _first_block(contents: list[str]) -> list[str]:
    """The lines of the first block that isn't a comment."""
    block: list[str] = []
    for content in contents:
        if content and (block or not content.startswith((".. ", " ", "\t"))):
            block.append(content)
        elif block:
            break
    if block and _ADORNMENT.fullmatch(block[0]) and len(block) > 3:
        return block[:3]
    return block


def _fields(block: list[str], pattern: re.Pattern[str]) -> dict[str, object]:
    """The fields of a block; none unless every line is a field or continues one."""
    found: dict[str, list[str]] = {}
    values: list[str] | None = None
    for content in block:
        match = pattern.fullmatch(content)
        if match:
            values = found.setdefault(match[1].lower(), [])
            values.append((match[2] or "").strip())
        elif content[0] in " \t" and values is not None:
            values.append(content.strip())
        else:
            return {}
    return {key: " ".join(part for part in parts if part) for key, parts in found.items()}


def _title(text: str, headings: tuple[Heading, ...], metadata: dict[str, object]) -> str:
    title = str(metadata.get("title", ""))
    if title:
        number = str(metadata.get("pep", ""))
        return f"PEP {number} – {title}" if number else title
    outermost = [heading for heading in headings if heading.level == 1]
    return " ".join(text[outermost[0].start : outermost[0].end].split()) if len(outermost) == 1 else ""
