"""Steps, schedule and checkpoints: by hand on one or two weights, and bit for bit the same after a kill."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from retriever.errors import SpanseekError
from retriever.training.loop import Loop, TrainingConfig

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CONFIG = TrainingConfig(
    epochs=4.0,
    batches_per_step=2,
    learning_rate=0.01,
    new_learning_rate=0.02,
    warmup_steps=2,
    evaluate_every=5,
)
WEIGHTS, STATE = "checkpoint.safetensors", "checkpoint.json"


class KilledError(Exception):
    """Stands in for a kill."""


class Noise:
    """A task with noise in the model and in the data, and with epochs of different lengths."""

    def __init__(self, model: nn.Module, *, kill_at: int | None = None, batches: int = 9) -> None:
        self.model = model
        self.seen: list[float] = []
        self.looks = 0
        self._kill_at = kill_at
        self._batches = batches

    def batches(self, epoch: int) -> list[Tensor]:
        random = torch.Generator().manual_seed(epoch)
        return [torch.randn(3, 8, generator=random) for _ in range(self._batches + epoch % 2 * 2)]

    def accumulate(self, batch: Tensor) -> tuple[Tensor, int]:
        if len(self.seen) == self._kill_at:
            raise KilledError
        self.seen.append(float(batch[0, 0]))
        noisy = nn.functional.dropout(batch, 0.3)
        loss = (self.model(noisy).squeeze(-1) - batch.sum(dim=1)).square().sum()
        loss.backward()
        return loss.detach(), len(batch)

    def evaluate(self) -> dict[str, float]:
        self.looks += 1
        return {"score": float(self.looks)}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 1))


def loop_of(
    folder: Path,
    config: TrainingConfig,
    *,
    seed: int = 0,
    kill_at: int | None = None,
    lines: list[str] | None = None,
) -> tuple[Loop, Noise]:
    folder.mkdir(exist_ok=True)
    model = network(seed)
    task = Noise(model, kill_at=kill_at)
    report = lines.append if lines is not None else lambda line: None
    return Loop(model, lambda name: name.startswith("2."), task, config, folder, report), task


def finished(folder: Path, config: TrainingConfig) -> tuple[dict[str, Tensor], list[float]]:
    """Checkpoint and batches of a run that nothing stopped."""
    loop, task = loop_of(folder, config)
    loop.run()
    return load_file(folder / WEIGHTS), task.seen


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), f"{name} differs by {(value - other[name]).abs().max()}"


# Epochs have 9, 11, 9, ... batches, which makes 5, 6, 5, ... steps, the last of each of one batch; 4 * 5 steps in all.
ENDS = [2, 4, 6, 8, 9, 11, 13, 15, 17, 19, 20, 22, 24, 26, 28, 29, 31, 33, 35, 37]
"""Batches that are done when each step is."""


@pytest.mark.parametrize("kill_at", [1, 2, 9, 10, 16, 36], ids=lambda batches: f"after {batches} batches")
def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, kill_at: int) -> None:
    whole, seen = finished(tmp_path / "whole", CONFIG)
    assert len(seen) == ENDS[-1]
    loop, task = loop_of(tmp_path / "killed", CONFIG, kill_at=kill_at)
    with pytest.raises(KilledError):
        loop.run(checkpoint_every=-1.0)
    steps = sum(end <= kill_at for end in ENDS)
    lines: list[str] = []
    # with a checkpoint, neither the weights nor the noise that it begins with count
    again, rest = loop_of(tmp_path / "killed", CONFIG, seed=9 if steps else 0, lines=lines)
    again.run()
    assert_same(load_file(tmp_path / "killed" / WEIGHTS), whole)
    assert task.seen[: ENDS[steps - 1] if steps else 0] + rest.seen == seen
    if steps:
        assert lines[0] == f"going on from step {steps} of 20"


def test_what_came_after_the_checkpoint_is_done_again(tmp_path: Path) -> None:
    whole, seen = finished(tmp_path / "whole", CONFIG)
    loop, _ = loop_of(tmp_path / "killed", CONFIG, kill_at=13)
    with pytest.raises(KilledError):
        loop.run(checkpoint_every=-1.0)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "killed", kept)
    loop, _ = loop_of(tmp_path / "killed", CONFIG, kill_at=9)
    with pytest.raises(KilledError):
        loop.run()  # no checkpoint in so short a time
    assert_same(load_file(tmp_path / "killed" / WEIGHTS), load_file(kept / WEIGHTS))
    again, rest = loop_of(tmp_path / "killed", CONFIG)
    again.run()
    assert rest.seen == seen[13:]
    assert_same(load_file(tmp_path / "killed" / WEIGHTS), whole)


def test_a_kill_between_the_two_files_of_a_checkpoint(tmp_path: Path) -> None:
    whole, _ = finished(tmp_path / "whole", CONFIG)
    folder = tmp_path / "killed"
    loop, _ = loop_of(folder, CONFIG, kill_at=11)
    with pytest.raises(KilledError):
        loop.run(checkpoint_every=-1.0)
    older = (folder / STATE).read_text(encoding="utf-8")
    loop, _ = loop_of(folder, CONFIG, kill_at=2)
    with pytest.raises(KilledError):
        loop.run(checkpoint_every=-1.0)
    (folder / STATE).write_text(older, encoding="utf-8")  # of step 6, beside the weights of step 7
    (folder / f"{WEIGHTS}.new").write_bytes(b"half of a checkpoint")
    lines: list[str] = []
    again, _ = loop_of(folder, CONFIG, lines=lines)
    again.run()
    assert lines[0] == "going on from step 7 of 20"
    assert_same(load_file(folder / WEIGHTS), whole)


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    whole, _ = finished(tmp_path, CONFIG)
    again, task = loop_of(tmp_path, CONFIG, seed=9)
    assert again.run() == {"score": 2.0}
    assert task.seen == []
    assert_same(load_file(tmp_path / WEIGHTS), whole)
    # the average was as good: it is what the run ends with
    for name, p in again.model.named_parameters():
        assert torch.equal(p, whole[f"average.{name}"])


@pytest.mark.parametrize(("first", "then"), [(4.0, 8.0), (8.0, 4.0)], ids=["longer", "shorter"])
def test_a_run_can_be_made_longer_or_shorter_before_its_decay(
    tmp_path: Path, first: float, then: float
) -> None:
    """With 20 steps the rate falls after the 12th, which ends with batch 22."""
    whole, seen = finished(tmp_path / "whole", replace(CONFIG, epochs=then))
    loop, _ = loop_of(tmp_path / "changed", replace(CONFIG, epochs=first), kill_at=22)
    with pytest.raises(KilledError):
        loop.run(checkpoint_every=-1.0)
    again, rest = loop_of(tmp_path / "changed", replace(CONFIG, epochs=then))
    again.run()
    assert rest.seen == seen[22:]
    assert_same(load_file(tmp_path / "changed" / WEIGHTS), whole)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    finished(tmp_path, CONFIG)
    for model in (nn.Linear(8, 1), nn.Sequential(nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 1))):
        loop = Loop(model, lambda name: False, Noise(model), CONFIG, tmp_path, lambda line: None)
        with pytest.raises(SpanseekError, match="is of another model: choose another --out"):
            loop.run()


def test_nothing_to_train_on(tmp_path: Path) -> None:
    model = network()
    task = Noise(model, batches=0)
    loop = Loop(model, lambda name: False, task, CONFIG, tmp_path, lambda line: None)
    with pytest.raises(SpanseekError, match="too few questions"):
        loop.run()


class OneWeight:
    """A task of one item a batch, with what each step saw; what it is to be scored as is scripted."""

    def __init__(
        self,
        weight: Tensor,
        gradient: Callable[[int], float],
        scores: Sequence[float] = (),
        steps: int = 100,
    ) -> None:
        self.weight = weight
        self.before: list[float] = []
        self._gradient = gradient
        self._scores = iter(scores)
        self._steps = steps

    def batches(self, epoch: int) -> list[int]:
        return list(range(self._steps))

    def accumulate(self, batch: int) -> tuple[Tensor, int]:
        self.before.append(self.weight.item())
        self.weight.grad = torch.full_like(self.weight, self._gradient(batch))
        return torch.tensor(0.0), 1

    def evaluate(self) -> dict[str, float]:
        return {"score": next(self._scores, 0.0)}


ONE = TrainingConfig(
    batches_per_step=1, learning_rate=1e-3, warmup_steps=40, decay=0.4, weight_decay=0.0, evaluate_every=1000
)


def one_weight(
    folder: Path, config: TrainingConfig = ONE, **options: Any
) -> tuple[Loop, OneWeight, nn.Linear, list[str]]:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    task = OneWeight(model.weight, **{"gradient": lambda step: 1.0, **options})
    lines: list[str] = []
    return Loop(model, lambda name: False, task, config, folder, lines.append), task, model, lines


@pytest.mark.parametrize(("warmup", "takes"), [(4, 4), (40, 10)], ids=["as set", "a tenth of a short run"])
def test_the_schedule_by_hand(tmp_path: Path, warmup: int, takes: int) -> None:
    """AdamW's step is the rate itself where the gradient is always the same."""
    loop, task, _, lines = one_weight(tmp_path, replace(ONE, warmup_steps=warmup))
    loop.run()
    places = [*task.before, float(load_file(tmp_path / WEIGHTS)["model.weight"])]
    rates = [one - other for one, other in pairwise(places)]
    assert len(rates) == 100
    expected = [1e-3 * min(1, (step + 1) / takes, (100 - step) / 40) for step in range(100)]
    assert rates == pytest.approx(expected, rel=2e-3)
    assert expected[takes - 1] == expected[60] == 1e-3
    said = [line.split("rate ")[1].split()[0] for line in lines if line.startswith("step")]
    assert said == ["1.00e-03", "1.00e-03", "1.00e-03", "5.00e-04", "0.00e+00"]


def test_the_average_by_hand(tmp_path: Path) -> None:
    config = replace(ONE, average=0.5, epochs=0.2)
    loop, task, _, _ = one_weight(tmp_path, config, gradient=lambda step: math.sin(step) + 0.3)
    loop.run()
    weights = load_file(tmp_path / WEIGHTS)
    places = [*task.before, float(weights["model.weight"])]
    average = places[0]
    for step, place in enumerate(places[1:], start=1):
        keep = min(0.5, step / (step + 10))
        average = keep * average + (1 - keep) * place
    assert len(places) == 21
    assert float(weights["average.weight"]) == pytest.approx(average, abs=1e-8)
    assert abs(average - places[-1]) > 1e-6


@pytest.mark.parametrize(
    ("last", "averaged", "kept"),
    [(0.5, 0.6, "average"), (0.5, 0.5, "average"), (0.6, 0.5, "model")],
    ids=["better", "as good", "worse"],
)
def test_the_average_is_taken_unless_it_is_worse(
    tmp_path: Path, last: float, averaged: float, kept: str
) -> None:
    loop, _, model, lines = one_weight(tmp_path, replace(ONE, epochs=0.1), scores=[last, averaged])
    assert loop.run() == {"score": max(last, averaged)}
    weights = load_file(tmp_path / WEIGHTS)
    assert weights["model.weight"] != weights["average.weight"]
    assert torch.equal(model.weight, weights[f"{kept}.weight"])
    assert lines == [
        f"held back, last weights: score {last:.4f}",
        f"held back, averaged:     score {averaged:.4f}",
    ]


def test_a_run_stops_when_nothing_is_gained(tmp_path: Path) -> None:
    config = replace(ONE, evaluate_every=3, patience=2)
    loop, task, _, lines = one_weight(tmp_path, config, scores=[1.0, 2.0, 2.0, 2.5, 2.4, 2.5, 9.0, 9.0])
    loop.run()
    assert len(task.before) == 18
    assert json.loads((tmp_path / STATE).read_text(encoding="utf-8"))["best"] == {
        "score": 2.5,
        "step": 12,
        "stale": 2,
    }
    assert lines[5:7] == ["held back at step 18: score 2.5000", "no gain in 2 looks: stopped"]


def test_looks_are_counted_on_after_a_kill(tmp_path: Path) -> None:
    """A kill after the first look without a gain; the second stops the run."""
    config = replace(ONE, evaluate_every=3, patience=2)

    def killing(step: int) -> float:
        if step == 7:
            raise KilledError
        return 1.0

    loop, _, _, _ = one_weight(tmp_path, config, scores=[2.0, 1.0], gradient=killing)
    with pytest.raises(KilledError):
        loop.run(checkpoint_every=-1.0)
    loop, task, _, lines = one_weight(tmp_path, config, scores=[1.5, 0.0, 0.0])
    loop.run()
    assert lines[:3] == [
        "going on from step 7 of 100", "held back at step 9: score 1.5000", "no gain in 2 looks: stopped",
    ]  # fmt: skip
    assert len(task.before) == 2


def test_the_last_step_is_not_looked_at_twice(tmp_path: Path) -> None:
    loop, _, _, lines = one_weight(tmp_path, replace(ONE, evaluate_every=50))
    loop.run()
    assert [line.split(":")[0] for line in lines if line.startswith("held")] == [
        "held back at step 50", "held back, last weights", "held back, averaged",
    ]  # fmt: skip


class Still:
    """A task whose gradient is zero."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def batches(self, epoch: int) -> list[int]:
        return [0]

    def accumulate(self, batch: int) -> tuple[Tensor, int]:
        for p in self._model.parameters():
            p.grad = torch.zeros_like(p)
        return torch.tensor(0.0), 1

    def evaluate(self) -> dict[str, float]:
        return {"score": 0.0}


def test_matrices_decay_at_their_rate_and_vectors_do_not(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    config = replace(
        ONE, warmup_steps=1, weight_decay=0.1, learning_rate=0.5, new_learning_rate=0.25, average=0.0
    )
    Loop(model, lambda name: name.startswith("1."), Still(model), config, tmp_path, lambda line: None).run()
    after = load_file(tmp_path / WEIGHTS)
    torch.testing.assert_close(after["model.0.weight"], before["0.weight"] * (1 - 0.5 * 0.1))
    torch.testing.assert_close(after["model.1.weight"], before["1.weight"] * (1 - 0.25 * 0.1))
    for name in ("0.bias", "1.bias"):
        assert torch.equal(after[f"model.{name}"], before[name])


def test_frozen_weights_are_neither_trained_nor_saved(tmp_path: Path) -> None:
    model = network()
    weight = model.get_parameter("0.weight").requires_grad_(False)
    frozen = weight.clone()
    Loop(model, lambda name: False, Noise(model), CONFIG, tmp_path, lambda line: None).run()
    assert torch.equal(weight, frozen)
    assert "model.0.weight" not in load_file(tmp_path / WEIGHTS)
    assert "model.2.weight" in load_file(tmp_path / WEIGHTS)


class Uneven:
    """Batches of one and of three items; the gradient of each item is its number."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def batches(self, epoch: int) -> list[list[float]]:
        return [[4.0], [1.0, 2.0, 3.0]]

    def accumulate(self, batch: list[float]) -> tuple[Tensor, int]:
        loss = (self._weight * torch.tensor(batch)).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return torch.tensor(sum(batch)), len(batch)

    def evaluate(self) -> dict[str, float]:
        return {"score": 0.0}


def test_a_step_is_the_mean_over_its_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(1, 1, bias=False)
    seen: list[tuple[float, float]] = []
    monkeypatch.setattr(
        nn.utils,
        "clip_grad_norm_",
        lambda trained, most: seen.append((trained[0].grad.item(), most)),
    )
    config = replace(ONE, batches_per_step=2, clip=0.7, epochs=20)
    lines: list[str] = []
    Loop(model, lambda name: False, Uneven(model.weight), config, tmp_path, lines.append).run()
    assert seen == [(2.5, 0.7)] * 20
    assert lines[0].startswith("step 20/20  loss 2.500  ")


def test_gradients_are_clipped(tmp_path: Path) -> None:
    """Adam forgets a gradient's size but not the size of one against another."""
    ends = {}
    for most in (1.0, 1e9):
        folder = tmp_path / str(most)
        folder.mkdir()
        loop, task, _, _ = one_weight(
            folder, replace(ONE, clip=most, epochs=0.04), gradient=lambda step: 1.0 if step < 3 else -1000.0
        )
        loop.run()
        ends[most] = float(load_file(folder / WEIGHTS)["model.weight"]) - task.before[-1]
    # The moments after three gradients of 1 and one of -1; the last of four steps has 1 / (0.4 * 4) of the rate.
    mean = (1 - 0.9**4 - 2 * 0.1) / (1 - 0.9**4)
    assert ends[1.0] == pytest.approx(-mean * 1e-3 / 1.6, rel=1e-3)
    assert ends[1e9] > 0
