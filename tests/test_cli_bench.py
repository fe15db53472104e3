"""`spanseek bench`: what it says, and that it leaves everything as it was. How fast anything is, is no test's business."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cli.bench_table import _LIBRARIES, print_bench
from cli.commands.bench_run import Bench, run_bench
from cli.main import main
from indexer import Indexer, InputDocument
from retriever.encoder.work import ModelSize, product_precision, product_rate
from retriever.errors import SpanseekError
from retriever.evaluation.machine import _PACKAGES
from retriever.evaluation.processes import run_fresh
from retriever.evaluation.prose import Prose
from retriever.evaluation.speed import questions_of, sample_passages

ROOT = Path(__file__).resolve().parents[1]
Contents = dict[str, str]
DIGEST = "2bf14a7207a234783444d3082335f2d37eefafe4ac6a2609893c5868e05dff02"
"""Of some made-up text: whoever compares figures of two versions measures the same."""


NOTES = {"index.sqlite-wal", "index.sqlite-shm", "lexical.seen"}
"""What every search may lay beside an index: SQLite's log, empty, and its lock; which files were found whole."""


def contents(root: Path) -> Contents:
    """Every file below but the notes, with a hash of what is in it."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in NOTES)
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


def test_the_versions_told_are_of_what_spanseek_runs_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["fast"], project["name"]]
    assert set(_LIBRARIES) <= set(_PACKAGES) <= {re.split(r"[^\w-]", name)[0] for name in needed}


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
            "runtime precision passages tokens passages_per_s tokens_per_s product_precision product_gflops share"
        ).split(),
        "index": "passages seconds passages_per_s".split(),
        "search": "questions ms_p50 ms_p95 ms_mean stages read".split(),
        "answer": "questions ms_p50 ms_p95 ms_mean stages read".split(),
        "rerank": "questions candidates ms_p50 ms_p95".split(),
        "memory": "search_mb answer_mb indexing_mb".split(),
        "took_s": None,
    }
    assert said["corpus"]["index"] == str(index)
    assert said["corpus"]["documents"] == 4
    assert said["encode"]["runtime"] == "onnx"
    assert said["search"].pop("read") == said["search"]["stages"]["read"] == 0
    groups = ("start", "encode", "index", "search", "answer", "rerank", "memory")
    figures = [value for group in groups for value in said[group].values() if isinstance(value, int | float)]
    assert min(figures) > 0
    for group in ("search", "answer", "rerank"):
        assert said[group]["ms_p50"] <= said[group]["ms_p95"]
    for group in ("search", "answer"):
        stages = said[group]["stages"]
        assert list(stages) == ["encode", "dense", "lexical", "read", "rest"]
        assert min(stages.values()) >= 0
        assert sum(stages.values()) == pytest.approx(said[group]["ms_mean"], rel=0.01)
    assert said["start"]["help_ms"] < said["start"]["answer_ms"]
    assert reported == ["models", "indexing", "encoding", "search", "answers", "reading", "start"]


@pytest.mark.integration
def test_the_index_is_only_read_and_nothing_is_left(
    measured: tuple[Bench, Contents, list[str], list[str]], index: Path
) -> None:
    _, before, _, left = measured
    assert contents(index) == before
    log = index / "index.sqlite-wal"
    assert not log.exists() or not log.stat().st_size
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
    heads = [line.split()[0] for line in lines[lines.index("") :] if line and not line.startswith(" ")]
    assert heads == ["start", "encode", "index", "search", "answer", "memory", "measured"]
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


def test_an_index_without_passages_is_one_line(
    run: Callable[..., str], tmp_path: Path, tiny_encoder_folder: Path
) -> None:
    Indexer.open(tmp_path / "index", encoder=str(tiny_encoder_folder)).close()
    assert "holds nothing yet" in run("--index", str(tmp_path / "index"))


def test_an_interrupted_process_is_ended_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    communicate = subprocess.Popen.communicate

    def interrupted(self: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        if started:
            return communicate(self)  # type: ignore[return-value]
        started.append(self)
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    script = f"import os, pathlib, time; p = pathlib.Path({str(tmp_path / 'new')!r}); p.write_text(str(os.getpid())); "
    script += f"p.rename({str(tmp_path / 'pid')!r}); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt):
        run_fresh([sys.executable, "-c", script])
    assert started[0].returncode == -signal.SIGKILL
    child = int((tmp_path / "pid").read_text())
    for _ in range(500):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    state = Path(f"/proc/{child}/stat").read_text().split()[2]
    assert state == "Z", "it still runs"


@pytest.mark.parametrize(("tokens", "expected"), [(1, 2 * 192 + 4 * 4), (10, 10 * 2 * 192 + 4 * 100 * 4)])
def test_operations_are_those_of_the_products(tokens: int, expected: int) -> None:
    # a layer: four products by 4 x 4, two by 4 x 16; and attention, two products by as many tokens
    assert ModelSize(layers=1, hidden=4, inner=16).operations(tokens) == expected
    assert ModelSize(layers=3, hidden=4, inner=16).operations(tokens) == 3 * expected


def test_operations_agree_with_what_torch_counts(tiny_encoder_folder: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertModel

    model = BertModel.from_pretrained(
        str(tiny_encoder_folder), attn_implementation="eager", add_pooling_layer=False
    )
    size = ModelSize.of(tiny_encoder_folder)
    assert size is not None
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.arange(5, 25)[None])
    assert size.operations(20) == counter.get_total_flops()


def test_a_model_that_does_not_say_its_size_has_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "distilbert", "dim": 32}')
    assert ModelSize.of(tmp_path) is None


def test_products_have_a_rate() -> None:
    assert product_precision() in {"bfloat16", "float32"}
    assert product_rate("float32", 0.01) > 0
