"""Sheets of a workbook as rows that carry their column's names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from indexer.readers.compose import Composer
from indexer.readers.tables import header_names, is_number, looks_like_header, row_line

_DEFAULT_NAME = re.compile(
    r"(sheet|tabelle|feuil|feuille|hoja|foglio|blad|planilha|лист|table)\s*\d*", re.IGNORECASE
)
_LOOK_AHEAD = 30

Row = tuple[int, list[str]]
"""Number of a row in its sheet, and its cells."""


def write_sheet(composer: Composer, name: str, rows: Sequence[Row], *, is_only: bool) -> None:
    """Adds a sheet: its name, text above the table, then a line for each row.

    A sheet may hold tables below each other; after an empty row, a row that looks like a header is one.
    """
    if not rows:
        return
    if not is_only or not _DEFAULT_NAME.fullmatch(name):
        composer.heading(name, 1)
    names: list[str] = []
    previous = 0
    for index, (number, cells) in enumerate(rows):
        after_gap = number > previous + 1 or not previous
        previous = number
        below = [row for _, row in rows[index + 1 : index + _LOOK_AHEAD]]
        if (after_gap or not names) and _is_header(cells, below, is_first=not names):
            names = header_names([cells])
        elif not names and sum(map(bool, cells)) == 1:
            composer.block(next(filter(None, cells)), line=number)
        elif (
            not names
            and sum(map(bool, cells)) == 2
            and len(cells[0]) <= 60
            and cells[0]
            and not is_number(cells[0])
        ):
            composer.row(
                ": ".join(cell.rstrip(":") if i == 0 else cell for i, cell in enumerate(filter(None, cells))),
                line=number,
            )
        else:
            composer.row(row_line(names, cells), line=number)


def _is_header(cells: list[str], below: list[list[str]], *, is_first: bool) -> bool:
    filled = [i for i, cell in enumerate(cells) if cell]
    if len(filled) < 2 or not below:
        return False
    start, end = filled[0], filled[-1] + 1
    table = [row[start:end] + [""] * (end - start - len(row)) for row in (cells, *below)]
    has_numbers = any(is_number(cell) for cell in table[1])
    if is_first and len(filled) > 2 and len(filled) >= end - start - 1:
        widest = max(sum(map(bool, row)) for row in below)
        return (
            2 * len(filled) >= widest
            and len({cells[i] for i in filled}) == len(filled)
            and not any(is_number(cells[i]) or len(cells[i]) > 80 for i in filled)
        )
    return looks_like_header(table) and (is_first or has_numbers)
