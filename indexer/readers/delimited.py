"""CSV and its kin: one line of text a row, each value under the name of its column."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.encoding import decode
from indexer.readers.lines import lines_of
from retriever.types import Anchor, Extract, Span

_DELIMITERS = "\t;|,"  # between equals the first: decimal commas look like the last
_SAMPLE_CHARACTERS = 1 << 17
_SAMPLE_ROWS = 200
_LONGEST_RECORD = 1000  # in lines; past that, a quote was never closed
_SEPARATOR = re.compile(r"sep=(.)(?:\r\n|\n|\r)")
_LIKE_DATA = re.compile(
    r"[-+]?[\d.,]*\d[%€$]?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|\S+@\S+\.\S+|https?://.*|true|false", re.I
)
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_LONGEST_NAME = 100

Record = tuple[int, list[str]]
"""The number of the line that a record begins on, and its cells."""


class DelimitedReader:
    """Reads tables in text form, whatever their delimiter."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the table as one document."""
        text = decode(file.read_bytes(limits))
        separator = _SEPARATOR.match(text)  # an instruction to spreadsheets, no data
        delimiter = separator[1] if separator else choose_delimiter(text)
        skipped = 1 if separator else 0
        found = _records(text[separator.end() if separator else 0 :], delimiter)
        records = [(line + skipped, row) for line, row in found if any(row)]
        header = _header_at(records)
        names = records[header][1] if header is not None else []
        yield _table(records, header, names)


def choose_delimiter(text: str) -> str:
    """The character that splits the most rows into the same number of cells.

    >>> choose_delimiter("Item;Price\\nTea, green;1,50\\n")
    ';'
    """
    sample = text[:_SAMPLE_CHARACTERS]
    if len(sample) < len(text):
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    best, best_share = ",", 0.0
    for delimiter in _DELIMITERS:
        rows = islice((row for _, row in _records(sample, delimiter) if any(row)), _SAMPLE_ROWS)
        widths = Counter(map(len, rows))
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        share = count / widths.total()
        if width > 1 and share > best_share + 0.01:
            best, best_share = delimiter, share
    return best


def _records(text: str, delimiter: str) -> Iterator[Record]:
    """The records of a table; where a quote is never closed, quotes count as letters."""
    try:
        records = list(_parsed(text, delimiter))
    except csv.Error:
        return iter(
            (number, [_one_line(cell) for cell in text[line.start : line.end].split(delimiter)])
            for number, line in enumerate(lines_of(text), start=1)
        )
    return iter(records)


def _parsed(text: str, delimiter: str) -> Iterator[Record]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True
    )
    line = 1
    for row in reader:
        if reader.line_num - line > _LONGEST_RECORD:
            raise csv.Error("a record of too many lines")
        yield line, [_one_line(cell) for cell in row]
        line = reader.line_num + 1


def _one_line(cell: str) -> str:
    return " ".join(cell.split())


def _header_at(records: list[Record]) -> int | None:
    """Which record holds the names of the columns: the first that is as wide as most are, if it looks like names."""
    widths = Counter(len(row) for _, row in records[:_SAMPLE_ROWS])
    if not widths or len(records) < 2:
        return None
    width = widths.most_common(1)[0][0]
    for index, (_, row) in enumerate(records[:10]):
        if len(row) >= width and sum(map(bool, row)) > len(row) / 2:
            return index if index + 1 < len(records) and _are_names(row) else None
    return None


def _are_names(row: list[str]) -> bool:
    names = [cell for cell in row if cell]
    if len(set(names)) < 0.7 * len(names) or any(len(name) > _LONGEST_NAME for name in names):
        return False
    like_data = [name for name in names if _LIKE_DATA.fullmatch(name)]
    return len(like_data) < len(names) and all(_YEAR.fullmatch(name) for name in like_data)


def _table(records: list[Record], header: int | None, names: list[str]) -> Extract:
    """The text of a table, with one row a line, and which line of the file each began on."""
    parts: list[str] = []
    rows: list[Span] = []
    anchors: list[Anchor] = []
    position = 0
    for index, (line, row) in enumerate(records):
        if index == header:
            continue
        is_data = header is None or index > header
        shown = _shown(row, names if is_data else [])
        anchors.append(Anchor(position, line))
        if is_data:
            rows.append(Span(position, position + len(shown)))
        parts.append(shown)
        position += len(shown) + 1
    return Extract(text="\n".join(parts), format="csv", rows=tuple(rows), lines=tuple(anchors))


def _shown(row: list[str], names: list[str]) -> str:
    padded = [*names, *[""] * (len(row) - len(names))]
    return "; ".join(
        f"{name}: {cell}" if name else cell for name, cell in zip(padded, row, strict=False) if cell
    )
