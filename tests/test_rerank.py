"""Evidence, confidences and order, by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retriever.confidence import CONFIDENCE, FEATURES, OF_QUERIES, UNFITTED, ConfidenceModel
from retriever.encoder import Passage
from retriever.encoder.spans import ScoredSpan
from retriever.errors import EncoderError
from retriever.rerank import Best, Evidence, distinct, features, readable, reorder
from retriever.search import Candidate
from retriever.store.snapshot import StoredPassage
from retriever.types import Scores

TEXT = "The cat sat on the red mat."


def candidate(
    chunk: int, document: int = 1, start: int = 0, fused: float = 0.5, dense: float | None = 0.25
) -> Candidate:
    return Candidate((chunk,), document, "[]", start, start + len(TEXT), fused, Scores(fused, dense, None))


def evidence(
    answer: str, margin: float, found: Candidate, *, start_score: float = -0.5, end_score: float = -1.0
) -> Evidence:
    start = TEXT.index(answer)
    span = ScoredSpan(start, start + len(answer), start_score, end_score)
    passage = StoredPassage("d", None, "", None, None, (), TEXT)
    return Evidence(found, passage, span, margin, span.score - margin)


def weights(**named: float) -> dict[str, float]:
    return dict.fromkeys(FEATURES, 0.0) | named


def column(name: str) -> int:
    return FEATURES.index(name)


def test_a_span_has_its_place_in_the_document() -> None:
    item = evidence("red mat", 1.0, candidate(1, start=100))
    assert (item.start, item.end, item.text) == (119, 126, "red mat")


def test_a_passage_is_read_under_its_title_and_headings() -> None:
    stored = StoredPassage("d", None, "Handbook", 3, 4, ("Handbook", "Leave"), TEXT)
    assert readable(stored) == Passage(TEXT, "Handbook > Leave")


def test_features_by_hand() -> None:
    one = evidence("the red mat", 2.0, candidate(1, fused=0.75), start_score=-0.25, end_score=-0.5)
    other = evidence("cat", -1.0, candidate(2, fused=0.5, dense=None), start_score=-30.0, end_score=-2.0)
    rows = features([one, replace(other, rank=6)])
    total = math.log(math.exp(2.0) + math.exp(-1.0))
    # no answer has e^-2.75 in the first passage, and e^-31 in the second
    given = math.log(1 - math.exp(-2.75))
    # margin, start and end given an answer, lead, part, support, length; fused, dense, rank; no mark, no question word
    assert rows[0].tolist() == pytest.approx(
        [2.0, -0.25 - given, -0.5 - given, 3.0, 2.0 - total, 0.0, math.log(4), 0.75, 0.25, 0.0, 0, 1]
    )
    assert rows[1].tolist() == pytest.approx(
        [-1.0, -20.0, -2.0, -3.0, -1.0 - total, 0.0, math.log(2), 0.5, 0.0, math.log(7), 0, 1]
    )


def test_where_no_answer_is_certain_a_span_has_features_all_the_same() -> None:
    found = evidence("cat", -20.0, candidate(1), start_score=-9.0, end_score=-11.0)  # no answer: 1 in float32
    row = features([replace(found, no_answer=0.0)])[0]
    assert row[column("start_given")] == pytest.approx(-9 + 6 * math.log(10))
    assert row[column("end_given")] == pytest.approx(-11 + 6 * math.log(10))


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("Who signs it?", {"marked"}),
        ("who signs it", set()),
        ("Whose and when? ", {"marked"}),
        ("in what year was it", set()),
        ("standby allowance", {"wordless"}),
        ("whatever nowhere whoever", {"wordless"}),
        ("Wie viele Tage?", {"marked", "wordless"}),
        ("何台ですか\uff1f", {"marked", "wordless"}),
        ('Who said "who?" ', {"marked"}),
        ("ποιος το υπέγραψε;", {"marked", "wordless"}),
    ],
)
def test_what_kind_of_query_it_is(question: str, kinds: set[str]) -> None:
    rows = features([replace(evidence("cat", 0.0, candidate(1)), question=question)])
    assert {name for name in OF_QUERIES if rows[0, column(name)]} == kinds


def test_the_same_words_elsewhere_support_and_are_no_rival() -> None:
    rows = features(
        [
            evidence("The cat", 2.0, candidate(1)),
            evidence("red mat", 1.0, candidate(1)),
            evidence("The cat", 0.5, candidate(2)),
            evidence("the red mat", 0.0, candidate(3)),
        ]
    )
    assert rows[:, column("support")].tolist() == pytest.approx([math.log(2), 0, math.log(2), 0])
    assert rows[:, column("lead")].tolist() == [1.0, -1.0, -0.5, -2.0]
    same = features([evidence("The", 1.0, candidate(1)), evidence("the", 0.5, candidate(1))])
    assert same[:, column("support")].tolist() == [0, 0], "not in one chunk"
    alone = features([evidence("cat", 3.0, candidate(1)), evidence("cat", 2.0, candidate(2))])
    assert alone[:, column("lead")].tolist() == [23.0, 22.0], "with no rival, as if one had -20"


def test_no_spans_have_no_features() -> None:
    assert features([]).shape == (0, len(FEATURES))
    assert UNFITTED.rank(features([])) == []


def test_of_overlapping_spans_the_likeliest_stays() -> None:
    # chunks 1 and 2 of document 1 overlap: the second begins 8 characters on
    inner = evidence("red mat", 1.0, candidate(1))  # 19...26
    outer = evidence("cat sat on", 3.0, candidate(2, start=8))  # 12...22
    touching = evidence("cat sat on", 0.0, candidate(3, start=18))  # 22...32, begins where that one ends
    elsewhere = evidence("red mat", 0.5, candidate(4, document=2))
    twice = evidence("sat", 0.25, candidate(4, document=2))
    assert distinct([inner, outer, touching, elsewhere, twice]) == [outer, elsewhere, twice, touching]
    assert distinct([replace(inner, margin=4.0), outer, touching]) == [replace(inner, margin=4.0)]
    assert distinct([]) == []


def slow_features(evidence: Sequence[Evidence]) -> NDArray[np.float64]:
    """By the definitions, each span against every other."""
    words = [" ".join(re.findall(r"\w+", item.text.casefold())) for item in evidence]
    margins = np.array([item.margin for item in evidence])
    rows = []
    for i, item in enumerate(evidence):
        rivals = [margins[j] for j in range(len(evidence)) if words[j] != words[i]]
        alike = [other for other, said in zip(evidence, words, strict=True) if said == words[i]]
        answers = np.log(1 - min(np.exp(item.no_answer), np.exp(-1e-6)))
        row = weights(
            margin=item.margin,
            start_given=max(item.span.start_score - answers, -20),
            end_given=max(item.span.end_score - answers, -20),
            fused=item.candidate.scores.fused,
            dense=item.candidate.scores.dense or 0,
            lead=item.margin - max(rivals, default=-20),
            part=item.margin - np.log(np.exp(margins).sum()),
            support=np.log1p(sum(other.candidate.chunks != item.candidate.chunks for other in alike)),
            length=np.log1p(len(words[i].split())),
            rank=np.log(1 + item.rank),
            wordless=1.0,
        )
        rows.append([row[name] for name in FEATURES])
    return np.array(rows)


def slow_distinct(evidence: Sequence[Evidence]) -> list[Evidence]:
    kept: list[Evidence] = []
    for item in sorted(evidence, key=lambda e: (-e.margin, e.candidate.chunks, e.start)):
        if not any(
            item.candidate.document == other.candidate.document
            and item.start < other.end
            and other.start < item.end
            for other in kept
        ):
            kept.append(item)
    return kept


def test_what_is_known_of_spans_is_by_its_definition() -> None:
    random = np.random.default_rng(0)
    words = ["The cat", "cat", "the red mat", "red mat", "mat", "The", "the", "mat."]
    for count in (1, 2, 3, 10, 40):
        for _ in range(20):
            found = [
                evidence(
                    words[random.integers(len(words))],
                    float(random.choice([-3.0, 0.0, 2.5, random.normal(scale=6)])),
                    candidate(int(random.integers(8)), document=int(random.integers(3)), start=4 * i),
                    start_score=float(random.normal(-8, 10)),
                )
                for i in random.integers(6, size=count)
            ]
            assert distinct(found) == slow_distinct(found)
            np.testing.assert_allclose(features(found), slow_features(found), atol=1e-12)


def test_equals_are_in_the_order_of_chunks_and_places() -> None:
    rows = [
        evidence("red mat", 1.0, candidate(2, document=2)),
        evidence("sat", 1.0, candidate(1)),
        evidence("The", 1.0, candidate(1)),
    ]
    assert [item.text for item in distinct(rows)] == ["The", "sat", "red mat"]


def test_the_first_has_a_model_of_its_own_and_nothing_rises() -> None:
    model = ConfidenceModel(
        weights=weights(margin=1.0), first_weights=weights(margin=0.5), bias=0.25, first_bias=-1.0
    )
    rows = np.zeros((4, len(FEATURES)))
    rows[:, column("margin")] = [-2.0, 2.0, 0.5, 2.0]
    ranked = model.rank(rows)
    assert [row for row, _ in ranked] == [1, 3, 2, 0]
    # first: 0.5 * 2 - 1 = 0. The next would have 2.25, the one after it 0.75: no more than the first.
    assert [confidence for _, confidence in ranked] == pytest.approx(
        [0.5, 0.5, 0.5, 1 / (1 + math.exp(1.75))]
    )


def test_confidences_are_probabilities_whatever_the_odds() -> None:
    rows = np.zeros((3, len(FEATURES)))
    rows[:, column("margin")] = [1e6, -1e6, 0.0]
    ranked = UNFITTED.rank(rows)
    assert [row for row, _ in ranked] == [0, 2, 1]
    assert [confidence for _, confidence in ranked] == pytest.approx([1, 0.5, 0], abs=1e-8)
    assert all(0 < confidence < 1 for _, confidence in ranked)


def test_ranking_falls() -> None:
    random = np.random.default_rng(0)
    model = ConfidenceModel(
        weights=dict(zip(FEATURES, random.normal(size=len(FEATURES)), strict=True)),
        first_weights=dict(zip(FEATURES, random.normal(size=len(FEATURES)), strict=True)),
    )
    for _ in range(50):
        ranked = model.rank(random.normal(size=(8, len(FEATURES))))
        confidences = [confidence for _, confidence in ranked]
        assert sorted(row for row, _ in ranked) == list(range(8))
        assert confidences == sorted(confidences, reverse=True)


def logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def gain(model: ConfidenceModel, margin: float, confidence: float) -> float:
    return float(model.gains(np.array([margin]), confidence)[0])


def test_the_gain_by_hand() -> None:
    model = replace(UNFITTED, passage_weight=0.8, passage_bias=-1.0, passage_slope=0.5)
    sure = logistic(12.0)
    assert gain(model, 2.0, 0.5) == pytest.approx(0.2)
    assert gain(model, 2.0, 1.0) == pytest.approx(0.4 * sure)
    assert gain(model, 4.0, 1.0) == pytest.approx(0.8 * sure / (1 + math.exp(-1)))
    assert gain(model, -1e9, 1.0) == pytest.approx(0, abs=1e-8)
    assert gain(model, 1e9, 0.0) == pytest.approx(0.8 * logistic(-12.0)), "nothing seems to answer"
    assert gain(replace(model, gate=0.7), 2.0, 0.7) == pytest.approx(0.2)


def test_a_model_with_another_feature_is_refused(tmp_path: Path) -> None:
    model = replace(UNFITTED, weights=UNFITTED.weights | {"colour": 1.0})
    (tmp_path / CONFIDENCE).write_text(model.to_json(), encoding="utf-8")
    with pytest.raises(
        EncoderError, match=r"no feature 'colour'; 'spanseek train confidence .* fits it anew"
    ):
        ConfidenceModel.of(tmp_path)


def test_a_model_fitted_before_a_feature_was_there_knows_nothing_of_it() -> None:
    older = replace(UNFITTED, weights={"margin": 1.0}, first_weights={"margin": 1.0})
    rows = np.arange(2.0 * len(FEATURES)).reshape(2, -1)
    assert older.rank(rows) == UNFITTED.rank(rows)


def test_reading_lifts_what_answers_and_leaves_the_rest() -> None:
    ranked = [candidate(chunk, document=chunk, fused=0.9 - chunk / 10) for chunk in range(5)]
    nothing = [evidence("cat", -20.0, found) for found in ranked[:4]]
    left = reorder(ranked, nothing, UNFITTED, Best(nothing[0], 0.0))
    assert [c.chunks for c in left] == [c.chunks for c in ranked]
    assert [c.score for c in left] == pytest.approx([c.score for c in ranked], abs=1e-8)
    assert [c.scores.span for c in left] == [-20.0] * 4 + [None]
    assert left[4] == ranked[4]
    # the fourth gains 0.25 by the best of its spans, and passes 0.8 and 0.7, not 0.9
    found = [
        *nothing[:2],
        evidence("sat", -3.0, ranked[3]),
        evidence("cat", 20.0, ranked[3]),
        evidence("mat", -20.0, ranked[3]),
    ]
    lifted = reorder(ranked, found, replace(UNFITTED, passage_weight=0.25), Best(found[3], 1 - 1e-9))
    assert [c.chunks[0] for c in lifted] == [0, 3, 1, 2, 4]
    assert lifted[1].score == pytest.approx(0.6 + 0.25 * logistic(12.0))
    assert lifted[1].scores == replace(ranked[3].scores, span=20.0)
    assert reorder(ranked, [], UNFITTED, Best(None, 0.0)) == ranked


@pytest.mark.parametrize(
    ("question", "confidence", "first"),
    [
        ("Where is it?", 0.3, 2),
        ("Where is it?", 0.29, 0),
        ("where is it", 0.6, 2),
        ("where is it", 0.59, 0),
        ("standby allowance", 0.6, 2),
    ],
)
def test_the_passage_of_a_sure_answer_comes_first(question: str, confidence: float, first: int) -> None:
    model = replace(UNFITTED, passage_weight=0.0, top_marked=0.3, top_unmarked=0.6)
    ranked = [candidate(chunk, document=chunk, fused=0.9 - chunk / 10) for chunk in range(4)]
    # another passage has the greater margin: the answer is what the model put first
    found = [
        replace(evidence("cat", 1.0, ranked[2]), question=question),
        replace(evidence("sat", 2.0, ranked[3]), question=question),
    ]
    order = reorder(ranked, found, model, Best(found[0], confidence))
    assert [c.chunks[0] for c in order] == [first, *(i for i in range(4) if i != first)]
    scores = [c.score for c in order]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(0.9), "just above the next"
    assert {c.chunks[0]: c.score for c in order if c.chunks[0] != 2} == {0: 0.9, 1: 0.8, 3: 0.9 - 3 / 10}


def test_a_passage_that_is_first_anyway_keeps_its_score() -> None:
    model = replace(UNFITTED, passage_weight=0.0, top_unmarked=0.0)
    ranked = [candidate(1), candidate(2, document=2, fused=0.25)]
    for alone in (ranked, ranked[:1]):
        assert reorder(alone, [], model, Best(evidence("cat", 1.0, ranked[0]), 0.5)) == alone


def test_no_passage_comes_first_by_an_answer_unless_the_model_says_from_where() -> None:
    ranked = [candidate(chunk, document=chunk, fused=0.9 - chunk / 10) for chunk in range(2)]
    found = evidence("cat", 20.0, ranked[1])
    sure = UNFITTED.rank(features([found]))[0][1]
    order = reorder(ranked, [found], replace(UNFITTED, passage_weight=0.0), Best(found, sure))
    assert [c.chunks[0] for c in order] == [0, 1]
