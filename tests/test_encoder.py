"""The span encoder and what runs it: untrained parts change nothing, batches don't matter, nothing is cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from retriever.encoder import Passage, TextEncoder, find_encoder
from retriever.encoder.loading import load_span_encoder, save_span_layer
from retriever.encoder.model import LabelHead, ScoreHead, SpanHead, pool_tokens
from retriever.encoder.tokenizer import Tokenizer
from retriever.errors import EncoderError

TEXTS = [
    "the cat sat on the mat",
    "wind",
    "snow in winter, and more snow. " * 4,
    "a release is approved by the manager",
]


def tokens(encoder: TextEncoder, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    ids = encoder.tokenizer.ids([text])[0]
    special = encoder.tokenizer.special
    row = torch.tensor([[*special.before, *ids, *special.after]])
    return row, torch.ones_like(row, dtype=torch.bool)


def test_an_untrained_span_layer_changes_nothing(tiny_encoder: TextEncoder) -> None:
    model = load_span_encoder(tiny_encoder.files)
    ids, mask = tokens(tiny_encoder, TEXTS[0])
    with torch.inference_mode():
        plain = model.backbone(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        spans = model(ids, mask)
    assert not model.is_trained
    assert torch.equal(spans, plain)


def test_a_trained_span_layer_is_saved_loaded_and_counts(
    write_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_encoder(tmp_path / "trained")
    before = TextEncoder.load(str(folder), precision="float32", device="cpu")
    model = load_span_encoder(before.files)
    torch.manual_seed(3)
    torch.nn.init.normal_(model.projection.weight, std=0.5)
    save_span_layer(model, before.files)
    after = TextEncoder.load(str(folder), precision="float32", device="cpu")
    assert after.fingerprint != before.fingerprint
    ids, mask = tokens(after, TEXTS[2])
    with torch.inference_mode():
        expected = model.eval().pool(model(ids, mask), mask).numpy()[0]
    actual = after.encode_questions([TEXTS[2]])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert float(actual @ before.encode_questions([TEXTS[2]])[0]) < 0.999


def test_batched_equals_one_by_one(tiny_encoder: TextEncoder) -> None:
    together = tiny_encoder.encode_questions(TEXTS)
    alone = np.concatenate([tiny_encoder.encode_questions([text]) for text in TEXTS])
    difference = float(np.abs(together - alone).max())
    assert difference < 1e-5, f"largest difference {difference}"
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)


def test_bfloat16_agrees_with_float32(tiny_encoder: TextEncoder) -> None:
    fast = TextEncoder.load(tiny_encoder.files.name, precision="bfloat16", device="cpu")
    cosines = (fast.encode_questions(TEXTS) * tiny_encoder.encode_questions(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.999, f"least cosine {cosines.min()}"


def test_text_longer_than_one_pass_is_not_cut_off(tiny_encoder: TextEncoder) -> None:
    start = "the cat sat on the mat " * 12
    assert len(tiny_encoder.token_spans(start)) > tiny_encoder.files.max_length
    one, other = tiny_encoder.encode_questions([start + "snow " * 6, start + "berlin " * 6])
    assert float(one @ other) < 1 - 1e-4


def test_context_counts_up_to_its_limit(tiny_encoder: TextEncoder) -> None:
    bare = tiny_encoder.encode_passages([Passage("the cat sat")])[0]
    under = tiny_encoder.encode_passages([Passage("the cat sat", "winter snow")])[0]
    cut = tiny_encoder.encode_passages([Passage("the cat sat", "winter snow")], context_tokens=1)[0]
    same = tiny_encoder.encode_passages([Passage("the cat sat", "winter")])[0]
    assert float(bare @ under) < 1 - 1e-4
    np.testing.assert_allclose(cut, same, atol=1e-6)


def test_nothing_to_embed(tiny_encoder: TextEncoder) -> None:
    assert tiny_encoder.encode_passages([]).shape == (0, 32)


@pytest.mark.parametrize("settings", [True, False], ids=["settings", "vocabulary only"])
@pytest.mark.parametrize("cased", [True, False], ids=["cased", "uncased"])
def test_case_is_kept_by_cased_models_only(
    write_encoder: Callable[..., Path], tmp_path: Path, cased: bool, settings: bool
) -> None:
    folder = write_encoder(tmp_path / "model", cased=cased, settings=settings)
    ids = Tokenizer.from_folder(folder).ids(["Cat", "cat"])
    assert (ids[0].tolist() == ids[1].tolist()) is not cased
    vectors = TextEncoder.load(str(folder), precision="float32").encode_questions(["Cat", "cat"])
    assert bool(np.allclose(vectors[0], vectors[1])) is not cased


@pytest.mark.parametrize(
    "text", ["the cat", "café  in\tParis", "a\r\nb", "e\u0301 👩\u200d👩 東京", "\u202bשלום"]
)
def test_token_places_are_in_the_text_as_given(tiny_encoder: TextEncoder, text: str) -> None:
    spans = tiny_encoder.token_spans(text)
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(not text[start:end].isspace() for start, end in spans)


def test_a_model_without_a_type_is_a_bert(write_encoder: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "old", cased=True, settings=False)
    settings = json.loads((folder / "config.json").read_text())
    del settings["model_type"]
    (folder / "config.json").write_text(json.dumps(settings))
    assert TextEncoder.load(str(folder)).dimension == 32


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "no config.json"), ("model.safetensors", "no weights"), ("vocab.txt", "tokenizer")],
)
def test_incomplete_folders_are_refused(
    write_encoder: Callable[..., Path], tmp_path: Path, missing: str, said: str
) -> None:
    folder = write_encoder(tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(EncoderError, match=said):
        TextEncoder.load(str(folder))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(EncoderError, match="neither a folder nor in the hub's cache"):
        find_encoder("nobody/has-this-model")
    with pytest.raises(EncoderError, match="there is no encoder"):
        find_encoder("no such/model/at all")


def test_heads_are_distributions_over_what_they_may_choose() -> None:
    torch.manual_seed(0)
    spans = torch.randn(2, 5, 8)
    candidates = torch.tensor([[True, False, True, True, True], [True, False, False, True, False]])
    start, end = SpanHead(8)(spans, candidates)
    for scores in (start, end):
        assert torch.isneginf(scores[~candidates]).all()
        torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(2))
    pooled = pool_tokens(spans, candidates, "mean")
    torch.testing.assert_close(pooled[1], (spans[1, 0] + spans[1, 3]) / 2)
    torch.testing.assert_close(pool_tokens(spans, candidates, "cls"), spans[:, 0])
    torch.testing.assert_close(LabelHead(8, 3)(pooled).exp().sum(dim=1), torch.ones(2))
    assert ScoreHead(8)(pooled).shape == (2,)


@pytest.mark.integration
def test_the_default_encoder_is_the_published_one() -> None:
    """Its vectors are those of the published model: the cosines that its authors' own library gives."""
    encoder = TextEncoder.load(precision="float32", device="cpu")
    vectors = encoder.encode_questions(
        ["The cat sits outside", "A man is playing guitar", "The new movie is awesome"]
    )
    cosines = vectors @ vectors.T
    assert encoder.dimension == 384
    assert encoder.files.max_length == 256
    np.testing.assert_allclose(
        [cosines[0, 1], cosines[0, 2], cosines[1, 2]], [0.03633, -0.02468, 0.00930], atol=1e-4
    )
