"""As many passages and vectors as a benchmark needs, with the statistics of real ones.

Vectors of real passages are encoded once, and kept in a file where the caller wants that. Others are made of three real
ones each, `a + 0.4 (b - c)`, and so keep their mean, their spread in every direction, and how near neighbours are.
Passages are made of sentences of made-up prose.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retriever.encoder import Passage, TextEncoder
from retriever.evaluation.prose import Prose

Vectors = NDArray[np.float32]

_SHIFT = 0.4
_SENTENCES = 20_000
_A_PASSAGE = 6


def encoded(encoder: TextEncoder, texts: Sequence[str], cache: Path | None) -> Vectors:
    """The texts' vectors; from a file below `cache` if they were encoded before."""
    digest = hashlib.sha256("\0".join((encoder.fingerprint, *texts)).encode()).hexdigest()[:16]
    path = None if cache is None else cache / f"vectors-{digest}.npy"
    if path is not None and path.is_file():
        loaded: Vectors = np.load(path)
        return loaded
    vectors = encoder.encode_passages([Passage(text) for text in texts])
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, vectors)
    return vectors


def like(real: Vectors, count: int, seed: int = 0) -> Vectors:
    """`(count, C)` vectors of length 1 with the statistics of the real ones, `(N, C)`."""
    rng = np.random.default_rng(seed)
    made = np.empty((count, real.shape[1]), dtype=np.float32)
    for begin in range(0, count, 65_536):
        a, b, c = rng.integers(len(real), size=(3, min(65_536, count - begin)))
        block = real[a] + _SHIFT * (real[b] - real[c])
        made[begin : begin + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return made


def near(vectors: Vectors, real: Vectors, count: int, seed: int = 1) -> Vectors:
    """`(count, C)` questions' vectors: each between one of `vectors` and a real one."""
    rng = np.random.default_rng(seed)
    mixed = vectors[rng.integers(len(vectors), size=count)] + 0.5 * real[rng.integers(len(real), size=count)]
    questions: Vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
    return questions


def passages(count: int, seed: int = 0) -> list[str]:
    """So many passages of about 110 words."""
    prose, rng = Prose(seed), random.Random(seed)
    sentences = [prose.sentence() for _ in range(_SENTENCES)]
    return [" ".join(rng.choices(sentences, k=_A_PASSAGE)) for _ in range(count)]
