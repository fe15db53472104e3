"""Contrastive training on a tiny model: losses by hand, what is frozen stays, a killed run goes on as it would have."""

from __future__ import annotations

import math
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
from retriever.encoder import Passage, TextEncoder, find_encoder
from retriever.encoder.loading import load_span_encoder
from retriever.encoder.settings import SpanEncoderConfig
from retriever.errors import SpanseekError
from retriever.evaluation import GradedQuestion
from retriever.training.contrastive import ContrastiveTask, drift, info_nce
from retriever.training.encoder import freeze, train_encoder
from retriever.training.examples import ExampleSet, tokenize
from retriever.training.loop import Loop, TrainingConfig
from retriever.training.negatives import SearchMany
from retriever.training.pairs import Contrast, PairBatches, Texts
from retriever.types import TextSpan

Train = Callable[..., dict[str, float]]

ANIMALS = "cat dog".split()
PLACES = "paris berlin mountain store mat cafe".split()
TIMES = "winter monday snow".split()
CONFIG = TrainingConfig(
    batches_per_step=1,
    epochs=2.0,
    batch_tokens=256,
    learning_rate=1e-3,
    new_learning_rate=1e-2,
    warmup_steps=1,
    evaluate_every=2,
)


def graded(number: int, question: str, context: str, answer: str, title: str) -> GradedQuestion:
    start = context.index(answer)
    spans = (TextSpan(start, start + len(answer), answer),)
    return GradedQuestion(str(number), question, context, title, spans, (answer,))


@pytest.fixture(scope="module")
def questions() -> list[GradedQuestion]:
    """A document for each animal and place, a passage for each time: 36 questions."""
    found: list[GradedQuestion] = []
    for animal in ANIMALS:
        for place in PLACES:
            for time in TIMES:
                context = f"in {time} the {animal} is in the {place}. the price fell."
                question = f"where is the {animal} in {time}?"
                found.append(graded(len(found), question, context, place, f"{animal} {place}"))
    return found


def search_in_order(passages: Sequence[str]) -> SearchMany:
    """Ranks all passages as they come."""

    def search(asked: Sequence[str]) -> Iterator[Sequence[int]]:
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


def make_task(
    folder: Path,
    questions: Sequence[GradedQuestion],
    *,
    part: Any = "span layer",
    contrast: Contrast | None = None,
) -> tuple[ContrastiveTask, Any, Texts]:
    """A task in float32, whose held-back examples are all of them; its model and its texts."""
    files = find_encoder(str(folder))
    contrast = contrast or Contrast(questions=8)
    data = tokenize(questions, tokenizer_of(folder))
    texts = Texts(data, tokenizer_of(folder), files, contrast)
    torch.manual_seed(1)
    model = load_span_encoder(files)
    freeze(model, part)
    before = load_span_encoder(files) if part == "backbone" else None
    task = ContrastiveTask(
        model,
        texts,
        PairBatches(data.examples, {}, texts, contrast, seed=1),
        data.examples,
        contrast,
        CONFIG,
        padding=0,
        before=before,
        bfloat16=False,
    )
    return task, model, texts


def tokenizer_of(folder: Path) -> Any:
    return TextEncoder.load(str(folder), precision="float32", device="cpu").tokenizer


# the loss


def test_two_questions_by_hand() -> None:
    questions = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    passages = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    numbers = torch.tensor([4, 7])
    first = -math.log(math.e**2 / (math.e**2 + 1))  # cosines 1 and 0, over 0.5
    second = -math.log(math.exp(1.6) / (math.exp(1.2) + math.exp(1.6)))
    assert float(info_nce(questions, passages, numbers, numbers, 0.5)) == pytest.approx(
        first + second, rel=1e-6
    )


def test_the_same_passage_twice_is_no_negative() -> None:
    alike = torch.tensor([[0.6, 0.8], [0.6, 0.8]])
    same, other = torch.tensor([7, 7]), torch.tensor([7, 8])
    assert float(info_nce(alike, alike, same, same, 0.05)) == 0.0
    assert float(info_nce(alike, alike, other, other, 0.05)) == pytest.approx(2 * math.log(2))


def test_a_hard_negative_that_answers_another_question_is_hidden_from_that_one_only() -> None:
    questions = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    # own passages 1 and 2; hard negatives: 2 for the first question, 3 for the second
    passages = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
    loss = info_nce(questions, passages, torch.tensor([1, 2]), torch.tensor([1, 2, 2, 3]), 1.0)
    e = math.exp
    first = -math.log(e(1) / (e(1) + e(0) + e(0.6) + e(0.8)))
    second = -math.log(e(1) / (e(0) + e(1) + e(0.6)))
    assert loss.item() == pytest.approx(first + second, rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert questions.grad is not None
    assert torch.isfinite(questions.grad).all()


def test_drift_is_the_mean_of_one_less_cosine() -> None:
    now = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    before = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert float(drift(now, before)) == pytest.approx(0.1)
    assert float(drift(before, before)) == 0.0


# batches


def test_an_epoch_is_the_same_whenever_it_is_asked(
    tiny_encoder: TextEncoder, questions: list[GradedQuestion]
) -> None:
    data = tokenize(questions, tiny_encoder.tokenizer)
    contrast = Contrast(questions=8)
    texts = Texts(data, tiny_encoder.tokenizer, tiny_encoder.files, contrast)

    def batches(epoch: int) -> list[Any]:
        negatives = {i: [(i + 1) % 36] for i in range(0, 36, 2)}
        return PairBatches(data.examples, negatives, texts, contrast, 1).batches(epoch)

    assert batches(3) == batches(3) != batches(4)
    assert [len(batch) for batch in batches(0)] == [8, 8, 8, 8]
    pairs = [pair for batch in batches(0) for pair in batch]
    assert len({pair.example for pair in pairs}) == 32
    for pair in pairs:
        assert pair.own.passage == data.examples[pair.example].passage
        assert (pair.hard is None) == (pair.example % 2 == 1)
    titled = [pair.own.title for epoch in range(20) for batch in batches(epoch) for pair in batch]
    assert 0.45 < sum(titled) / len(titled) < 0.55


def test_a_long_passage_is_cut_around_its_answer(tiny_encoder: TextEncoder) -> None:
    context = "the cat sat on the mat " * 9 + "paris " + "a dog is in the store " * 9
    data = tokenize([graded(i, "where?", context, "paris", "") for i in range(2)], tiny_encoder.tokenizer)
    contrast = Contrast(questions=2, most_tokens=12)
    texts = Texts(data, tiny_encoder.tokenizer, tiny_encoder.files, contrast)
    [paris] = tiny_encoder.tokenizer.ids(["paris"])[0]
    places = set()
    for epoch in range(40):
        [batch] = PairBatches(data.examples, {}, texts, contrast, 1).batches(epoch)
        for pair in batch:
            row = texts.excerpt(pair.own)
            assert len(row) == 12 + 2
            places.add(row.tolist().index(paris))
    assert places == set(range(1, 13))


def test_texts_are_read_as_the_encoder_reads_them(
    write_encoder: Callable[..., Path], tmp_path: Path, questions: list[GradedQuestion]
) -> None:
    """With prompts and a title, to the same vectors."""
    folder = write_encoder(tmp_path / "prompted")
    (folder / "config_sentence_transformers.json").write_text(
        '{"prompts": {"query": "the question: ", "passage": "the text: "}}'
    )
    encoder = TextEncoder.load(str(folder), precision="float32", device="cpu")
    task, _, texts = make_task(folder, questions, contrast=Contrast(questions=36, title=1.0))
    [batch] = task.batches(0)
    asked = [questions[pair.example] for pair in batch]
    with torch.no_grad():
        passages, _ = task.embed([texts.excerpt(pair.own) for pair in batch])
        vectors, _ = task.embed([texts.question(texts.examples[pair.example]) for pair in batch])
    expected = encoder.encode_passages([Passage(item.context, item.title) for item in asked])
    np.testing.assert_allclose(passages.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(
        vectors.numpy(), encoder.encode_questions([q.question for q in asked]), atol=1e-5
    )


# the task


def test_an_untrained_span_layer_starts_as_the_plain_backbone(
    tiny_encoder_folder: Path, questions: list[GradedQuestion]
) -> None:
    task, _, _ = make_task(tiny_encoder_folder, questions)
    rows = [np.arange(2, 4 + length) for length in (9, 3, 30, 3)]
    now, before = task.embed(rows, before=True)
    assert torch.equal(now, before)
    assert now.requires_grad
    assert not before.requires_grad
    alone = torch.cat([task.embed([row])[0] for row in rows])
    torch.testing.assert_close(now, alone, atol=1e-6, rtol=0)


def test_a_batchs_loss_is_that_of_its_vectors(
    tiny_encoder_folder: Path, questions: list[GradedQuestion]
) -> None:
    """The gradient is of the sum, and what keeps vectors counts once for each question."""
    contrast = Contrast(questions=8, keep=3.0)
    task, model, texts = make_task(tiny_encoder_folder, questions, contrast=contrast)
    torch.nn.init.normal_(model.projection.weight, std=0.3)
    batch = task.batches(0)[0]
    rows = [texts.question(texts.examples[pair.example]) for pair in batch]
    rows += [texts.excerpt(pair.own) for pair in batch]
    now, before = task.embed(rows, before=True)
    numbers = torch.tensor([pair.own.passage for pair in batch])
    moved = drift(now, before)
    assert moved.item() > 0.001
    expected = info_nce(now[:8], now[8:], numbers, numbers, 0.05) + 3 * 8 * moved
    torch.testing.assert_close(task.loss(batch), expected)
    loss, count = task.accumulate(batch)
    assert count == 8
    assert not loss.requires_grad
    assert model.projection.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.backbone.parameters())


def test_recall_of_the_held_back_is_that_of_an_exact_search(
    tiny_encoder: TextEncoder, tiny_encoder_folder: Path, questions: list[GradedQuestion]
) -> None:
    task, _, _ = make_task(tiny_encoder_folder, questions)
    measures = task.evaluate()
    contexts = list(dict.fromkeys(question.context for question in questions))
    scores = (
        tiny_encoder.encode_questions([question.question for question in questions])
        @ tiny_encoder.encode_passages([Passage(context) for context in contexts]).T
    )
    own = np.array([contexts.index(question.context) for question in questions])
    assert measures["recall@1"] == pytest.approx(float((scores.argmax(axis=1) == own).mean()))
    logits = torch.from_numpy(scores) / 0.05
    expected = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(own)))
    assert measures["loss"] == pytest.approx(expected, rel=1e-4)
    assert measures["score"] == pytest.approx(measures["recall@1"] - 1e-4 * measures["loss"])


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


# the whole


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
