"""What `spanseek search --json` prints and the server answers: names and their order are a contract with other programs."""

from __future__ import annotations

import math
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retriever.types import Answer, Hit, Response, Timings

_DIGITS = 6


def shown_path(path: str | Path) -> str:
    """A path as the user would type it: relative to where they are, if it is below."""
    # A server shows many: with pathlib this takes ten times as long. Not resolved: a link keeps its own name.
    here = os.getcwd()  # noqa: PTH109
    absolute = os.path.normpath(os.path.join(here, path))  # noqa: PTH118
    if absolute == here:
        return "."
    return absolute.removeprefix(here.rstrip(os.sep) + os.sep)


def response_as_json(response: Response, took_ms: float, *, explain: bool = False) -> dict[str, object]:
    """One question and all that it brought.

    Args:
        response: That.
        took_ms: How long it took, loading models left out.
        explain: Say how many passages were read, and how long each stage took, too.
    """
    shown: dict[str, object] = {
        "question": response.question,
        "answers": [_answer(answer) for answer in response.answers],
        "confidence": _rounded(response.confidence),
        "passages": [_passage(hit) for hit in response.hits],
        "took_ms": round(took_ms, 1),
    }
    if explain:
        shown |= {"read": response.read, "timings_ms": _timings(response.timings)}
    return shown


def _timings(timings: Timings) -> dict[str, float]:
    return {field.name: round(getattr(timings, field.name), 2) for field in fields(timings)}


def _answer(answer: Answer) -> dict[str, object]:
    passage, scores = answer.passage, answer.scores
    return {
        "text": answer.text,
        "confidence": _rounded(answer.confidence),
        "document": answer.document_id,
        "path": None if answer.path is None else shown_path(answer.path),
        "source": answer.source,
        "page": answer.page,
        "line": answer.line,
        "start": answer.start,
        "end": answer.end,
        "passage": {"text": passage.text, "start": passage.start, "end": passage.end},
        "scores": {
            "fused": _rounded(scores.fused),
            "dense": _rounded(scores.dense),
            "lexical": _rounded(scores.lexical),
            "start": _rounded(scores.start),
            "end": _rounded(scores.end),
            "no_answer": _rounded(scores.no_answer),
        },
    }


def _passage(hit: Hit) -> dict[str, object]:
    return {
        "rank": hit.rank,
        "score": _rounded(hit.score),
        "document": hit.document_id,
        "path": None if hit.path is None else shown_path(hit.path),
        "source": hit.source,
        "title": hit.title,
        "headings": list(hit.headings),
        "page": hit.page,
        "line": hit.line,
        "start": hit.start,
        "end": hit.end,
        "text": hit.text,
        "scores": {
            "fused": _rounded(hit.scores.fused),
            "dense": _rounded(hit.scores.dense),
            "lexical": _rounded(hit.scores.lexical),
        },
    }


def _rounded(value: float | None) -> float | None:
    """Six digits; null for what JSON has no number for, the logarithm of a probability of zero."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, _DIGITS) + 0.0  # -0.0 becomes 0.0
