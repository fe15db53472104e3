"""Questions about one's own documents: the answer is found where it stands."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexer import Indexer, InputDocument
from retriever import ChunkingConfig, DatasetError, Retriever
from retriever.training.own import OwnQuestion, is_own, load_own, locate

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder


@pytest.fixture
def retriever(tmp_path: Path, tiny_encoder: TextEncoder, sentences: dict[str, str]) -> Retriever:
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents(InputDocument(id_, text) for id_, text in sentences.items())
    return Retriever.open(tmp_path / "index", encoder=tiny_encoder)


def test_answers_are_located_whatever_their_case_and_spacing(retriever: Retriever) -> None:
    rows = [
        OwnQuestion("who approves a release?", ("the  Team manager",)),
        OwnQuestion("where is the cafe?", ("nowhere at all",)),
        OwnQuestion("where did the cat sit?", ("the red mat",), document="cat"),
        OwnQuestion("where did the cat sit?", ("the red mat",), document="price"),
    ]
    found, lost = locate(retriever, rows)
    assert [question.answers[0].text for question in found] == ["the team manager", "the red mat"]
    for question in found:
        (answer,) = question.answers
        assert question.context[answer.start : answer.end] == answer.text
    assert [row.document for row in lost] == ["", "price"]


def test_a_part_of_a_word_is_no_answer(retriever: Retriever) -> None:
    found, lost = locate(retriever, [OwnQuestion("what did the cat sit on?", ("ma",))])
    assert not found
    assert len(lost) == 1


def test_words_end_where_scripts_without_spaces_go_on(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents([InputDocument("order", "Dunlinを12本設置しました。B12本")])
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder) as retriever:
        found, _ = locate(retriever, [OwnQuestion("何本ですか", (answer,)) for answer in ("12本", "Dunlin")])
    assert [question.answers[0].start for question in found] == [7, 0]


def test_a_question_without_an_answer_takes_the_best_passages(retriever: Retriever) -> None:
    found, _ = locate(retriever, [OwnQuestion("who approves a release in winter?", ())])
    assert len(found) == len({question.context for question in found}) == 3
    assert {question.answers for question in found} == {()}
    assert len({question.document for question in found}) == 1  # held back together
    assert "release" in found[0].context or "winter" in found[0].context


def test_a_question_without_an_answer_belongs_to_its_document(retriever: Retriever) -> None:
    found, _ = locate(retriever, [OwnQuestion("who approves a release?", (), document="cat")])
    assert {question.document for question in found} == {"cat"}
    assert len({question.context for question in found}) == 3


def test_a_known_place_tells_which_passage_is_meant(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    old, new = "# Old terms\n\nClaims within 30 days.\n\n", "# New terms\n\nClaims within 30 days.\n"
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "terms.md").write_text(old + new)
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder, chunking=ChunkingConfig(16, 4)) as indexer:
        indexer.add_paths([folder])
    rows = [
        OwnQuestion("claims?", ("30 days",), "terms.md", text.index("30 days") + moved)
        for text, moved in ((old, 0), (new, len(old)))
    ]
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder) as retriever:
        found, lost = locate(retriever, rows)
    assert not lost
    assert [question.title.split(" > ")[-1] for question in found] == ["Old terms", "New terms"]
    assert len({question.document for question in found}) == 1


def test_rows_are_told_from_squad_rows(tmp_path: Path) -> None:
    own, squad = tmp_path / "own.jsonl", tmp_path / "squad.jsonl"
    own.write_text(json.dumps({"question": "who?", "answers": ["me", {"text": "I"}]}) + "\n")
    squad.write_text(json.dumps({"question": "who?", "context": "me", "answers": []}) + "\n")
    assert is_own(own)
    assert not is_own(squad)
    assert not is_own(tmp_path / "missing.jsonl")
    assert load_own(own) == [OwnQuestion("who?", ("me", "I"))]


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"question": "who?", "answers": ["me"]}')[:-12] + b"\0" * 8)
    for broken in (file, tmp_path / "absent.jsonl"):
        assert not is_own(broken)
        with pytest.raises(DatasetError, match="expected JSON Lines in UTF-8"):
            load_own(broken)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"question": "who?"}', "line 1: expected"),
        ('{"question": "who?", "answers": [" "]}', "line 1: each answer must be a text"),
        ("{", "expected JSON Lines"),
    ],
)
def test_bad_rows_are_one_line(tmp_path: Path, row: str, said: str) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(row + "\n")
    with pytest.raises(DatasetError, match=said):
        load_own(file)
