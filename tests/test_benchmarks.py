"""What benchmarks are made of: what they draw, and what they make up. What they measure is no test's business."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent / "benchmarks"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark's module, imported as the benchmarks import each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = __import__(name)
    monkeypatch.delitem(sys.modules, name)
    return module


def figures(*sizes: int) -> dict[str, object]:
    """As `scale.py` prints them."""
    times = {"p50": 2.0, "p95": 3.0}
    rows = [
        {
            "chunks": size,
            "write_s_per_1000": 0.9,
            "search_ms": {"dense": times, "lexical": times, "both": times},
            "memory_mb": {"own": 0.0, "mapped": size / 1e4},
            "add_s": {"open_writer": 0.02, "new_writer": 0.05},
        }
        for size in sizes
    ]
    other = {"what": "hnswlib", "recall_at_10": 0.95, "p50_ms": 1.0, "memory_mb": 17.0, "build_s": 4.0}
    return {"dimension": 384, "sizes": rows[::-1], "against": [other]}


@pytest.mark.parametrize("sizes", [(1000, 10_000), (1000, 10_000, 100_000, 1_000_000), (1000,)])
def test_growth_is_drawn_in_a_picture_for_the_readme(
    sizes: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growth = script("growth", monkeypatch)
    out = tmp_path / "new" / "growth.png"
    growth.draw(figures(*sizes), out, against_chunks=sizes[-1])
    drawn = out.read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert struct.unpack(">II", drawn[16:24]) == (1200, 460)
    assert len(drawn) < 120_000
    assert [growth.short(number) for number in (0.1, 2, 1000, 10_000, 1e6)] == ["0.1", "2", "1k", "10k", "1M"]


def test_made_up_vectors_are_as_alike_as_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    generated = script("generated", monkeypatch)
    rng = np.random.default_rng(0)
    real = (rng.standard_normal((500, 8)) * np.geomspace(1, 0.05, 8) + np.eye(8)[0]).astype(np.float32)
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    made = generated.like(real, 2000)
    assert made.shape == (2000, 8)
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert np.allclose(made.mean(axis=0), real.mean(axis=0), atol=0.1)
    assert np.allclose(made.std(axis=0), real.std(axis=0), rtol=0.35)
    assert np.array_equal(made, generated.like(real, 2000))


def test_made_up_passages_are_many_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    generated = script("generated", monkeypatch)
    monkeypatch.setattr(generated, "_SENTENCES", 500)
    passages = generated.passages(200)
    assert passages == generated.passages(200)
    assert len(set(passages)) == 200
    assert 80 < sum(len(passage.split()) for passage in passages) / 200 < 150
