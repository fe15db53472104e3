"""Training the span scorer: losses and measures by hand, and a tiny model that learns thirty answers by heart."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from retriever.encoder import SpanScorer
from retriever.encoder.backbone import find_encoder
from retriever.encoder.loading import load_reader_model, load_span_encoder
from retriever.encoder.model import SpanReader
from retriever.encoder.reader_files import READER_WEIGHTS
from retriever.encoder.reading import Window
from retriever.encoder.settings import SpanEncoderConfig
from retriever.encoder.tokenizer import Tokenizer
from retriever.evaluation import GradedQuestion
from retriever.training.batches import Item, Mixture
from retriever.training.examples import Example, ExampleSet, tokenize
from retriever.training.loop import TrainingConfig
from retriever.training.reader import ReaderTask, split, train_reader
from retriever.types import TextSpan

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CONFIG = TrainingConfig(batch_tokens=200)


class Planned:
    """Stands in for `Epochs`: the same items every epoch."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.given = list(items)
        self.asked: list[int] = []

    def items(self, epoch: int) -> list[Item]:
        self.asked.append(epoch)
        return self.given


def task_of(model: nn.Module, items: Sequence[Item] = (), held_back: Sequence[Item] = ()) -> ReaderTask:
    return ReaderTask(model, Planned(items), held_back, CONFIG, padding=0, bfloat16=False)  # type: ignore[arg-type]


def item(length: int, begin: int, start: int, end: int) -> Item:
    ids = np.random.default_rng(length).integers(5, 40, length)
    return Item(Window(ids, begin, 0), start, end)


@pytest.fixture
def model(tiny_reader_folder: Path) -> SpanReader:
    return load_reader_model(str(tiny_reader_folder))[0]


ITEMS = [item(20, 5, 7, 9), item(33, 8, 0, 0), item(12, 4, 10, 10), item(20, 6, 0, 0)]


def test_the_loss_is_the_cross_entropy_over_the_passage_and_no_answer(model: SpanReader) -> None:
    expected = 0.0
    for one in ITEMS:
        ids = torch.from_numpy(one.window.ids)[None]
        segments = torch.from_numpy(one.window.segments)[None]
        with torch.inference_mode():
            logits = model(ids, torch.ones_like(ids, dtype=torch.bool), segments)[0].double().numpy()
        allowed = [0, *range(one.window.begin, len(one.window.ids) - 1)]
        for side, target in enumerate((one.start, one.end)):
            scores = logits[:, side]
            expected += (np.log(np.exp(scores[allowed]).sum()) - scores[target]) / 2
    loss, count = task_of(model).accumulate(ITEMS)
    assert count == 4
    assert not loss.requires_grad
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_gradients_of_a_batch_are_those_of_its_items(model: SpanReader) -> None:
    task = task_of(model)
    task.accumulate(ITEMS)
    together = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for one in ITEMS:
        task.accumulate([one])
    assert {name for name in together if name.startswith("head")} == {
        "head.linear.weight",
        "head.linear.bias",
    }
    for name, p in model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(together[name], p.grad, atol=1e-4, rtol=1e-3)


class Scripted(nn.Module):
    """Logits by an item's second token."""

    def __init__(self, table: dict[int, list[list[float]]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self._table = table

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        rows = [torch.tensor(self._table[int(row[1])]).T for row in ids]
        return torch.stack(rows).masked_fill(
            ~(segments.bool() | (torch.arange(6) == 0))[..., None], -torch.inf
        )


def scripted(number: int, start: int, end: int) -> Item:
    return Item(Window(np.array([2, number, 20, 21, 22, 23]), 2, 0), start, end)


def test_measures_by_hand() -> None:
    # start and end by token; token 0 is no answer, token 1 the question, tokens 2...5 the passage
    table = {
        10: [[0.0, 9.0, 3.0, 0.0, 0.0, 0.0], [0.0, 9.0, 0.0, 3.0, 0.0, 0.0]],  # 2...3
        11: [[9.0, 9.0, 3.0, 0.0, 0.0, 0.0], [9.0, 9.0, 0.0, 3.0, 0.0, 0.0]],  # none; else 2...3
        12: [
            [0.0, 9.0, 0.0, 0.0, 5.0, 4.0],
            [0.0, 9.0, 5.0, 4.0, 0.0, 3.0],
        ],  # 4...2 would be best, but is no span
    }
    held_back = [
        scripted(10, 2, 3),
        scripted(11, 2, 3),
        scripted(12, 4, 5),
        scripted(10, 0, 0),
        scripted(11, 0, 0),
    ]
    measures = task_of(Scripted(table), held_back=held_back).evaluate()

    def entropy(number: int, start: int, end: int) -> float:
        total = 0.0
        for scores, target in zip(table[number], (start, end), strict=True):
            allowed = np.array([scores[0], *scores[2:]])
            total += np.log(np.exp(allowed).sum()) - scores[target]
        return total / 2

    losses = [entropy(10, 2, 3), entropy(11, 2, 3), entropy(12, 4, 5), entropy(10, 0, 0), entropy(11, 0, 0)]
    assert measures["score"] == pytest.approx(-np.mean(losses), rel=1e-5)
    # of the answerable the first two spans are right, whatever no answer has; the third's is 4...5, too: 5 + 3
    assert measures["exact"] == 1.0
    # of the others the second is refused
    assert measures["refused"] == 0.5
    wrong = task_of(Scripted(table), held_back=[scripted(12, 4, 4), scripted(10, 2, 3)]).evaluate()
    assert (wrong["exact"], wrong["refused"]) == (0.5, 0.0)
    assert task_of(Scripted(table)).evaluate() == {"score": 0.0, "exact": 0.0, "refused": 0.0}


def test_an_epoch_is_planned_once_and_again_the_same(model: SpanReader) -> None:
    epochs = Planned(ITEMS * 5)
    task = ReaderTask(model, epochs, [], CONFIG, padding=0, bfloat16=False)  # type: ignore[arg-type]
    first = [[id(one) for one in batch] for batch in task.batches(0)]
    assert [[id(one) for one in batch] for batch in task.batches(0)] == first
    assert epochs.asked == [0]
    other = [[id(one) for one in batch] for batch in task.batches(1)]
    assert [[id(one) for one in batch] for batch in task.batches(0)] == first != other
    assert all(max(len(one.window.ids) for one in batch) * len(batch) <= 200 for batch in task.batches(0))


def test_a_split_numbers_negatives_anew() -> None:
    nothing = np.empty(0, dtype=np.int64)
    examples = [Example(str(i), nothing, nothing, 0, (0, 0), (), "", held_back=i in {1, 4}) for i in range(6)]
    learned, held = split(ExampleSet([], examples), {0: (7,), 3: (8, 9), 4: (5,), 5: (6,)})
    assert [example.question for example in learned[0].examples] == ["0", "2", "3", "5"]
    assert learned[1] == {0: (7,), 2: (8, 9), 3: (6,)}
    assert [example.question for example in held[0].examples] == ["1", "4"]
    assert held[1] == {1: (5,)}


ANIMALS, PLACES, COLOURS = (
    ("cat", "dog", "sensor", "manager", "team"),
    ("paris", "berlin", "the mountain"),
    ("red", "blue"),
)


def made_up(count: int, seed: int = 0) -> list[GradedQuestion]:
    """Where is this and that, each with a distractor in the same passage."""
    rng = random.Random(seed)
    found: dict[str, GradedQuestion] = {}
    while len(found) < count:
        one, other = rng.sample(ANIMALS, 2)
        here, there = rng.sample(PLACES, 2)
        colours = rng.choices(COLOURS, k=2)
        text = f"the {colours[0]} {one} sat in {here} and the {colours[1]} {other} is in {there}"
        asked, place = rng.choice([(one, here), (other, there)])
        start = text.index(place)
        answer = TextSpan(start, start + len(place), place)
        question = GradedQuestion(str(len(found)), f"where is the {asked}", text, "", (answer,), (place,))
        found.setdefault(text, question)
    return list(found.values())


QUESTIONS = made_up(32)
LEARNING = TrainingConfig(
    epochs=60.0, batch_tokens=400, batches_per_step=1, learning_rate=4e-3, new_learning_rate=8e-3, warmup_steps=20,
    evaluate_every=10_000,
)  # fmt: skip
PLAIN = Mixture(hard=0.0, changed=0.0, removed=0.0, keywords=0.0, rows=0.0, title=0.0)


def test_a_tiny_model_learns_its_questions(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    options = {"encoder": str(tiny_encoder_folder), "config": LEARNING, "mixture": PLAIN, "held_back": 0.1}
    measures = train_reader(QUESTIONS, tmp_path, report=lines.append, device="cpu", **options)  # type: ignore[arg-type]
    losses = [float(loss) for line in lines for loss in re.findall(r"loss (\S+)", line)]
    assert losses[-1] < losses[0] / 4, losses
    assert lines[0] == "32 questions on 32 passages"
    scorer = SpanScorer.load(str(tmp_path), precision="float32", device="cpu")
    tokenizer = Tokenizer.from_folder(load_reader_model(str(tmp_path))[1].folder)
    held = [example.held_back for example in tokenize(QUESTIONS, tokenizer, held_back=0.1).examples]
    assert 0 < sum(held) < 8
    learned = [question for question, is_held in zip(QUESTIONS, held, strict=True) if not is_held]
    readings = scorer.read_many([(question.question, question.context, "") for question in learned])
    right = [
        (reading.start, reading.end) == (question.answers[0].start, question.answers[0].end)
        and not reading.no_answer
        for reading, question in zip(readings, learned, strict=True)
    ]
    assert sum(right) >= 0.9 * len(right), f"{sum(right)} of {len(right)}"
    # the embeddings are the encoder's, and a second run has nothing left to do
    saved = load_file(tmp_path / READER_WEIGHTS)
    assert not any("embeddings" in name for name in saved)
    before = (tmp_path / READER_WEIGHTS).read_bytes()
    again = train_reader(QUESTIONS, tmp_path, report=lines.append, device="cpu", **options)  # type: ignore[arg-type]
    assert again == measures
    assert (tmp_path / READER_WEIGHTS).read_bytes() == before
    assert any(line.startswith("going on from step") for line in lines)


def test_training_mines_negatives_over_all_passages_once(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    given: list[list[str]] = []
    lines: list[str] = []

    def search(passages: Sequence[str]) -> object:
        given.append(list(passages))
        return lambda questions: [[len(passages) - 1, 0, 1] for _ in questions]

    mixture = Mixture(hard=1.0, changed=0.3, removed=0.3, keywords=0.3, rows=0.0)
    config = TrainingConfig(epochs=1.0, batch_tokens=400, batches_per_step=2, warmup_steps=2)
    span = SpanEncoderConfig(window=2, local_heads=4, local=False)
    for _ in range(2):
        lines.clear()
        measures = train_reader(
            QUESTIONS,
            tmp_path,
            extra=made_up(8, seed=5),
            others=["snow on the mountain in winter"],
            encoder=str(tiny_encoder_folder),
            search=search,  # type: ignore[arg-type]
            config=config,
            mixture=mixture,
            span=span,
            held_back=0.2,
            device="cpu",
            report=lines.append,
        )
        assert lines[0] == "40 questions on 41 passages"
    assert given == [[*(question.context for question in QUESTIONS), "snow on the mountain in winter"]]
    assert measures.keys() == {"score", "exact", "refused"}
    model = load_reader_model(str(tmp_path))[0]
    assert model.encoder.config == span


def test_training_goes_on_from_a_trained_scorer(tiny_reader_folder: Path, tmp_path: Path) -> None:
    """At a rate of zero, it is what it was; at another, all of it learns at the pretrained weights' rate."""
    rows = [(question.question, question.context, "") for question in QUESTIONS]
    readings = {}
    for rate in (0.0, 0.01):
        train_reader(
            QUESTIONS,
            tmp_path / str(rate),
            start=str(tiny_reader_folder),
            config=TrainingConfig(
                epochs=1.0,
                batch_tokens=400,
                batches_per_step=1,
                learning_rate=rate,
                new_learning_rate=0.0,
                warmup_steps=1,
            ),
            mixture=PLAIN,
            held_back=0.2,
            device="cpu",
            report=lambda line: None,
        )
        model, _, reading = load_reader_model(str(tmp_path / str(rate)))
        assert (reading.max_length, reading.stride) == (48, 10), "windows are those that it was trained with"
        assert model.head.linear.weight.isfinite().all()
        scorer = SpanScorer.load(str(tmp_path / str(rate)), precision="float32", device="cpu")
        readings[rate] = [found.margin for found in scorer.read_many(rows)]
    before = SpanScorer.load(str(tiny_reader_folder), precision="float32", device="cpu").read_many(rows)
    assert readings[0.0] == pytest.approx([found.margin for found in before], abs=1e-4)
    assert np.abs(np.subtract(readings[0.0], readings[0.01])).max() > 0.1


def test_embeddings_are_frozen(tiny_encoder_folder: Path) -> None:
    encoder = load_span_encoder(find_encoder(str(tiny_encoder_folder)))
    model = SpanReader(encoder, segments=True)
    model.freeze_embeddings()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(
        name.startswith(("encoder.backbone.embeddings.", "encoder.backbone.pooler.")) for name in frozen
    )
    assert not any(
        p.requires_grad for name, p in model.named_parameters() if "embeddings" in name or "pooler" in name
    )
