"""Documents written together with their questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexer import Indexer
from retriever import DatasetError, Retriever
from retriever.training.own import load_own, locate
from retriever.training.written import main, parse, rows

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

FILE = """=== club/rules.md
# Rules

Dogs are welcome before 9:00. The gate closes at dusk.

=== questions
exact | When does the gate close? | dusk | at dusk

none | Who keeps the key?
=== club/fees.csv
who,fee
adults,12 euros
=== questions
table | fee of adults | 12 euros
"""


def test_documents_and_rows(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    source, out = tmp_path / "club.txt", tmp_path / "out"
    source.write_text(FILE)
    main([str(out), str(source)])
    text = (out / "documents/club/rules.md").read_text()
    assert text == "# Rules\n\nDogs are welcome before 9:00. The gate closes at dusk.\n"
    read = [json.loads(line) for line in (out / "questions.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in read] == ["exact", "none", "table"]
    assert read[0]["answers"][0] == {"text": "dusk", "answer_start": text.index("dusk")}
    assert read[1]["answers"] == []
    assert read[2]["answers"] == [{"text": "12 euros"}]  # a reader of tables makes a text of its own
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_paths([out / "documents"])
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder) as retriever:
        found, lost = locate(retriever, load_own(out / "questions.jsonl"))
    assert not lost
    assert [answer.text for question in found for answer in question.answers] == ["dusk", "12 euros"]


def test_a_document_named_twice_is_one_line(tmp_path: Path) -> None:
    source = tmp_path / "club.txt"
    source.write_text(FILE)
    with pytest.raises(SystemExit, match=r"another document named club/rules\.md"):
        main([str(tmp_path / "out"), str(source), str(source)])
    assert not (tmp_path / "out").exists()  # nothing is written of what is wrong


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", "line 1: expected '=== '"),
        ("=== questions\n", "line 1: expected a document's name"),
        ("=== ../a.md\n", "line 1: expected a document's name"),
        ("=== a.md\nx\n=== questions\nexact | What?\n", "line 4: expected 'kind"),
        ("=== a.md\nx\n=== questions\nnone | What? | x\n", "line 4: expected 'kind"),
        ("=== a.md\nx\n=== questions\nexact | What? | y\n", "line 4: 'y' doesn't stand in a.md"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    source = tmp_path / "club.txt"
    source.write_text(text)
    with pytest.raises(DatasetError, match=said):
        _ = [list(rows(document, source)) for document in parse(source)]


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    source = tmp_path / "club.txt"
    source.write_bytes(b"\xff\xfe\0")
    with pytest.raises(DatasetError, match="expected text in UTF-8"):
        parse(source)
