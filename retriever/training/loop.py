"""Steps of gradient descent that go on where they were killed.

The schedule is warm-up, a constant rate, and a linear decay to zero over the last part (Zhai et al., "Scaling Vision
Transformers", 2022, section 3.5): until the decay begins, a run can be made longer or shorter without starting again.
Besides the weights, their exponential moving average is kept (Polyak and Juditsky, 1992); the better of the two on
the held-back part is what a run ends with.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from retriever.config import Saved
from retriever.errors import SpanseekError

_WEIGHTS = "checkpoint.safetensors"
_STATE = "checkpoint.json"


@dataclass(frozen=True, slots=True)
class TrainingConfig(Saved):
    """How long and how fast.

    Attributes:
        seed: Everything random is drawn from it.
        epochs: How often the whole set is read; may be a fraction.
        batch_tokens: Tokens of one pass, padding counted.
        batches_per_step: Passes whose gradients make one step.
        learning_rate: Of pretrained weights, after warm-up.
        new_learning_rate: Of the span layer and the heads, which start from nothing.
        warmup_steps: Steps until the rate is reached; in a short run, a tenth of it.
        decay: Share of all steps over which the rate falls to zero, at the end.
        weight_decay: AdamW's, of matrices.
        clip: Greatest norm of a step's gradient.
        average: Decay of the moving average of the weights.
        evaluate_every: Steps between looks at the held-back part.
        patience: Looks without a gain after which the run stops.
    """

    seed: int = 1
    epochs: float = 1.0
    batch_tokens: int = 2048
    batches_per_step: int = 3
    learning_rate: float = 1.5e-4
    new_learning_rate: float = 5e-4
    warmup_steps: int = 200
    decay: float = 0.4
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.998
    evaluate_every: int = 250
    patience: int = 6


class Task(Protocol):
    """What is trained."""

    def batches(self, epoch: int) -> Sequence[Any]:
        """All batches of one epoch, the same whenever it is asked."""

    def accumulate(self, batch: Any) -> tuple[Tensor, int]:
        """Adds up the gradient of a batch's items; gives the sum of their losses, and their number."""

    def evaluate(self) -> dict[str, float]:
        """Measures of the held-back part; `score` is what is to grow."""


Report = Callable[[str], None]


class Loop:
    """Trains a model's weights that require a gradient.

    Args:
        model: In float32.
        is_new: Whether the weights of this name start from nothing.
        task: What is trained.
        config: How long and how fast.
        folder: Where checkpoints go, and come from.
        report: Takes lines for the user.
    """

    def __init__(
        self,
        model: nn.Module,
        is_new: Callable[[str], bool],
        task: Task,
        config: TrainingConfig,
        folder: Path,
        report: Report,
    ) -> None:
        self.model = model
        self.task = task
        self.config = config
        self._folder = folder
        self._report = report
        self._trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._average = {name: p.detach().clone() for name, p in self._trained.items()}
        self._optimizer = torch.optim.AdamW(_groups(self._trained, is_new, config), fused=True)
        self._step = 0
        self._seconds = 0.0
        self._best: dict[str, Any] = {"score": -math.inf, "step": 0, "stale": 0}

    def run(self, *, checkpoint_every: float = 120.0) -> dict[str, float]:
        """Trains to the end, or on from the checkpoint in the folder; leaves the best weights in the model.

        Args:
            checkpoint_every: Seconds between checkpoints.

        Returns:
            Measures of the held-back part at the end.
        """
        steps_per_epoch = -(-len(self.task.batches(0)) // self.config.batches_per_step)
        total = max(1, round(steps_per_epoch * self.config.epochs))
        if (self._folder / _STATE).exists():
            self._load()
            self._report(f"going on from step {self._step:,} of {total:,}")
        saved = began = time.monotonic()
        first = self._step
        smoothed = 0.0
        for group in self._groups_of_batches(self._step):
            if self._step >= total:
                break
            loss = self._descend(group, total)
            done = self._step - first
            smoothed += (loss - smoothed) / min(done, 50)
            if done % 20 == 0:
                rate = done / (time.monotonic() - began)
                left = (total - self._step) / rate
                self._report(
                    f"step {self._step:,}/{total:,}  loss {smoothed:.3f}  rate {self._rate(total):.2e}  "
                    f"{rate:.2f} steps/s  {left / 60:.0f} min left"
                )
            if self._step % self.config.evaluate_every == 0 and self._step < total and self._look():
                break
            if time.monotonic() - saved > checkpoint_every:
                self.save()
                saved = time.monotonic()
        self.save()
        return self._finish()

    def save(self) -> None:
        """Writes a checkpoint; a kill in between leaves the last one whole."""
        state = self._optimizer.state_dict()["state"]
        tensors = {f"model.{name}": p.detach() for name, p in self._trained.items()}
        tensors |= {f"average.{name}": p for name, p in self._average.items()}
        for number, moments in state.items():
            tensors |= {f"optimizer.{number}.{key}": value for key, value in moments.items()}
        tensors["random"] = torch.get_rng_state()
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        save_file(tensors, self._folder / f"{_WEIGHTS}.new", metadata={"step": str(self._step)})
        (self._folder / f"{_WEIGHTS}.new").replace(self._folder / _WEIGHTS)
        text = json.dumps({"step": self._step, "config": self.config.to_json(), "best": self._best})
        (self._folder / f"{_STATE}.new").write_text(text, encoding="utf-8")
        (self._folder / f"{_STATE}.new").replace(self._folder / _STATE)

    def _load(self) -> None:
        from safetensors import safe_open

        state = json.loads((self._folder / _STATE).read_text(encoding="utf-8"))
        with safe_open(self._folder / _WEIGHTS, "pt") as opened:
            # the weights are written first: after a kill between the two files they are the newer
            self._step = int(opened.metadata()["step"])
        self._best = state["best"]
        tensors = load_file(self._folder / _WEIGHTS)
        fresh = self._optimizer.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        try:
            with torch.no_grad():
                for name, p in self._trained.items():
                    p.copy_(tensors[f"model.{name}"])
                    self._average[name].copy_(tensors[f"average.{name}"])
        except (KeyError, RuntimeError) as error:
            raise SpanseekError(
                f"the checkpoint in {self._folder} is of another model: choose another --out"
            ) from error
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                moments.setdefault(int(number), {})[key] = value
        self._optimizer.load_state_dict({"state": moments, "param_groups": fresh["param_groups"]})
        torch.set_rng_state(tensors["random"])

    def _groups_of_batches(self, step: int) -> Iterator[Sequence[Any]]:
        """The batches of each step from `step` on, epoch after epoch."""
        size = self.config.batches_per_step
        passed = 0
        epoch = 0
        while True:
            batches = self.task.batches(epoch)
            steps = -(-len(batches) // size)
            if not steps:
                raise SpanseekError("there are too few questions to train on: give more data")
            for i in range(steps):
                if passed + i >= step:
                    yield batches[i * size : (i + 1) * size]
            passed += steps
            epoch += 1

    def _descend(self, batches: Sequence[Any], total: int) -> float:
        """One step; gives its mean loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * self._factor(total)
        losses = [self.task.accumulate(batch) for batch in batches]
        count = sum(number for _, number in losses)
        for p in self._trained.values():
            if p.grad is not None:
                p.grad.div_(count)
        nn.utils.clip_grad_norm_(list(self._trained.values()), self.config.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._step += 1
        # a young average forgets its start sooner
        keep = min(self.config.average, self._step / (self._step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self._average.values()), list(self._trained.values()), 1 - keep)
        return float(sum(float(loss) for loss, _ in losses) / count)

    def _factor(self, total: int) -> float:
        """Share of the peak rate at the step that comes next."""
        warm = (self._step + 1) / max(1.0, min(self.config.warmup_steps, total / 10))
        falling = (total - self._step) / max(1.0, total * self.config.decay)
        return min(1.0, warm, falling)

    def _rate(self, total: int) -> float:
        return self.config.learning_rate * self._factor(total)

    def _look(self) -> bool:
        """Measures the held-back part; says whether to stop."""
        measures = self.task.evaluate()
        if measures["score"] > self._best["score"]:
            self._best = {"score": measures["score"], "step": self._step, "stale": 0}
        else:
            self._best["stale"] += 1
        self._report(f"held back at step {self._step:,}: {_said(measures)}")
        if self._best["stale"] >= self.config.patience:
            self._report(f"no gain in {self.config.patience} looks: stopped")
            return True
        return False

    def _finish(self) -> dict[str, float]:
        """Chooses between the last weights and their average."""
        last = self.task.evaluate()
        kept = {name: p.detach().clone() for name, p in self._trained.items()}
        self._put(self._average)
        averaged = self.task.evaluate()
        self._report(f"held back, last weights: {_said(last)}")
        self._report(f"held back, averaged:     {_said(averaged)}")
        if averaged["score"] >= last["score"]:
            return averaged
        self._put(kept)
        return last

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in self._trained.items():
                p.copy_(weights[name])


def _groups(
    trained: dict[str, nn.Parameter], is_new: Callable[[str], bool], config: TrainingConfig
) -> list[dict[str, Any]]:
    """Weights by rate, and by whether they decay: matrices do, vectors (biases, norms) don't."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in trained.items():
        rate = config.new_learning_rate if is_new(name) else config.learning_rate
        groups.setdefault((rate, config.weight_decay if p.dim() > 1 else 0.0), []).append(p)
    return [
        {"params": params, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]


def _said(measures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in measures.items())
