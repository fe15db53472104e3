"""Confidences fitted to made-up evidence: they come true on fresh questions; by hand what counts as right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retriever.confidence import CONFIDENCE, FEATURES, UNFITTED, ConfidenceModel
from retriever.encoder.spans import ScoredSpan
from retriever.errors import EncoderError, SpanseekError
from retriever.evaluation import GradedQuestion, calibration_error
from retriever.rerank import Evidence
from retriever.search import Candidate
from retriever.store.snapshot import StoredPassage
from retriever.training.confidence import (
    REFUSED,
    UNANSWERABLE,
    UNFAMILIAR,
    UNFAMILIAR_READING,
    Asked,
    ask,
    ask_all,
    fit,
    needed_to_fit,
)
from retriever.types import Scores, TextSpan

MARGIN = FEATURES.index("margin")


def evidence(
    chunk: int, document: str, text: str, answer: str, margin: float, fused: float = 0.5
) -> Evidence:
    start = text.index(answer)
    return Evidence(
        candidate=Candidate((chunk,), chunk, "[]", 0, len(text), fused, Scores(fused)),
        passage=StoredPassage(document, None, "", None, None, (), text),
        span=ScoredSpan(start, start + len(answer), -0.5, -0.5),
        margin=margin,
        no_answer=-1.0 - margin,
    )


def graded(*accepted: str) -> GradedQuestion:
    return GradedQuestion("q", "where?", "", "", (TextSpan(0, 1, accepted[0]),), accepted)


EVIDENCE = [
    evidence(1, "a", "The cat sat on the red mat.", "the red mat", 2.0, fused=0.9),
    evidence(1, "a", "The cat sat on the red mat.", "The cat", 1.0, fused=0.9),
    evidence(2, "b", "A RED MAT is on the cat.", "the cat", 3.0, fused=0.7),
    evidence(3, "c", "Dogs.", "Dogs", -1.0, fused=0.4),
]


def test_what_a_question_brought_by_hand() -> None:
    pytest.importorskip("torchmetrics")
    asked = ask(graded("red mat", "the mat"), EVIDENCE, gold="a")
    # by their margins: the cat (b), the red mat, The cat (a), Dogs
    assert asked.features[:, MARGIN].tolist() == [3, 2, 1, -1]
    assert asked.right.tolist() == [False, True, False, False]
    assert asked.fused.tolist() == [0.9, 0.7, 0.4]
    assert asked.margins.tolist() == [2, 3, -1]
    assert asked.gold.tolist() == [True, False, False]
    assert asked.answerable


def test_as_if_the_passages_that_answer_were_not_there() -> None:
    pytest.importorskip("torchmetrics")
    asked = ask(graded("red mat"), EVIDENCE, gold="a", answerable=False)
    assert asked.features[:, MARGIN].tolist() == [-1]
    assert asked.right.tolist() == [False]
    assert asked.gold.tolist() == [False]
    assert not asked.answerable
    nothing = ask(graded("a"), EVIDENCE[:2], gold="a", answerable=False)
    assert nothing.features.shape == (0, len(FEATURES))
    assert nothing.right.shape == nothing.margins.shape == (0,)


SPANS = 6


def made_up(count: int, seed: int, *, unanswerable: float = 0.3, informed: bool = True) -> list[Asked]:
    """Questions of `SPANS` passages with a span each. Of an answerable one, one span is right: margins are 1.5 there
    and -1.5 elsewhere, with a spread of 1.5; its passage's fused score is 0.2 higher, with a spread of 0.2.

    Args:
        informed: Whether margins and fused scores know of what is right.
    """
    random = np.random.default_rng(seed)
    asked = []
    for _ in range(count):
        answerable = bool(random.random() >= unanswerable)
        right = np.zeros(SPANS, dtype=np.bool_)
        if answerable:
            right[random.integers(SPANS)] = True
        known = right if informed else np.zeros(SPANS, dtype=np.bool_)
        features = np.zeros((SPANS, len(FEATURES)))
        margins = np.where(known, 1.5, -1.5) + 1.5 * random.standard_normal(SPANS)
        fused = 0.5 + 0.2 * known + 0.2 * random.standard_normal(SPANS)
        features[:, MARGIN] = margins
        features[:, FEATURES.index("fused")] = fused
        features[:, FEATURES.index("length")] = random.random(SPANS)
        asked.append(Asked(features, right, fused, margins, right, answerable))
    return asked


def test_questions_are_asked_in_several_ways() -> None:
    pytest.importorskip("torchmetrics")
    question = replace(graded("the mat"), question="Where did the cat sit on Monday?", context="c")
    questions = [*[question] * 60, *[replace(question, answers=(), accepted=())] * 60]
    found: list[str] = []

    def find(query: str) -> list[Evidence]:
        found.append(query)
        return EVIDENCE

    steps: list[tuple[int, int]] = []
    asked, statements = ask_all(questions, {"c": "a"}, find, progress=lambda *step: steps.append(step))
    assert steps == [(i + 1, 120) for i in range(120)]
    typed = found.count("where did the cat sit on monday")
    assert 40 < typed < 80
    assert found.count(question.question) == 120 - typed
    terse = [query for query in found if "Monday" in query and "?" not in query and "the mat" not in query]
    assert 15 < len(terse) < 50
    assert all("Monday" in query and "did" not in query.split() for query in terse)
    stated = [query for query in found if "the mat" in query]
    assert len(stated) == len(statements) > 5
    assert all(one.gold.tolist() == [True, False, False] for one in statements)
    again = ask_all(questions, {"c": "a"}, find)
    assert len(again[0]) == len(asked)
    answerable = sum(one.answerable for one in asked)
    # of the second half, none; of the first, all, and a third of them once more as if nothing answered
    assert 60 < answerable < 95
    assert len(asked) - answerable > 60 + 10


def confidences(model: ConfidenceModel, asked: Sequence[Asked]) -> tuple[np.ndarray, np.ndarray]:
    """Of each question's first span, and whether it is right."""
    firsts = [model.rank(one.features)[0] for one in asked]
    right = [one.right[row] for one, (row, _) in zip(asked, firsts, strict=True)]
    return np.array([confidence for _, confidence in firsts]), np.array(right)


@pytest.fixture(scope="module")
def fitted() -> ConfidenceModel:
    pytest.importorskip("sklearn")
    return fit(made_up(1500, seed=1), unfamiliar=False)  # what is asked of it afterwards is of the same kind


def test_confidences_come_true_on_fresh_questions(fitted: ConfidenceModel) -> None:
    every = made_up(3000, seed=2)
    fresh = as_weighed(every)
    sure, right = confidences(fitted, fresh)
    error = calibration_error(sure, right)
    assert error < 0.04, f"calibration error {error:.3f}"
    unsure = [one for one in every if not one.answerable]
    assert sure.mean() > confidences(fitted, unsure)[0].mean() + 0.2, "and they aren't all the same"
    assert calibration_error(*confidences(UNFITTED, every)) > 2 * error


def test_of_documents_of_another_kind_reading_says_less(fitted: ConfidenceModel) -> None:
    """By default it counts less against retrieval in the order of answers."""
    humble = fit(made_up(1500, seed=1))
    reading, retrieval = ((humble.weights[name], fitted.weights[name]) for name in ("margin", "fused"))
    assert reading[0] / retrieval[0] == pytest.approx(UNFAMILIAR_READING * reading[1] / retrieval[1])


def test_confidences_are_less_sure_of_documents_of_another_kind(
    fitted: ConfidenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default log-odds of first answers are a third flatter, and the share that is right as before."""
    monkeypatch.setattr(
        "retriever.training.confidence.UNFAMILIAR_READING", 1.0
    )  # the same answers come first
    evidence = made_up(1500, seed=1)
    humble = fit(evidence)
    assert humble.weights == fitted.weights
    for name, weight in humble.first_weights.items():
        assert weight == pytest.approx(UNFAMILIAR * fitted.first_weights[name])
    sure, right = confidences(humble, as_weighed(evidence))
    assert sure.mean() == pytest.approx(right.mean(), abs=0.01)
    assert sure.std() < confidences(fitted, as_weighed(evidence))[0].std()


def test_a_questions_own_spans_are_compared() -> None:
    """Keywords make all margins high, hard questions all low: within each question they tell the right span apart."""
    pytest.importorskip("sklearn")
    random = np.random.default_rng(5)
    asked = []
    for one in made_up(400, seed=5, unanswerable=0.0):
        features = one.features.copy()
        features[:, MARGIN] = 6 * random.standard_normal() + one.right
        features[:, FEATURES.index("fused")] = 0.1 * one.right + 0.1 * random.standard_normal(SPANS)
        asked.append(replace(one, features=features))
    model = fit(asked[:300], unfamiliar=False)
    assert np.mean([one.right[model.rank(one.features)[0][0]] for one in asked[300:]]) >= 0.99


def test_what_knows_more_weighs_more(fitted: ConfidenceModel) -> None:
    assert fitted.weights["margin"] > 0.5
    assert fitted.weights["fused"] > 0.5
    assert abs(fitted.weights["length"]) < 0.5
    assert fitted.weights["support"] == fitted.first_weights["support"] == 0, "it was always 0"
    # log of the odds of two normal distributions 3 apart with a spread of 1.5: 3 / 1.5² for each unit
    assert fitted.weights["margin"] == pytest.approx(3 / 1.5**2, rel=0.2)


def as_weighed(asked: Sequence[Asked]) -> list[Asked]:
    """With as many questions without an answer as they count when probabilities are fitted."""
    every = round(1 / UNANSWERABLE)
    return [one for i, one in enumerate(asked) if one.answerable or i % every == 0]


def test_an_answer_is_given_where_it_is_likelier_right_than_wrong() -> None:
    pytest.importorskip("sklearn")
    easy = fit(made_up(1500, seed=1, unanswerable=0.0), unfamiliar=False)
    assert easy.threshold == 0.5
    sure, right = confidences(easy, made_up(3000, seed=3, unanswerable=0.0))

    def agreement(level: float) -> float:
        return float(((sure >= level) == right).mean())

    best = max(agreement(level) for level in np.linspace(0, 1, 101))
    assert agreement(easy.threshold) > best - 0.01
    assert best > 0.75


def test_so_many_questions_without_an_answer_get_none(fitted: ConfidenceModel) -> None:
    assert fitted.threshold > 0.5
    without = [one for one in made_up(3000, seed=3) if not one.answerable]
    sure, _ = confidences(fitted, without)
    assert (sure < fitted.threshold).mean() == pytest.approx(REFUSED, abs=0.05)
    few = made_up(400, seed=1, unanswerable=0.0) + made_up(49, seed=3, unanswerable=1.0)
    assert fit(few).threshold == 0.5, "too few to say"


def test_a_missing_package_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "retriever.training.confidence.find_spec", lambda name: None if name == "scipy" else name
    )
    with pytest.raises(SpanseekError, match=r"needs the package scipy: pip install 'spanseek\[train\]'"):
        needed_to_fit()


def reciprocal_rank(model: ConfidenceModel, asked: Sequence[Asked]) -> float:
    ranks = []
    for one in asked:
        if one.gold.any():
            confidence = model.rank(one.features)[0][1]
            scores = one.fused + model.gains(one.margins, confidence)
            ranks.append(1 / (1 + (scores > scores[one.gold].max()).sum()))
    return float(np.mean(ranks))


def test_reading_reorders_as_far_as_it_helps(fitted: ConfidenceModel) -> None:
    fresh = made_up(1000, seed=5)
    assert fitted.passage_weight > 0
    assert 0 < fitted.top_marked < fitted.top_unmarked < 1
    unread = reciprocal_rank(ConfidenceModel(UNFITTED.weights, UNFITTED.weights, passage_weight=0.0), fresh)
    assert reciprocal_rank(fitted, fresh) > unread + 0.1


def test_reading_that_only_misleads_reorders_nothing() -> None:
    pytest.importorskip("sklearn")
    asked = [
        Asked(
            one.features,
            one.right,
            one.gold.astype(float),
            np.where(one.gold, -20.0, 20.0),
            one.gold,
            one.answerable,
        )
        for one in made_up(300, seed=6)
    ]
    model = fit(asked)
    assert model.passage_weight == 0
    assert reciprocal_rank(model, asked) == 1


def test_statements_may_not_lose_by_reading(fitted: ConfidenceModel) -> None:
    # reading is sure of something in statements, too, but of the wrong passages; the fused score knows the right one
    asked = made_up(400, seed=10)
    statements = [
        replace(one, fused=one.gold / 2, features=one.features + 2)
        for one in made_up(400, seed=11, informed=False)
    ]
    free, held = fit(asked), fit(asked, statements)
    unread = reciprocal_rank(replace(held, passage_weight=0.0), statements)
    assert reciprocal_rank(free, statements) < unread - 0.01
    assert reciprocal_rank(held, statements) >= unread - 0.001
    assert (held.weights, held.first_weights) == (free.weights, free.first_weights)


def test_no_passage_that_a_question_is_about_was_read() -> None:
    pytest.importorskip("sklearn")
    asked = [
        Asked(
            one.features, one.right, one.fused, one.margins, np.zeros(SPANS, dtype=np.bool_), one.answerable
        )
        for one in made_up(300, seed=7)
    ]
    assert fit(asked).passage_weight == UNFITTED.passage_weight


@pytest.mark.parametrize(
    "asked", [[], made_up(19, seed=8, unanswerable=0.0), made_up(200, seed=8, unanswerable=1.0)]
)
def test_too_few_questions(asked: list[Asked]) -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(
        SpanseekError, match="fewer than 20 held-back questions were answered: give more data"
    ):
        fit(asked)


def test_questions_without_evidence_are_passed_over() -> None:
    pytest.importorskip("sklearn")
    empty = ask(graded("x"), [], gold="a")
    some = made_up(100, seed=9)
    assert fit([empty, *some, empty]) == fit(some)


def test_nothing_to_tell_apart() -> None:
    pytest.importorskip("sklearn")
    one = Asked(
        np.ones((1, len(FEATURES))),
        np.array([True]),
        np.ones(1),
        np.ones(1),
        np.array([True]),
        answerable=True,
    )
    with pytest.raises(SpanseekError, match="all answered right, or all wrong"):
        fit([one] * 30)
    wrong = replace(one, right=np.array([False]))
    with pytest.raises(SpanseekError, match="all answered right, or all wrong"):
        fit([one, wrong] * 30)  # among a question's own spans there is nothing to compare
    sure = [
        Asked(
            np.eye(2, len(FEATURES)),
            np.array([True, False]),
            np.ones(2),
            np.ones(2),
            np.array([True, False]),
            answerable=True,
        )
    ] * 30
    with pytest.raises(SpanseekError, match="all answered right, or all wrong"):
        fit(sure)


def test_a_model_is_saved_and_loaded(tmp_path: Path, fitted: ConfidenceModel) -> None:
    assert ConfidenceModel.of(tmp_path) == UNFITTED
    (tmp_path / CONFIDENCE).write_text(fitted.to_json(), encoding="utf-8")
    assert ConfidenceModel.of(tmp_path) == fitted


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"weights": {}}', '{"weights": {}, "first_weights": {}, "colour": 1}']
)
def test_a_damaged_model_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / CONFIDENCE).write_text(content, encoding="utf-8")
    with pytest.raises(EncoderError, match=r"confidence\.json is damaged, or of another version"):
        ConfidenceModel.of(tmp_path)
