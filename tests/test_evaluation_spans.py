"""Exact match and F1 of single predictions and of a reader, against values worked out by hand."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence

import pytest

from retriever.errors import DatasetError, SpanseekError
from retriever.evaluation import GradedQuestion, ReaderScores, evaluate_reader, score_span
from retriever.types import TextSpan

pytest.importorskip("torchmetrics")


@pytest.mark.parametrize(
    ("prediction", "accepted", "exact", "f1"),
    [
        ("cat", ["cat"], 1, 1),
        ("CAT", ["cat"], 1, 1),
        ("the cat", ["a cat"], 1, 1),  # articles go
        ("theatre", ["the atre"], 0, 0),  # only where they are words
        ("  red\tcat\n", ["red cat"], 1, 1),
        ("U.S.A.", ["USA"], 1, 1),  # punctuation goes, and nothing is put in its place
        ("co-op", ["co op"], 0, 0),
        ("$1,000", ["1000"], 1, 1),
        ("1–2", ["12"], 0, 0),  # a dash that isn't ASCII is no punctuation
        ("«cat»", ["cat"], 0, 0),
        ("ÉCOLE", ["école"], 1, 1),
        ("ecole", ["école"], 0, 0),
        ("e\u0301cole", ["\u00e9cole"], 0, 0),  # not normalised
        ("red\u00a0cat", ["red cat"], 1, 1),
        ("東京", ["東京"], 1, 1),
        ("red cat sat", ["cat sat down"], 0, 2 / 3),  # 2 of 3 and 2 of 3
        ("cat", ["the red cat"], 0, 2 / 3),  # 1 of 1 and 1 of 2
        ("cat cat dog", ["cat"], 0, 1 / 2),  # a word counts as often as both have it: 1 of 3 and 1 of 1
        ("cat cat", ["cat cat cat"], 0, 4 / 5),  # 2 of 2 and 2 of 3
        ("red cat", ["dog", "cat", "red cat sat"], 0, 4 / 5),  # best of each: 2 of 2 and 2 of 3
        ("red cat", ["red cat sat", "Red cat!"], 1, 1),
        ("dog", ["cat"], 0, 0),
        ("the", ["a"], 1, 1),  # nothing remains of either
        ("", ["cat"], 0, 0),
        ("", ["cat", "."], 0, 0),  # no answer is no full stop
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("the", [], 0, 0),
    ],
)
def test_by_hand(prediction: str, accepted: list[str], exact: float, f1: float) -> None:
    score = score_span(prediction, accepted)
    assert score.exact == exact
    assert score.f1 == pytest.approx(f1)


def graded(key: str, *accepted: str) -> GradedQuestion:
    spans = tuple(TextSpan(0, len(text), text) for text in accepted)
    return GradedQuestion(key, f"{key}?", "context", "", spans, accepted)


QUESTIONS = [graded("a", "red cat", "cat"), graded("b", "blue dog"), graded("c")]


def evaluate(questions: Sequence[GradedQuestion], **predictions: str) -> ReaderScores:
    """Words that are given have a margin of 1."""
    return evaluate_reader(questions, lambda batch: [(predictions.get(one.id, ""), 1.0) for one in batch])


def test_means_are_in_percent() -> None:
    scores = evaluate(QUESTIONS[:2], a="the cat", b="dog")
    assert scores.to_dict() == {"exact": 50, "f1": pytest.approx(100 * (1 + 2 / 3) / 2), "questions": 2}


def test_unanswerable_questions() -> None:
    scores = evaluate(QUESTIONS, a="cat", b="dog").to_dict()
    assert list(scores) == [
        *("exact", "f1", "questions", "has_ans_exact", "has_ans_f1", "no_ans_acc"),
        *("best_exact", "best_f1", "best_f1_threshold"),
    ]
    assert scores["exact"] == pytest.approx(100 * 2 / 3)
    assert scores["f1"] == pytest.approx(100 * (1 + 2 / 3 + 1) / 3)
    assert scores["has_ans_exact"] == 50
    assert scores["has_ans_f1"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert scores["no_ans_acc"] == 100
    assert evaluate(QUESTIONS, c="cat").no_ans_acc == 0
    assert evaluate(QUESTIONS[2:]).to_dict() == {
        "exact": 100,
        "f1": 100,
        "questions": 1,
        "no_ans_acc": 100,
        "best_exact": 100,
        "best_f1": 100,
        "best_f1_threshold": 0,
    }


def test_a_negative_margin_is_no_answer_where_there_may_be_none() -> None:
    readings = [("cat", 2.0), ("blue dog", -1.0), ("cat", 0.5)]
    scores = evaluate_reader(QUESTIONS, lambda batch: readings)
    assert (scores.has_ans_exact, scores.no_ans_acc) == (50, 0)
    # above 0.5 one is right, and the unanswerable one refused; above any, both are, and it isn't
    assert scores.best_exact == pytest.approx(100 * 2 / 3)
    assert scores.best_f1_threshold == 0.5
    assert evaluate_reader(QUESTIONS[:2], lambda batch: readings[:2]).exact == 100, "none is unanswerable"


@pytest.mark.parametrize("seed", range(30))
def test_the_best_threshold_is_the_best_of_all(seed: int) -> None:
    rng = random.Random(seed)
    words = ["cat", "blue dog", "blue", ""]
    questions = [rng.choice(QUESTIONS) for _ in range(12)] + [QUESTIONS[2]]
    readings = [(rng.choice(words), float(rng.randint(-3, 3))) for _ in questions]
    scores = evaluate_reader(questions, lambda batch: readings)

    def with_threshold(threshold: float) -> ReaderScores:
        moved = [(text, margin - threshold) for text, margin in readings]
        return evaluate_reader(questions, lambda batch: moved)

    tried = [with_threshold(threshold) for threshold in range(-5, 5)]
    assert scores.best_exact == pytest.approx(max(one.exact for one in tried))
    assert scores.best_f1 == pytest.approx(max(one.f1 for one in tried))
    assert scores.best_f1_threshold is not None
    assert with_threshold(scores.best_f1_threshold).f1 == pytest.approx(scores.best_f1)


def test_a_text_that_the_passage_does_not_have_is_no_answer_in_it() -> None:
    elsewhere = GradedQuestion("a", "a?", "context", "", (), ("cat",))
    assert evaluate([elsewhere], a="cat").exact == 0
    assert evaluate([elsewhere]).exact == 100


def test_batches_and_progress() -> None:
    questions = [graded(str(number), str(number)) for number in range(600)]
    sizes: list[int] = []
    seen: list[tuple[int, int]] = []

    def read_many(batch: Sequence[GradedQuestion]) -> list[tuple[str, float]]:
        sizes.append(len(batch))
        return [(question.id, 1.0) for question in batch]

    scores = evaluate_reader(questions, read_many, progress=lambda done, total: seen.append((done, total)))
    assert (scores.exact, scores.questions) == (100, 600)
    assert sizes == [256, 256, 88]
    assert seen == [(256, 600), (512, 600), (600, 600)]


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="no questions"):
        evaluate([])
    with pytest.raises(ValueError, match="zip"):
        evaluate_reader(QUESTIONS, lambda batch: [("cat", 1.0)])
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.text", None)
    with pytest.raises(SpanseekError, match=r"torchmetrics: pip install 'spanseek\[eval\]'"):
        evaluate_reader(QUESTIONS, lambda batch: pytest.fail("the work was begun"))
