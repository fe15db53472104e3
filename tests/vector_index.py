"""Indexes of made-up vectors, for tests of how they are stored and found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retriever.config import ChunkingConfig
from retriever.store.manifest import Manifest
from retriever.store.records import PreparedDocument
from retriever.store.writer import IndexWriter
from retriever.types import Chunk, Extract

Floats = NDArray[np.float32]
SIZE = 24


def unit(matrix: NDArray[np.float64]) -> Floats:
    scaled: Floats = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def clustered(count: int, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Vectors around 20 centres that are always the same, and which centre each is of."""
    centres = np.random.default_rng(99).standard_normal((20, SIZE))
    rng = np.random.default_rng(seed)
    of = np.sort(rng.integers(20, size=count)) if seed == 0 else rng.integers(20, size=count)
    return unit(centres[of] + 0.6 * rng.standard_normal((count, SIZE))), of


def prepared(name: str, matrix: Floats, topic: int = 0) -> PreparedDocument:
    """A document of a passage for each vector."""
    text = " ".join(["word"] * len(matrix))
    chunks = [Chunk(5 * i, 5 * i + 4) for i in range(len(matrix))]
    extract = Extract(text, "text", metadata={"topic": topic})
    return PreparedDocument(name, None, extract, name, chunks, matrix.astype(np.float16))


def write(root: Path, matrix: Floats, name: str, topics: Sequence[int] | None = None) -> None:
    """Documents of ten passages, in commits of a hundred documents."""
    documents = [
        prepared(f"{name}{i}", matrix[i : i + 10], int(topics[i]) if topics is not None else 0)
        for i in range(0, len(matrix), 10)
    ]
    settings = Manifest("none", "0" * 64, SIZE, ChunkingConfig())
    with IndexWriter.open(root, settings) as writer:
        for i in range(0, len(documents), 100):
            writer.write(1, documents[i : i + 100])
