"""Texts of unequal length in one pass, one after another in a single row, without padding.

Attention is the only part of a transformer in which tokens meet; everything else works on each token alone. So a
batch needn't be a rectangle: rows stand end to end, and attention is computed within each of them (the idea of Zhai
et al., "ByteTransformer", 2023). No padding is computed, and nothing is masked, which on a CPU is worth as much again:
attention with a mask runs at a fraction of the speed of the same products without one.

The backbones are those of the transformers library; attention within rows is registered there as one more way to
compute attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

PACKED_ATTENTION = "spanseek_packed"
"""Under this name transformers' models find `attend`."""
ROUND = 64
"""Packs are filled up to a multiple of this, so that they are of few sizes."""


def register_packed_attention() -> None:
    """Makes `attend` known to transformers."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(PACKED_ATTENTION, attend)
    AttentionMaskInterface.register(PACKED_ATTENTION, sdpa_mask)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    lengths: Sequence[int] | None = None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention within rows that stand end to end; without `lengths`, torch's over a padded batch.

    Args:
        module: The layer whose attention it is.
        query: `(1, H, N, D)`, or `(B, H, T, D)` without `lengths`; `key` and `value` likewise.
        key: See there.
        value: See there.
        attention_mask: For padded batches.
        lengths: Tokens of each row; they add up to `N`.
        scaling: What products are multiplied by; `None`: one through the root of `D`.
        options: What else transformers hands to torch's attention.

    Returns:
        `(1, N, H, D)`, or `(B, T, H, D)`; and no attention weights.
    """
    if lengths is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        padded: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return padded
    queries, keys, values = (torch.split(tensor, list(lengths), dim=2) for tensor in (query, key, value))
    # Torch's kernel: written out as two products, attention is a tenth faster here, but of every length that it meets
    # oneDNN keeps what it compiled for it, some hundred megabytes in the end.
    attended = [
        nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling)
        for q, k, v in zip(queries, keys, values, strict=True)
    ]  # (1, H, T, D) each
    return torch.cat(attended, dim=2).transpose(1, 2).contiguous(), None


def places(lengths: Sequence[int], first: int = 0) -> Tensor:
    """The position of each token in its row, `(N,)`, counted from `first`."""
    return torch.cat([torch.arange(first, first + length) for length in lengths])


def rows(lengths: Sequence[int]) -> Tensor:
    """The row of each token, `(N,)`."""
    return torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
