"""Calibration, against values worked out by hand and against its definition."""

from __future__ import annotations

import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from retriever.errors import SpanseekError
from retriever.evaluation import (
    calibration_error,
    draw_calibration,
    reliability_bins,
    risk_coverage,
    risk_coverage_area,
)

CONFIDENCES = [0.5, 0.1, 1.0, 0.8, 0.3]
CORRECT = [False, False, True, True, True]


def test_bins_by_hand() -> None:
    bins = reliability_bins(CONFIDENCES, CORRECT, bins=2)
    assert bins.confidence == pytest.approx([0.3, 0.9])
    assert bins.accuracy == pytest.approx([1 / 3, 1])
    assert bins.count.tolist() == [3, 2]
    assert calibration_error(CONFIDENCES, CORRECT, bins=2) == pytest.approx((3 * (1 / 30) + 2 * 0.1) / 5)


def test_one_bin_each_where_there_are_fewer_answers_than_bins() -> None:
    assert reliability_bins(CONFIDENCES, CORRECT).count.tolist() == [1] * 5
    assert calibration_error(CONFIDENCES, CORRECT) == pytest.approx((0.1 + 0.7 + 0.5 + 0.2 + 0) / 5)


def test_risk_and_coverage_by_hand() -> None:
    curve = risk_coverage(CONFIDENCES, CORRECT)  # right from the surest on: yes, yes, no, yes, no
    assert curve.coverage == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5])
    assert risk_coverage_area(CONFIDENCES, CORRECT) == pytest.approx((1 / 3 + 1 / 4 + 2 / 5) / 5)


def test_the_ends_of_the_scale() -> None:
    assert calibration_error([1.0, 0.0], [1, 0]) == 0
    assert calibration_error([1.0, 0.0], [0, 1]) == 1
    assert risk_coverage_area([0.9, 0.8], [1, 1]) == 0
    assert risk_coverage_area([0.9, 0.8], [0, 0]) == 1
    assert calibration_error([0.25] * 4, [1, 0, 0, 0]) == 0


def test_equals_count_as_the_mean_over_their_orders() -> None:
    confidences = np.array([0.9, 0.5, 0.5, 0.5, 0.2])
    correct = np.array([True, True, False, False, True])
    orders = [[0, *order, 4] for order in permutations([1, 2, 3])]
    apart = np.array([0.9, 0.6, 0.5, 0.4, 0.2])  # no equals: each order as it is
    mean = np.mean([risk_coverage_area(apart, correct[order]) for order in orders])
    assert risk_coverage_area(confidences, correct) == pytest.approx(mean)
    for order in orders:
        assert risk_coverage_area(confidences[order], correct[order]) == pytest.approx(mean)


def test_many_answers_against_the_definition() -> None:
    random = np.random.default_rng(7)
    confidences = random.random(1000)
    correct = random.random(1000) < confidences**2
    order = sorted(range(1000), key=lambda index: confidences[index])
    error = 0.0
    for part in np.array_split(order, 15):
        error += len(part) * abs(correct[part].mean() - confidences[part].mean()) / 1000
    assert calibration_error(confidences, correct) == pytest.approx(error)
    assert error == pytest.approx(1 / 2 - 1 / 3, abs=0.03)  # the mean of p - p²
    risks = [1 - correct[order[-k:]].mean() for k in range(1, 1001)]
    assert risk_coverage_area(confidences, correct) == pytest.approx(np.mean(risks))


@pytest.mark.parametrize(
    ("confidences", "correct", "message"),
    [
        ([], [], "at least one"),
        ([0.5], [1, 0], "as many"),
        ([[0.5]], [[1]], "as many"),
        ([np.nan], [1], "not a"),
    ],
)
def test_what_is_refused(confidences: list[float], correct: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibration_error(confidences, correct)


@pytest.mark.parametrize("count", [1, 3, 500])
def test_a_plot_is_drawn(tmp_path: Path, count: int) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    random = np.random.default_rng(3)
    confidences = random.random(count)
    draw_calibration(
        tmp_path / "a.png", confidences, random.random(count) < confidences, "Sets for $1 and $2"
    )
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1600, 768)


def test_a_plot_that_can_not_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(SpanseekError, match=r"a.doc: a plot's name must end in .png"):
        draw_calibration(tmp_path / "a.doc", CONFIDENCES, CORRECT, "")
    with pytest.raises(SpanseekError, match="no such folder"):
        draw_calibration(tmp_path / "no" / "a.png", CONFIDENCES, CORRECT, "")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SpanseekError, match=r"matplotlib: pip install 'spanseek\[eval\]'"):
        draw_calibration(tmp_path / "a.png", CONFIDENCES, CORRECT, "")
