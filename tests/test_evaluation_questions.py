"""Sets of questions with spans, well formed and not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from retriever.errors import DatasetError
from retriever.evaluation import EvalDocument, GradedQuestion, corpus_of, load_questions
from retriever.types import TextSpan

CONTEXT = "The dunlin wades. The dunlin dives."


def answer(text: str, start: object) -> dict[str, object]:
    return {"text": text, "answer_start": start}


def write(path: Path, content: str) -> Path:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def squad(*questions: dict[str, object]) -> str:
    paragraphs = [{"context": "Nobody asks.", "qas": []}, {"context": CONTEXT, "qas": list(questions)}]
    return json.dumps({"data": [{"title": "Wading_birds", "paragraphs": paragraphs}]})


def rows(*questions: dict[str, object]) -> str:
    return "\n".join(json.dumps(question) for question in questions) + "\n"


@pytest.mark.parametrize("name", ["set.json", "set.json.gz"])
def test_squad(tmp_path: Path, name: str) -> None:
    twice = [answer("dunlin", 4), answer("dunlin", 22), answer("The dunlin", 0)]
    content = squad(
        {"id": "a", "question": "Who wades?", "answers": twice},
        {"id": "b", "question": "Who sings?", "answers": [], "is_impossible": True},
        {
            "id": "c",
            "question": "Who hums?",
            "is_impossible": True,
            "plausible_answers": [answer("dunlin", 4)],
        },
    )
    path = write(tmp_path / name, content)
    questions = load_questions(path)
    spans = (TextSpan(4, 10, "dunlin"), TextSpan(22, 28, "dunlin"), TextSpan(0, 10, "The dunlin"))
    assert questions == [
        GradedQuestion("a", "Who wades?", CONTEXT, "Wading birds", spans, ("dunlin", "The dunlin")),
        GradedQuestion("b", "Who sings?", CONTEXT, "Wading birds", (), ()),
        GradedQuestion("c", "Who hums?", CONTEXT, "Wading birds", (), ()),
    ]
    assert corpus_of(path, questions) == [
        EvalDocument("0-0", "Wading birds", "Nobody asks."),
        EvalDocument("0-1", "Wading birds", CONTEXT),
    ]


@pytest.mark.parametrize("name", ["set.jsonl", "set.jsonl.gz"])
def test_rows(tmp_path: Path, name: str) -> None:
    content = rows(
        {
            "id": "a",
            "title": "Birds",
            "context": CONTEXT,
            "question": "Who?",
            "answers": [answer("dunlin", 4)],
            "all_answers": ["dunlin", "a wader"],
        },
        {"context": "🐦 sings.", "question": "What sings?", "answers": [answer("🐦", 0), answer("sings", 2)]},
    )
    path = write(
        tmp_path / name, content + "\n" + rows({"context": CONTEXT, "question": "Why?", "answers": []})
    )
    questions = load_questions(path)
    assert questions == [
        GradedQuestion("a", "Who?", CONTEXT, "Birds", (TextSpan(4, 10, "dunlin"),), ("dunlin", "a wader")),
        GradedQuestion(
            "2",
            "What sings?",
            "🐦 sings.",
            "",
            (TextSpan(0, 1, "🐦"), TextSpan(2, 7, "sings")),
            ("🐦", "sings"),
        ),
        GradedQuestion("4", "Why?", CONTEXT, "", (), ()),
    ]
    assert corpus_of(path, questions) == [
        EvalDocument("1", "Birds", CONTEXT),
        EvalDocument("2", "", "🐦 sings."),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.txt", "", r"set.txt: expected a .json file in SQuAD's layout or .jsonl rows"),
        ("set.json", "{\n oops", r"set.json, line 2: expected JSON"),
        ("set.json", "{}", r"set.json: data: expected a list of objects"),
        ("set.json", squad(), r"set.json: there are no questions in it"),
        (
            "set.json",
            squad({"id": "a", "question": "Who?"}),
            r"paragraphs\[1\].qas\[0\].answers: expected a list",
        ),
        (
            "set.json",
            squad({"id": "a", "question": "Who?", "answers": [answer("knot", 4)]}),
            r"qas\[0\].answers\[0\]: its text isn't at answer_start",
        ),
        ("set.jsonl", "\n\n", r"set.jsonl: there are no questions in it"),
        ("set.jsonl", "\n{oops", r"set.jsonl, line 2: expected JSON"),
        ("set.jsonl", "[1]", r"set.jsonl, line 1: expected a JSON object"),
        ("set.jsonl", '{"question": "Who?"}', r"set.jsonl, line 1: context: expected a string"),
        ("set.jsonl", '{"context": "A.", "answers": []}', r"set.jsonl, line 1: question: expected a string"),
        (
            "set.jsonl",
            '{"context": "A.", "question": "Who?"}',
            r"set.jsonl, line 1: answers: expected a list",
        ),
        ("set.jsonl.gz", "", r"set.jsonl.gz: there are no questions"),
    ],
)
def test_malformed(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as raised:
        load_questions(write(tmp_path / name, content))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("start", [5, -31, 1.0, True, None, 99])
def test_a_span_must_be_where_it_says(tmp_path: Path, start: object) -> None:
    row: dict[str, object] = {"context": CONTEXT, "question": "Who?", "answers": [answer("dunlin", start)]}
    with pytest.raises(DatasetError, match=r"line 1: answers\[0\]: its text isn't at answer_start"):
        load_questions(write(tmp_path / "set.jsonl", rows(row)))


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    for name in ("set.json.gz", "set.jsonl.gz"):
        (tmp_path / name).write_bytes(b"no gzip")
        with pytest.raises(DatasetError, match="perhaps compressed by gzip"):
            load_questions(tmp_path / name)
    (tmp_path / "set.jsonl").write_bytes(b'{"context": "\xff"}')
    with pytest.raises(DatasetError, match="expected JSON Lines in UTF-8"):
        load_questions(tmp_path / "set.jsonl")
    for name in ("nowhere.json", "nowhere.jsonl"):
        with pytest.raises(DatasetError, match="nowhere"):
            load_questions(tmp_path / name)
