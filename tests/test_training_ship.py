"""What ships: put together of an encoder and a span scorer, it loads as the default and reads the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import BertWordPieceTokenizer

from retriever.confidence import CONFIDENCE, UNFITTED, ConfidenceModel
from retriever.encoder import Passage, SpanScorer, TextEncoder
from retriever.encoder import shipped as shipping
from retriever.training.ship import ship


@pytest.mark.parametrize("fast", [True, False], ids=["tokenizer.json", "vocab.txt"])
@pytest.mark.parametrize("prompt", ["", "the cat "])
def test_what_ships_is_the_default(
    fast: bool,
    prompt: str,
    write_encoder: Callable[..., Path],
    write_reader: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    if fast:
        BertWordPieceTokenizer(str(encoder / "vocab.txt")).save(str(encoder / "tokenizer.json"))
    prompts = json.dumps({"prompts": {"query": prompt, "passage": ""}})
    (encoder / "config_sentence_transformers.json").write_text(prompts, encoding="utf-8")
    reader = write_reader(tmp_path / "reader", encoder)
    confidence = UNFITTED.to_json()
    (reader / CONFIDENCE).write_text(confidence, encoding="utf-8")
    out = tmp_path / "model"
    out.mkdir()
    for left in ("vocab.txt", "config_sentence_transformers.json", CONFIDENCE):
        (out / left).write_text("of what was shipped before", encoding="utf-8")
    digest = ship(encoder, reader, out)

    sums = json.loads((out / shipping.SUMS).read_text(encoding="utf-8"))
    assert sorted([*sums, shipping.SUMS]) == sorted(path.name for path in out.iterdir()), (
        "every file is named"
    )
    assert str(tmp_path) not in "".join(
        path.read_text(encoding="utf-8") for path in out.iterdir() if path.suffix == ".json"
    )
    weights = load_file(out / "model.safetensors")
    assert not any(name.startswith("pooler.") for name in weights)
    assert {value.dtype for value in weights.values()} == {torch.float16}

    monkeypatch.setattr(shipping, "SUMS_SHA256", digest)
    monkeypatch.setattr(shipping, "_PACKAGED", out)
    shipping._checked.cache_clear()
    try:
        default = TextEncoder.load(precision="float32", device="cpu")
        scorer = SpanScorer.load(precision="float32", device="cpu")
        assert default.files.folder == scorer.folder == out
        texts = ["the cat sat on the mat", "a release is approved"]
        before = TextEncoder.load(str(encoder), precision="float32", device="cpu").encode_questions(texts)
        cosines = (default.encode_questions(texts) * before).sum(axis=1)
        assert cosines.min() > 0.99999, f"least cosine {cosines.min()}"
        trained = SpanScorer.load(str(reader), precision="float32", device="cpu")
        passages = [Passage(text, "winter") for text in texts]
        for one, other in zip(scorer.score(texts, passages), trained.score(texts, passages), strict=True):
            np.testing.assert_allclose(np.exp(one.start), np.exp(other.start), atol=0.01)
            np.testing.assert_allclose(np.exp(one.end), np.exp(other.end), atol=0.01)
        assert ConfidenceModel.of(out) == UNFITTED
    finally:
        shipping._checked.cache_clear()
