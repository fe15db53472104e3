"""Attention, global and local: softmax(Q K^T / sqrt(d)) V over all tokens, or over a window around each.

The formula is that of Vaswani et al., "Attention Is All You Need" (2017), equation 1. The window, each token
seeing those at most `window` places away on either side, follows Beltagy et al., "Longformer" (2020).

`B` batch, `H` heads, `T` tokens, `D` dimensions of a head, `C` = H * D, `W` window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def attention(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """Scaled dot-product attention, written out.

    Args:
        query: `(..., T, D)`.
        key: `(..., S, D)`.
        value: `(..., S, D)`.
        allowed: Booleans that broadcast to `(..., T, S)`: which keys a query sees. Each query must see one.

    Returns:
        `(..., T, D)`.

    >>> one = torch.ones(1, 2, 4)
    >>> attention(one, one, one, torch.ones(2, 2, dtype=torch.bool)).shape
    torch.Size([1, 2, 4])
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (..., T, S)
    return scores.masked_fill(~allowed, float("-inf")).softmax(dim=-1) @ value


class LocalSelfAttention(nn.Module):
    """Multi-head self-attention in which token i sees the tokens i - window ... i + window.

    Args:
        hidden_size: `C`, divisible by `heads`.
        heads: `H`.
        window: `W`, at least 1.
    """

    def __init__(self, hidden_size: int, heads: int, window: int) -> None:
        super().__init__()
        if hidden_size % heads:
            raise ValueError(f"hidden_size {hidden_size} is not divisible by {heads} heads")
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        self.heads = heads
        self.window = window
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Banded: cost grows with T * W, not T * T. With a mask, real tokens get what `forward_masked` gives.

        Args:
            hidden: `(B, T, C)`.
            rows: `(B, T)` integers or booleans: tokens see those of the same number only. A mask, False for padding;
                or, where texts stand end to end, the number of each token's text.

        Returns:
            `(B, T, C)`.
        """
        if hidden.is_cuda:
            return self._forward_dense(hidden, rows)
        length, window = hidden.shape[1], self.window
        query, key, value = self._project(hidden)  # (B, H, T, D) each
        # Tokens go in blocks of W; a token's window lies in its own block and the two beside it.
        blocks = -(-length // window)
        tail = blocks * window - length
        query = _pad(query, 0, tail).reshape(*query.shape[:2], blocks, window, -1)  # (B, H, N, W, D)
        key = _neighbourhoods(_pad(key, window, tail + window), window)  # (B, H, N, 3W, D)
        value = _neighbourhoods(_pad(value, window, tail + window), window)
        numbers = nn.functional.pad(rows.long(), (window, tail + window), value=-1)  # (B, (N + 2) W)
        theirs = numbers.unfold(1, 3 * window, window)[:, :, None, :]  # (B, N, 1, 3W)
        same = numbers[:, window:-window].view(-1, blocks, window, 1) == theirs  # (B, N, W, 3W)
        offset = torch.arange(3 * window, device=hidden.device)[None, :] - window  # key's place in the block
        distance = offset - torch.arange(window, device=hidden.device)[:, None]  # (W, 3W)
        # Padding sees padding, itself at least, so that its softmax is defined; nobody reads what it gives.
        allowed = (distance.abs() <= window) & same
        context = attention(query, key, value, allowed[:, None])  # (B, H, N, W, D)
        return self._merge(context.flatten(2, 3)[:, :, :length])

    def forward_masked(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """The same as `forward` by a full `T x T` matrix with a mask: the reference that it is tested against."""
        place = torch.arange(hidden.shape[1], device=hidden.device)
        distance = place[None, :] - place[:, None]  # (T, T)
        allowed = (distance.abs() <= self.window) & mask[:, None, None, :]  # (B, 1, T, T)
        return self._merge(attention(*self._project(hidden), allowed | (distance == 0)))

    def _forward_dense(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """The same by torch's kernel with a mask: on a GPU faster than to put bands together, backwards above all."""
        place = torch.arange(hidden.shape[1], device=hidden.device)
        near = (place[None, :] - place[:, None]).abs() <= self.window  # (T, T)
        same = rows[:, :, None] == rows[:, None, :]  # (B, T, T): padding sees padding
        query, key, value = self._project(hidden)
        return self._merge(
            nn.functional.scaled_dot_product_attention(query, key, value, (near & same)[:, None])
        )

    def _project(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(B, T, C)` -> query, key, value, each `(B, H, T, D)`."""

        def split(x: Tensor) -> Tensor:
            return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

        return split(self.query(hidden)), split(self.key(hidden)), split(self.value(hidden))

    @staticmethod
    def _merge(context: Tensor) -> Tensor:
        """`(B, H, T, D)` -> `(B, T, C)`."""
        return context.transpose(1, 2).flatten(2)


def _pad(x: Tensor, before: int, after: int) -> Tensor:
    """Zeros before and after along the tokens of `(B, H, T, D)`."""
    return nn.functional.pad(x, (0, 0, before, after))


def _neighbourhoods(x: Tensor, window: int) -> Tensor:
    """`(B, H, (N + 2) W, D)` -> `(B, H, N, 3W, D)`: each block with the one before and the one after."""
    return x.unfold(2, 3 * window, window).transpose(-2, -1)
