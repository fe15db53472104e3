"""Local attention: the banded computation against the masked one, and both against what the window means."""

from __future__ import annotations

import pytest
import torch

from retriever.encoder.attention import LocalSelfAttention, attention

TOLERANCE = 1e-5


def make(window: int, length: int, batch: int = 3, hidden: int = 24, heads: int = 4) -> tuple:
    torch.manual_seed(window * 1000 + length)
    layer = LocalSelfAttention(hidden, heads, window)
    mask = torch.ones(batch, length, dtype=torch.bool)
    for row in range(1, batch):
        mask[row, max(1, length - 3 * row) :] = False
    return layer, torch.randn(batch, length, hidden), mask


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 16, 31, 64])
@pytest.mark.parametrize("window", [1, 4, 8, 100])
def test_banded_equals_masked(window: int, length: int) -> None:
    layer, hidden, mask = make(window, length)
    with torch.inference_mode():
        difference = (layer(hidden, mask) - layer.forward_masked(hidden, mask))[mask].abs().max().item()
    assert difference < TOLERANCE, f"largest difference {difference}"


def test_a_token_sees_its_window_and_nothing_beyond() -> None:
    layer, hidden, mask = make(window=2, length=12, batch=1)
    changed = hidden.clone()
    changed[0, 6] += 1.0
    with torch.inference_mode():
        moved = (layer(hidden, mask) - layer(changed, mask)).abs().sum(dim=-1)[0] > 1e-6
    assert moved.nonzero().flatten().tolist() == [4, 5, 6, 7, 8]


def test_padding_changes_nothing() -> None:
    layer, hidden, mask = make(window=4, length=20, batch=1)
    longer = torch.cat([hidden, torch.randn(1, 9, 24)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros(1, 9, dtype=torch.bool)], dim=1)
    with torch.inference_mode():
        difference = (layer(longer, longer_mask)[:, :20] - layer(hidden, mask)).abs().max().item()
    assert difference < TOLERANCE, f"largest difference {difference}"


def test_global_attention_equals_torch() -> None:
    torch.manual_seed(1)
    query, key, value = (torch.randn(2, 4, 9, 8) for _ in range(3))
    allowed = torch.rand(2, 1, 9, 9) > 0.3
    allowed |= torch.eye(9, dtype=torch.bool)
    ours = attention(query, key, value, allowed)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    difference = (ours - theirs).abs().max().item()
    assert difference < TOLERANCE, f"largest difference {difference}"


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="not divisible"):
        LocalSelfAttention(30, 4, 8)
    with pytest.raises(ValueError, match="at least 1"):
        LocalSelfAttention(32, 4, 0)
