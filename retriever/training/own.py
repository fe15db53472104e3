"""Questions about documents of an index, as examples: people know the answer, not where it stands.

A row `{"question", "answers": ["text", ...], "document"?}` becomes an example by finding the passage: of what the
search ranks high for the question, the first in which an answer stands word for word. Where the place is known, an
answer is `{"text", "answer_start"}`, in code points of the document's text. A question without an answer becomes
several examples: none of the passages that are ranked highest for it answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retriever.api import Retriever
from retriever.context import context_line
from retriever.errors import DatasetError
from retriever.evaluation.lines import numbered_lines
from retriever.evaluation.questions import GradedQuestion
from retriever.types import Hit, TextSpan

_DEPTH = 50
_LETTER = re.compile(r"[^\W\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
"""What a word goes on with: no letter of Thai, Lao, Japanese or Chinese, which are written without space."""
_UNANSWERED = 3
"""Passages that a question without an answer is read in."""


@dataclass(frozen=True, slots=True)
class OwnQuestion:
    """A question and the texts that answer it; none: the documents don't say.

    Attributes:
        document: Narrows where to look.
        start: Where the first answer begins in that document's text, if that is known.
    """

    question: str
    answers: tuple[str, ...]
    document: str = ""
    start: int | None = None


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
        hits = _search(retriever, row)
        if not row.answers:
            # the document that it is about, or looks as if it were: all of one question are held back, or none is
            about = (hits if row.document else [])[:1]
            hits = _search(retriever, replace(row, document="")) if row.document else hits
            about = about or hits[:1]
            found += [
                _example(f"{number}-{rank}", row, hit, (), about[0].document_id)
                for rank, hit in enumerate(hits[:_UNANSWERED])
            ]
            continue
        placed = next(((hit, spans) for hit in hits if (spans := _spans(hit, row))), None)
        if placed is None:
            lost.append(row)
        else:
            found.append(_example(str(number), row, *placed, placed[0].document_id))
    return found, lost


def _search(retriever: Retriever, row: OwnQuestion) -> Sequence[Hit]:
    where = [f"id={row.document}"] if row.document else []
    return retriever.search(row.question, _DEPTH, where=where, per_document=_DEPTH)


def _example(
    key: str, row: OwnQuestion, hit: Hit, spans: Sequence[TextSpan], document: str
) -> GradedQuestion:
    context = context_line(hit.title, hit.headings)
    return GradedQuestion(key, row.question, hit.text, context, tuple(spans[:1]), row.answers, document)


def _spans(hit: Hit, row: OwnQuestion) -> list[TextSpan]:
    """Where the row's answers stand in a passage, the first answer's places first."""
    spans = [span for answer in row.answers for span in places(hit.text, answer)]
    if row.start is None:
        return spans
    return [span for span in spans if hit.start + span.start == row.start]


def places(text: str, answer: str) -> Iterable[TextSpan]:
    """Where an answer stands in a text, whatever its case and the blank space in it.

    Whole words only, but in scripts that don't part words.
    """
    words = r"\s+".join(re.escape(word) for word in answer.split())
    for match in re.finditer(words, text, re.IGNORECASE):
        start, end = match.span()
        if _LETTER.match(text[max(0, start - 1) : start]) or _LETTER.match(text[end : end + 1]):
            continue
        yield TextSpan(match.start(), match.end(), match.group())


def _row(row: Any, place: str) -> OwnQuestion:
    answers = row.get("answers") if isinstance(row, dict) else None
    if not isinstance(answers, list) or not isinstance(row.get("question"), str):
        raise DatasetError(f'{place}: expected {{"question": "...", "answers": ["...", ...]}}')
    place_of = answers[0].get("answer_start") if answers and isinstance(answers[0], dict) else None
    texts = [
        answer["text"] if isinstance(answer, dict) and "text" in answer else answer for answer in answers
    ]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise DatasetError(f"{place}: each answer must be a text")
    if place_of is not None and type(place_of) is not int:
        raise DatasetError(f"{place}: answer_start must be a whole number")
    return OwnQuestion(row["question"], tuple(texts), str(row.get("document") or ""), place_of)
