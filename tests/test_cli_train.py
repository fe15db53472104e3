"""`spanseek train`: what it makes is used, and what it can't do is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.commands.train_corpus import index_passages
from cli.main import app
from retriever import Retriever
from retriever.confidence import CONFIDENCE, UNFITTED
from retriever.errors import SpanseekError
from retriever.training.refusal import add_refusal

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
    monkeypatch.setattr("cli.commands.train._COLLECTION", 2)
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
