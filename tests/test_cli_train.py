"""`spanseek train`: what it makes is used, and what it can't do is one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from unittest.mock import ANY

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.commands.train_corpus import in_folder, index_passages, searching_folders
from cli.commands.train_fitting import Fitting, ask_own, fit_refusal_of
from cli.main import app
from indexer import Indexer, InputDocument
from retriever import Retriever
from retriever.confidence import CONFIDENCE, UNFITTED
from retriever.encoder.backbone import find_encoder
from retriever.encoder.loading import load_span_encoder, save_reader
from retriever.encoder.model import SpanReader
from retriever.encoder.reading import ReadingConfig
from retriever.errors import SpanseekError
from retriever.evaluation import GradedQuestion, load_questions
from retriever.rerank import Evidence
from retriever.training.examples import Example
from retriever.training.negatives import SearchMany
from retriever.training.refusal import add_refusal
from retriever.types import TextSpan

runner = CliRunner()


def rows(path: Path, count: int = 24) -> Path:
    """Questions about made-up passages, four of them without an answer."""
    things = ["cat", "dog", "mat", "wind", "snow", "price"]
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            thing, other = things[i % 6], things[(i + 1) % 6]
            context = f"the {thing} is in paris {i}. the {other} is in berlin {i}."
            answer = f"paris {i}"
            answers = [] if i % 6 == 5 else [{"text": answer, "answer_start": context.index(answer)}]
            row = {"question": f"where is the {thing} {i}?", "context": context, "answers": answers}
            file.write(json.dumps(row) + "\n")
    return path


def known(index: Path) -> int:
    """How many documents an index holds."""
    with Retriever.open(index) as retriever:
        return retriever.status().documents


def test_passages_of_another_run_are_not_found(tmp_path: Path, tiny_encoder_folder: Path) -> None:
    root = tmp_path / "few.index"
    index_passages(["the cat", "the dog", "the mat"], root, str(tiny_encoder_folder))
    index_passages(["the mat", "the wind"], root, str(tiny_encoder_folder))
    with Retriever.open(root) as retriever:
        assert sorted(retriever.passages()) == ["the mat", "the wind"]


@pytest.mark.integration
def test_a_reader_is_trained_goes_on_and_answers(
    tmp_path: Path, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.commands.train_fitting._COLLECTION", 2)
    out = tmp_path / "reader"
    command = ["train", "reader", "--start", "none", "--encoder", str(tiny_encoder_folder)]
    command += ["--data", str(rows(tmp_path / "rows.jsonl", 96)), "--out", str(out), "--epochs", "3"]
    command += ["--extra", str(rows(tmp_path / "more.jsonl"))]
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert (out / "reader.json").is_file()
    assert "120 questions on" in done.output
    assert known(out / "few.index") < known(out / "passages.index"), (
        "what is held back is asked by itself, too"
    )
    again = runner.invoke(app, [*command, "--confidence-questions", "0"])
    assert again.exit_code == 0, again.output
    assert "going on from step" in again.output
    taught = [*command, "--teacher", str(out), "--batch-tokens", "600"]
    taught += ["--rehearse", str(rows(tmp_path / "known.jsonl", 12)), "--rehearsed", "6", "--layers", "1"]
    taught[taught.index("--out") + 1] = str(tmp_path / "pupil")
    taught[taught.index("--start") + 1] = str(out)
    add_refusal(out, 1.5)
    (out / CONFIDENCE).write_text(UNFITTED.to_json(), encoding="utf-8")
    done = runner.invoke(app, [*taught, "--no-negatives", "--confidence-questions", "0"])
    assert done.exit_code == 0, done.output
    anew = ["train", "confidence", str(out), "--encoder", str(tiny_encoder_folder), "--questions", "40"]
    (out / CONFIDENCE).unlink()
    refit = runner.invoke(app, [*anew, "--data", str(tmp_path / "rows.jsonl"), "--held-back", "0.5"])
    assert refit.exit_code == 0, refit.output
    assert (out / CONFIDENCE).is_file() is not ("confidences are not fitted" in refit.output)
    settings = json.loads((tmp_path / "pupil" / "reader.json").read_text(encoding="utf-8"))
    assert settings["no_answer"] == 1.5, "what can't be fitted on so few is as it was where it began"
    assert (tmp_path / "pupil" / CONFIDENCE).read_text(encoding="utf-8") == UNFITTED.to_json()
    documents = tmp_path / "notes.txt"
    documents.write_text("the cat is in paris.\n", encoding="utf-8")
    index = str(tmp_path / "index")
    assert runner.invoke(app, ["index", str(documents), "--index", index]).exit_code == 0
    question = ["search", "where is the cat?", "--index", index, "--json", "--min-confidence", "0"]
    found = runner.invoke(app, [*question, "--reader", str(out)])
    assert found.exit_code == 0, found.output
    answers = json.loads(found.stdout)["answers"]
    assert answers
    assert answers[0]["text"] in "the cat is in paris."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--window", "4"], "--start none"),
        (["--start", "nowhere/at/all"], "there is no span scorer"),
        (["--teacher", "nowhere/at/all"], "there is no span scorer at 'nowhere/at/all'"),
        (["--rehearse", "DATA", "--start", "none"], "give the one to go on from as --start"),
    ],
)
def test_what_a_reader_cannot_be_is_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    data = rows(tmp_path / "rows.jsonl")
    command = ["train", "reader", "--data", str(data), "--out", str(tmp_path / "out"), "--no-negatives"]
    done = runner.invoke(app, [*command, *(str(data) if option == "DATA" else option for option in options)])
    assert isinstance(done.exception, SpanseekError)
    assert said in str(done.exception)


def test_own_rows_need_an_index(tmp_path: Path) -> None:
    data = tmp_path / "own.jsonl"
    data.write_text(json.dumps({"question": "who?", "answers": ["me"]}) + "\n", encoding="utf-8")
    done = runner.invoke(app, ["train", "reader", "--data", str(data), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, SpanseekError)
    assert "--index" in str(done.exception)


def test_an_unknown_part_is_one_line(tmp_path: Path) -> None:
    command = ["train", "encoder", "--data", str(rows(tmp_path / "r.jsonl")), "--out", str(tmp_path / "o")]
    done = runner.invoke(app, [*command, "--part", "everything"])
    assert isinstance(done.exception, SpanseekError)
    assert "span layer" in str(done.exception)


def test_questions_of_a_folder_are_asked_of_it_alone(tmp_path: Path, tiny_encoder_folder: Path) -> None:
    root = tmp_path / "index"
    texts = {
        "a/x.md": "the cat",
        "a/y.md": "the dog",
        "a/z/w.md": "the mat",
        "b/x.md": "the wind",
        "c.md": "the snow",
    }
    with Indexer.open(root, encoder=str(tiny_encoder_folder)) as indexer:
        indexer.add_documents(InputDocument(id_, text) for id_, text in texts.items())
    passages = [*texts.values(), "elsewhere"]
    given: list[str] = []

    def elsewhere(passages: Sequence[str]) -> SearchMany:
        given.extend(passages)
        return lambda examples: [[len(passages) - 1] for _ in examples]

    search = searching_folders(root, {*texts}, elsewhere)(passages)
    found = [sorted(numbers) for numbers in search([example("a/x.md"), example("b/x.md"), example("c.md")])]
    assert found == [[0, 1, 2], [3], [0, 1, 2, 3, 4]], "what lies in no folder is asked of everything"
    assert given == []
    assert [*search([example("an article"), example("a/y.md"), example("another")])] == [[5], ANY, [5]]
    assert given == passages, "searched once"


def example(group: str) -> Example:
    nothing = np.empty(0, dtype=np.int64)
    return Example("where is the cat?", nothing, nothing, 0, (0, 0), ("x",), group)


def test_a_folder_is_meant_as_it_is_written(tmp_path: Path, tiny_encoder_folder: Path) -> None:
    root = tmp_path / "index"
    names = ["a[1]*/x?.md", "a1b/x.md", "a[1]*/deep/er.md"]
    with Indexer.open(root, encoder=str(tiny_encoder_folder)) as indexer:
        indexer.add_documents(InputDocument(name, "the cat is here") for name in names)
    with Retriever.open(root) as retriever:
        found = retriever.search("cat", 10, where=in_folder(names[0]))
    assert sorted(hit.document_id for hit in found) == sorted([names[0], names[2]])


def test_own_questions_are_asked_once_each_of_their_folder() -> None:
    asked: list[tuple[str, list[str]]] = []

    class Asking:
        def evidence(self, question: str, *, where: list[str]) -> list[Evidence]:
            asked.append((question, where))
            return []

    span = (TextSpan(0, 3, "cat"),)
    questions = [GradedQuestion("1", "Who?", "cat", "", span, ("cat",), "a/x.md")]
    questions += [GradedQuestion(f"2-{i}", "None?", f"passage {i}", "", (), (), "b/y.md") for i in range(3)]
    found, _ = ask_own(questions, cast("Retriever", Asking()), by_folder=True)
    assert {(question.lower().rstrip("?"), *where) for question, where in asked} >= {
        ("who", "id=a/*"),
        ("none", "id=b/*"),
    }
    assert sum(question.lower().startswith("none") for question, _ in asked) == 1
    assert {one.answerable for one in found} >= {False}
    asked.clear()
    ask_own(questions, cast("Retriever", Asking()), by_folder=False)
    assert {tuple(where) for _, where in asked} == {()}


@pytest.mark.parametrize("name", ["nowhere", "default"])
def test_confidence_is_fitted_to_a_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = rows(tmp_path / "rows.jsonl")
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["train", "confidence", name, "--data", str(data)])
    assert isinstance(done.exception, SpanseekError)
    assert f"there is no span scorer's folder at {name!r}" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"], "and nothing is left behind"


def test_folders_are_those_of_an_index(tmp_path: Path) -> None:
    command = ["train", "reader", "--data", str(rows(tmp_path / "r.jsonl")), "--out", str(tmp_path / "o")]
    done = runner.invoke(app, [*command, "--by-folder"])
    assert isinstance(done.exception, SpanseekError)
    assert "--index" in str(done.exception)


def test_how_readily_there_is_no_answer_is_fitted_whatever_it_was(
    tmp_path: Path, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = find_encoder(str(tiny_encoder_folder))
    model = SpanReader(load_span_encoder(files, files.config), segments=True)
    model.freeze_embeddings()
    save_reader(model, files, ReadingConfig(), tmp_path)
    monkeypatch.setattr("retriever.training.refusal.FEWEST", 2)
    questions = load_questions(rows(tmp_path / "rows.jsonl"))
    fitting = Fitting(questions, (), None, False, str(tiny_encoder_folder), tmp_path / "i", held_back=1.0)
    fitted = []
    for before in (0.0, 1.5):
        add_refusal(tmp_path, before)
        fit_refusal_of(tmp_path, fitting)
        fitted.append(json.loads((tmp_path / "reader.json").read_text(encoding="utf-8"))["no_answer"])
    assert fitted[0] == pytest.approx(fitted[1], abs=0.051)
    assert fitted[1] != 1.5, "it was fitted"
