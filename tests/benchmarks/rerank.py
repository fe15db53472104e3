"""Reading candidates for one question: spanseek's span scorer against the same model in plain torch, float32.

    python tests/benchmarks/rerank.py [--documents FOLDER] [--questions FILE] [--limit 20] [--runtime auto]
                                      [--json]

The questions are `--limit` of the file's, spread over it. Both sides read the same 20 candidates, as the search ranks
them for each: `ratio`. A user's question mostly needs fewer of them, for reading stops where the rest could hardly
change what is shown: `asked_ms` is what `Retriever.respond` takes to read and to decide, with ten passages shown, and
`asked_ratio` the plain reading of all 20 against that.

The plain side is what one would write first: all pairs tokenised and padded to the longest, one pass in float32 with an
attention mask. Turns alternate; ratios are those of the medians. The greatest difference of the best spans' log-odds is
printed too: it is one model. Each turn also measures a plain product of large matrices in the fastest precision of this
machine: the shares of that rate which both sides reach say how near they are to the limit. Padding isn't counted as
work. `--runtime` is what computes spanseek's side: `torch`, `onnx`, or by default what `Retriever` takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from indexer import Indexer
from retriever import Retriever
from retriever.encoder import SpanScorer
from retriever.encoder.loading import load_reader_model
from retriever.encoder.runtime import RuntimeName
from retriever.encoder.spans import best_spans
from retriever.encoder.structure import spelled
from retriever.encoder.tokenizer import Tokenizer
from retriever.encoder.work import ModelSize, product_precision, product_rate
from retriever.rerank import readable
from retriever.types import Passage

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample"
DEPTH = 20


class PlainReader:
    """The same weights, float32, one padded batch."""

    def __init__(self) -> None:
        self._model, self._files, self._config = load_reader_model("default")
        self._tokenizer = Tokenizer.from_folder(self._files.folder)

    def rows(self, question: str, passages: list[Passage]) -> tuple[list[list[int]], list[int]]:
        """Token ids of each pair, special ones included, and where its passage begins."""
        head = self._tokenizer.ids([question])[0].tolist()
        rows, begins = [], []
        for passage in passages:
            context = self._tokenizer.ids([passage.context])[0].tolist()[: self._config.context_tokens]
            start = [101, *head, 102, *context, *([102] if context else [])]
            rows.append([*start, *self._tokenizer.ids([spelled(passage.text)])[0].tolist(), 102])
            begins.append(len(start))
        return rows, begins

    def operations(self, question: str, passages: list[Passage]) -> int:
        """Multiplications and additions for all pairs."""
        size = ModelSize.of(self._files.folder, self._model.encoder.config)
        assert size is not None, "the default encoder says how large it is"
        return sum(size.operations(len(row)) for row in self.rows(question, passages)[0])

    def score(self, question: str, passages: list[Passage]) -> list[float]:
        """Log-odds of the best span against no answer, for each passage."""
        rows, begins = self.rows(question, passages)
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows])
        segments = torch.tensor([[0] * begin + [1] * (longest - begin) for begin in begins]) * mask.long()
        with torch.inference_mode():
            logits = self._model(ids, mask, segments)
        margins = []
        for row, begin, tokens in zip(logits, begins, rows, strict=True):
            inside = (row[begin : len(tokens) - 1] - row[0]).numpy()
            pairs = inside[:, None, 0] + inside[None, :, 1]
            allowed = np.triu(np.ones_like(pairs)) - np.triu(np.ones_like(pairs), 30)
            margins.append(float(np.where(allowed > 0, pairs, -np.inf).max()))
        return margins


def candidates(retriever: Retriever, question: str) -> list[Passage]:
    """The passages that are read for a question."""
    evidence = retriever.evidence(question)
    return [readable(passage) for passage in dict.fromkeys(item.passage for item in evidence)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=Path, default=SAMPLE / "documents")
    parser.add_argument(
        "--questions", type=Path, default=SAMPLE / "questions.jsonl", help="JSON Lines with 'question'"
    )
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--runtime", choices=get_args(RuntimeName), default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lines = options.questions.read_text(encoding="utf-8").splitlines()
    spread = lines[:: max(1, len(lines) // options.limit)][: options.limit]
    questions = [json.loads(line)["question"] for line in spread]
    with tempfile.TemporaryDirectory() as scratch:
        with Indexer.open(scratch) as indexer:
            indexer.add_paths([options.documents])
        fast = SpanScorer.load(runtime=options.runtime)
        with Retriever.open(scratch, scorer=fast) as retriever:
            result = measured(retriever, fast, questions)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<24} {value}")


def measured(retriever: Retriever, fast: SpanScorer, questions: list[str]) -> dict[str, Any]:
    """Both sides in turns, question by question."""
    plain = PlainReader()
    asked = [(question, candidates(retriever, question)) for question in questions]
    ours, theirs, users, read, apart = [], [], [], [], 0.0
    precision, products, operations = product_precision(), [], []
    fast.score([asked[0][0]] * len(asked[0][1]), asked[0][1])
    plain.score(*asked[0])
    for question, passages in asked:
        products.append(product_rate(precision, 0.2))
        operations.append(plain.operations(question, passages))
        begun = time.perf_counter()
        scores = fast.score([question] * len(passages), passages)
        ours.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        expected = plain.score(question, passages)
        theirs.append(time.perf_counter() - begun)
        response = retriever.respond(question)
        users.append((response.timings.read + response.timings.rank) / 1000)
        read.append(response.read)
        for one, other in zip(scores, expected, strict=True):
            apart = max(apart, abs(best_spans(one, 1)[0].score - one.no_answer - other))
    rate = statistics.median(products)
    shares = [
        statistics.median(work / took for work, took in zip(operations, side, strict=True)) / rate
        for side in (ours, theirs)
    ]
    return {
        "questions": len(asked),
        "candidates": DEPTH,
        "runtime": fast.computes.runtime,
        "precision": fast.computes.precision,
        "ms": round(1000 * statistics.median(ours), 1),
        "plain_ms": round(1000 * statistics.median(theirs), 1),
        "ratio": round(statistics.median(theirs) / statistics.median(ours), 2),
        "asked_ms": round(1000 * statistics.median(users), 1),
        "asked_ratio": round(statistics.median(theirs) / statistics.median(users), 2),
        "asked_read": round(statistics.mean(read), 1),
        "product_precision": precision,
        "product_gflops": round(rate / 1e9, 1),
        "share_of_products": round(shares[0], 3),
        "plain_share_of_products": round(shares[1], 3),
        "largest_difference": round(apart, 3),
    }


if __name__ == "__main__":
    main()
