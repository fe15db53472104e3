"""Questions and a task to train a tiny encoder with, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from retriever.encoder import TextEncoder, find_encoder
from retriever.encoder.loading import load_span_encoder
from retriever.evaluation import GradedQuestion
from retriever.training.contrastive import ContrastiveTask
from retriever.training.encoder import freeze
from retriever.training.examples import tokenize
from retriever.training.loop import TrainingConfig
from retriever.training.pairs import Contrast, PairBatches, Texts
from retriever.types import TextSpan

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


def animal_questions() -> list[GradedQuestion]:
    """A document for each animal and place, a passage for each time: 36 questions."""
    found: list[GradedQuestion] = []
    for animal in ANIMALS:
        for place in PLACES:
            for time in TIMES:
                context = f"in {time} the {animal} is in the {place}. the price fell."
                question = f"where is the {animal} in {time}?"
                found.append(graded(len(found), question, context, place, f"{animal} {place}"))
    return found


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
