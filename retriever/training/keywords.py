"""Questions as people type them into a search box: the words that carry the meaning, and no sentence."""

from __future__ import annotations

import random
import re

_WORD = re.compile(r"[\w'’.-]*\w|\S")
_LEFT_OUT = frozenset(
    "a an the of in on at to for from by with and or as is are was were be been being am do does did has have had what "
    "which who whom whose when where why how that this these those it its their there can could will would should may "
    "might must into than then also ? . , !".split()
)


def as_keywords(question: str, rng: random.Random) -> str | None:
    """The question's meaning words, now and then in another order; `None` if fewer than two are left."""
    words = [word for word in _WORD.findall(question) if word.lower() not in _LEFT_OUT]
    if len(words) < 2:
        return None
    if rng.random() < 0.2:
        rng.shuffle(words)
    return " ".join(words)
