"""Excel workbooks, streamed: values as they were last computed."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Iterator
from typing import Any

import openpyxl

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.containers import open_zip
from indexer.readers.workbook import Row, write_sheet
from retriever.errors import UnreadableError
from retriever.types import Extract

_EMPTY_ROWS = 100_000  # in a run: below it nothing is left but formatting
_EMPTY_CELLS = 2_000_000
_PERCENT = re.compile(r"0(?:\.(0+))?\s?%")


class XlsxReader:
    """Reads `.xlsx` and `.xlsm`."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the workbook, hidden sheets included."""
        with open_zip(file, limits):
            pass
        composer = Composer(limits)
        with warnings.catch_warnings(), file.path.open("rb") as stream:  # by name it wants the usual suffixes
            warnings.simplefilter("ignore")  # of extensions that openpyxl leaves out; none of them is text
            workbook = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
            try:
                sheets = workbook.worksheets
                for sheet in sheets:
                    rows = _rows(sheet, limits)
                    write_sheet(composer, clean(sheet.title), rows, is_only=len(sheets) == 1)
                properties = workbook.properties
            finally:
                workbook.close()
        metadata = {"author": clean(properties.creator)} if properties.creator else {}
        yield composer.extract("xlsx", title=properties.title or "", metadata=metadata)


def _rows(sheet: Any, limits: ReadLimits) -> list[Row]:
    """The rows that hold anything."""
    sheet.reset_dimensions()  # what a file says of them is often wrong
    rows: list[Row] = []
    characters = empty_rows = empty_cells = 0
    for number, row in enumerate(sheet.iter_rows(), 1):
        cells = [_text(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            rows.append((number, cells))
            characters += sum(map(len, cells))
            empty_rows = empty_cells = 0
        else:
            empty_rows += 1
            empty_cells += len(row)
        if characters > limits.characters:
            raise UnreadableError(f"more than {limits.characters:,} characters of text")
        if empty_rows > _EMPTY_ROWS or empty_cells > _EMPTY_CELLS:
            break
    return rows


def _text(cell: Any) -> str:
    """A cell's value as a person would read it in the sheet."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return "" if cell.data_type == "e" else clean(value)
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime):
        is_midnight = value.time() == datetime.time()
        return value.strftime("%Y-%m-%d") if is_midnight else value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, int | float):
        return _number(value, cell.number_format or "")
    return clean(str(value))


def _number(value: float, number_format: str) -> str:
    percent = _PERCENT.search(number_format)
    if percent:
        return f"{value * 100:.{len(percent.group(1) or '')}f}%"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.15g}"
