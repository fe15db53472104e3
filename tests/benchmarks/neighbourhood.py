"""Chunks embedded alone against chunks embedded within their neighbourhood: nDCG@10 and recall, dense side only.

    python tests/benchmarks/neighbourhood.py DATASET [--encoder NAME] [--window 512] [--limit N] [--no-titles] [--json]

DATASET is a folder in BEIR's layout or a file in SQuAD's. The chunks are those that the indexer would cut. Once they
are embedded as the indexer does it, each for itself after its title. Then a whole document goes through the encoder
in windows that overlap by half, the title before each, and a chunk's vector is the mean of its tokens in the window
where it has the most text on either side (Günther et al., "Late Chunking", 2024). The paragraphs of a SQuAD article
are one text there, so that a paragraph has neighbours; what is looked for is still the paragraph.

    alone                    as the indexer embeds
    in its window            the mean of the chunk's own tokens
    in its window, framed    with the title's and the special tokens, which are in the mean of `alone`, too; for a
                             document of one chunk this is `alone`
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from numpy.typing import NDArray

from indexer.chunking import chunk_document
from retriever.config import ChunkingConfig
from retriever.context import context_line
from retriever.encoder import Passage, TextEncoder
from retriever.encoder.loading import computes_bfloat16, load_span_encoder
from retriever.encoder.model import SpanEncoder
from retriever.encoder.tokenizer import Tokenizer
from retriever.evaluation import EvalDocument, RetrievalDataset, evaluate_retrieval, load_retrieval
from retriever.types import Extract

Vectors = NDArray[np.float32]
BATCH_TOKENS = 2048
BLOCK_CHUNKS = 2048


@dataclass(slots=True)
class Neighbourhood:
    """A text with its chunks: one document, or the paragraphs of an article.

    Attributes:
        title: Of all of it.
        text: The chunks' places count in it.
        chunks: Start, end, and the document that each is of.
    """

    title: str
    text: str = ""
    chunks: list[tuple[int, int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Window:
    """A pass over a part of a text.

    Attributes:
        ids: `(T,)`, title and special tokens included.
        chunks: Number, and first and one past the last of its tokens in `ids`, of each chunk that is pooled from it.
        frame: `(T,)` booleans: title and special tokens.
    """

    ids: NDArray[np.int64]
    chunks: list[tuple[int, int, int]]
    frame: NDArray[np.bool_]


def neighbourhoods(
    documents: Iterable[EvalDocument],
    tokenizer: Tokenizer,
    config: ChunkingConfig,
    *,
    articles: bool,
    titles: bool,
) -> Iterator[Neighbourhood]:
    """Documents with the indexer's chunks; with `articles`, those of one article as one text."""

    def article(document: EvalDocument) -> str:
        return document.id.rpartition("-")[0] if articles else document.id

    for _, parts in groupby(documents, article):
        whole = Neighbourhood("")
        for document in parts:
            whole.title = document.title if titles else ""
            whole.text += "\n\n" if whole.text else ""
            start = len(whole.text)
            whole.text += document.text
            for chunk in chunk_document(Extract(document.text, "text"), tokenizer.spans, config):
                whole.chunks.append((start + chunk.start, start + chunk.end, document.id))
        yield whole


def windows(
    whole: Neighbourhood,
    first_number: int,
    tokenizer: Tokenizer,
    length: int,
    context_tokens: int,
    prompt: str,
) -> list[Window]:
    """Windows over a text, each with the chunks that have the most text on either side of them in it."""
    [(ids, offsets)] = tokenizer.encode([whole.text])
    title, asked = tokenizer.ids([context_line(whole.title, ()), prompt.rstrip()])
    special = tokenizer.special
    head = np.concatenate([special.before, title[:context_tokens], asked]).astype(np.int64)
    room = length - len(head) - len(special.after)
    firsts = list(range(0, max(1, len(ids) - room // 2), room // 2))
    starts = np.array([start for start, _ in offsets])
    ends = np.array([end for _, end in offsets])
    of_window: list[list[tuple[int, int, int]]] = [[] for _ in firsts]
    for number, (start, end, _) in enumerate(whole.chunks, start=first_number):
        begin, stop = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end, "left"))

        def margin(first: int, begin: int = begin, stop: int = stop) -> tuple[int, int]:
            """Text on the poorer side; where the document ends, nothing more could be there."""
            before = begin - first if first else room
            after = first + room - stop if first + room < len(ids) else room
            return min(before, after), -first

        best = max(range(len(firsts)), key=lambda i: margin(firsts[i]))
        at = len(head) - firsts[best]
        if margin(firsts[best])[0] < 0:
            raise SystemExit(
                f"a chunk of {stop - begin} tokens is in no window of {room}: --window is too small"
            )
        of_window[best].append((number, begin + at, stop + at))
    found = []
    for first, chunks in zip(firsts, of_window, strict=True):
        if chunks:
            row = np.concatenate([head, ids[first : first + room], special.after]).astype(np.int64)
            frame = np.zeros(len(row), dtype=np.bool_)
            frame[: len(head)] = frame[len(row) - len(special.after) :] = True
            found.append(Window(row, chunks, frame))
    return found


def pool(model: SpanEncoder, rows: Sequence[Window], padding: int) -> Iterator[tuple[int, Vectors, Vectors]]:
    """Number and both vectors, without and with the frame, of each chunk of some windows."""
    device = next(model.parameters()).device
    longest = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), longest), padding, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.bool_)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)], mask[i, : len(row.ids)] = row.ids, True
    with torch.inference_mode():
        spans = model(
            torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device), span_layer=model.is_trained
        )  # (B, T, C)
    for row, tokens in zip(rows, spans.float().cpu().numpy(), strict=True):
        frame = tokens[: len(row.ids)][row.frame].sum(axis=0)  # (C,)
        for number, begin, stop in row.chunks:
            own = tokens[begin:stop].sum(axis=0)
            yield number, unit(own), unit(own + frame)


def unit(vector: Vectors) -> Vectors:
    length = np.float32(max(float(np.linalg.norm(vector)), 1e-12))
    scaled: Vectors = vector / length
    return scaled


def embed_windows(
    model: SpanEncoder, rows: list[Window], chunks: int, padding: int
) -> tuple[Vectors, Vectors]:
    """Both vectors of all chunks, `(N, C)` each."""
    own = np.zeros((chunks, model.hidden_size), dtype=np.float32)
    framed = np.zeros_like(own)
    batch: list[Window] = []
    for row in [*sorted(rows, key=lambda row: len(row.ids), reverse=True), None]:
        if batch and (row is None or len(batch[0].ids) * (len(batch) + 1) > BATCH_TOKENS):
            for number, one, other in pool(model, batch, padding):
                own[number], framed[number] = one, other
            batch = []
        if row is not None:
            batch.append(row)
    return own, framed


def measure(
    dataset: RetrievalDataset, questions: dict[str, Vectors], vectors: Vectors, documents: list[str]
) -> dict[str, float]:
    """Scores of a search that ranks documents by their best chunk."""

    def search(query: str, k: int) -> list[tuple[str, float]]:
        scores = vectors @ questions[query]
        best: dict[str, float] = {}
        for i in np.argsort(-scores, kind="stable"):
            best.setdefault(documents[i], float(scores[i]))
            if len(best) == k:
                break
        return list(best.items())

    scores = evaluate_retrieval(dataset, search, index_bytes=vectors.nbytes)
    kept = ("ndcg@10", "recall@1", "recall@5", "recall@20")
    return {name: value for name, value in scores.to_dict().items() if name in kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--window", type=int, default=512, help="tokens of one pass; default: 512")
    parser.add_argument("--max-tokens", type=int, default=ChunkingConfig().max_tokens, help="of a chunk")
    parser.add_argument("--limit", type=int, help="only N questions, at even distances")
    parser.add_argument("--no-titles", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    dataset = load_retrieval(options.dataset, limit=options.limit)
    encoder = TextEncoder.load(options.encoder)
    model = load_span_encoder(encoder.files)
    positions = int(getattr(model.backbone.config, "max_position_embeddings", options.window))
    if options.window > positions:
        parser.error(f"--window: this encoder's positions go up to {positions}")
    if encoder.files.config.pooling != "mean":
        parser.error("this encoder's vectors are no means of tokens; a chunk can't be pooled out of a window")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device, torch.bfloat16 if computes_bfloat16(device) else torch.float32)
    overlap = min(ChunkingConfig().overlap_tokens, options.max_tokens // 2)
    config = ChunkingConfig(max_tokens=options.max_tokens, overlap_tokens=overlap)

    articles = options.dataset.is_file()
    tokenizer = encoder.tokenizer
    took = {"alone": 0.0, "window": 0.0}
    parts: list[tuple[Vectors, Vectors, Vectors]] = []
    documents: list[str] = []
    block: list[Neighbourhood] = []

    def embed() -> None:
        """Both ways in turn, so that what else the machine does hits both."""
        begun = time.perf_counter()
        passages = [
            Passage(whole.text[start:end], context_line(whole.title, ()))
            for whole in block
            for start, end, _ in whole.chunks
        ]
        alone = encoder.encode_passages(passages, context_tokens=config.context_tokens)
        halfway = time.perf_counter()
        rows: list[Window] = []
        number = 0
        for whole in block:
            prompt = encoder.files.passage_prompt
            rows += windows(whole, number, tokenizer, options.window, config.context_tokens, prompt)
            number += len(whole.chunks)
        own, framed = embed_windows(model, rows, number, tokenizer.special.padding)
        took["alone"] += halfway - begun
        took["window"] += time.perf_counter() - halfway
        parts.append((alone, own, framed))
        documents.extend(name for whole in block for _, _, name in whole.chunks)
        block.clear()
        print(f"{len(documents):,} chunks embedded", file=sys.stderr)

    for whole in neighbourhoods(
        dataset.documents, tokenizer, config, articles=articles, titles=not options.no_titles
    ):
        block.append(whole)
        if sum(len(one.chunks) for one in block) >= BLOCK_CHUNKS:
            embed()
    if block:
        embed()

    texts = list(dict.fromkeys(dataset.queries.values()))
    questions = dict(zip(texts, encoder.encode_questions(texts), strict=True))
    names = ("alone", "in its window", "in its window, framed")
    seconds = (took["alone"], took["window"], took["window"])
    table = {
        name: measure(dataset, questions, np.concatenate(vectors), documents) | {"seconds": round(spent, 1)}
        for name, vectors, spent in zip(names, zip(*parts, strict=True), seconds, strict=True)
    }
    if options.json:
        print(json.dumps({"dataset": dataset.name, "chunks": len(documents), "scores": table}))
        return
    print(
        f"{dataset.name}: {len(set(documents)):,} documents, {len(documents):,} chunks, {len(texts):,} questions"
    )
    print(f"{'chunks embedded':<24}" + "".join(f"{name:>11}" for name in table["alone"]))
    for name, scores in table.items():
        print(f"{name:<24}" + "".join(f"{value:>11.4f}" for value in scores.values()))


if __name__ == "__main__":
    main()
