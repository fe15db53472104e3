"""How well is an answer read in a passage that is given?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from retriever.errors import DatasetError
from retriever.evaluation.questions import GradedQuestion
from retriever.evaluation.spans import import_squad, score_span

_BATCH = 256  # questions handed over at once: enough to sort them by length and keep every batch full


@dataclass(frozen=True, slots=True)
class ReaderScores:
    """Means over questions, in percent, under the names of SQuAD's own scripts.

    Attributes:
        exact: Predictions that are an accepted text.
        f1: Words that prediction and accepted text have in common.
        has_ans_exact: `exact` over questions that the passage answers, if there are others in the set.
        has_ans_f1: `f1` likewise.
        no_ans_acc: Questions that the passage doesn't answer, and for which no answer came; `None` without any.
    """

    exact: float
    f1: float
    questions: int
    has_ans_exact: float | None = None
    has_ans_f1: float | None = None
    no_ans_acc: float | None = None

    def to_dict(self) -> dict[str, float]:
        """The scores that there are."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def evaluate_reader(
    questions: Sequence[GradedQuestion],
    read_many: Callable[[Sequence[GradedQuestion]], Sequence[str]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ReaderScores:
    """Has every question read in its own passage, and scores what comes.

    Args:
        questions: With their passages; the right thing for one without `answers` is not to answer.
        read_many: From some questions to a text for each, in their order; '' for no answer.
        progress: Called after each batch with the number of questions done and their total.

    Raises:
        SpanseekError: torchmetrics isn't installed.
        DatasetError: There are no questions.
        ValueError: `read_many` gave more or fewer texts than it got questions.
    """
    if not questions:
        raise DatasetError("there are no questions to evaluate")
    import_squad()  # before the work, not after it
    scores = np.empty((len(questions), 2))  # exact match and F1
    for begin in range(0, len(questions), _BATCH):
        batch = questions[begin : begin + _BATCH]
        for offset, (question, text) in enumerate(zip(batch, read_many(batch), strict=True)):
            score = score_span(text, question.accepted if question.answers else ())
            scores[begin + offset] = score.exact, score.f1
        if progress is not None:
            progress(begin + len(batch), len(questions))
    answerable = np.array([bool(question.answers) for question in questions])
    exact, f1 = 100 * scores.mean(axis=0)
    if answerable.all():
        return ReaderScores(float(exact), float(f1), len(questions))
    has_ans = 100 * scores[answerable].mean(axis=0) if answerable.any() else None
    return ReaderScores(
        exact=float(exact),
        f1=float(f1),
        questions=len(questions),
        has_ans_exact=None if has_ans is None else float(has_ans[0]),
        has_ans_f1=None if has_ans is None else float(has_ans[1]),
        no_ans_acc=float(100 * scores[~answerable, 0].mean()),
    )
