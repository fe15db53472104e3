"""JSON lines: each line an object, each object a document."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.encoding import bom_encoding
from retriever.errors import UnreadableError
from retriever.types import Anchor, Extract

_OWN = frozenset(("id", "_id", "title", "text"))
_ESCAPES = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class JsonlReader:
    """Reads a file of any size, a line at a time."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields a document for every line that holds an object with a `text`.

        Raises:
            UnreadableError: After the last document, if there were other lines.
        """
        keys: set[str] = set()
        bad = 0
        first_bad = 0
        for number, line in _lines(file, limits):
            row = _parsed(line)
            text = row.get("text")
            if isinstance(text, str) and text.strip() and len(text) <= limits.characters:
                yield _extract(row, text, number, keys)
            else:
                bad += 1
                first_bad = first_bad or number
        if bad:
            lines = "such line" if bad == 1 else "such lines"
            raise UnreadableError(
                f"line {first_bad} isn't a JSON object with a 'text' ({bad} {lines} skipped)"
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


def _parsed(line: str) -> dict[str, object]:
    """The object on a line; an empty one if there is none."""
    try:
        row = json.loads(line, parse_constant=_nothing, parse_float=_finite)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(row, dict):
        return {}
    if _ESCAPES.search(line):
        return {_storable_text(name): _storable(value) for name, value in row.items()}
    return row


def _extract(row: dict[str, object], text: str, number: int, keys: set[str]) -> Extract:
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


def _key(row: dict[str, object], number: int, keys: set[str]) -> str:
    """The row's own id or its line number; one that came before in the file gets a suffix."""
    own = next((row[name] for name in ("id", "_id") if row.get(name) not in (None, "")), number)
    key = wanted = str(own)
    count = 1
    while key in keys:
        count += 1
        key = f"{wanted}~{count}"
    keys.add(key)
    return key


def _storable(value: object) -> object:
    """The same without characters that JSON can escape but that are no text."""
    if isinstance(value, str):
        return _storable_text(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable_text(name): _storable(item) for name, item in value.items()}
    return value


def _storable_text(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _nothing(_: str) -> None:
    """What NaN and the infinities become, which JSON itself doesn't have."""
