"""Trains the span scorer: start, end or no answer over `[question ; passage]`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles, find_encoder
from retriever.encoder.loading import computes_bfloat16, load_span_encoder, reader_model, save_reader
from retriever.encoder.model import SpanEncoder, SpanReader
from retriever.encoder.reader_files import read_reader
from retriever.encoder.reading import PairLayout, ReadingConfig
from retriever.encoder.settings import SpanEncoderConfig
from retriever.encoder.spans import LONGEST_ANSWER
from retriever.encoder.tokenizer import Tokenizer
from retriever.evaluation.questions import GradedQuestion
from retriever.training.batches import Epochs, Item, Mixture, plan
from retriever.training.examples import HELD_BACK, ExampleSet, together, tokenize
from retriever.training.loop import Loop, Report, TrainingConfig
from retriever.training.negatives import SearchMany, mine_once
from retriever.training.rehearsal import Items, Rehearsal, WithRehearsal
from retriever.training.teacher import Distillation, Teacher, learning_loss

_REHEARSED = "negatives-rehearsed.json"


class ReaderTask:
    """Batches and losses of the span scorer.

    Args:
        model: What is trained.
        epochs: Makes the items of each epoch.
        held_back: Items that are only measured.
        config: Sizes of batches, and the seed.
        bfloat16: Whether products are computed in bfloat16; the weights stay float32.
        teacher: A larger model to learn from, beside what is right.
        before: The teacher of what is rehearsed, where there is no larger one: the model as it was.
        distillation: How they are listened to.
    """

    def __init__(
        self,
        model: SpanReader,
        epochs: Items,
        held_back: Sequence[Item],
        config: TrainingConfig,
        *,
        padding: int,
        bfloat16: bool,
        teacher: Teacher | None = None,
        before: Teacher | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        self._model = model
        self._epochs = epochs
        self._config = config
        self._padding = padding
        self._bfloat16 = bfloat16
        self._teacher = teacher
        self._before = before
        self._distillation = distillation or Distillation()
        self._device = next(model.parameters()).device
        self._held_back = plan(held_back, config.batch_tokens, "held back")
        self._planned: tuple[int, list[list[Item]]] = (-1, [])

    def batches(self, epoch: int) -> Sequence[list[Item]]:
        if self._planned[0] != epoch:
            items = self._epochs.items(epoch)
            batches = plan(items, self._config.batch_tokens, f"{self._config.seed}/{epoch}")
            self._planned = epoch, batches
        return self._planned[1]

    def accumulate(self, batch: list[Item]) -> tuple[Tensor, int]:
        """Cross-entropy of start and end, halved and summed over the items; its gradient is added up.

        With a teacher, its distribution counts as well.
        """
        tensors, targets = self._tensors(batch)
        logits = self._logits(tensors)
        loss = logits.new_zeros(())
        for rehearsed, teacher in ((False, self._teacher), (True, self._teacher or self._before)):
            rows = [i for i, item in enumerate(batch) if item.rehearsed is rehearsed]
            if rows:
                taught = None if teacher is None else teacher.logits(*(tensor[rows] for tensor in tensors))
                loss = loss + learning_loss(logits[rows], targets[rows], taught, self._distillation)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), len(batch)

    def evaluate(self) -> dict[str, float]:
        """Cross-entropy; exactly right spans among the answerable; right refusals among the others."""
        self._model.eval()
        total = exact = answerable = refused = unanswerable = 0.0
        with torch.inference_mode():
            for batch in self._held_back:
                tensors, targets = self._tensors(batch)
                logits = self._logits(tensors)
                for i in (0, 1):
                    total += float(
                        nn.functional.cross_entropy(logits[..., i], targets[:, i], reduction="sum")
                    )
                best = _best(logits)
                right = (best == targets).all(dim=1)
                none = targets[:, 0] == 0
                # is there a span in it at all, whatever no answer scores?
                span_right = (_best(logits, answer=True) == targets).all(dim=1)
                exact += float((span_right & ~none).sum())
                refused += float((right & none).sum())
                answerable += float((~none).sum())
                unanswerable += float(none.sum())
        count = max(1.0, answerable + unanswerable)
        return {
            "score": -total / 2 / count,
            "exact": exact / max(1.0, answerable),
            "refused": refused / max(1.0, unanswerable),
        }

    def _tensors(self, batch: Sequence[Item]) -> tuple[list[Tensor], Tensor]:
        """Token ids, mask and segments, `(B, T)` each, and targets `(B, 2)`."""
        longest = max(len(item.window.ids) for item in batch)
        ids = np.full((len(batch), longest), self._padding, dtype=np.int64)
        segments = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros((len(batch), longest), dtype=np.bool_)
        for i, item in enumerate(batch):
            length = len(item.window.ids)
            ids[i, :length] = item.window.ids
            segments[i, item.window.begin : length] = 1
            mask[i, :length] = True
        targets = torch.tensor([[item.start, item.end] for item in batch], device=self._device)
        return [torch.from_numpy(array).to(self._device) for array in (ids, mask, segments)], targets

    def _logits(self, tensors: Sequence[Tensor]) -> Tensor:
        """Token ids, mask and segments -> `(B, T, 2)`."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            logits: Tensor = self._model(*tensors)
        return logits


def train_reader(
    questions: Sequence[GradedQuestion],
    out: Path,
    *,
    extra: Sequence[GradedQuestion] = (),
    others: Sequence[str] = (),
    start: str | None = None,
    encoder: str = DEFAULT_ENCODER,
    search: Callable[[Sequence[str]], SearchMany] | None = None,
    config: TrainingConfig | None = None,
    mixture: Mixture | None = None,
    span: SpanEncoderConfig | None = None,
    held_back: float = HELD_BACK,
    apart: Sequence[str] = (),
    teacher: str | None = None,
    distillation: Distillation | None = None,
    rehearsal: Rehearsal | None = None,
    layers: int | None = None,
    device: str | None = None,
    report: Report = print,
) -> dict[str, float]:
    """Trains a span scorer, or goes on with the training that was begun in `out`.

    Args:
        questions: What to learn from.
        out: A folder; made if it isn't there.
        extra: More of it, that make no sense without their passage, so that no search is asked for them.
        others: Passages that no question is about, to be hard negatives.
        start: A trained span scorer to go on from; `None`: begin with an encoder's weights.
        encoder: That encoder; what `start` goes with, where that is given.
        search: Given passages, a search over them, for hard negatives; `None`: train without.
        config: How long and how fast.
        mixture: What stands beside each answerable question.
        span: The span layer, where it is begun.
        held_back: Share of the documents that is measured, not trained on.
        apart: Titles of documents that are held back as well.
        teacher: A trained span scorer, larger than this one, to learn from; of the same words.
        distillation: How it is listened to.
        rehearsal: What `start` knows and shall not forget.
        layers: So many of the encoder's uppermost layers learn; `None`: all.
        device: A torch device; `None`: the GPU where there is one.
        report: Takes lines for the user.

    Returns:
        Measures of the held-back part.
    """
    config = config or TrainingConfig()
    mixture = mixture or Mixture()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model, files, reading, no_answer = _begin(start, encoder, span, written_out=where.type == "cpu")
    model.to(where).freeze_embeddings()
    if layers is not None:
        model.freeze_layers(layers)
    tokenizer = Tokenizer.from_folder(files.folder)
    special = tokenizer.special
    layout = PairLayout(special.before[0], special.after[-1], reading)
    searched = tokenize(questions, tokenizer, others, held_back=held_back, apart=apart)
    data = together(searched, tokenize(extra, tokenizer, held_back=held_back))
    report(f"{len(data.examples):,} questions on {len(data.passages):,} passages")
    negatives = mine_once(searched, out, search, report) if search is not None else {}
    learned, held = split(data, negatives)
    bfloat16 = computes_bfloat16(where)

    def taught_by(name: str | None) -> Teacher | None:
        return None if name is None else Teacher.load(name, tokenizer, where, bfloat16=bfloat16)

    epochs: Items = Epochs(*learned, layout, tokenizer, mixture, config.seed)
    if rehearsal is not None:
        known = tokenize(rehearsal.questions, tokenizer, held_back=held_back, apart=apart)
        wrong = mine_once(known, out, rehearsal.search, report, _REHEARSED) if rehearsal.search else {}
        again, _ = split(known, wrong)
        epochs = WithRehearsal(epochs, Epochs(*again, layout, tokenizer, mixture, config.seed))
    task = ReaderTask(
        model,
        epochs,
        _sample(Epochs(*held, layout, tokenizer, mixture, config.seed).items(0)),
        config,
        padding=special.padding,
        bfloat16=bfloat16,
        teacher=taught_by(teacher),
        before=taught_by(start) if rehearsal is not None and teacher is None else None,
        distillation=distillation,
    )
    is_new = ("encoder.local.", "encoder.projection.", "head.") if start is None else ()
    loop = Loop(model, lambda name: name.startswith(is_new), task, config, out, report)
    measures = loop.run()
    save_reader(model, files, layout.config, out, no_answer=no_answer)
    return measures


def _begin(
    start: str | None, encoder: str, span: SpanEncoderConfig | None, *, written_out: bool
) -> tuple[SpanReader, EncoderFiles, ReadingConfig, float]:
    """The model before its first step, the encoder whose embeddings it has, sizes of windows, and how readily there is
    no answer.
    """
    if start is not None:
        stored = read_reader(start)
        return reader_model(stored, written_out=written_out), stored.files, stored.reading, stored.no_answer
    files = find_encoder(encoder)
    base = load_span_encoder(files, span or files.config, written_out=written_out)
    return SpanReader(base, segments=_knows_segments(base)), files, ReadingConfig(), 0.0


def split(
    data: ExampleSet, negatives: Mapping[int, Sequence[int]]
) -> tuple[tuple[ExampleSet, dict[int, Sequence[int]]], tuple[ExampleSet, dict[int, Sequence[int]]]]:
    """What is trained on and what is held back, each with its negatives, numbered anew."""

    def part(wanted: bool) -> tuple[ExampleSet, dict[int, Sequence[int]]]:
        chosen = [i for i, example in enumerate(data.examples) if example.held_back is wanted]
        examples = ExampleSet(data.passages, [data.examples[i] for i in chosen])
        return examples, {new: negatives[i] for new, i in enumerate(chosen) if i in negatives}

    return part(False), part(True)


def _best(logits: Tensor, *, answer: bool = False) -> Tensor:
    """The best span of each row, `(B, 2)`: its first and last token; 0, 0 for no answer.

    Args:
        logits: `(B, T, 2)`.
        answer: A span, even where no answer scores higher.
    """
    length = logits.shape[1]
    pairs = logits[:, :, None, 0] + logits[:, None, :, 1]  # (B, T, T)
    allowed = torch.ones(length, length, dtype=torch.bool, device=logits.device)
    allowed = allowed.triu() & ~allowed.triu(LONGEST_ANSWER)
    allowed[0, 1:] = False  # no answer is no part of a span
    if answer:
        allowed[0, 0] = False
    best = pairs.masked_fill(~allowed, float("-inf")).flatten(1).argmax(dim=1)
    return torch.stack([best // length, best % length], dim=1)


def _sample(items: list[Item], most: int = 1200) -> list[Item]:
    return random.Random(0).sample(items, min(most, len(items)))  # noqa: S311 - nothing secret


def _knows_segments(encoder: SpanEncoder) -> bool:
    settings: Any = encoder.backbone.config
    return int(getattr(settings, "type_vocab_size", 0) or 0) > 1
