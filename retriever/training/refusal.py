"""Fits how readily a span scorer says that there is no answer.

What it was trained on decides how often that was right there, and not how often it is right elsewhere: most of its
questions without an answer were made by rules, and those are easier to see through than what people ask (Rajpurkar et
al., "Know What You Don't Know", 2018, choose a threshold after training for the same reason). A constant added to
the log-odds of no answer is fitted on held-back questions, those that people wrote to have none among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retriever.encoder.reader_files import READER_SETTINGS, ReaderSettings
from retriever.errors import SpanseekError
from retriever.evaluation.questions import GradedQuestion
from retriever.evaluation.spans import score_span

FEWEST = 50
"""Held-back questions of each kind, below which nothing is fitted."""
_WIDTH = 0.5
"""Of the logistic step by which a margin is above or below a threshold: what a few questions decide, others may not."""
_LEVELS = np.arange(-12.0, 12.0, 0.05)

ReadMany = Callable[[Sequence[GradedQuestion]], Sequence[tuple[str, float]]]
"""From some questions to the best words for each in its own passage, and their margin over no answer."""


def fit_refusal(questions: Sequence[GradedQuestion], read_many: ReadMany) -> float:
    """What is to be added to the log-odds of no answer, in natural logarithms.

    It makes the mean of two figures greatest: F1 over the questions that are answered in their passage, and the share
    that is refused of those that aren't. Both kinds count alike, however many there are of each.

    Args:
        questions: Held-back ones.
        read_many: With nothing added so far.

    Raises:
        SpanseekError: There are too few of one kind.
    """
    answerable = np.array([bool(question.answers) for question in questions], dtype=np.bool_)
    if min(answerable.sum(), (~answerable).sum()) < FEWEST:
        raise SpanseekError(f"fewer than {FEWEST} held-back questions with an answer, or without one")
    gains = np.empty(len(questions))
    margins = np.empty(len(questions))
    for i, (question, (text, margin)) in enumerate(zip(questions, read_many(questions), strict=True)):
        gains[i] = score_span(text, question.accepted).f1 if question.answers else 0.0
        margins[i] = margin if text else -np.inf
    return best_threshold(margins, gains, answerable)


def best_threshold(
    margins: NDArray[np.float64], gains: NDArray[np.float64], answerable: NDArray[np.bool_]
) -> float:
    """The margin from which on answers are best given.

    Args:
        margins: `(N,)`.
        gains: `(N,)`, what the answer brings where it is given, between 0 and 1.
        answerable: `(N,)`; for the others, not to answer brings 1.
    """
    with np.errstate(over="ignore"):
        given = 1 / (1 + np.exp((_LEVELS[:, None] - margins) / _WIDTH))  # (levels, N)
    answered = (given * gains)[:, answerable].mean(axis=1)
    refused = 1 - given[:, ~answerable].mean(axis=1)
    return round(float(_LEVELS[int((answered + refused).argmax())]), 2)


def add_refusal(folder: Path, no_answer: float) -> None:
    """Notes the constant in a span scorer's settings.

    Args:
        folder: What `train reader` wrote.
        no_answer: From `fit_refusal`.
    """
    path = folder / READER_SETTINGS
    settings = replace(ReaderSettings.from_json(path.read_text(encoding="utf-8")), no_answer=no_answer)
    path.write_text(settings.to_json() + "\n", encoding="utf-8")
