"""How long indexing takes beside the encoding alone, and what a second run costs after a move, an edit, or nothing.

    python tests/benchmarks/indexing.py [--documents FOLDER] [--files 0] [--encoder NAME] [--json]

The documents are copied, indexed into a new index with the encoder loaded (as `Indexer` does), and then indexed again: unchanged, by the
command line from its start to its end; moved to another folder; with a sentence added at the beginning of the longest
text file. `busy` is the share of the first run in which the encoder worked; `of encoding alone` is that run's time
against the encoder's own for the same passages and batches with nothing beside it. `--files N` makes N small files
instead, and uses vectors made up from their words, since only the run over unchanged files is looked at. `cpu` is the
processor's time, which other programs of the machine do not lengthen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from indexer import IndexReport
    from retriever.types import Passage

COMMAND = "from cli.main import main; main()"
SENTENCE = "This sentence was added after the file had been indexed. "
WORDS = 40
TEXT = {".md", ".rst", ".txt"}


class MadeUp:
    """Vectors from a text's hash: for what does not depend on what they mean."""

    fingerprint, dimension, files = "made-up", 384, SimpleNamespace(name="made-up")

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]

    def encode_passages(self, passages: Sequence[Passage], **_: object) -> NDArray[np.float32]:
        seeds = (int.from_bytes(hashlib.sha256(p.text.encode()).digest()[:8], "big") for p in passages)
        vectors = np.stack([np.random.default_rng(seed).standard_normal(self.dimension) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Timed:
    """An encoder, how long it worked, and what it was given."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.seconds = 0.0
        self.calls: list[Sequence[Passage]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_passages(self, passages: Sequence[Passage], **options: Any) -> NDArray[np.float32]:
        begun = time.perf_counter()
        vectors = self._encoder.encode_passages(passages, **options)
        self.seconds += time.perf_counter() - begun
        self.calls.append(passages)
        return vectors


def make_files(folder: Path, count: int) -> None:
    rng = random.Random(0)
    words = re.findall(r"[a-z]+", (ROOT / "README.md").read_text(encoding="utf-8"))
    for number in range(count):
        path = folder / f"{number // 100:04d}" / f"{number:06d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Note {number}: {' '.join(rng.choices(words, k=WORDS))}.\n", encoding="utf-8")


def age(folder: Path) -> None:
    """Lets all files look as if they were an hour old: those that have just been written are read again."""
    then = time.time() - 3600
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def index(folder: Path, encoder: Any, **options: bool) -> IndexReport:
    from indexer import Indexer

    with Indexer.open(folder.parent / "index", encoder=encoder) as indexer:
        return indexer.add_paths([folder], **options)


def row(report: IndexReport) -> dict[str, float]:
    return {"seconds": round(report.seconds, 3), "embedded": report.chunks, "known": report.reused}


def unchanged(folder: Path, turns: int = 3) -> dict[str, float]:
    """The fastest of some runs of the whole command."""
    command = [sys.executable, "-c", COMMAND, "index", folder.name, "--index", "index", "--json"]
    took = []
    for _ in range(turns):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            command,
            cwd=folder.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        took.append((time.perf_counter() - begun, cpu))
        report = json.loads(done.stdout)
        assert report["chunks"] == report["indexed"] == report["updated"] == 0, report
    seconds, cpu = (min(column) for column in zip(*took, strict=True))
    return {"documents": report["unchanged"], "seconds": round(seconds, 2), "cpu": round(cpu, 2)}


def full(folder: Path, encoder: Timed) -> dict[str, float]:
    """The first run, and its encoding alone."""
    report = index(folder, encoder)
    share = encoder.seconds / report.seconds
    begun = time.perf_counter()
    for passages in encoder.calls.copy():
        encoder.encode_passages(passages)
    alone = time.perf_counter() - begun
    return {
        "documents": report.indexed,
        **row(report),
        "passages_per_s": round(report.chunks / report.seconds, 1),
        "busy": round(share, 3),
        "of_encoding_alone": round(report.seconds / alone, 3),
    }


def moved(folder: Path, encoder: Any) -> dict[str, float]:
    target = folder.rename(folder.parent / "moved")
    return row(index(target, encoder, prune=False))


def edited(folder: Path, encoder: Any) -> dict[str, float]:
    files = [path for path in folder.rglob("*") if path.suffix in TEXT and path.is_file()]
    path = max(files, key=lambda path: path.stat().st_size)
    head, blank, rest = path.read_text(encoding="utf-8").partition("\n\n")
    path.write_text(f"{head}{blank}{SENTENCE}{rest}", encoding="utf-8")
    return row(index(folder, encoder))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=Path, default=ROOT / "data" / "sample" / "documents")
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "documents")
        if options.files:
            make_files(folder, options.files)
            age(folder)
            result["first run"] = row(index(folder, MadeUp()))
            result["unchanged"] = unchanged(folder)
        else:
            from retriever.encoder import Passage, TextEncoder

            shutil.copytree(options.documents, folder)
            age(folder)
            encoder = Timed(TextEncoder.load(options.encoder))
            encoder.encode_passages([Passage("warm up " * 40)] * 16)
            encoder.seconds, encoder.calls = 0.0, []
            result["first run"] = full(folder, encoder)
            result["unchanged"] = unchanged(folder)
            result["moved"] = moved(folder, encoder)
            result["edited"] = edited(Path(scratch, "moved"), encoder)
    if options.json:
        print(json.dumps(result))
        return
    for name, values in result.items():
        print(
            f"{name:<10} " + ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in values.items())
        )


if __name__ == "__main__":
    main()
