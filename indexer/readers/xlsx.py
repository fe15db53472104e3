"""Excel workbooks, streamed: values as they were last computed."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import openpyxl
from openpyxl.cell.read_only import ReadOnlyCell
from openpyxl.worksheet._reader import WorkSheetParser

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.containers import open_zip
from indexer.readers.workbook import Row, write_sheet
from retriever.errors import UnreadableError
from retriever.types import Extract

_LAST_ROW = 1 << 20  # Excel's
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
                    rows = _rows(sheet, file, limits)
                    write_sheet(composer, clean(sheet.title), rows, is_only=len(sheets) == 1)
                properties = workbook.properties
            finally:
                workbook.close()
        metadata = {"author": clean(properties.creator)} if properties.creator else {}
        yield composer.extract("xlsx", title=properties.title or "", metadata=metadata)


def _rows(sheet: Any, file: SourceFile, limits: ReadLimits) -> list[Row]:
    """The rows that hold anything.

    openpyxl's own way of going through them puts in every row and cell that isn't there, a million of them if a file
    says so, and leaves out rows that don't follow each other.
    """
    rows: list[Row] = []
    characters = 0
    book = sheet.parent
    with sheet._get_source() as source:
        parser = WorkSheetParser(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        )
        for number, row in parser.parse():
            file.progress()
            cells: list[str] = []
            for cell in row:
                if text := _text(ReadOnlyCell(sheet, **cell)):
                    cells += [""] * (cell["column"] - len(cells))
                    cells[cell["column"] - 1] = text
                    characters += len(text)
            if cells:
                rows.append((min(max(number, 1), _LAST_ROW), cells))
            if characters > limits.characters:
                raise UnreadableError(f"more than {limits.characters:,} characters of text")
    return sorted(rows, key=itemgetter(0))


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
