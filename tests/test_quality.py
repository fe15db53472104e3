"""Quality is a test: the sample's graded questions, with floors under what is found, answered and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer
from retriever import Retriever
from retriever.evaluation.spans import score_span

pytestmark = pytest.mark.integration

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"
FOUND = 0.95
"""Share of the answerable questions whose document is among the first three passages. Measured: 0.956."""
EXACT = 0.54
"""Share of the answerable questions whose best span is an accepted answer. Measured: 0.558; the aim is 0.8."""
REFUSED = 0.8
"""Share of the unanswerable questions to which no answer is given. Measured: 0.808."""


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    root = tmp_path_factory.mktemp("sample") / "index"
    with Indexer.open(root) as indexer:
        report = indexer.add_paths([SAMPLE / "documents"])
        encoder = indexer.encoder
    assert report.skipped == ()
    with Retriever.open(root, encoder=encoder) as opened:
        yield opened


def questions(*, answerable: bool) -> list[dict[str, Any]]:
    lines = (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if bool(row["documents"]) is answerable]


def test_the_right_document_is_among_the_first_three(retriever: Retriever) -> None:
    missed = []
    asked = questions(answerable=True)
    for question in asked:
        paths = {Path(hit.path or "") for hit in retriever.search(question["question"], 3)}
        if not paths & {SAMPLE / "documents" / document for document in question["documents"]}:
            missed.append(question["question"])
    found = 1 - len(missed) / len(asked)
    assert found >= FOUND, f"{found:.3f}; missed: {missed}"


def test_the_exact_words_answer(retriever: Retriever) -> None:
    wrong = []
    asked = questions(answerable=True)
    for question in asked:
        answers = retriever.ask(question["question"], 1, min_confidence=0)
        text = " ".join(answers[0].text.split()) if answers else ""
        if not score_span(text, question["answers"]).exact:
            wrong.append((question["question"], text))
    exact = 1 - len(wrong) / len(asked)
    assert exact >= EXACT, f"{exact:.3f}; wrong: {wrong}"


def test_no_answer_where_there_is_none(retriever: Retriever) -> None:
    asked = questions(answerable=False)
    answered = {
        question["question"]: answers[0].text
        for question in asked
        if (answers := retriever.ask(question["question"], 1))
    }
    refused = 1 - len(answered) / len(asked)
    assert refused >= REFUSED, f"{refused:.3f}; answered: {answered}"
