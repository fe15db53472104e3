"""Latency of a search in an open index, its two sides against what one would use instead for each, in one run.

    python tests/benchmarks/search.py [--chunks 20000] [--queries 300] [--cache FOLDER] [--json]

The whole search is measured with its question's encoding. Then the sides, on the same passages, one thread, one question
at a time in turns, ten results: vectors against a plain faiss HNSW (M = 32, as it comes; `efSearch` is doubled until recall@10
is 0.95), words against bm25s. Recall is against exact search. What isn't installed is left out, and a line says so.

Vectors are those of the sample corpus, and others with their statistics (`generated.py`), so that 100,000 passages
needn't be encoded. `--cache` keeps those that were encoded.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
K = 10
PER_DOCUMENT = 10
BATCH = 200
Vectors = NDArray[np.float32]
Ask = Callable[[Any], object]


def fill(root: Path, passages: Sequence[str], vectors: Vectors, fingerprint: str) -> None:
    """Writes an index of passages whose vectors are known."""
    from retriever.config import ChunkingConfig
    from retriever.store.manifest import Manifest
    from retriever.store.records import PreparedDocument
    from retriever.store.writer import IndexWriter
    from retriever.types import Chunk, Extract

    settings = Manifest("default", fingerprint, vectors.shape[1], ChunkingConfig())
    with IndexWriter.open(root, settings) as writer:
        documents = []
        for begin in range(0, len(passages), PER_DOCUMENT):
            part = passages[begin : begin + PER_DOCUMENT]
            starts = np.cumsum([0, *(len(passage) + 2 for passage in part[:-1])]).tolist()
            cut = [Chunk(start, start + len(passage)) for start, passage in zip(starts, part, strict=True)]
            name, extract = str(begin), Extract("\n\n".join(part), "text")
            own = vectors[begin : begin + len(part)].astype(np.float16)
            documents.append(PreparedDocument(name, None, extract, name, cut, own))
            if len(documents) == BATCH:
                writer.write(1, documents)
                documents = []
        writer.write(1, documents)
        writer.merge(force=True)


def turns(sides: Mapping[str, Ask], arguments: Sequence[Any], warm_up: int = 20) -> dict[str, list[float]]:
    """Milliseconds of each call, by side, all sides in turns; the first calls aren't counted."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    for argument in [*arguments[:warm_up], *arguments]:
        for name, ask in sides.items():
            begun = time.perf_counter()
            ask(argument)
            took[name].append((time.perf_counter() - begun) * 1000)
    return {name: side[min(warm_up, len(arguments)) :] for name, side in took.items()}


def quantiles(took: Sequence[float]) -> dict[str, float]:
    return {
        "ms_p50": round(statistics.median(took), 3),
        "ms_p95": round(statistics.quantiles(took, n=20)[-1], 3),
    }


def recall(found: Sequence[Sequence[int]], exact: NDArray[np.int64]) -> float:
    shared = [len(set(some) & set(all_.tolist())) / K for some, all_ in zip(found, exact, strict=True)]
    return round(float(np.mean(shared)), 4)


def hnsw(vectors: Vectors, questions: Vectors, exact: NDArray[np.int64]) -> tuple[Ask, dict[str, float]]:
    """A plain HNSW index of faiss: how to ask it, and what is known of it."""
    import faiss

    begun = time.perf_counter()
    index: Any = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)
    built = time.perf_counter() - begun
    index.hnsw.efSearch = 8
    reached = 0.0
    while reached < 0.95 and index.hnsw.efSearch < 1024:
        index.hnsw.efSearch *= 2
        reached = recall(index.search(questions, K)[1].tolist(), exact)
    facts = {
        "recall_at_10": reached,
        "ef_search": index.hnsw.efSearch,
        "build_s": round(built, 1),
        "mb": round(len(faiss.serialize_index(index)) / 1e6, 1),
    }
    return lambda point: index.search(point[None], K), facts


def bm25s_side(passages: Sequence[str]) -> tuple[Ask, dict[str, float]]:
    """bm25s with its own tokenizer and English stop words: how to ask it, and what is known of it."""
    import bm25s

    begun = time.perf_counter()
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(passages), stopwords="en", show_progress=False), show_progress=False)
    built = time.perf_counter() - begun

    def ask(question: str) -> object:
        tokens = bm25s.tokenize([question], stopwords="en", show_progress=False)
        return index.retrieve(tokens, k=K, show_progress=False)

    return ask, {"build_s": round(built, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    import faiss
    import generated
    from encode import sample_passages

    from retriever import Retriever
    from retriever.encoder import TextEncoder
    from retriever.evaluation.speed import questions_of
    from retriever.store.reader import IndexReader

    faiss.omp_set_num_threads(1)
    encoder = TextEncoder.load()
    real = generated.encoded(encoder, sample_passages(), options.cache)
    vectors = generated.like(real, options.chunks)
    passages = generated.passages(options.chunks)
    questions = questions_of(passages[:: max(1, len(passages) // (2 * options.queries))])[: options.queries]
    points = generated.near(vectors, real, options.queries)
    stored = vectors.astype(np.float16).astype(np.float32)
    exact = faiss.knn(points, stored, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
    result: dict[str, Any] = {"chunks": options.chunks, "queries": len(questions)}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "index")
        begun = time.perf_counter()
        fill(root, passages, vectors, encoder.fingerprint)
        result["write_s"] = round(time.perf_counter() - begun, 1)
        with Retriever.open(root, encoder=encoder) as retriever:
            took = turns(
                {
                    "search": lambda question: retriever.search(question, K),
                    "encoding": lambda question: encoder.encode_questions([question]),
                },
                questions,
            )
        result |= quantiles(took["search"])
        result["of_which_encoding_ms_p50"] = round(statistics.median(took["encoding"]), 3)
        with IndexReader(root) as reader, reader.snapshot() as snapshot:
            # ids of chunks count from 1, in the order in which they were written
            found = [[hit.chunk - 1 for hit in snapshot.dense(point, K, None)] for point in points]
            facts: dict[str, dict[str, float]] = {"spanseek": {"recall_at_10": recall(found, exact)}}
            dense: dict[str, Ask] = {"spanseek": lambda point: snapshot.dense(point, K, None)}
            dense["faiss_hnsw"], facts["faiss_hnsw"] = hnsw(stored, points, exact)
            result["dense"] = {
                name: quantiles(took) | facts[name] for name, took in turns(dense, list(points)).items()
            }
            facts = {"spanseek": {}}
            lexical: dict[str, Ask] = {"spanseek": lambda question: snapshot.lexical(question, K, None)}
            if importlib.util.find_spec("bm25s") is not None:
                lexical["bm25s"], facts["bm25s"] = bm25s_side(passages)
            result["lexical"] = {
                name: quantiles(took) | facts[name] for name, took in turns(lexical, questions).items()
            }
    result["left_out"] = [] if "bm25s" in lexical else ["bm25s is left out: pip install bm25s"]
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        if not isinstance(value, dict | list):
            print(f"{name:<26} {value}")
    for side in ("dense", "lexical"):
        for name, figures in result[side].items():
            print(f"{side + ', ' + name:<26} {', '.join(f'{key} {value}' for key, value in figures.items())}")
    for line in result["left_out"]:
        print(line)


if __name__ == "__main__":
    main()
