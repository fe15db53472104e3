"""`spanseek bench`: what it says, and that it leaves everything as it was. How fast anything is, is no test's business."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cli.bench_table import print_bench
from cli.commands.bench_run import Bench, run_bench
from cli.main import main
from indexer import Indexer, InputDocument
from retriever.errors import SpanseekError
from retriever.evaluation.processes import run_fresh
from retriever.evaluation.prose import Prose
from retriever.evaluation.speed import questions_of, sample_passages

Contents = dict[str, str]
DIGEST = "2bf14a7207a234783444d3082335f2d37eefafe4ac6a2609893c5868e05dff02"
"""Of some made-up text: whoever compares figures of two versions measures the same."""


def contents(root: Path) -> Contents:
    """Every file below, with a hash of what is in it."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path) -> Path:
    root = tmp_path_factory.mktemp("bench") / "index"
    with Indexer.open(root, encoder=str(tiny_encoder_folder)) as indexer:
        indexer.add_documents(InputDocument(d.id, d.text, d.title) for d in Prose(1).documents(4, 3))
    return root


@pytest.fixture(scope="module")
def measured(
    index: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bench, Contents, list[str], list[str]]:
    """A bench of a small index; what the index held before; what was reported; what it left among temporary files."""
    before, reported = contents(index), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        temporary = tmp_path_factory.mktemp("temporary")
        patch.setattr(tempfile, "tempdir", str(temporary))
        found = run_bench(index, [], "default", 1.0, reported.append)
        return found, before, reported, [path.name for path in temporary.iterdir()]


@pytest.mark.integration
def test_the_json_has_every_figure_and_each_makes_sense(
    measured: tuple[Bench, Contents, list[str], list[str]], index: Path
) -> None:
    found, _, reported, _ = measured
    said = json.loads(json.dumps(found.as_json()))
    assert {name: list(value) if isinstance(value, dict) else None for name, value in said.items()} == {
        "machine": "cpu cores usable_cores memory_gb computes system python versions".split(),
        "corpus": "index documents passages encoder".split(),
        "start": "runs help_ms search_ms answer_ms".split(),
        "encode": (
            "precision passages tokens passages_per_s tokens_per_s product_precision product_gflops share"
        ).split(),
        "index": "passages seconds passages_per_s".split(),
        "search": "questions ms_p50 ms_p95 ms_mean stages".split(),
        "rerank": "questions candidates ms_p50 ms_p95".split(),
        "memory": "search_mb answer_mb indexing_mb".split(),
        "took_s": None,
    }
    assert said["corpus"]["index"] == str(index)
    assert said["corpus"]["documents"] == 4
    figures = [
        value
        for group in ("start", "encode", "index", "search", "rerank", "memory")
        for value in said[group].values()
        if isinstance(value, int | float)
    ]
    assert min(figures) > 0
    for group in ("search", "rerank"):
        assert said[group]["ms_p50"] <= said[group]["ms_p95"]
    stages = said["search"]["stages"]
    assert list(stages) == ["encode", "vectors", "words", "rest"]
    assert min(stages.values()) >= 0
    assert sum(stages.values()) == pytest.approx(said["search"]["ms_mean"], rel=0.01)
    assert said["start"]["help_ms"] < said["start"]["answer_ms"]
    assert reported == ["models", "indexing", "encoding", "search", "reading", "start"]


@pytest.mark.integration
def test_the_index_is_only_read_and_nothing_is_left(
    measured: tuple[Bench, Contents, list[str], list[str]], index: Path
) -> None:
    _, before, _, left = measured
    after = contents(index)
    # what SQLite lays beside a database that is read: an empty log, and memory that readers share
    assert {name: after.get(name) for name in before} == before
    assert after.keys() - before.keys() <= {"index.sqlite-wal", "index.sqlite-shm"}
    assert not (index / "index.sqlite-wal").exists() or not (index / "index.sqlite-wal").stat().st_size
    assert left == []


@pytest.mark.integration
def test_the_table_has_every_group_and_fits_a_terminal(
    measured: tuple[Bench, Contents, list[str], list[str]],
) -> None:
    found = replace(measured[0], took_s=12.3)
    shown = io.StringIO()
    print_bench(
        Console(file=shown, width=100, force_terminal=True, color_system=None, highlight=False), found
    )
    lines = shown.getvalue().splitlines()
    heads = [line.split()[0] for line in lines[3:] if line and not line.startswith(" ")]
    assert heads == ["start", "encode", "index", "search", "read", "memory", "measured"]
    assert max(map(len, lines)) <= 100
    figures = [line for line in lines if line.endswith(" ms") or " ms  " in line]
    assert len({line.index(" ms") for line in figures}) == 1
    assert "measured in 12 s" in lines[-1]


def test_made_up_prose_is_the_same_everywhere_and_reads_like_english() -> None:
    first, again = ([d.text for d in Prose(7).documents(5)] for _ in range(2))
    assert first == again
    digest = hashlib.sha256("\n".join(first).encode()).hexdigest()
    assert digest == DIGEST
    words = " ".join(first).split()
    assert 4.5 < sum(map(len, words)) / len(words) < 6
    assert 0.04 < sum(word.lower() == "the" for word in words) / len(words) < 0.09
    assert first[0].count("\n\n") == 7


def test_questions_are_parts_of_passages() -> None:
    passages = ["A release is approved by the duty engineer on Tuesdays only. Then it is built.", "x", " \n"]
    assert questions_of(passages * 2)[:2] == [
        "A release is approved by the duty engineer on Tuesdays",
        "x",
    ]


def test_a_sample_is_spread_over_the_index(index: Path) -> None:
    every = sample_passages(index, 1000)
    few = sample_passages(index, 3)
    assert len(few) == 3
    assert few[0] == every[0]
    assert every.index(few[2]) >= 2 * (len(every) // 3)


def test_a_fresh_process_tells_what_it_took_and_why_it_failed() -> None:
    ran = run_fresh([sys.executable, "-c", "print('out', end=''); x = b'1' * 80_000_000"])
    assert ran.output == "out"
    assert 80e6 < ran.peak < 200e6
    assert 0 < ran.first_s <= ran.seconds
    with pytest.raises(SpanseekError, match=r"^a fresh process failed: no such thing$"):
        run_fresh([sys.executable, "-c", "import sys; sys.exit('spanseek: no such thing')"])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `spanseek bench ARGS...`, which fails, and gives what it says."""

    def spanseek(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["spanseek", "bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    return spanseek


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("q.jsonl", '{"question": "who?"}\n{"query": "who?"}\n', "line 2: there is no 'question' in it"),
        ("q.jsonl", '{"question": \n', "line 1: not JSON"),
        ("q.txt", "\n  \n", "there are no questions in it"),
    ],
)
def test_a_file_without_questions_is_one_line(
    run: Callable[..., str], tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    err = run("--questions", str(tmp_path / name))
    assert err.startswith("spanseek: ")
    assert said in err
    assert err.count("\n") == 1


def test_an_index_that_is_not_there_is_one_line(run: Callable[..., str], tmp_path: Path) -> None:
    assert "there is no index at" in run("--index", str(tmp_path / "nowhere"))
