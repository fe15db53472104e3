"""QAMR's rows: words put together as people write them, answers where they stand."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from retriever.evaluation.questions import load_questions
from retriever.training.qamr import join, rows

SENTENCE = "`` It 's $ 5 -LRB- or more -RRB- , '' said Ann 's boss ."
WRITTEN = "\"It's $5 (or more),\" said Ann's boss."


def pair(answer: str, *validations: str, question: str = "Who said it ?") -> str:
    return "\t".join(["s1", "1 2", "7", "0", "0", question, answer, *(validations or (f"3:{answer}",) * 2)])


def test_words_stand_where_they_say() -> None:
    words = SENTENCE.split()
    text, places = join(words)
    assert text == WRITTEN
    assert [text[start:end] for start, end in places][-4:] == ["Ann", "'s", "boss", "."]
    assert len(places) == len(words)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (pair("12 13 14"), "Ann's boss"),
        (pair("14 12 13", "1:12 13 14", "2:14"), "Ann's boss"),
        (pair("12 14"), None),  # not one run
        (pair("12 13 14", "1:14", "2:12"), None),  # nobody agrees
        (pair("", "1:", "2:"), None),
        (pair("12", "1:Invalid", "2:12"), "Ann"),
        ("s1\ttoo few fields", None),
        (pair("12").replace("s1", "s2"), None),  # no such sentence
    ],
)
def test_rows(line: str, answer: str | None) -> None:
    found = list(rows([f"s1\t{SENTENCE}\n"], [line + "\n"]))
    assert [row["answers"][0]["text"] for row in found] == ([] if answer is None else [answer])
    for row in found:
        place = row["answers"][0]
        assert row["context"].startswith(place["text"], place["answer_start"])


def test_a_question_comes_once() -> None:
    assert (
        len(list(rows([f"s1\t{SENTENCE}"], [pair("12"), pair("12"), pair("12", question="Whose boss ?")])))
        == 2
    )


def test_the_file_can_be_trained_on(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "sentences.tsv.gz", "wt", encoding="utf-8") as file:
        file.write(f"s1\t{SENTENCE}\n")
    (tmp_path / "pairs.tsv").write_text(pair("12 13 14") + "\n" + pair("3 4") + "\n", encoding="utf-8")
    arguments = [tmp_path / name for name in ("rows.jsonl", "sentences.tsv.gz", "pairs.tsv")]
    command = [sys.executable, "-m", "retriever.training.qamr", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"1 questions in {arguments[0]}\n"
    found = load_questions(arguments[0])
    assert [question.accepted for question in found] == [("Ann's boss",)]
    assert {question.context for question in found} == {WRITTEN}


def test_too_few_arguments_are_said() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "retriever.training.qamr", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "usage" in done.stderr


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.tsv.gz").write_bytes(b"no gzip")
    command = [sys.executable, "-m", "retriever.training.qamr", str(tmp_path / "rows.jsonl")]
    for name in ("absent.tsv", "broken.tsv.gz"):
        done = subprocess.run(
            [*command, str(tmp_path / name), "pairs"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"{tmp_path / name}: expected text in UTF-8")
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "rows.jsonl").exists()
