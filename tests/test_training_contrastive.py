"""What contrastive training minimises: losses by hand, batches, and vectors as the encoder gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from retriever.encoder import Passage, TextEncoder
from retriever.evaluation import GradedQuestion
from retriever.training.contrastive import drift, info_nce
from retriever.training.examples import tokenize
from retriever.training.pairs import Contrast, PairBatches, Texts
from tests.contrasts import animal_questions, graded, make_task


@pytest.fixture(scope="module")
def questions() -> list[GradedQuestion]:
    return animal_questions()


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
