"""The same vectors and questions in what one would use instead: hnswlib, usearch, and FAISS's HNSW and flat indexes.

All by one thread; each is given its usual construction settings, and searched with the smallest of some widths that
reaches a recall@10 of 0.95. What needs to be installed and isn't is left out, and said.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from scale_corpus import VectorMaker, document

from retriever.config import ChunkingConfig
from retriever.store.manifest import Manifest
from retriever.store.reader import IndexReader
from retriever.store.writer import IndexWriter

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Search = Callable[[Floats, int], Ids]
"""Finds the ids of the ten nearest to a vector, with a width."""

_QUERIES = 100
_WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
_TARGET = 0.95


def compare(size: int, vectors: VectorMaker) -> list[dict[str, Any]]:
    """Recall, latency, memory and time to build of each, at one size."""
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(11)
    matrix = np.concatenate([vectors.make(min(5000, size - i), rng) for i in range(0, size, 5000)])
    asked = vectors.make(_QUERIES, rng).astype(np.float32)
    _, exact = faiss.knn(asked, matrix.astype(np.float32), 10, metric=faiss.METRIC_INNER_PRODUCT)
    rows = []
    for what, build in _KINDS.items():
        if what in ("hnswlib", "usearch") and importlib.util.find_spec(what) is None:
            print(f"{what} isn't installed, and is left out", file=sys.stderr)
            continue
        before = _resident()
        begun = time.perf_counter()
        search = build(matrix)
        built = time.perf_counter() - begun
        for width in _WIDTHS:
            row = _measure(search, asked, exact, width)
            if row["recall_at_10"] >= _TARGET:
                break
        grown = _resident() - before
        rows.append({"what": what, **row, "memory_mb": round(grown, 1), "build_s": round(built, 1)})
        del search
    return rows


def _measure(search: Search, asked: Floats, exact: Ids, width: int) -> dict[str, float]:
    shares, took = [], []
    for vector, best in zip(asked, exact, strict=True):
        begun = time.perf_counter()
        found = search(vector, width)
        took.append(1000 * (time.perf_counter() - begun))
        shares.append(len(np.intersect1d(found, best)) / 10)
    return {"recall_at_10": round(float(np.mean(shares)), 4), "p50_ms": round(statistics.median(took), 3)}


def _spanseek(matrix: NDArray[np.float16]) -> Search:
    """Its own candidates for fusion, 200 of them, scored exactly; the first ten count."""
    scratch = tempfile.TemporaryDirectory()
    root = Path(scratch.name, "index")
    with IndexWriter.open(root, Manifest("none", "0" * 64, matrix.shape[1], ChunkingConfig())) as writer:
        for i in range(0, len(matrix), 250):
            part = matrix[i : i + 250]
            writer.write(1, [document(f"d{i}", ["word"] * len(part), part, 0)])
    reader = IndexReader(root)

    def search(vector: Floats, _: int, keep: Any = scratch) -> Ids:
        with reader.snapshot() as snapshot:
            return np.array([hit.chunk - 1 for hit in snapshot.dense(vector, 200, None)[:10]])

    return search


def _hnswlib(matrix: NDArray[np.float16]) -> Search:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=matrix.shape[1])
    index.init_index(max_elements=len(matrix), ef_construction=200, M=16)
    index.set_num_threads(1)
    for i in range(0, len(matrix), 10_000):
        index.add_items(matrix[i : i + 10_000].astype(np.float32), num_threads=1)

    def search(vector: Floats, width: int) -> Ids:
        index.set_ef(width)
        found: Ids = index.knn_query(vector, k=10, num_threads=1)[0][0]
        return found

    return search


def _usearch(matrix: NDArray[np.float16]) -> Search:
    from usearch.index import Index

    index = Index(ndim=matrix.shape[1], metric="ip", dtype="f16")
    index.add(np.arange(len(matrix)), matrix, threads=1)

    def search(vector: Floats, width: int) -> Ids:
        index.expansion_search = width
        found: Ids = index.search(vector, 10, threads=1).keys
        return found

    return search


def _faiss_hnsw(matrix: NDArray[np.float16]) -> Search:
    index: Any = faiss.IndexHNSWFlat(matrix.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(matrix.astype(np.float32))

    def search(vector: Floats, width: int) -> Ids:
        parameters: Any = faiss.SearchParametersHNSW
        found: Ids = index.search(vector[None, :], 10, params=parameters(efSearch=width))[1][0]
        return found

    return search


def _faiss_flat(matrix: NDArray[np.float16]) -> Search:
    index: Any = faiss.IndexFlatIP(matrix.shape[1])
    index.add(matrix.astype(np.float32))

    def search(vector: Floats, _: int) -> Ids:
        found: Ids = index.search(vector[None, :], 10)[1][0]
        return found

    return search


_KINDS: dict[str, Callable[[NDArray[np.float16]], Search]] = {
    "spanseek": _spanseek,
    "hnswlib": _hnswlib,
    "usearch": _usearch,
    "faiss IndexHNSWFlat": _faiss_hnsw,
    "faiss IndexFlatIP": _faiss_flat,
}


def _resident() -> float:
    """Resident memory of this process, in MB."""
    rows = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows["VmRSS"].split()[0]) / 1000
