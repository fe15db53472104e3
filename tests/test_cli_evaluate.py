"""`spanseek eval` with another encoder and another span scorer: the options reach what they are for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from retriever import Retriever

pytest.importorskip("ir_measures")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `spanseek eval ARGS... --json` beside two tiny sets; gives exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    answer = {"text": "the mat", "answer_start": 11}
    row = {"question": "where is the cat?", "context": "the cat on the mat", "answers": [answer]}
    other = {"question": "who approves?", "context": "a manager in paris", "answers": []}
    Path("rows.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(other)}\n")
    Path("set/qrels").mkdir(parents=True)
    corpus = [{"_id": "1", "text": row["context"]}, {"_id": "2", "text": other["context"]}]
    Path("set/corpus.jsonl").write_text("".join(f"{json.dumps(document)}\n" for document in corpus))
    Path("set/queries.jsonl").write_text('{"_id": "q", "text": "the cat"}\n')
    Path("set/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")

    def evaluate(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spanseek", "eval", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return evaluate


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The encoder's folder and the rerank settings of each retriever that is opened."""
    seen: list[tuple[str, Any]] = []
    original = Retriever.open.__func__  # type: ignore[attr-defined]

    def record(cls: type[Retriever], path: Path, /, **options: Any) -> Retriever:
        seen.append((options["encoder"].files.name, options["rerank"]))
        retriever: Retriever = original(cls, path, **options)
        return retriever

    monkeypatch.setattr(Retriever, "open", classmethod(record))
    return seen


def test_retrieval_with_another_encoder(
    run: Run, opened: list[tuple[str, Any]], tiny_encoder_folder: Path
) -> None:
    code, out, err = run("retrieval", "set", "--encoder", str(tiny_encoder_folder))
    assert (code, json.loads(out)["recall@1"]) == (0, 1.0), err
    assert opened[0][0] == str(tiny_encoder_folder.resolve())


@pytest.mark.parametrize("arguments", [(), ("--rerank",)])
def test_retrieval_rereads_only_if_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch, tiny_encoder_folder: Path, arguments: tuple[str, ...]
) -> None:
    asked: set[bool] = set()
    search = Retriever.search

    def record(self: Retriever, question: str, k: int, *, rerank: bool, **options: Any) -> list[Any]:
        asked.add(rerank)
        return search(self, question, k, **options)

    monkeypatch.setattr(Retriever, "search", record)
    assert run("retrieval", "set", "--encoder", str(tiny_encoder_folder), *arguments)[0] == 0
    assert asked == {bool(arguments)}


def test_answers_with_another_encoder_and_reader(
    run: Run, opened: list[tuple[str, Any]], tiny_encoder_folder: Path, tiny_reader_folder: Path
) -> None:
    pytest.importorskip("torchmetrics")
    options = ("--encoder", str(tiny_encoder_folder), "--reader", str(tiny_reader_folder))
    code, out, err = run("answers", "rows.jsonl", *options)
    assert (code, json.loads(out)["documents"]) == (0, 2), err
    [(encoder, rerank)] = opened
    assert (encoder, rerank.reader) == (str(tiny_encoder_folder.resolve()), str(tiny_reader_folder))


def test_a_kept_index_has_one_encoder(
    run: Run, tiny_encoder_folder: Path, write_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    other = write_encoder(tmp_path / "other", seed=5)
    kept = ("retrieval", "set", "--index", "kept.index")
    assert run(*kept, "--encoder", str(tiny_encoder_folder))[0] == 0
    assert run(*kept)[0] == 0
    code, out, err = run(*kept, "--encoder", str(other))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "encoder" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retrieval", "set", "--encoder", "no/such-model"), "neither a folder nor in the hub's cache"),
        (("answers", "rows.jsonl", "--reader", "nowhere"), "there is no span scorer at 'nowhere'"),
    ],
)
def test_unknown_models_are_one_line(
    run: Run, tiny_encoder_folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    if "--encoder" not in arguments:
        arguments += ("--encoder", str(tiny_encoder_folder))
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
