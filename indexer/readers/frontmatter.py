"""The block of YAML that many Markdown files start with: its simple lines, read without a YAML parser."""

from __future__ import annotations

import re

from indexer.readers.lines import lines_of

_KEY = re.compile(r"([A-Za-z_][\w .-]*?):(?:[ \t]+(.*))?$")
_ITEM = re.compile(r"[ \t]*-[ \t]+(.*)$")
_COMMENT = re.compile(r"[ \t]+#.*$")
_MOST_LINES = 500
_LONGEST_LINE = 2000


def front_matter(text: str) -> tuple[dict[str, object], int]:
    """The metadata that a text states at its top between `---` lines, and where what follows begins.

    Understood are `key: value`, `key: [a, b]`, and `key:` with `- item` lines below; anything else is left out.

    >>> front_matter('---\\ntitle: "A: b"\\ntags: [x, y]\\n---\\nText')
    ({'title': 'A: b', 'tags': ['x', 'y']}, 35)
    """
    if not text.startswith("---"):
        return {}, 0
    lines = lines_of(text[:200_000])[: _MOST_LINES + 1]
    contents = [text[line.start : line.end].rstrip() for line in lines]
    closing = next(
        (number for number, line in enumerate(contents) if number and line in ("---", "...")), None
    )
    if contents[0] != "---" or closing is None:
        return {}, 0
    # A rule at the top and one further down is Markdown too; then no key stands right below.
    first = next((line for line in contents[1:closing] if line and not line.startswith("#")), "")
    if not _KEY.match(first):
        return {}, 0
    return _keys(contents[1:closing]), lines[closing].next


def _keys(lines: list[str]) -> dict[str, object]:
    metadata: dict[str, object] = {}
    items: list[object] | None = None
    for line in lines:
        if len(line) > _LONGEST_LINE:
            continue
        item = _ITEM.match(line)
        key = _KEY.match(line)
        if item and items is not None:
            items.append(_scalar(item[1]))
        elif key:
            value = (key[2] or "").strip()
            items = None
            if not value or value.startswith("#"):
                items = []
                metadata[key[1]] = items
            elif value.startswith("[") and _COMMENT.sub("", value).endswith("]"):
                inner = _COMMENT.sub("", value)[1:-1]
                metadata[key[1]] = [_scalar(part) for part in inner.split(",") if part.strip()]
            elif value[0] not in "|>{&*!":
                metadata[key[1]] = _scalar(value)
    return {key: value for key, value in metadata.items() if value != []}


def _scalar(value: str) -> object:
    value = value.strip()
    if len(value) > 1 and value[0] in "\"'":
        closing = value.find(value[0], 1)
        if closing > 0:
            return value[1:closing]
    value = _COMMENT.sub("", value)
    if value in ("true", "false"):
        return value == "true"
    return int(value) if re.fullmatch(r"-?(0|[1-9]\d{0,15})", value) else value
