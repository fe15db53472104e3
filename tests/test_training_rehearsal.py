"""Going on without forgetting: the model as it was teaches what is read again, and lower layers stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from retriever.encoder.loading import load_reader_model, save_reader
from retriever.encoder.model import SpanReader
from retriever.encoder.reading import Window
from retriever.encoder.span_scorer import SpanScorer
from retriever.encoder.tokenizer import Tokenizer
from retriever.evaluation import GradedQuestion
from retriever.training.batches import Item, Mixture
from retriever.training.loop import TrainingConfig
from retriever.training.reader import ReaderTask, train_reader
from retriever.training.rehearsal import Rehearsal, WithRehearsal
from retriever.training.teacher import Distillation, Teacher, learning_loss
from retriever.types import TextSpan

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CPU = torch.device("cpu")
PLAIN = Mixture(hard=0.0, changed=0.0, removed=0.0, keywords=0.0, rows=0.0, title=0.0)


class Given:
    """The same items every epoch."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = list(items)

    def items(self, epoch: int) -> list[Item]:
        return [*self._items] * (epoch + 1)


def item(length: int, begin: int, start: int, end: int) -> Item:
    return Item(Window(np.random.default_rng(length).integers(5, 40, length), begin, 0), start, end)


LEARNED = [item(20, 5, 7, 9), item(33, 8, 0, 0)]
AGAIN = [item(12, 4, 10, 10), item(20, 6, 0, 0)]


def test_what_is_read_again_is_marked() -> None:
    both = WithRehearsal(Given(LEARNED), Given(AGAIN)).items(1)
    assert [one.rehearsed for one in both] == [False] * 4 + [True] * 4
    assert [one.window for one in both[4:6]] == [one.window for one in AGAIN]


@pytest.mark.parametrize("larger", [False, True])
def test_the_model_as_it_was_teaches_only_what_is_read_again(tiny_reader_folder: Path, larger: bool) -> None:
    model, files, _ = load_reader_model(str(tiny_reader_folder))
    before = Teacher.load(str(tiny_reader_folder), Tokenizer.from_folder(files.folder), CPU, bfloat16=False)
    with torch.no_grad():
        model.head.linear.weight.mul_(1.5)  # it isn't what it was
    items = WithRehearsal(Given(LEARNED), Given(AGAIN)).items(0)
    distillation = Distillation(weight=0.6, temperature=2.0)

    def loss_of(batch: Sequence[Item], *, teacher: Teacher | None, before: Teacher | None) -> float:
        task = ReaderTask(
            model, Given([]), [], TrainingConfig(), padding=0, bfloat16=False,
            teacher=teacher, before=before, distillation=distillation,
        )  # fmt: skip
        return float(task.accumulate(list(batch))[0])

    expected = 0.0
    for one in items:
        ids = torch.from_numpy(one.window.ids)[None]
        given = ids, torch.ones_like(ids, dtype=torch.bool), torch.from_numpy(one.window.segments)[None]
        taught = before.logits(*given) if one.rehearsed or larger else None
        target = torch.tensor([[one.start, one.end]])
        expected += float(learning_loss(model(*given).detach(), target, taught, distillation))
    options = {"teacher": before} if larger else {"teacher": None}
    mixed = [items[2], items[0], items[3], items[1]]  # whatever their order in a batch
    assert loss_of(mixed, **options, before=before) == pytest.approx(expected, rel=1e-5)
    plain = loss_of(items, teacher=None, before=None)
    assert plain != pytest.approx(expected, rel=1e-3)


def questions(count: int, thing: str) -> list[GradedQuestion]:
    made = []
    for i in range(count):
        text = f"the {thing} sat in paris and the manager is in berlin {i}"
        answer = TextSpan(text.index("paris"), text.index("paris") + 5, "paris")
        made.append(GradedQuestion(str(i), f"where is the {thing}", text, "", (answer,), ("paris",)))
    return made


def margins(folder: Path, asked: Sequence[GradedQuestion]) -> list[float]:
    scorer = SpanScorer.load(str(folder), precision="float32", device="cpu")
    return [found.margin for found in scorer.read_many([(one.question, one.context, "") for one in asked])]


def test_rehearsal_holds_readings_to_what_they_were(tiny_reader_folder: Path, tmp_path: Path) -> None:
    known, fresh = questions(24, "cat"), questions(24, "dog")
    searched: list[int] = []

    def search(passages: Sequence[str]) -> object:
        searched.append(len(passages))
        return lambda asked: [[0, 1] for _ in asked]

    moved = {}
    for name, rehearsal in (("alone", None), ("again", Rehearsal(known, search))):  # type: ignore[arg-type]
        train_reader(
            fresh, tmp_path / name, start=str(tiny_reader_folder), mixture=PLAIN, held_back=0.0,
            config=TrainingConfig(epochs=12.0, batch_tokens=400, batches_per_step=1, learning_rate=3e-3,
                                  warmup_steps=2, evaluate_every=10_000),
            distillation=Distillation(weight=1.0), rehearsal=rehearsal, device="cpu", report=lambda line: None,
        )  # fmt: skip
        change = np.subtract(margins(tmp_path / name, known), margins(tiny_reader_folder, known))
        moved[name] = float(np.abs(change).mean())
    assert moved["again"] < moved["alone"] / 2, moved
    assert searched == [24], "hard negatives of what is read again are looked for among its own passages"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_reader_model(str(folder))[0].named_parameters())


def test_lower_layers_stay_and_are_saved(tiny_reader_folder: Path, tmp_path: Path) -> None:
    train_reader(
        questions(24, "cat"), tmp_path, start=str(tiny_reader_folder), mixture=PLAIN, held_back=0.0, layers=1,
        config=TrainingConfig(epochs=2.0, batch_tokens=400, batches_per_step=1, learning_rate=1e-2, warmup_steps=1),
        device="cpu", report=lambda line: None,
    )  # fmt: skip
    before, after = weights(tiny_reader_folder), weights(tmp_path)
    layers = sorted(
        {
            name.split(".layer.")[1].split(".")[0]
            for name in before
            if ".backbone." in name and ".layer." in name
        }
    )
    assert len(layers) > 1
    changed = {
        number: [name for name in before if f".layer.{number}." in name and ".local." not in name
                 and not torch.allclose(before[name], after[name], atol=1e-3)]
        for number in layers
    }  # fmt: skip
    assert [bool(changed[number]) for number in layers] == [False] * (len(layers) - 1) + [True]


def test_frozen_layers_are_written_as_they_are(tiny_reader_folder: Path, tmp_path: Path) -> None:
    """Where they were left out, a scorer was read with the encoder's layers instead of its own."""
    model, files, reading = load_reader_model(str(tiny_reader_folder))
    with torch.no_grad():
        for p in model.own_parameters().values():
            p.add_(0.25)
    model.freeze_embeddings()
    model.freeze_layers(0)
    save_reader(model, files, reading, tmp_path)
    expected = {name: p.detach() for name, p in model.named_parameters()}
    for name, p in weights(tmp_path).items():
        torch.testing.assert_close(p, expected[name], atol=0.02, rtol=0.02)


@pytest.mark.parametrize("trained", [0, 1, 2, 9])
def test_so_many_upper_layers_learn(tiny_reader_folder: Path, trained: int) -> None:
    model: SpanReader = load_reader_model(str(tiny_reader_folder))[0]
    model.freeze_layers(trained)
    count = 1 + max(
        int(name.split(".layer.")[1].split(".")[0])
        for name, _ in model.encoder.backbone.named_parameters()
        if ".layer." in name
    )
    learning = {
        int(name.split(".layer.")[1].split(".")[0])
        for name, p in model.encoder.backbone.named_parameters()
        if ".layer." in name and p.requires_grad
    }
    assert learning == set(range(max(0, count - trained), count))
    assert all(
        p.requires_grad for name, p in model.named_parameters() if not name.startswith("encoder.backbone")
    )
