"""Filters on documents: `KEY=VALUE` and comparisons, as conditions that SQLite evaluates before anything is ranked.

Keys are a document's own (`path`, `id`, `format`, `title`, `language`) or any of its metadata's. `=` and `!=` on
`path` and `id` take a glob, matched against the whole path or any end of it that starts after a slash, and `*`
crosses slashes. Values that read as numbers compare as numbers with numbers, everything else as text. Metadata that
holds a list matches if one of its items does. All filters must hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retriever.errors import FilterError
from retriever.storable import storable_text

_EXPRESSION = re.compile(r"\s*(?P<key>[^=<>!]+?)\s*(?P<op>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_OWN = {
    "id": "d.id",
    "path": "f.path",
    "format": "d.format",
    "title": "d.title",
    "language": "d.language",
}
_GLOBBED = {"id", "path"}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: `key op value`."""

    key: str
    op: str
    value: str

    @classmethod
    def parse(cls, expression: str) -> Filter:
        """Reads `KEY=VALUE`, with any of `= != < <= > >=`.

        Raises:
            FilterError: It isn't of that form.

        >>> Filter.parse("year>=2024")
        Filter(key='year', op='>=', value='2024')
        """
        match = _EXPRESSION.fullmatch(expression)
        if match is None:
            raise FilterError(
                f"filter {expression!r} isn't understood: write KEY=VALUE, or one of != < <= > >= instead of ="
            )
        return cls(match["key"], match["op"], match["value"])


Condition = tuple[str, list[object]]
"""SQL and its parameters."""


def compile_filters(filters: Sequence[Filter]) -> Condition:
    """All filters as one SQL condition over `documents d LEFT JOIN files f`."""
    compiled = [
        _compile(Filter(storable_text(filter_.key), filter_.op, storable_text(filter_.value)))
        for filter_ in filters
    ]
    return (
        " AND ".join(f"({sql})" for sql, _ in compiled) or "1",
        [value for _, values in compiled for value in values],
    )


def _compile(filter_: Filter) -> Condition:
    if filter_.op == "!=":
        sql, values = _compile(Filter(filter_.key, "=", filter_.value))
        return f"NOT coalesce(({sql}), 0)", values
    if filter_.key in _GLOBBED and filter_.op == "=":
        column = _OWN[filter_.key]
        pattern = filter_.value.removeprefix("./")
        if filter_.value.endswith("/"):
            pattern += "*"
        return f"{column} GLOB ? OR {column} GLOB ?", [pattern, f"*/{pattern}"]
    if filter_.key in _OWN:
        sql, values = _compare(_OWN[filter_.key], None, filter_)
        return sql, values
    item, item_values = _compare("item.atom", "item.type", filter_)
    entry, entry_values = _compare("entry.atom", "entry.type", filter_)
    in_list = f"entry.type = 'array' AND EXISTS (SELECT 1 FROM json_each(entry.value) item WHERE {item})"  # noqa: S608 - fixed parts
    matches = f"entry.key = ? AND (({entry}) OR ({in_list}))"
    values = [filter_.key, *entry_values, *item_values]
    return f"EXISTS (SELECT 1 FROM json_each(d.metadata) entry WHERE {matches})", values  # noqa: S608 - fixed parts


def _compare(value: str, kind: str | None, filter_: Filter) -> Condition:
    """Compares a column of SQLite (and, of JSON, its type) with the filter's value."""
    if kind is None:
        return f"{value} {filter_.op} ?", [filter_.value]
    if filter_.value in {"true", "false", "null"} and filter_.op == "=":
        return f"{kind} = ? OR ({kind} = 'text' AND {value} = ?)", [filter_.value, filter_.value]
    as_text: Condition = f"({kind} = 'text' AND {value} {filter_.op} ?)", [filter_.value]
    number = _number(filter_.value)
    if number is None:
        return as_text
    return f"({kind} IN ('integer', 'real') AND {value} {filter_.op} ?) OR {as_text[0]}", [
        number,
        *as_text[1],
    ]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
