"""How often is the best answer from a whole corpus right, does its confidence say so, and how fast does it come?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from retriever.errors import DatasetError
from retriever.evaluation.calibration import calibration_error, risk_coverage_area
from retriever.evaluation.questions import GradedQuestion
from retriever.evaluation.spans import SpanScore, import_squad, score_span
from retriever.types import Response

_WARM_UP = 5  # questions; the first ones load and compile


@dataclass(frozen=True, slots=True)
class AnswerEvaluation:
    """Means over all questions; times in milliseconds, size in bytes.

    Attributes:
        recall_at_1: Questions whose own document is that of the first passage, as a fraction.
        recall_at_5: Likewise of the first five.
        exact: Questions whose best answer is an accepted text, in percent.
        f1: Words that best answer and accepted text have in common, in percent.
        ece: Expected calibration error of the response's confidence.
        aurc: Area under its risk-coverage curve.
        answered: Questions for which any answer came, as a fraction.
        confidences: `(N,)`, of each response.
        correct: `(N,)`, whether there was an answer and the best one is an accepted text. That no answer came is
            never correct here, even if `exact` has it right: a confidence is one in a span.
    """

    recall_at_1: float
    recall_at_5: float
    exact: float
    f1: float
    ece: float
    aurc: float
    answered: float
    questions: int
    documents: int
    index_bytes: int
    query_ms_p50: float
    query_ms_p95: float
    confidences: NDArray[np.float64] = field(compare=False, repr=False)
    correct: NDArray[np.bool_] = field(compare=False, repr=False)

    def to_dict(self) -> dict[str, float]:
        """The scores under their usual names: `recall@1`, ..."""
        names = [field.name for field in fields(self) if field.name not in ("confidences", "correct")]
        return {name.replace("_at_", "@"): getattr(self, name) for name in names}


def evaluate_answers(
    questions: Sequence[GradedQuestion],
    respond: Callable[[str], Response],
    gold_document_of: Callable[[GradedQuestion], str],
    *,
    documents: int,
    index_bytes: int,
    progress: Callable[[int, int], None] | None = None,
) -> AnswerEvaluation:
    """Asks every question of a corpus and scores the best answer.

    Args:
        questions: With what counts as right.
        respond: From a question's text to passages, and to answers without regard to how sure they are: a question
            without any counts as answered by '', with the response's confidence.
        gold_document_of: Id of the document that a question was asked about.
        documents: Size of the corpus, for the report.
        index_bytes: Size of the index, for the report.
        progress: Called after each question with the number of questions done and their total.

    Raises:
        SpanseekError: torchmetrics isn't installed.
        DatasetError: There are no questions.
    """
    if not questions:
        raise DatasetError("there are no questions to evaluate")
    import_squad()  # before the work, not after it
    for question in islice(questions, _WARM_UP):
        respond(question.question)
    milliseconds, ranks, answered = [], [], []
    scores: list[SpanScore] = []
    confidences = []
    for question in questions:
        began = time.perf_counter()
        response = respond(question.question)
        milliseconds.append((time.perf_counter() - began) * 1000)
        ranks.append(_rank(response, gold_document_of(question)))
        answered.append(bool(response.answers))
        best = response.answers[0].text if response.answers else ""
        scores.append(score_span(best, question.accepted))
        confidences.append(response.confidence)
        if progress is not None:
            progress(len(scores), len(questions))
    exact = np.array([score.exact for score in scores])
    correct = np.array(answered) & (exact == 1)
    return AnswerEvaluation(
        recall_at_1=float(np.mean(np.array(ranks) <= 1)),
        recall_at_5=float(np.mean(np.array(ranks) <= 5)),
        exact=float(100 * exact.mean()),
        f1=float(100 * np.mean([score.f1 for score in scores])),
        ece=calibration_error(confidences, correct),
        aurc=risk_coverage_area(confidences, correct),
        answered=float(np.mean(answered)),
        questions=len(questions),
        documents=documents,
        index_bytes=index_bytes,
        query_ms_p50=float(np.percentile(milliseconds, 50)),
        query_ms_p95=float(np.percentile(milliseconds, 95)),
        confidences=np.array(confidences, dtype=np.float64),
        correct=correct,
    )


def _rank(response: Response, document_id: str) -> float:
    """Of the first passage of a document, from 1; infinite if there is none."""
    found = (rank for rank, hit in enumerate(response.hits, start=1) if hit.document_id == document_id)
    return next(found, np.inf)
