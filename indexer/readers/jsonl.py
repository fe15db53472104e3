"""JSON lines: each line an object, each object a document."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import cast

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.encoding import bom_encoding
from retriever.errors import UnreadableError
from retriever.storable import storable_value
from retriever.types import Anchor, Extract

_DEEPEST = 100
_OWN = frozenset(("id", "_id", "title", "text"))
_NO_DOCUMENT = "isn't a JSON object with a 'text'"
_ESCAPES = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


class JsonlReader:
    """Reads a file of any size, a line at a time."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields a document for every line that holds an object with a `text`.

        Raises:
            UnreadableError: After the last document, if there were other lines.
        """
        keys: dict[str, int] = {}
        bad: dict[str, list[int]] = {}
        for number, line in _lines(file, limits):
            file.progress()
            try:
                row, text = _parsed(line, limits)
            except UnreadableError as error:
                first_and_count = bad.setdefault(str(error), [number, 0])
                first_and_count[1] += 1
            else:
                yield _extract(row, text, number, keys)
        if bad:
            raise UnreadableError(
                "; ".join(
                    f"line {first} {problem} ({count} such {'line' if count == 1 else 'lines'} skipped)"
                    for problem, (first, count) in bad.items()
                )
            )
        if not keys:
            raise UnreadableError("no text in it")


def _lines(file: SourceFile, limits: ReadLimits) -> Iterator[tuple[int, str]]:
    encoding = bom_encoding(file.head(4)) or "utf-8"
    with file.path.open(encoding=encoding, errors="replace", newline="\n") as stream:
        number = 0
        while line := stream.readline(limits.file_bytes):
            number += 1
            if len(line) == limits.file_bytes and not line.endswith("\n"):
                raise UnreadableError(f"line {number} is larger than {limits.file_bytes / (1 << 20):g} MiB")
            line = line.removeprefix("\ufeff") if number == 1 else line
            if line.strip():
                yield number, line


def _parsed(line: str, limits: ReadLimits) -> tuple[dict[str, object], str]:
    """The object on a line, and its text.

    Raises:
        UnreadableError: It isn't one, or not one that can be stored.
    """
    try:
        row = _loaded(line)
    except RecursionError as error:
        raise UnreadableError(f"is nested deeper than {_DEEPEST}") from error
    except ValueError as error:
        raise UnreadableError(_NO_DOCUMENT) from error
    if not isinstance(row, dict):
        raise UnreadableError(_NO_DOCUMENT)
    if max(line.count("["), line.count("{")) > _DEEPEST and _depth(row) > _DEEPEST:
        raise UnreadableError(f"is nested deeper than {_DEEPEST}")
    if _ESCAPES.search(line):
        row = cast(dict[str, object], storable_value(row))
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise UnreadableError(_NO_DOCUMENT)
    if len(text) > limits.characters:
        raise UnreadableError(f"has more than {limits.characters:,} characters of text")
    return row, text


def _loaded(line: str) -> object:
    try:
        return json.loads(line, parse_constant=_nothing, parse_float=_finite)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a number of thousands of digits
        return json.loads(line, parse_constant=_nothing, parse_float=_finite, parse_int=str)


def _depth(value: object) -> int:
    """How deep lists and objects are in each other: whoever stores or shows them goes through them by recursion."""
    deepest = 0
    stack = [(value, 0)]
    while stack:
        inner, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(inner, list | dict):
            stack += [(item, depth + 1) for item in (inner.values() if isinstance(inner, dict) else inner)]
    return deepest


def _extract(row: dict[str, object], text: str, number: int, keys: dict[str, int]) -> Extract:
    title = row.get("title")
    language = row.get("language", row.get("lang"))
    return Extract(
        text=text,
        format="jsonl",
        key=_key(row, number, keys),
        title=" ".join(title.split()) if isinstance(title, str) else "",
        language=language if isinstance(language, str) and re.fullmatch("[a-z]{2}", language) else "",
        metadata={name: value for name, value in row.items() if name not in _OWN},
        lines=(Anchor(0, number),),
    )


def _key(row: dict[str, object], number: int, keys: dict[str, int]) -> str:
    """The row's own id or its line number; one that came before in the file gets a suffix."""
    own = next((row[name] for name in ("id", "_id") if row.get(name) not in (None, "")), number)
    key = wanted = str(own)
    while key in keys:
        keys[wanted] += 1
        key = f"{wanted}~{keys[wanted]}"
    keys[key] = 1
    return key


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _nothing(_: str) -> None:
    """What NaN and the infinities become, which JSON itself doesn't have."""
