"""Texts and vectors for large indexes: made up, with the statistics of real ones.

    python tests/benchmarks/scale_corpus.py CORPUS.jsonl.gz... --out real.npy [--count 5000]

embeds passages of corpora in the BEIR layout (rows with `text` and `title`), writes their vectors, and prints how
alike neighbours are among them and among vectors made from them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from numpy.typing import NDArray

from retriever.store.records import PreparedDocument

Vectors = NDArray[np.float32]

ROOT = Path(__file__).resolve().parents[2]
PER_DOCUMENT = 10
SHELVES = 10
_NEIGHBOURS = 12
_SPREAD, _REST = 1.0, 0.3
_WORDS_IN_ALL = 200_000


class VectorMaker:
    """Makes vectors around real ones: each is a real one moved at random within the span of its nearest neighbours,
    as far as those lie apart, and a little in every direction, as all vectors are spread.

    Args:
        real: `(N, C)`.
    """

    def __init__(self, real: Vectors) -> None:
        real = np.asarray(real, dtype=np.float32)
        self._real: Vectors = real / np.linalg.norm(real, axis=1, keepdims=True)
        count = min(_NEIGHBOURS, len(real) - 1)
        self._near = np.empty((len(real), count + 1), dtype=np.int64)
        self._apart = np.empty(len(real), dtype=np.float32)
        for start in range(0, len(real), 512):
            part = slice(start, start + 512)
            cosines = self._real[part] @ self._real.T
            self._near[part] = np.argpartition(-cosines, count, axis=1)[:, : count + 1]
            nearest = np.take_along_axis(cosines, self._near[part], 1)
            self._apart[part] = np.sqrt(np.maximum(0, 2 - 2 * nearest)).sum(1) / count
        values, directions = np.linalg.eigh(np.cov(self._real.T))
        self._everywhere = (directions * np.sqrt(np.maximum(values, 0) / values.sum())).astype(np.float32).T

    def make(self, count: int, rng: np.random.Generator) -> NDArray[np.float16]:
        """So many, `(count, C)`."""
        around = rng.integers(len(self._real), size=count)
        weights = rng.standard_normal((count, self._near.shape[1]), dtype=np.float32)
        weights *= _SPREAD / self._near.shape[1] ** 0.5
        weights -= weights.mean(1, keepdims=True)
        made = self._real[around] + np.einsum("mk,mkc->mc", weights, self._real[self._near[around]])
        noise = rng.standard_normal(made.shape, dtype=np.float32) @ self._everywhere
        made += _REST * self._apart[around, None] * noise
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made.astype(np.float16)


class TextMaker:
    """Makes texts whose words are as frequent as those of a language: the frequent ones are those of the sample
    corpus, and the rare ones go on where it ends, after Zipf and Mandelbrot."""

    def __init__(self) -> None:
        prose = " ".join(
            path.read_text(encoding="utf-8")
            for path in sorted((ROOT / "data" / "sample" / "documents").rglob("*.md"))
        ).split()
        words, counts = np.unique(np.array(prose), return_counts=True)
        known = words[np.argsort(-counts, kind="stable")].tolist()
        made_up = (f"{known[i % len(known)]}{i:x}" for i in range(_WORDS_IN_ALL - len(known)))
        self._words = np.array([*known, *made_up], dtype=object)
        self._up_to = np.cumsum((np.arange(_WORDS_IN_ALL) + 2.7) ** -1.07)

    def passage(self, rng: np.random.Generator) -> str:
        """Some 110 words."""
        return self.words(max(20, int(rng.normal(110, 30))), rng)

    def words(self, count: int, rng: np.random.Generator) -> str:
        """So many words."""
        places = np.searchsorted(self._up_to, rng.random(count) * self._up_to[-1])
        return " ".join(self._words[places])


def documents(texts: TextMaker, vectors: VectorMaker, chunks: int) -> Iterator[PreparedDocument]:
    """Documents of PER_DOCUMENT passages, as an indexer would hand them to a writer."""
    rng = np.random.default_rng(0)
    for number in range(chunks // PER_DOCUMENT):
        if number % 500 == 0:
            made = vectors.make(500 * PER_DOCUMENT, rng)
        first = number % 500 * PER_DOCUMENT
        passages = [texts.passage(rng) for _ in range(PER_DOCUMENT)]
        yield document(f"d{number}", passages, made[first : first + PER_DOCUMENT], number % SHELVES)


def document(id_: str, passages: Sequence[str], vectors: NDArray[np.float16], shelf: int) -> PreparedDocument:
    """A document of some passages."""
    from retriever.types import Chunk, Extract

    starts = np.cumsum([0, *(len(passage) + 2 for passage in passages[:-1])]).tolist()
    chunks = [Chunk(start, start + len(passage)) for start, passage in zip(starts, passages, strict=True)]
    extract = Extract("\n\n".join(passages), "text", metadata={"shelf": shelf})
    return PreparedDocument(id_, None, extract, id_, chunks, vectors)


def sample_vectors() -> Vectors:
    """Vectors of the sample corpus's paragraphs: few, for want of better ones."""
    paragraphs = [
        paragraph
        for path in sorted((ROOT / "data" / "sample" / "documents").rglob("*.md"))
        for paragraph in path.read_text(encoding="utf-8").split("\n\n")
        if len(paragraph.split()) > 12
    ]
    return embed([(paragraph, "") for paragraph in paragraphs])


def embed(rows: Sequence[tuple[str, str]]) -> Vectors:
    """Vectors of passages, each a text and a title, by the default encoder."""
    from retriever.encoder import Passage, TextEncoder

    return TextEncoder.load().encode_passages([Passage(text, title) for text, title in rows])


def likeness(vectors: Vectors) -> dict[str, list[float]]:
    """Cosines with the 1st, 10th and 100th nearest neighbour: the 10th, 50th and 90th of a hundred."""
    cosines = -np.sort(-(vectors[:500] @ vectors.T), axis=1)
    return {str(n): np.percentile(cosines[:, n], [10, 50, 90]).round(3).tolist() for n in (1, 10, 100)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5000)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for path in options.corpora:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows += [row for line in lines if (row := json.loads(line))["text"].strip()]
    chosen = random.Random(0).sample(rows, min(len(rows), options.count))
    real = embed([(row["text"][:500], row.get("title", "")) for row in chosen])
    np.save(options.out, real)
    made = VectorMaker(real).make(len(real), np.random.default_rng(0)).astype(np.float32)
    print("real", likeness(real))
    print("made", likeness(made))


if __name__ == "__main__":
    main()
