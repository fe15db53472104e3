"""What the process that indexes and the one that reads say to each other: JSON, with its length in front.

Not pickle: whoever takes over a parser by a crafted file must not be able to run anything in the process that indexes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from retriever.types import Anchor, Extract, Heading, Span

MARK = b"\0doc"
HEADER_BYTES = len(MARK) + 4
"""Each message begins with the mark and its length: what a parser may write between them is noticed."""

Message = Mapping[str, Any]
"""One key says what it is: `hello`, `path` (a request), `extract`, `progress`, `memory`, `end`."""


def packed(message: Message) -> bytes:
    """A message as it is sent.

    Raises:
        ValueError: It is larger than any document may be.
    """
    content = json.dumps(message, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
    if len(content) >= 1 << 32:
        raise ValueError("too large to be passed on")
    return MARK + len(content).to_bytes(4, "big") + content


def length_of(header: bytes | bytearray) -> int:
    """How long the message is that this header stands before.

    Raises:
        ValueError: It is no header.
    """
    if not header.startswith(MARK):
        raise ValueError("no message")
    return int.from_bytes(header[len(MARK) :], "big")


def unpacked(content: bytes | bytearray) -> Message:
    """The message of these bytes.

    Raises:
        ValueError: They are none.
    """
    try:
        message = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(message, dict) or len(message) != 1:
        raise ValueError("no message")
    return message


def as_json(extract: Extract) -> dict[str, object]:
    """An extract as JSON can hold it; places as bare numbers, a book of tables has millions of them."""
    return {
        "text": extract.text,
        "format": extract.format,
        "key": extract.key,
        "title": extract.title,
        "language": extract.language,
        "metadata": extract.metadata,
        "headings": [(heading.start, heading.end, heading.level) for heading in extract.headings],
        "rows": [(row.start, row.end) for row in extract.rows],
        "pages": _numbers(extract.pages),
        "lines": None if extract.lines is None else _numbers(extract.lines),
    }


def from_json(fields: Any) -> Extract:
    """The extract that `as_json` was given.

    Raises:
        ValueError: It isn't one.
    """
    try:
        names = ("text", "format", "key", "title", "language")
        if not all(isinstance(fields[name], str) for name in names) or not isinstance(
            fields["metadata"], dict
        ):
            raise ValueError("no document")
        lines = fields["lines"]
        return Extract(
            **{name: fields[name] for name in names},
            metadata=fields["metadata"],
            headings=tuple(
                Heading(int(start), int(end), int(level)) for start, end, level in fields["headings"]
            ),
            rows=tuple(Span(int(start), int(end)) for start, end in fields["rows"]),
            pages=_anchors(fields["pages"]),
            lines=None if lines is None else _anchors(lines),
        )
    except (KeyError, TypeError) as error:
        raise ValueError("no document") from error


def _numbers(anchors: tuple[Anchor, ...]) -> list[tuple[int, int]]:
    return [(anchor.start, anchor.number) for anchor in anchors]


def _anchors(pairs: Any) -> tuple[Anchor, ...]:
    return tuple(Anchor(int(start), int(number)) for start, number in pairs)
