"""What stands over a passage: its document's title and the headings above it.

A passage says little of where it comes from; its vector and its words on the lexical side are made with this line
before it.
"""

from __future__ import annotations

from collections.abc import Sequence


def context_line(title: str, headings: Sequence[str]) -> str:
    """Title and headings on one line, outermost first, without repeating one that says the same.

    >>> context_line("Handbook", ["Handbook", "Leave"])
    'Handbook > Leave'
    """
    parts: list[str] = []
    for part in (title, *headings):
        part = " ".join(part.split())
        if part and part.casefold() not in {known.casefold() for known in parts}:
            parts.append(part)
    return " > ".join(parts)


def lexical_text(title: str, headings: Sequence[str], passage: str) -> str:
    """What the lexical side is given of a passage."""
    context = context_line(title, headings)
    return f"{context}\n{passage}" if context else passage
