"""How well is an answer read in a passage that is given?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

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
        best_exact: `exact` with the threshold by which it is best on these very questions, as SQuAD 2.0's script
            gives it and figures are often published: more than a threshold that was fixed before would bring.
        best_f1: `f1` likewise.
        best_f1_threshold: The margin above which an answer is then given; 0 is the scorer's own.
    """

    exact: float
    f1: float
    questions: int
    has_ans_exact: float | None = None
    has_ans_f1: float | None = None
    no_ans_acc: float | None = None
    best_exact: float | None = None
    best_f1: float | None = None
    best_f1_threshold: float | None = None

    def to_dict(self) -> dict[str, float]:
        """The scores that there are."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def evaluate_reader(
    questions: Sequence[GradedQuestion],
    read_many: Callable[[Sequence[GradedQuestion]], Sequence[tuple[str, float]]],
    *,
    may_abstain: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReaderScores:
    """Has every question read in its own passage, and scores what comes.

    Args:
        questions: With their passages; the right thing for one without `answers` is not to answer.
        read_many: From some questions to the best words for each, in their order, and their margin: above 0 they are
            given as the answer.
        may_abstain: Whether words of a margin up to 0 are no answer, rather than an answer as well; `None`: where some
            of the questions have none.
        progress: Called after each batch with the number of questions done and their total.

    Raises:
        SpanseekError: torchmetrics isn't installed.
        DatasetError: There are no questions.
        ValueError: `read_many` gave more or fewer texts than it got questions.
    """
    if not questions:
        raise DatasetError("there are no questions to evaluate")
    import_squad()  # before the work, not after it
    given = np.empty((len(questions), 2))  # exact match and F1 of the best words
    margins = np.empty(len(questions))
    for begin in range(0, len(questions), _BATCH):
        batch = questions[begin : begin + _BATCH]
        for offset, (question, (text, margin)) in enumerate(zip(batch, read_many(batch), strict=True)):
            score = score_span(text, question.accepted if question.answers else ())
            given[begin + offset] = score.exact, score.f1
            margins[begin + offset] = margin if text else -np.inf
        if progress is not None:
            progress(begin + len(batch), len(questions))
    answerable = np.array([bool(question.answers) for question in questions])
    if may_abstain is None:
        may_abstain = not answerable.all()
    refused = np.where(answerable, 0.0, 1.0)[:, None]
    scores = np.where((margins > 0)[:, None], given, refused) if may_abstain else given
    exact, f1 = 100 * scores.mean(axis=0)
    if answerable.all():
        return ReaderScores(float(exact), float(f1), len(questions))
    has_ans = 100 * scores[answerable].mean(axis=0) if answerable.any() else None
    (best_exact, _), (best_f1, threshold) = (_best(given[:, i] - refused[:, 0], margins) for i in (0, 1))
    base = 100 * refused.mean()
    return ReaderScores(
        exact=float(exact),
        f1=float(f1),
        questions=len(questions),
        has_ans_exact=None if has_ans is None else float(has_ans[0]),
        has_ans_f1=None if has_ans is None else float(has_ans[1]),
        no_ans_acc=float(100 * scores[~answerable, 0].mean()),
        best_exact=float(base + 100 * best_exact / len(questions)),
        best_f1=float(base + 100 * best_f1 / len(questions)),
        best_f1_threshold=threshold,
    )


def _best(gains: NDArray[np.float64], margins: NDArray[np.float64]) -> tuple[float, float]:
    """The greatest sum of the gains of all whose margin is above a threshold, and that threshold, finite."""
    finite = np.isfinite(margins)
    levels, at = np.unique(-margins[finite], return_inverse=True)  # likeliest first; equal margins are one
    sums = np.concatenate([[0.0], np.cumsum(np.bincount(at, gains[finite], len(levels)))])
    best = int(sums.argmax())
    if not len(levels):
        return 0.0, 0.0
    return float(sums[best]), float(-levels[best] if best < len(levels) else -levels[-1] - 1)
