"""Tables as lines that can be read, and found, on their own: `Header: value; Header: value`."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[\s(]*[-+−–]?[^\w\s]?\s?\d[\d\s.,:/'%-]*[^\w\s]?[)\s]*\w{0,3}")
_HEADER_CHARACTERS = 60
_KEY_CHARACTERS = 80


def table_lines(rows: Sequence[Sequence[str]], headers: int | None = None) -> list[str]:
    """A line for each row of a table.

    Args:
        rows: Cells as clean text.
        headers: How many of the first rows are headers; `None` where the format doesn't say.

    >>> table_lines([["City", "People"], ["Bern", "134,000"], ["Chur", ""]])
    ['City: Bern; People: 134,000', 'City: Chur']
    >>> table_lines([["Born", "1912"], ["Field", "logic"]])
    ['Born: 1912', 'Field: logic']
    """
    kept = [list(row) for row in rows if any(row)]
    titles: list[str] = []
    while len(kept) > 1 and max(map(len, kept)) > 1 and len(_values(kept[0])) == 1:
        titles += _values(kept.pop(0))  # one cell over the whole width names the table, not its columns
        headers = headers and headers - 1
    if headers is None:
        headers = 1 if looks_like_header(kept) else 0
    if headers >= len(kept):  # nothing but headers: they are the content
        headers = 0
    width = max((len(row) for row in kept), default=0)
    if width == 2 and not headers:
        return titles + [_key_value(row) for row in kept]
    names = header_names(kept[:headers])
    return titles + [row_line(names, row) for row in kept[headers:]]


def header_names(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names of the columns from one or more header rows, upper ones first."""
    width = max((len(row) for row in rows), default=0)
    columns = [[row[i] for row in rows if i < len(row) and row[i]] for i in range(width)]
    return [" ".join(dict.fromkeys(column)).rstrip(":") for column in columns]


def row_line(names: Sequence[str], row: Sequence[str]) -> str:
    """One row; empty cells are left out, and a cell that repeats its column's name stands alone."""
    filled = [(names[i] if i < len(names) else "", cell) for i, cell in enumerate(row) if cell]
    if len(filled) == len(row) > 1 and len(_values(row)) == 1:
        return filled[0][1]  # a subheading over the whole width
    return "; ".join(f"{name}: {cell}" if name and name != cell else cell for name, cell in filled)


def looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: short, distinct words where rows below hold the values."""
    if len(rows) < 2:
        return False
    first, rest = rows[0], rows[1:]
    width = max(len(row) for row in rows)
    if len(first) < width or width < 2 or not all(first[1:]) or len(set(first)) < len(first):
        return False
    if any(is_number(cell) or len(cell) > _HEADER_CHARACTERS for cell in first):
        return False
    if width == 2:  # keys and values look the same from above; numbers below tell a column with a name
        values = [row[1] for row in rest if len(row) > 1 and row[1]]
        return bool(values) and sum(map(is_number, values)) > len(values) / 2
    return True


def is_number(cell: str) -> bool:
    """Whether a cell holds an amount, a date or a share rather than words.

    >>> is_number("$ 1,234.50"), is_number("12 %"), is_number("Q1")
    (True, True, False)
    """
    return bool(_NUMBER.fullmatch(cell))


def _values(row: Sequence[str]) -> list[str]:
    """The distinct cells of a row."""
    return list(dict.fromkeys(cell for cell in row if cell))


def _key_value(row: Sequence[str]) -> str:
    filled = _values(row)
    if len(filled) == 2 and len(filled[0]) <= _KEY_CHARACTERS:
        return f"{filled[0].rstrip(':').rstrip()}: {filled[1]}"
    return "; ".join(filled)
