"""How writing, opening and searching an index grow with it, from a thousand passages to a million.

    python tests/benchmarks/scale.py [--sizes 1000 10000 100000 1000000] [--real VECTORS.npy] [--questions VECTORS.npy]
                                     [--keep FOLDER] [--against SIZE] [--json]

Indexes are written by the real writer, in commits as large as an indexer's. Texts and vectors are made up, with the
statistics of real ones (`scale_corpus.py`); encoding is left out. `--real` names real vectors to make others around,
`--questions` real questions' vectors for the recall; without them those of the sample corpus serve. With `--keep`,
indexes are left in the folder, and used again if they are there. `--against` compares at one size with hnswlib, usearch
and FAISS (`scale_against.py`).

`--json` prints one object: `sizes`, a list of objects, one a size:

    chunks, search, lists, probes           of the index; `search` is `exact` or `lists`
    write_s_per_1000                        seconds to write 1,000 chunks, merges included; `merge_s` those of all merges
    bytes                                   {`database`, `vectors`, `lexical`}
    memory_mb                               {`own`, `mapped`}: growth of a reader's resident memory by 300 dense searches
    open_ms                                 {`first`, `again`}: a new process's first dense and lexical search, before and
                                            after its files were noted as whole
    search_ms                               {`dense`, `lexical`, `both`, `dense_filtered`, `both_filtered`}, each
                                            {`p50`, `p95`, `cpu_p50`}: the last is the time that a processor
                                            worked, on a machine that does other things too; a filter leaves a tenth; `both` is all but encoding
    question_ms                             {`1`, `2`}: from a question's text to its ten hits, by how many threads the
                                            encoder has, each as above, over the sample's questions and parts of its
                                            sentences; left out where vectors aren't the default encoder's
    recall                                  {`at_10`, `at_200`, `at_10_filtered`}, and `questions_at_10` with --questions,
                                            against exact search
    add_s                                   {`open_writer`, `new_writer`}: to add a document until an open reader finds it

and `against`, if asked for: a list of {`what`, `recall_at_10`, `p50_ms`, `memory_mb`, `build_s`}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one search is one thread's work
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from encode import sample_passages
from numpy.typing import NDArray
from scale_corpus import ROOT, SHELVES, TextMaker, VectorMaker, document, documents, sample_vectors

from retriever import Retriever
from retriever.config import ChunkingConfig, RerankConfig, SearchConfig
from retriever.encoder import TextEncoder
from retriever.evaluation.speed import questions_of
from retriever.filters import Filter
from retriever.search import candidates, present
from retriever.store.layout import IndexPaths
from retriever.store.manifest import Manifest
from retriever.store.reader import IndexReader
from retriever.store.writer import IndexWriter

_COMMIT_CHUNKS = 256
_QUERIES = 100
_ASKED = 300
_FILTER = [Filter("shelf", "=", "3")]


def build(root: Path, chunks: int, texts: TextMaker, vectors: VectorMaker, dimension: int) -> dict[str, Any]:
    """Writes an index; how long it took lies beside it afterwards."""
    note = root.with_suffix(".json")
    if note.exists():
        times: dict[str, Any] = json.loads(note.read_text())
        return times
    spent = merging = 0.0
    settings = Manifest("default", "0" * 64, dimension, ChunkingConfig())
    with IndexWriter.open(root, settings) as writer:
        merge = writer.merge

        def timed(**how: bool) -> bool:
            nonlocal merging
            begun = time.perf_counter()
            done = merge(**how)
            merging += time.perf_counter() - begun
            return done

        writer.merge = timed  # type: ignore[method-assign]
        batch, held, written = [], 0, 0
        for item in documents(texts, vectors, chunks):
            batch.append(item)
            held += len(item.chunks)
            written += len(item.chunks)
            if held >= _COMMIT_CHUNKS or written == chunks:
                begun = time.perf_counter()
                writer.write(1, batch)
                spent += time.perf_counter() - begun
                batch, held = [], 0
                if written % 10_240 < _COMMIT_CHUNKS:
                    print(f"{written} written in {spent:.0f} s", file=sys.stderr, flush=True)
        begun = time.perf_counter()
    spent += time.perf_counter() - begun
    times = {"write_s_per_1000": round(1000 * spent / chunks, 4), "merge_s": round(merging, 1)}
    note.write_text(json.dumps(times))
    return times


def measure(
    root: Path, texts: TextMaker, vectors: VectorMaker, questions: NDArray[np.float32] | None
) -> dict[str, Any]:
    """What a reader sees."""
    rng = np.random.default_rng(7)
    asked = vectors.make(_QUERIES, rng).astype(np.float32)
    words = [texts.words(8, rng) for _ in range(_QUERIES)]
    config = SearchConfig()
    result: dict[str, Any] = {
        "open_ms": {"first": _open(root, asked, words), "again": _open(root, asked, words)}
    }
    result["memory_mb"] = _memory(root, vectors.make(300, rng).astype(np.float32))
    with IndexReader(root) as reader:
        with reader.snapshot() as snapshot:
            status = snapshot.status()
            result |= {"chunks": status.chunks, "search": status.search, "lists": status.lists}
            result |= {"probes": status.probes}
            paths = IndexPaths(root)
            result["bytes"] = {
                "database": paths.database.stat().st_size,
                "vectors": sum(path.stat().st_size for path in paths.vectors.glob("*")),
                "lexical": sum(path.stat().st_size for path in paths.lexical.iterdir()),
            }
            allowed = snapshot.allowed(_FILTER)

        def dense(i: int) -> None:
            with reader.snapshot() as snapshot:
                snapshot.dense(asked[i], config.candidates, None)

        def dense_filtered(i: int) -> None:
            with reader.snapshot() as snapshot:
                snapshot.dense(asked[i], config.candidates, allowed)

        def lexical(i: int) -> None:
            with reader.snapshot() as snapshot:
                snapshot.lexical(words[i], config.candidates, None)

        def both(i: int, filters: list[Filter]) -> None:
            with reader.snapshot() as snapshot:
                ranked = candidates(snapshot, words[i], asked[i], 10, config, filters)
                present(snapshot, ranked, 10, config)

        result["search_ms"] = {
            "dense": _times(dense),
            "lexical": _times(lexical),
            "both": _times(lambda i: both(i, [])),
            "dense_filtered": _times(dense_filtered),
            "both_filtered": _times(lambda i: both(i, _FILTER)),
        }
        encoder_threads = (1, 2) if asked.shape[1] == TextEncoder.load().dimension else ()
        result["question_ms"] = {str(count): _asked(reader, count) for count in encoder_threads}
        result["recall"] = _recall(reader, asked, questions)
        result["add_s"] = _add(root, reader, texts, vectors)
    return result


def _asked(reader: IndexReader, threads: int) -> dict[str, float]:
    """What `Retriever.search` takes, warm, from the question's text on."""
    before = os.environ["OMP_NUM_THREADS"]
    os.environ["OMP_NUM_THREADS"] = str(threads)
    encoder = TextEncoder.load()  # with as many threads
    os.environ["OMP_NUM_THREADS"] = before
    lines = (ROOT / "data" / "sample" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line)["question"] for line in lines]
    asked = list(dict.fromkeys([*asked, *questions_of(sample_passages())]))[:_ASKED]
    retriever = Retriever(reader, encoder, None, SearchConfig(), RerankConfig())
    return _times(lambda i: retriever.search(asked[i]), len(asked), time.process_time)


def _times(
    ask: Callable[[int], object],
    count: int = _QUERIES,
    worked_until_now: Callable[[], float] = time.thread_time,
) -> dict[str, float]:
    for i in range(10):
        ask(i)
    took, worked = [], []
    for i in range(count):
        begun, before = time.perf_counter(), worked_until_now()
        ask(i)
        took.append(1000 * (time.perf_counter() - begun))
        worked.append(1000 * (worked_until_now() - before))
    return {
        "p50": round(statistics.median(took), 2),
        "p95": round(statistics.quantiles(took, n=20)[-1], 2),
        "cpu_p50": round(statistics.median(worked), 2),
    }


_OPEN = """
import sys, time, json
import numpy as np
from pathlib import Path
from retriever.store.reader import IndexReader
asked = np.load(sys.argv[2])
begun = time.perf_counter()
with IndexReader(Path(sys.argv[1])) as reader, reader.snapshot() as snapshot:
    snapshot.dense(asked[0], 200, None)
    snapshot.lexical(sys.argv[3], 200, None)
    print(1000 * (time.perf_counter() - begun))
"""
_MEMORY = """
import sys, json
import numpy as np
from pathlib import Path
from retriever.store.reader import IndexReader
def resident():
    rows = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return [int(rows[name].split()[0]) / 1000 for name in ("RssAnon", "RssFile")]
asked = np.load(sys.argv[2])
before = resident()
with IndexReader(Path(sys.argv[1])) as reader, reader.snapshot() as snapshot:
    for vector in asked:
        snapshot.dense(vector, 200, None)
    print(json.dumps([after - then for after, then in zip(resident(), before)]))
"""


def _child(script: str, root: Path, asked: NDArray[np.float32], *more: str) -> str:
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, asked)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-c", script, str(root), file.name, *more],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
    return done.stdout


def _open(root: Path, asked: NDArray[np.float32], words: list[str]) -> float:
    return round(float(_child(_OPEN, root, asked, words[0])), 1)


def _memory(root: Path, asked: NDArray[np.float32]) -> dict[str, float]:
    own, mapped = json.loads(_child(_MEMORY, root, asked))
    return {"own": round(own, 1), "mapped": round(mapped, 1)}


def _recall(
    reader: IndexReader, asked: NDArray[np.float32], questions: NDArray[np.float32] | None
) -> dict[str, float]:
    """Against exact search over the vectors that SQLite holds."""
    with reader.snapshot() as snapshot:
        allowed = snapshot.allowed(_FILTER)
        assert allowed is not None
        sets = {"asked": asked} if questions is None else {"asked": asked, "questions": questions}
        best = {name: _exact(snapshot._db, vectors, 200, None) for name, vectors in sets.items()}
        filtered = _exact(snapshot._db, asked, 10, allowed.chunks)
        found = [[hit.chunk for hit in snapshot.dense(vector, 200, None)] for vector in asked]
        recall = {"at_10": _share(best["asked"], found, 10), "at_200": _share(best["asked"], found, 200)}
        found = [[hit.chunk for hit in snapshot.dense(vector, 200, allowed)] for vector in asked]
        recall["at_10_filtered"] = _share(filtered, found, 10)
        if questions is not None:
            found = [[hit.chunk for hit in snapshot.dense(vector, 200, None)] for vector in questions]
            recall["questions_at_10"] = _share(best["questions"], found, 10)
    return recall


def _exact(
    connection: Any, asked: NDArray[np.float32], depth: int, only: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    scores, best = np.empty((len(asked), 0), dtype=np.float32), np.empty((len(asked), 0), dtype=np.int64)
    rows = connection.execute("SELECT id, vector FROM chunks ORDER BY id")
    while block := rows.fetchmany(20_000):
        ids = np.array([row[0] for row in block])
        matrix = np.frombuffer(b"".join(row[1] for row in block), dtype=np.float16).reshape(len(ids), -1)
        if only is not None:
            kept = np.isin(ids, only)
            ids, matrix = ids[kept], matrix[kept]
        block_scores = asked @ matrix.astype(np.float32).T
        some = np.argpartition(-block_scores, min(depth, len(ids)) - 1, axis=1)[:, :depth]
        scores = np.concatenate([scores, np.take_along_axis(block_scores, some, 1)], axis=1)
        best = np.concatenate([best, ids[some]], axis=1)
        order = np.argsort(-scores, axis=1)[:, :depth]
        scores, best = np.take_along_axis(scores, order, 1), np.take_along_axis(best, order, 1)
    return best


def _share(best: NDArray[np.int64], found: list[list[int]], depth: int) -> float:
    shares = [len(set(a[:depth].tolist()) & set(b[:depth])) / depth for a, b in zip(best, found, strict=True)]
    return round(float(np.mean(shares)), 4)


def _add(root: Path, reader: IndexReader, texts: TextMaker, vectors: VectorMaker) -> dict[str, float]:
    """Seconds until an open reader finds a new document; the median of five."""

    def add(writer: IndexWriter, name: str) -> None:
        vector = vectors.make(1, rng)
        writer.write(2, [document(name, [texts.passage(rng)], vector, 0)])
        with reader.snapshot() as snapshot:
            question = vector[0].astype(np.float32)
            best = snapshot.dense(question / np.linalg.norm(question), 1, None)[0]
            found = snapshot.chunks([best.chunk])[0]
            stored = snapshot._db.execute(
                "SELECT id FROM documents WHERE key = ?", [found.document]
            ).fetchone()
            if stored[0] != name:
                raise RuntimeError(f"{name} isn't found: {stored[0]} is")

    rng = np.random.default_rng()  # other vectors than those of an earlier run
    opened, held, names = [], [], [f"new-{number}" for number in range(10)]
    for number in range(5):
        begun = time.perf_counter()
        with IndexWriter.open(root) as writer:
            add(writer, names[number])
            opened.append(time.perf_counter() - begun)
    with IndexWriter.open(root) as writer:
        for number in range(5, 10):
            begun = time.perf_counter()
            add(writer, names[number])
            held.append(time.perf_counter() - begun)
    return {
        "open_writer": round(statistics.median(held), 4),
        "new_writer": round(statistics.median(opened), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--real", type=Path)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--against", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    texts = TextMaker()
    real = np.load(options.real) if options.real else sample_vectors()
    vectors = VectorMaker(real)
    questions = np.load(options.questions)[:_QUERIES].astype(np.float32) if options.questions else None
    result: dict[str, Any] = {"dimension": real.shape[1], "shelves": SHELVES, "sizes": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        for size in options.sizes:
            root = folder / f"index-{size}"
            times = build(root, size, texts, vectors, real.shape[1])
            result["sizes"].append(times | measure(root, texts, vectors, questions))
    if options.against:
        from scale_against import compare

        result["against"] = compare(options.against, vectors)
    if options.json:
        print(json.dumps(result))
        return
    for row in result["sizes"]:
        print(f"{row['chunks']:,} chunks")
        for name, value in row.items():
            print(f"    {name:<18} {value}")
    for row in result.get("against", []):
        print("    " + ", ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
