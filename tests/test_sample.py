"""The sample corpus holds what its README promises, and every graded answer stands in what the readers extract."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import pytest

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
DOCUMENTS = SAMPLE / "documents"
KINDS = {"exact": 12, "paraphrase": 12, "distant": 12, "table": 12, "unanswerable": 12, "other-language": 3}
"""How many questions of each kind there are at least."""


class Question(TypedDict):
    id: str
    question: str
    kind: str
    documents: list[str]
    answers: list[str]


def load() -> list[Question]:
    lines = (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [cast(Question, json.loads(line)) for line in lines]


def one_space(text: str) -> str:
    return " ".join(text.split())


@cache
def extracted(path: str) -> str:
    """All text that the reader makes of one document, white space normalised."""
    from indexer.readers import read

    return one_space("\n".join(extract.text for extract in read(DOCUMENTS / path)))


QUESTIONS = load()
FILES = sorted(path.relative_to(DOCUMENTS).as_posix() for path in DOCUMENTS.rglob("*") if path.is_file())


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["id"])
def test_question_is_well_formed(question: Question) -> None:
    assert set(question) == {"id", "question", "kind", "documents", "answers"}
    assert question["question"] == one_space(question["question"]) != ""
    assert question["kind"] in KINDS
    assert all(answer == one_space(answer) != "" for answer in question["answers"])
    assert len(set(question["answers"])) == len(question["answers"])
    assert len(set(question["documents"])) == len(question["documents"])
    answerable = question["kind"] != "unanswerable"
    assert bool(question["documents"]) is answerable
    assert bool(question["answers"]) is answerable
    for document in question["documents"]:
        assert document in FILES


def test_ids_and_questions_are_unique() -> None:
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question["question"] for question in QUESTIONS}) == len(QUESTIONS)


def test_there_are_enough_questions_of_each_kind() -> None:
    counts = Counter(question["kind"] for question in QUESTIONS)
    assert len(QUESTIONS) >= 80
    assert {kind: counts[kind] for kind in KINDS if counts[kind] < KINDS[kind]} == {}


def test_there_are_enough_documents_and_formats() -> None:
    assert len(FILES) >= 25
    assert len({Path(path).suffix for path in FILES}) >= 6
    assert sum((DOCUMENTS / path).stat().st_size for path in FILES) < 1_500_000


def test_every_document_is_asked_about() -> None:
    asked = {document for question in QUESTIONS for document in question["documents"]}
    assert sorted(set(FILES) - asked) == []


@pytest.mark.parametrize("path", FILES)
def test_every_document_has_text(path: str) -> None:
    assert len(extracted(path)) > 200


@pytest.mark.parametrize(
    "question",
    [question for question in QUESTIONS if question["documents"]],
    ids=lambda question: question["id"],
)
def test_answers_stand_in_the_documents(question: Question) -> None:
    texts = {document: extracted(document) for document in question["documents"]}
    for answer in question["answers"]:
        assert any(answer in text for text in texts.values()), f"{answer!r} stands in none of the documents"
    for document, text in texts.items():
        assert any(answer in text for answer in question["answers"]), f"no answer stands in {document}"
