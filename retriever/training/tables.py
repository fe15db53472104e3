"""Tables as text, in the ways in which spanseek's readers and people write them, with the place of every cell."""

from __future__ import annotations

import random
from collections.abc import Callable

Cells = list[list[str]]
Places = list[list[tuple[int, int]]]


def as_fields(titles: list[str], rows: Cells, _: random.Random) -> tuple[str, Places]:
    """`Header: value; Header: value`, a row on each line."""
    return _lines(rows, lambda i, _: ("" if i == 0 else "; ") + f"{titles[i]}: ")


def as_markdown(titles: list[str] | None, rows: Cells, _: random.Random) -> tuple[str, Places]:
    head = f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n" if titles else ""
    return _lines(rows, lambda i, _: "| " if i == 0 else " | ", " |", head)


def as_columns(titles: list[str] | None, rows: Cells, rng: random.Random) -> tuple[str, Places]:
    """Nothing but space between the cells: two, or as many as it takes for the columns to stand straight."""
    table = [titles, *rows] if titles else rows
    widths = [max(len(cells[i]) for cells in table) + 2 for i in range(len(table[0]))]
    straight = rng.random() < 0.4

    def before(i: int, left: str) -> str:
        if i == 0:
            return ""
        return " " * (widths[i - 1] - len(left) if straight else 2)

    text, places = _lines(table, before)
    return text, places[1:] if titles else places


def as_lines(_: list[str] | None, rows: Cells, rng: random.Random) -> tuple[str, Places]:
    """`Header: value` on a line of its own."""
    mark = rng.choice(["", "- ", "* "])
    return _lines(rows, lambda i, _: mark if i == 0 else ": ")


def _lines(
    rows: Cells, before: Callable[[int, str], str], after: str = "", head: str = ""
) -> tuple[str, Places]:
    """The text of a table, and where each cell stands in it.

    Args:
        rows: Their cells.
        before: What stands before a cell, by its column and the cell to the left.
        after: What ends a line.
        head: What stands above.
    """
    text = head
    places: Places = []
    for row in rows:
        if places:
            text += "\n"
        places.append([])
        for i, cell in enumerate(row):
            text += before(i, row[i - 1] if i else "")
            places[-1].append((len(text), len(text) + len(cell)))
            text += cell
        text += after
    return text, places
