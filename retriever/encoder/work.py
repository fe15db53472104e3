"""How much arithmetic is in encoding, and how much could this machine do?

A transformer's time goes into products of matrices. So encoding can be at most as fast as those products alone, and the
share of that which it reaches says how much is left to gain, on any machine.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from retriever.encoder.loading import computes_bfloat16
from retriever.encoder.settings import SpanEncoderConfig

_SMALLEST, _LARGEST = 1024, 4096
_TOO_SHORT = 0.01
"""Seconds: a product that takes less is measured at twice the size, where starting its threads weighs less."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What decides how many operations a text costs.

    Attributes:
        layers: Of the backbone.
        hidden: Width of a token's vector.
        inner: Width of the feed-forward part.
        span: The span layer on top; `None` where it isn't computed.
    """

    layers: int
    hidden: int
    inner: int
    span: SpanEncoderConfig | None = None

    @classmethod
    def of(cls, folder: Path, span: SpanEncoderConfig | None = None) -> Self | None:
        """The size of the model in a folder; `None` where its `config.json` doesn't say.

        Args:
            folder: In the Hugging Face layout.
            span: The span layer, where it is computed.
        """
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = ("num_hidden_layers", "hidden_size", "intermediate_size")
        layers, hidden, inner = (settings.get(name) for name in names)
        if not (isinstance(layers, int) and isinstance(hidden, int) and isinstance(inner, int)):
            return None
        return cls(layers, hidden, inner, span)

    def operations(self, tokens: int) -> int:
        """Multiplications and additions in the matrix products for a text of so many tokens, special ones counted.

        Padding isn't work that was asked for, and isn't in it.
        """
        square = self.hidden * self.hidden
        dense = 4 * square + 2 * self.hidden * self.inner
        total = self.layers * (2 * tokens * dense + 4 * tokens * tokens * self.hidden)
        if self.span is not None:
            parts = int(self.span.local) + int(self.span.concatenation)
            total += 2 * tokens * parts * square
            if self.span.local:
                seen = min(tokens, 2 * self.span.window + 1)
                total += 2 * tokens * 4 * square + 4 * tokens * seen * self.hidden
        return total


def product_precision() -> str:
    """The fastest precision that torch multiplies matrices in here: `bfloat16` or `float32`."""
    return "bfloat16" if computes_bfloat16(_device()) else "float32"


def product_rate(precision: str, seconds: float = 0.5) -> float:
    """Operations a second of a plain product of large square matrices, on the threads that torch uses.

    Args:
        precision: A floating-point type of torch, by name.
        seconds: So long it is measured, at least; a first product, which prepares, isn't counted.
    """
    device, dtype = _device(), getattr(torch, precision)
    size = _SMALLEST
    while True:
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        _products(left, right, 1)
        if _products(left, right, 1) >= _TOO_SHORT or size == _LARGEST:
            break
        size *= 2
    spent, done = 0.0, 0
    while spent < seconds or done < 2:
        spent += _products(left, right, 2)
        done += 2
    return done * 2 * size**3 / spent


def _products(left: torch.Tensor, right: torch.Tensor, count: int) -> float:
    """Seconds for so many products."""
    begun = time.perf_counter()
    with torch.inference_mode():
        for _ in range(count):
            product = left @ right
        float(product[0, 0])  # a GPU has finished when a number comes back
    return time.perf_counter() - begun


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
