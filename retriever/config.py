"""Settings, as frozen dataclasses: passed down, saved beside what they made, never read from the environment."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Self

from retriever.errors import IndexFormatError


@dataclass(frozen=True, slots=True)
class Saved:
    """A config that is stored as JSON; a key that this version doesn't know is an error, never ignored."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise IndexFormatError(
                f"unknown setting {unknown[0]!r} in the stored {cls.__name__}: "
                "it was written by another version of spanseek; upgrade, or index again into a new folder"
            )
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ChunkingConfig(Saved):
    """How documents are cut into passages. All sizes are in the encoder's own tokens.

    Attributes:
        max_tokens: No passage is longer, special tokens and context not counted.
        overlap_tokens: A passage that goes on from another repeats up to this many tokens of its end,
            in whole sentences.
        context_tokens: At most this many tokens of title and headings go before a passage when it is encoded.
    """

    max_tokens: int = 200
    overlap_tokens: int = 32
    context_tokens: int = 40

    def __post_init__(self) -> None:
        if self.max_tokens < 8:
            raise ValueError(f"max_tokens must be at least 8, not {self.max_tokens}")
        if not 0 <= self.overlap_tokens <= self.max_tokens // 2:
            raise ValueError(
                f"overlap_tokens must be between 0 and half of max_tokens, not {self.overlap_tokens}"
            )
        if self.context_tokens < 0:
            raise ValueError(f"context_tokens must not be negative, not {self.context_tokens}")


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """How candidates are found and fused.

    Attributes:
        candidates: Passages taken from each of the dense and the lexical side.
        dense_weight: Weight of the dense score in the fused one, from 0 to 1; the lexical score has the rest.
        per_document: At most this many passages of one document among the hits, neighbours merged first.
    """

    candidates: int = 200
    dense_weight: float = 0.4
    per_document: int = 3


@dataclass(frozen=True, slots=True)
class RerankConfig:
    """How candidates are read for answers.

    Attributes:
        reader: The span scorer: `default`, or a folder that `spanseek train reader` wrote.
        depth: At most so many of the best chunks are read.
        spans: At most so many spans of one chunk are considered.
        patience: Reading stops early where nothing that is shown would change by one more passage that answers better
            than the middle one of those read, by so many log-odds. Less is faster; infinity always reads `depth`.
    """

    reader: str = "default"
    depth: int = 20
    spans: int = 2
    patience: float = 9.0
