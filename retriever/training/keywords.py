"""Questions as people put them into a box: without marks, as mere keywords, or as a statement of what they look for."""

from __future__ import annotations

import random
import re

_WORD = re.compile(r"[\w'’.-]*\w|\S")
_LEFT_OUT = frozenset(
    "a an the of in on at to for from by with and or as is are was were be been being am do does did has have had what "
    "which who whom whose when where why how that this these those it its their there can could will would should may "
    "might must into than then also ? . , !".split()
)
_ASKED = re.compile(
    r"\b(?:in |on |at |to |from |by |for |of |with )?(?:what|which|whose|how|who|whom|when|where|why)\b"
    r"(?: (?:many|much|long|old|far|often|year|date|day|month|city|country|kind|type|name|percentage|number)\b(?: of)?)?",
    re.IGNORECASE,
)
_AUXILIARY = re.compile(r"\b(?:do|does|did)\b ?", re.IGNORECASE)


def as_typed(question: str) -> str:
    """The question without capitals and question mark, as most are typed."""
    return question.lower().rstrip(" ?") or question


def as_keywords(question: str, rng: random.Random) -> str | None:
    """The question's meaning words, now and then in another order; `None` if fewer than two are left."""
    words = [word for word in _WORD.findall(question) if word.lower() not in _LEFT_OUT]
    if len(words) < 2:
        return None
    if rng.random() < 0.2:
        rng.shuffle(words)
    return " ".join(words)


def as_statement(question: str, answer: str) -> str | None:
    """What question and answer say together, roughly; `None` if there is no word to put the answer in place of."""
    match = _ASKED.search(question)
    if match is None:
        return None
    before, after = (
        _AUXILIARY.sub("", part) for part in (question[: match.start()], question[match.end() :])
    )
    return (before + answer + after).rstrip(" ?") + "."
