"""Sets of graded questions, well formed and not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from retriever.errors import DatasetError
from retriever.evaluation import EvalDocument, load_retrieval

CORPUS = '{"_id": "d1", "title": "Dunlin", "text": "It wades."}\n\n{"_id": "d2", "text": "It dives."}\n'
QUERIES = "".join(json.dumps({"_id": f"q{i}", "text": f"question {i}?"}) + "\n" for i in range(1, 5))
QRELS = "query-id\tcorpus-id\tscore\nq3\td1\t2\nq3\td2\t0\nq1\td2\t1\n"


def write_beir(folder: Path, corpus: str = CORPUS, queries: str = QUERIES, qrels: str = QRELS) -> Path:
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "corpus.jsonl").write_text(corpus, encoding="utf-8")
    (folder / "queries.jsonl.gz").write_bytes(gzip.compress(queries.encode()))
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def write_squad(path: Path, *articles: object) -> Path:
    content = json.dumps({"version": "1.1", "data": articles}).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def article(title: str, *paragraphs: tuple[str, list[dict[str, object]]]) -> dict[str, object]:
    return {
        "title": title,
        "paragraphs": [{"context": text, "qas": questions} for text, questions in paragraphs],
    }


def question(key: str, *, answered: bool = True, **other: object) -> dict[str, object]:
    answer = [{"text": "x", "answer_start": 0}] if answered else []
    return {"id": key, "question": f"{key}?", "answers": answer, **other}


def test_beir(tmp_path: Path) -> None:
    dataset = load_retrieval(write_beir(tmp_path))
    expected = [EvalDocument("d1", "Dunlin", "It wades."), EvalDocument("d2", "", "It dives.")]
    assert list(dataset.documents) == expected
    assert list(dataset.documents) == expected  # again from the file
    assert len(dataset.documents) == 2
    assert dict(dataset.queries) == {"q1": "question 1?", "q3": "question 3?"}
    assert dataset.qrels == {"q1": {"d2": 1}, "q3": {"d1": 2, "d2": 0}}
    first = load_retrieval(tmp_path, limit=1)
    assert (list(first.queries), list(first.qrels)) == (["q1"], ["q1"])


def test_squad(tmp_path: Path) -> None:
    path = write_squad(
        tmp_path / "dev.json.gz",
        article("Wading_birds", ("Dunlin.", [question("a"), question("b", answered=False)]), ("Knot.", [])),
        article(
            "Copy",
            ("Dunlin.", [question("c")]),
            ("Rook.", [question("d", is_impossible=True), question("e")]),
        ),
    )
    dataset = load_retrieval(path)
    assert list(dataset.documents) == [
        EvalDocument("0-0", "Wading birds", "Dunlin."),
        EvalDocument("0-1", "Wading birds", "Knot."),
        EvalDocument("1-1", "Copy", "Rook."),
    ]
    assert dict(dataset.queries) == {"a": "a?", "c": "c?", "e": "e?"}
    assert dataset.qrels == {"a": {"0-0": 1}, "c": {"0-0": 1}, "e": {"1-1": 1}}
    assert list(load_retrieval(path, limit=2).qrels) == ["a", "c"]


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        (
            "queries",
            '{"_id": "q1", "text": "a"}\n{oops\n',
            r"queries.jsonl.gz, line 2: expected a JSON object",
        ),
        ("queries", '{"_id": "q1"}\n', r"queries.jsonl.gz, line 1: expected a string as 'text'"),
        ("queries", '{"text": "a"}\n', r"queries.jsonl.gz, line 1: expected a string as '_id'"),
        ("queries", QUERIES + QUERIES, r"queries.jsonl.gz, line 5: there is a query 'q1' above already"),
        (
            "qrels",
            "query-id\tcorpus-id\tscore\nq1\td1\n",
            r"test.tsv, line 2: expected query id, document id",
        ),
        ("qrels", "q1\td1\thigh\n", r"test.tsv, line 1: expected query id, document id and a whole number"),
        ("qrels", "q9\td1\t1\n", r"query 'q9' is not in queries.jsonl"),
        ("qrels", "query-id\tcorpus-id\tscore\n", r"no query here has both a text and a judgement"),
    ],
)
def test_malformed_beir(tmp_path: Path, part: str, content: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as raised:
        load_retrieval(write_beir(tmp_path, **{part: content}))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "row", ["[1]", '{"_id": "d2"}', '{"_id": "d2", "text": "a", "title": 3}', '{"_id": ""}']
)
def test_malformed_corpus_is_told_when_read(tmp_path: Path, row: str) -> None:
    dataset = load_retrieval(write_beir(tmp_path, corpus='{"_id": "d1", "text": "a"}\n' + row))
    with pytest.raises(DatasetError, match=r"corpus.jsonl, line 2: expected"):
        list(dataset.documents)


def test_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected a folder in BEIR's layout or a .json"):
        load_retrieval(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"expected corpus.jsonl or corpus.jsonl.gz"):
        load_retrieval(tmp_path)
    with pytest.raises(DatasetError, match=r"dev.tsv: no such file; splits that are there: test"):
        load_retrieval(write_beir(tmp_path), split="dev")
    (tmp_path / "queries.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(DatasetError, match=r"queries.jsonl.gz: expected text in UTF-8, perhaps compressed"):
        load_retrieval(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{\n oops", r"set.json, line 2: expected JSON"),
        ("[]", r"expected a JSON object with 'data'"),
        ("{}", r"set.json: data: expected a list of objects"),
        ('{"data": [{"title": "a"}]}', r"data\[0\].paragraphs: expected a list"),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', r"paragraphs\[0\].context: expected a string"),
        ('{"data": []}', r"no query here"),
    ],
)
def test_malformed_squad(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "set.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=message) as raised:
        load_retrieval(path)
    assert "\n" not in str(raised.value)


def test_a_question_twice(tmp_path: Path) -> None:
    path = write_squad(tmp_path / "set.json", article("A", ("Text.", [question("a"), question("a")])))
    with pytest.raises(DatasetError, match=r"qas\[1\].id: there is a question 'a' above already"):
        load_retrieval(path)
