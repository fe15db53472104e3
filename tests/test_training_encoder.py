"""Contrastive training on a tiny model: losses by hand, what is frozen stays, a killed run goes on as it would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from indexer import Indexer, InputDocument
from retriever import Retriever
from retriever.encoder import TextEncoder, find_encoder
from retriever.encoder.loading import load_span_encoder
from retriever.encoder.settings import SpanEncoderConfig
from retriever.errors import SpanseekError
from retriever.evaluation import GradedQuestion
from retriever.training.encoder import train_encoder
from retriever.training.examples import Example, ExampleSet
from retriever.training.loop import Loop
from retriever.training.negatives import SearchMany
from retriever.training.pairs import Contrast, PairBatches, Texts
from tests.contrasts import CONFIG, animal_questions, make_task

Train = Callable[..., dict[str, float]]


@pytest.fixture(scope="module")
def questions() -> list[GradedQuestion]:
    return animal_questions()


def search_in_order(passages: Sequence[str]) -> SearchMany:
    """Ranks all passages as they come."""

    def search(asked: Sequence[Example]) -> Iterator[Sequence[int]]:
        return iter([range(len(passages))] * len(asked))

    return search


@pytest.fixture
def train(tiny_encoder_folder: Path, questions: list[GradedQuestion], tmp_path: Path) -> Train:
    """Trains the tiny encoder, into `out` below the test's folder."""

    def run(out: str = "out", **options: Any) -> dict[str, float]:
        settings: dict[str, Any] = {
            "encoder": str(tiny_encoder_folder),
            "search": search_in_order,
            "config": CONFIG,
            "batch_questions": 8,
            "held_back": 0.25,
            "device": "cpu",
            "report": lambda line: None,
        }
        return train_encoder(questions, tmp_path / out, **settings | options)

    return run


@pytest.mark.parametrize("part", ["span layer", "backbone"])
def test_training_brings_the_loss_down(
    tiny_encoder_folder: Path, questions: list[GradedQuestion], tmp_path: Path, part: str
) -> None:
    task, model, _ = make_task(
        tiny_encoder_folder, questions[:18], part=part, contrast=Contrast(questions=9, keep=0.0)
    )
    before = task.evaluate()["loss"]
    config = replace(CONFIG, epochs=20.0, evaluate_every=1000)
    measures = Loop(model, lambda name: True, task, config, tmp_path, lambda line: None).run()
    assert measures["loss"] < before - 0.2, f"from {before:.3f} to {measures['loss']:.3f}"


def test_the_output_is_an_encoder(
    train: Train, tiny_encoder_folder: Path, tmp_path: Path, questions: list[GradedQuestion]
) -> None:
    train()
    out, old = tmp_path / "out", find_encoder(str(tiny_encoder_folder))
    new = find_encoder(str(out))
    assert new.fingerprint != old.fingerprint
    assert (new.max_length, new.config) == (old.max_length, old.config)
    encoder = TextEncoder.load(str(out), precision="float32", device="cpu")
    plain = TextEncoder.load(str(tiny_encoder_folder), precision="float32", device="cpu")
    texts = [question.question for question in questions]
    cosines = (encoder.encode_questions(texts) * plain.encode_questions(texts)).sum(axis=1)
    assert cosines.min() < 0.9999
    # checkpoints and what else a run leaves there count for nothing
    for path in (*out.glob("checkpoint*"), out / "negatives.json", out / "encoder_training.json"):
        path.unlink()
    assert find_encoder(str(out)).fingerprint == new.fingerprint
    np.testing.assert_array_equal(
        TextEncoder.load(str(out), precision="float32").encode_questions(texts),
        encoder.encode_questions(texts),
    )


@pytest.mark.integration
def test_an_index_is_made_with_the_output(train: Train, tmp_path: Path, sentences: dict[str, str]) -> None:
    train()
    with Indexer.open(tmp_path / "index", encoder=str(tmp_path / "out")) as indexer:
        indexer.add_documents(InputDocument(name, text) for name, text in sentences.items())
    with Retriever.open(tmp_path / "index") as retriever:
        assert retriever.status().documents == 5
        assert retriever.search("the cat sat on the red mat", 1)[0].document_id == "cat"


def test_a_frozen_backbone_is_unchanged(train: Train, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    train()
    weights = tiny_encoder_folder / "model.safetensors"
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights.read_bytes()
    layer = load_file(tmp_path / "out" / "span_encoder.safetensors")
    torch.manual_seed(CONFIG.seed)
    fresh = load_span_encoder(find_encoder(str(tiny_encoder_folder))).state_dict()
    assert layer["projection.weight"].abs().max() > 0
    assert not torch.equal(layer["local.value.weight"], fresh["local.value.weight"])


def test_a_trained_backbone_keeps_its_embeddings(
    train: Train, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    train(part="backbone")
    old = load_file(tiny_encoder_folder / "model.safetensors")
    new = load_file(tmp_path / "out" / "model.safetensors")
    assert set(new) == {name for name in old if not name.startswith("pooler.")}
    for name, value in new.items():
        assert torch.equal(value, old[name]) is name.startswith("embeddings."), name
    assert TextEncoder.load(str(tmp_path / "out")).dimension == 32


def test_without_a_step_the_output_embeds_exactly_as_before(
    train: Train, tiny_encoder_folder: Path, tmp_path: Path, questions: list[GradedQuestion]
) -> None:
    """A rate of zero leaves the projection at zero, and the layer is left out."""
    train(config=replace(CONFIG, epochs=0.1, new_learning_rate=0.0))
    texts = [question.question for question in questions]
    before, after = (
        TextEncoder.load(str(folder), precision="float32", device="cpu").encode_questions(texts)
        for folder in (tiny_encoder_folder, tmp_path / "out")
    )
    np.testing.assert_array_equal(before, after)


def test_keeping_keeps_vectors_near(
    train: Train, tiny_encoder_folder: Path, tmp_path: Path, questions: list[GradedQuestion]
) -> None:
    texts = [question.question for question in questions]
    plain = TextEncoder.load(str(tiny_encoder_folder), precision="float32", device="cpu")

    def moved(keep: float) -> float:
        train(str(keep), keep=keep, config=replace(CONFIG, epochs=5.0))
        encoder = TextEncoder.load(str(tmp_path / str(keep)), precision="float32", device="cpu")
        return float(1 - (encoder.encode_questions(texts) * plain.encode_questions(texts)).sum(axis=1).mean())

    assert moved(100.0) < moved(0.0) / 4


class KilledError(Exception):
    pass


@pytest.mark.parametrize("part", ["span layer", "backbone"])
def test_a_killed_run_ends_as_if_it_had_not_been(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def die(line: str) -> None:
        if line.startswith("held back at step 4"):
            raise KilledError

    train("whole", part=part)
    monkeypatch.setattr(Loop.run, "__kwdefaults__", {"checkpoint_every": 0.0})
    with pytest.raises(KilledError):
        train(part=part, report=die)
    assert not (tmp_path / "out" / "model.safetensors").exists()
    said: list[str] = []
    train(part=part, report=said.append)
    assert any(line.startswith("going on from step 3 of") for line in said)
    for name in ("model.safetensors", "span_encoder.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_trained_layer_goes_on_with_the_backbone(
    train: Train, tmp_path: Path, tiny_encoder_folder: Path
) -> None:
    train()
    train("both", encoder=str(tmp_path / "out"), part="backbone", config=replace(CONFIG, learning_rate=0.0))
    first, both = (load_file(tmp_path / name / "span_encoder.safetensors") for name in ("out", "both"))
    assert not torch.equal(first["projection.weight"], both["projection.weight"])
    cosine = torch.nn.functional.cosine_similarity(
        first["projection.weight"].flatten(), both["projection.weight"].flatten(), dim=0
    )
    assert cosine > 0.5, "it began from another layer"


def test_another_span_layer_is_saved_with_its_settings(train: Train, tmp_path: Path) -> None:
    span = SpanEncoderConfig(window=3, local_heads=2, concatenation=False)
    train(span=span)
    assert find_encoder(str(tmp_path / "out")).config == span
    assert TextEncoder.load(str(tmp_path / "out")).dimension == 32


def test_what_is_refused(train: Train, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SpanseekError, match="no question is held back"):
        train(held_back=0.0)
    with pytest.raises(SpanseekError, match="own folder"):
        train(encoder=str(tiny_encoder_folder), out=str(tiny_encoder_folder))
    train()
    with pytest.raises(SpanseekError, match="begun with part span layer, not backbone"):
        train(part="backbone")
    with pytest.raises(SpanseekError, match="too few questions"):
        train("few", batch_questions=1)


def test_passages_that_are_measured_are_no_negatives(
    train: Train, monkeypatch: pytest.MonkeyPatch, questions: list[GradedQuestion]
) -> None:
    seen: dict[str, Any] = {}

    class Spy(PairBatches):
        def __init__(self, examples: Any, negatives: Any, texts: Texts, contrast: Contrast, seed: int):
            seen.update(examples=examples, negatives=negatives, all=texts.examples)
            super().__init__(examples, negatives, texts, contrast, seed)

    monkeypatch.setattr("retriever.training.encoder.PairBatches", Spy)
    train()
    held = {example.passage for example in seen["all"] if example.held_back}
    taken = {passage for found in seen["negatives"].values() for passage in found}
    assert held
    assert taken
    assert not held & taken
    assert not held & {example.passage for example in seen["examples"]}


def test_an_empty_set_is_no_batch(tiny_encoder: TextEncoder) -> None:
    texts = Texts(ExampleSet([], []), tiny_encoder.tokenizer, tiny_encoder.files, Contrast())
    assert PairBatches([], {}, texts, Contrast(), 1).batches(0) == []
