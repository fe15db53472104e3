"""How readily there is no answer: fitted on made-up margins, noted, and heeded by the scorer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retriever.encoder import SpanScorer
from retriever.errors import SpanseekError
from retriever.evaluation import GradedQuestion
from retriever.training.refusal import add_refusal, best_threshold, fit_refusal
from retriever.types import Passage, TextSpan


def test_the_threshold_parts_what_is_answerable_from_what_is_not() -> None:
    rng = np.random.default_rng(0)
    margins = np.concatenate([rng.normal(6, 1.5, 4000), rng.normal(1, 1.5, 200)])
    answerable = np.arange(4200) < 4000
    # of equal spread, and both kinds counted alike: half-way, though there are twenty of one for one of the other
    assert best_threshold(margins, answerable.astype(float), answerable) == pytest.approx(3.5, abs=0.3)
    # answers that are often wrong are given up more readily
    assert best_threshold(margins, answerable * 0.3, answerable) > 4.0
    # nothing to answer with is refused, whatever the threshold
    margins[:50] = -np.inf
    assert np.isfinite(best_threshold(margins, answerable.astype(float), answerable))


def question(number: int, answerable: bool) -> GradedQuestion:
    answers = (TextSpan(0, 3, "the"),) if answerable else ()
    return GradedQuestion(str(number), "who?", "the dog sat", "", answers, tuple(a.text for a in answers))


def test_it_is_fitted_on_what_is_read() -> None:
    questions = [question(i, i < 60) for i in range(120)]

    def read_many(some: Sequence[GradedQuestion]) -> list[tuple[str, float]]:
        # every other answer is wrong; no words at all for one of those without an answer
        return [
            ("the" if i % 2 else "dog", 5.0) if one.answers else ("" if i == 119 else "dog", -3.0)
            for i, one in enumerate(some)
        ]

    assert -3.0 < fit_refusal(questions, read_many) < 5.0
    with pytest.raises(SpanseekError, match="fewer than 50"):
        fit_refusal(questions[:100], read_many)


def test_the_scorer_heeds_it(tiny_reader_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(tiny_reader_folder, folder)
    before = SpanScorer.load(str(folder), precision="float32", device="cpu")
    add_refusal(folder, 1.5)
    after = SpanScorer.load(str(folder), precision="float32", device="cpu")
    assert after.no_answer == 1.5
    assert after.fingerprint != before.fingerprint, "other scores come out"
    passage = "the cat sat in paris and the dog is in berlin. " * 4  # several windows
    rows = [("where is the dog", passage, ""), ("where is the cat", passage[:30], "")]
    for old, new in zip(before.read_many(rows), after.read_many(rows), strict=True):
        assert (new.start, new.end) == (old.start, old.end)
        assert new.margin == pytest.approx(old.margin - 1.5, abs=1e-3)
    scores = after.score([rows[0][0]], [Passage(passage, "")])[0]
    assert np.exp(scores.start).sum() + np.exp(scores.no_start) == pytest.approx(1, abs=1e-4)
