"""The documents and questions in `data/questions`: all of them can be trained on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from retriever.training.written import parse, rows

FOLDER = Path(__file__).parent.parent / "data/questions"
FILES = sorted(FOLDER.glob("*.txt"))
KINDS = {"exact", "paraphrase", "distant", "table", "keywords", "foreign", "none"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_answer_stands_in_its_document(path: Path) -> None:
    documents = parse(path)
    assert documents
    for document in documents:
        found = list(rows(document, path))
        assert found, document.name
        assert {row["kind"] for row in found} <= KINDS


def test_as_many_as_is_said() -> None:
    documents = [(path, document) for path in FILES for document in parse(path)]
    assert len({document.name for _, document in documents}) == len(documents)
    kinds = Counter(row["kind"] for path, document in documents for row in rows(document, path))
    said = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert f"{kinds.total():,} questions on {len(documents):,} documents" in said
