"""Questions about documents of an index, as examples: people know the answer, not where it stands.

A row `{"question", "answers": ["text", ...], "document"?}` becomes an example by finding the passage: of what the
search ranks high for the question, the first in which an answer stands word for word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever.api import Retriever
from retriever.errors import DatasetError
from retriever.evaluation.lines import numbered_lines
from retriever.evaluation.questions import GradedQuestion
from retriever.types import TextSpan

_DEPTH = 50


@dataclass(frozen=True, slots=True)
class OwnQuestion:
    """A question and the texts that answer it; none: the documents don't say. `document` narrows where to look."""

    question: str
    answers: tuple[str, ...]
    document: str = ""


def is_own(path: Path) -> bool:
    """Whether a file's first row names answers without their place, to be found in an index."""
    try:
        row = json.loads(next((line for _, line in numbered_lines(path)), "null"))
    except (DatasetError, ValueError):
        return False
    return isinstance(row, dict) and "question" in row and "context" not in row


def load_own(path: Path) -> list[OwnQuestion]:
    """Reads such rows.

    Raises:
        DatasetError: A row isn't of that form.
    """
    found = []
    try:
        for number, line in numbered_lines(path, "JSON Lines"):
            found.append(_row(json.loads(line), f"{path}, line {number}"))
    except ValueError as error:
        raise DatasetError(f"{path}: expected JSON Lines: {error}") from error
    return found


def locate(
    retriever: Retriever, rows: Sequence[OwnQuestion]
) -> tuple[list[GradedQuestion], list[OwnQuestion]]:
    """Finds each answer's passage.

    Returns:
        Examples, and the questions whose answer stands in none of the passages that the search ranks high.
    """
    found: list[GradedQuestion] = []
    lost: list[OwnQuestion] = []
    for number, row in enumerate(rows):
        where = [f"id={row.document}"] if row.document else []
        hits = retriever.search(row.question, _DEPTH, where=where, per_document=_DEPTH)
        for hit in hits:
            spans = tuple(span for answer in row.answers for span in _places(hit.text, answer))
            if spans or not row.answers:
                found.append(
                    GradedQuestion(str(number), row.question, hit.text, hit.title, spans[:1], row.answers)
                )
                break
        else:
            lost.append(row)
    return found, lost


def _places(text: str, answer: str) -> Iterable[TextSpan]:
    """Where an answer stands in a text, whatever its case and the blank space in it."""
    words = r"\s+".join(re.escape(word) for word in answer.split())
    for match in re.finditer(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE):
        yield TextSpan(match.start(), match.end(), match.group())


def _row(row: Any, place: str) -> OwnQuestion:
    answers = row.get("answers") if isinstance(row, dict) else None
    if not isinstance(answers, list) or not isinstance(row.get("question"), str):
        raise DatasetError(f'{place}: expected {{"question": "...", "answers": ["...", ...]}}')
    texts = [
        answer["text"] if isinstance(answer, dict) and "text" in answer else answer for answer in answers
    ]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise DatasetError(f"{place}: each answer must be a text")
    return OwnQuestion(row["question"], tuple(texts), str(row.get("document") or ""))
