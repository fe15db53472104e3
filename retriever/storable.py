"""What is stored for text that can't be: neither UTF-8 nor SQLite's functions hold a NUL or half a surrogate pair.

Each is replaced by one U+FFFD, so that offsets stay as they are. What is asked for is treated alike, so that it finds
what was stored.
"""

from __future__ import annotations

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether a text can be stored as it is."""
    return _UNSTORABLE.search(text) is None


def storable_text(text: str) -> str:
    """The text that is stored for a text.

    >>> storable_text("a\\0b")
    'a\ufffdb'
    """
    return _UNSTORABLE.sub("\ufffd", text)


def storable_value(value: object) -> object:
    """The same for all text in what JSON can hold."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list | tuple):
        return [storable_value(item) for item in value]
    if isinstance(value, dict):
        return {
            storable_text(name) if isinstance(name, str) else name: storable_value(item)
            for name, item in value.items()
        }
    return value
