"""Quality is a test: the sample's graded questions, with a floor under what is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from indexer import Indexer
from retriever import Retriever

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"
FLOOR = 0.95
"""Share of the answerable questions whose document is among the first three passages. Measured: 0.956."""


@pytest.mark.integration
def test_the_right_document_is_among_the_first_three(tmp_path: Path) -> None:
    with Indexer.open(tmp_path / "index") as indexer:
        report = indexer.add_paths([SAMPLE / "documents"])
        encoder = indexer.encoder
    assert report.skipped == ()
    questions = [
        json.loads(line) for line in (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    answerable = [question for question in questions if question["documents"]]
    missed = []
    with Retriever.open(tmp_path / "index", encoder=encoder) as retriever:
        for question in answerable:
            paths = {Path(hit.path or "") for hit in retriever.search(question["question"], 3)}
            if not paths & {SAMPLE / "documents" / document for document in question["documents"]}:
                missed.append(question["question"])
    found = 1 - len(missed) / len(answerable)
    assert found >= FLOOR, f"{found:.3f}; missed: {missed}"
