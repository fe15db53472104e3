"""Texts that stand end to end give what each gives alone: attention, the span layer, vectors, span scores."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel, RobertaConfig, RobertaModel

from retriever.encoder import SpanScorer, TextEncoder
from retriever.encoder.attention import LocalSelfAttention
from retriever.encoder.loading import load_backbone
from retriever.encoder.model import SpanEncoder, pool_packed
from retriever.encoder.packing import attend, places, rows
from retriever.encoder.packs import first_position, packs
from retriever.encoder.settings import SpanEncoderConfig
from retriever.types import Passage

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
}
LENGTHS = [7, 1, 30, 12]
TOLERANCE = 1e-5


def texts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(2, 50, (length,), generator=generator) for length in LENGTHS]


def trained(backbone: torch.nn.Module, **options: Any) -> SpanEncoder:
    """A span encoder whose span layer does something."""
    torch.manual_seed(2)
    model = SpanEncoder(backbone, SpanEncoderConfig(window=3, local_heads=4, **options)).eval()
    torch.nn.init.normal_(model.projection.weight, std=0.2)
    return model


@pytest.fixture(params=["bert", "roberta"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> SpanEncoder:
    torch.manual_seed(1)
    model = (
        BertModel(BertConfig(**SIZES)) if request.param == "bert" else RobertaModel(RobertaConfig(**SIZES))
    )
    model.save_pretrained(tmp_path)
    return trained(load_backbone(tmp_path))


@pytest.mark.parametrize("span_layer", [True, False])
def test_each_text_reads_as_if_it_were_alone(encoder: SpanEncoder, span_layer: bool) -> None:
    assert encoder.reads_packed
    with torch.inference_mode():
        packed = encoder.forward_packed(torch.cat(texts()), LENGTHS, span_layer=span_layer)
        for ids, spans in zip(texts(), packed.split(LENGTHS), strict=True):
            alone = encoder(ids[None], torch.ones(1, len(ids), dtype=torch.bool), span_layer=span_layer)[0]
            assert (spans - alone).abs().max().item() < TOLERANCE


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_those_of_padded_batches(encoder: SpanEncoder, pooling: str) -> None:
    model = trained(encoder.backbone, pooling=pooling)
    ids = torch.nn.utils.rnn.pad_sequence(texts(), batch_first=True, padding_value=1)
    mask = torch.arange(ids.shape[1])[None] < torch.tensor(LENGTHS)[:, None]
    with torch.inference_mode():
        padded = model.pool(model(ids, mask), mask)
        packed = pool_packed(model.forward_packed(torch.cat(texts()), LENGTHS), LENGTHS, model.config.pooling)
    assert (padded - packed).abs().max().item() < TOLERANCE


def test_local_attention_stays_in_its_text() -> None:
    torch.manual_seed(3)
    layer = LocalSelfAttention(24, 4, 5)
    hidden = torch.randn(1, sum(LENGTHS), 24)
    with torch.inference_mode():
        packed = layer(hidden, rows(LENGTHS)[None])[0].split(LENGTHS)
        for part, text in zip(hidden[0].split(LENGTHS), packed, strict=True):
            alone = layer(part[None], torch.ones(1, len(part), dtype=torch.bool))[0]
            assert (text - alone).abs().max().item() < TOLERANCE


def test_attention_within_rows_is_torchs() -> None:
    torch.manual_seed(4)
    query, key, value = (torch.randn(1, 4, sum(LENGTHS), 8) for _ in range(3))
    output, _ = attend(torch.nn.Identity(), query, key, value, None, lengths=LENGTHS)
    first = 0
    for length in LENGTHS:
        row = slice(first, first + length)
        expected = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, row], key[:, :, row], value[:, :, row]
        )
        assert (output[:, row].transpose(1, 2) - expected).abs().max().item() < TOLERANCE
        first += length


def test_positions_begin_anew_and_where_the_backbone_counts_from() -> None:
    assert places([2, 3], 2).tolist() == [2, 3, 2, 3, 4]
    assert rows([2, 3]).tolist() == [0, 0, 1, 1, 1]
    assert first_position(BertConfig(**SIZES)) == 0
    assert first_position(RobertaConfig(**SIZES)) == 2
    assert first_position(MPNetConfig()) is None


def test_a_backbone_with_relative_positions_is_read_padded(tmp_path: Path) -> None:
    MPNetModel(MPNetConfig(**SIZES)).save_pretrained(tmp_path)
    model = trained(load_backbone(tmp_path))
    assert not model.reads_packed
    mask = torch.ones(1, 9, dtype=torch.bool)
    assert model(torch.arange(9)[None] + 2, mask).shape == (1, 9, 32)


def test_packed_and_padded_scores_agree(tiny_reader_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = SpanScorer.load(str(tiny_reader_folder), precision="float32", device="cpu", runtime="torch")
    passages = [Passage("the cat sat on the red mat.", "cat"), Passage("snow fell on monday " * 12)]
    packed = scorer.score(["who sat on the mat"] * 2, passages)
    monkeypatch.setattr(SpanEncoder, "reads_packed", False)
    for one, other in zip(packed, scorer.score(["who sat on the mat"] * 2, passages), strict=True):
        assert np.allclose(one.start, other.start, atol=1e-4)
        assert np.allclose(one.end, other.end, atol=1e-4)
        assert abs(one.no_answer - other.no_answer) < 1e-4


def test_packed_and_padded_vectors_agree(tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TextEncoder.load(str(tiny_encoder_folder), precision="float32", device="cpu", runtime="torch")
    passages = [Passage("the cat sat"), Passage("snow fell on monday " * 40, "winter"), Passage("")]
    packed = encoder.encode_passages(passages)
    monkeypatch.setattr(SpanEncoder, "reads_packed", False)
    assert np.abs(packed - encoder.encode_passages(passages)).max() < TOLERANCE


@given(st.lists(st.integers(1, 40)), st.integers(1, 60))
def test_packs_hold_everything_once_in_order_and_no_more_than_they_may(lengths: list[int], most: int) -> None:
    batches = list(packs(list(range(len(lengths))), lengths, most))
    assert [item for batch in batches for item in batch] == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[item] for item in batch) <= most
    for one, other in itertools.pairwise(batches):
        assert sum(lengths[item] for item in [*one, other[0]]) > most


def test_packs_are_filled_up_to_few_sizes(encoder: SpanEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    forward = encoder.backbone.forward

    def counting(**inputs: Any) -> Any:
        sizes.append(inputs["input_ids"].shape[1])
        return forward(**inputs)

    monkeypatch.setattr(encoder.backbone, "forward", counting)
    with torch.inference_mode():
        for count in range(1, 50, 3):
            assert len(encoder.forward_packed(torch.full((count + 20,), 5), [20, count])) == count + 20
    assert set(sizes) == {64, 128}
