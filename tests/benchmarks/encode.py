"""Embedding throughput: the default encoder against sentence-transformers' own `encode`, same model, same texts.

Both sides take turns in one process, so that what else the machine does hits both; medians of the turns are compared.

    python tests/benchmarks/encode.py [--texts FILE.jsonl[.gz]] [--count 600] [--rounds 5] [--json]

Without `--texts`, the passages of the sample corpus are used, repeated to the wanted count.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "documents"


def sample_passages() -> list[str]:
    from indexer.chunking import chunk_document
    from indexer.readers import read
    from retriever.config import ChunkingConfig
    from retriever.encoder import find_encoder
    from retriever.encoder.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(find_encoder("default").folder)
    return [
        extract.text[chunk.start : chunk.end]
        for path in sorted(SAMPLE.rglob("*.*"))
        for extract in read(path)
        for chunk in chunk_document(extract, tokenizer.spans, ChunkingConfig())
    ]


def texts_of(path: Path) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [text for line in file if (text := json.loads(line).get("text", "")).strip()]


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    from sentence_transformers import SentenceTransformer

    from retriever.encoder import Passage, TextEncoder

    ours = TextEncoder.load()
    # The folder holds half precision, which newer versions would compute in, at a quarter of the speed; who installs
    # the published model gets float32.
    theirs = SentenceTransformer(str(ours.files.folder), device="cpu").float()
    texts = texts_of(options.texts) if options.texts else sample_passages()
    texts = list(itertools.islice(itertools.cycle(texts), options.count))
    # Beyond 256 tokens sentence-transformers cuts off and this project goes on: such texts would be unequal work.
    texts = [text for text in texts if len(ours.token_spans(text)) <= 254]
    passages = [Passage(text) for text in texts]
    agreement = (
        ours.encode_passages(passages[:64]) * theirs.encode(texts[:64], normalize_embeddings=True)
    ).sum(axis=1)

    def encode_theirs() -> None:
        theirs.encode(texts, show_progress_bar=False)

    turns = [
        (seconds(lambda: ours.encode_passages(passages)), seconds(encode_theirs))
        for _ in range(options.rounds)
    ]
    medians = [statistics.median(side) for side in zip(*turns, strict=True)]
    result = {
        "texts": len(texts),
        "mean_tokens": round(statistics.mean(len(ours.token_spans(text)) for text in texts), 1),
        "precision": ours.precision,
        "spanseek_per_s": round(len(texts) / medians[0], 1),
        "sentence_transformers_per_s": round(len(texts) / medians[1], 1),
        "ratio": round(medians[1] / medians[0], 2),
        "ratios": [round(t / o, 2) for o, t in turns],
        "least_cosine": round(float(agreement.min()), 5),
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<28} {value}")


if __name__ == "__main__":
    main()
