"""Embedding throughput: the default encoder against what one would use instead, same model, same texts.

    python tests/benchmarks/encode.py [--texts FILE.jsonl[.gz]] [--count 600] [--rounds 5] [--json]

Against: sentence-transformers' own `encode`, and what its ONNX and OpenVINO backends run (`runtimes.py` says how; one
that isn't installed is left out, and a line says so). All sides take turns in one process, so that what else the machine
does hits all; medians of the turns are compared. Each round also measures a plain product of large matrices in the
fastest precision of this machine, on as many threads: the share of that rate which encoding reaches is how near it is
to the limit. Operations are those of the tokens that are in the texts; padding isn't counted.

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
sys.path.insert(0, str(Path(__file__).resolve().parent))

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

    import runtimes
    import torch

    from retriever.encoder import Passage, TextEncoder
    from retriever.encoder.work import ModelSize, product_precision, product_rate

    ours = TextEncoder.load(device="cpu")
    theirs, left_out = runtimes.sides(ours.files.folder, torch.get_num_threads())
    texts = texts_of(options.texts) if options.texts else sample_passages()
    texts = list(itertools.islice(itertools.cycle(texts), options.count))
    # Beyond 256 tokens sentence-transformers cuts off and this project goes on: such texts would be unequal work.
    texts = [text for text in texts if len(ours.token_spans(text)) <= 254]
    passages = [Passage(text) for text in texts]
    lengths = [len(ours.token_spans(text)) + 2 for text in texts]
    size, precision = ModelSize.of(ours.files.folder), product_precision()
    assert size is not None, "the default encoder says how large it is"
    operations = sum(map(size.operations, lengths))

    expected = ours.encode_passages(passages[:64])  # also warms up
    agreement = {
        name: float((expected * side.encode(texts[:64])).sum(axis=1).min()) for name, side in theirs.items()
    }
    took: dict[str, list[float]] = {name: [] for name in ("spanseek", *theirs)}
    products = []
    for _ in range(options.rounds):
        products.append(product_rate(precision))
        took["spanseek"].append(seconds(lambda: ours.encode_passages(passages)))
        for name, side in theirs.items():
            took[name].append(seconds(lambda side=side: side.encode(texts)))
    medians = {name: statistics.median(turns) for name, turns in took.items()}
    rate = statistics.median(products)
    result = {
        "texts": len(texts),
        "mean_tokens": round(statistics.mean(lengths), 1),
        "runtime": ours.computes.runtime,
        "precision": ours.precision,
        "product_precision": precision,
        "product_gflops": round(rate / 1e9, 1),
        "sides": {
            name: {
                "per_s": round(len(texts) / median, 1),
                "share_of_products": round(operations / median / rate, 3),
                "spanseek_is_faster": round(median / medians["spanseek"], 2),
                "by_round": [round(t / o, 2) for t, o in zip(took[name], took["spanseek"], strict=True)],
                "least_cosine": round(agreement.get(name, 1.0), 5),
            }
            for name, median in medians.items()
        },
        "left_out": left_out,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(
        f"{len(texts)} texts of {result['mean_tokens']} tokens on average, {torch.get_num_threads()} threads;"
    )
    print(
        f"plain {precision} products: {result['product_gflops']} GFLOP/s; spanseek computes in {ours.precision} with {ours.computes.runtime}\n"
    )
    print(f"{'':<24}{'texts/s':>10}{'of products':>13}{'spanseek is faster':>20}   by round")
    for name, side in result["sides"].items():
        rounds = " ".join(f"{ratio:.2f}" for ratio in side["by_round"]) if name != "spanseek" else ""
        print(
            f"{name:<24}{side['per_s']:>10}{side['share_of_products']:>13.0%}{side['spanseek_is_faster']:>19.2f}x   {rounds}"
        )
    for line in left_out:
        print(line)


if __name__ == "__main__":
    main()
