"""Latency of a search in an open index, the question's encoding included, and where the time goes.

    python tests/benchmarks/search.py [--chunks 20000] [--queries 300] [--json]

The index is filled with passages made from the sample corpus's words, with vectors that are random but as alike as
real ones, so that only questions need the encoder. What is measured does not depend on what the passages say.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def fill(root: Path, chunks: int, dimension: int, words: list[str], fingerprint: str) -> None:
    from retriever.config import ChunkingConfig
    from retriever.store.manifest import Manifest
    from retriever.store.records import PreparedDocument
    from retriever.store.writer import IndexWriter
    from retriever.types import Chunk, Extract

    rng, nprng = random.Random(0), np.random.default_rng(0)
    centre = nprng.standard_normal(dimension)
    settings = Manifest("default", fingerprint, dimension, ChunkingConfig())
    per_document = 10
    with IndexWriter.open(root, settings) as writer:
        documents = []
        for number in range(chunks // per_document):
            passages = [" ".join(rng.choices(words, k=120)) for _ in range(per_document)]
            text = "\n\n".join(passages)
            starts = np.cumsum([0, *(len(passage) + 2 for passage in passages[:-1])]).tolist()
            vectors = 0.4 * centre + nprng.standard_normal((per_document, dimension))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            cut = [
                Chunk(start, start + len(passage)) for start, passage in zip(starts, passages, strict=True)
            ]
            extract = Extract(text, "text")
            documents.append(
                PreparedDocument(str(number), None, extract, str(number), cut, vectors.astype(np.float16))
            )
            if len(documents) == 200:
                writer.write(1, documents)
                documents = []
        writer.write(1, documents)
        writer.merge(force=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    from retriever import Retriever
    from retriever.encoder import TextEncoder

    encoder = TextEncoder.load()
    questions = [
        json.loads(line)["question"]
        for line in (ROOT / "data" / "sample" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    prose = " ".join(
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "data" / "sample" / "documents").rglob("*.md"))
    )
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "index")
        fill(root, options.chunks, encoder.dimension, prose.split(), encoder.fingerprint)
        with Retriever.open(root, encoder=encoder) as retriever:
            took, encoding = [], []
            for i in range(options.queries + 20):
                question = questions[i % len(questions)]
                begun = time.perf_counter()
                retriever.search(question, 10)
                took.append((time.perf_counter() - begun) * 1000)
                begun = time.perf_counter()
                encoder.encode_questions([question])
                encoding.append((time.perf_counter() - begun) * 1000)
    took, encoding = took[20:], encoding[20:]  # without warming up
    result = {
        "chunks": options.chunks,
        "queries": len(took),
        "ms_p50": round(statistics.median(took), 2),
        "ms_p95": round(statistics.quantiles(took, n=20)[-1], 2),
        "of_which_encoding_ms_p50": round(statistics.median(encoding), 2),
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<26} {value}")


if __name__ == "__main__":
    main()
