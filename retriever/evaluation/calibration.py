"""Does a confidence mean what it says, and does it put the right answers first?

Two questions, two measures. Calibration: of the answers given with confidence 0.7, are 70 % right? The expected
calibration error is the mean distance (Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using
Bayesian Binning", AAAI 2015; with 15 bins in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017), here
over bins of equal mass (Nguyen and O'Connor, "Posterior Calibration and Exploratory Analysis for Natural Language
Processing Models", EMNLP 2015), so that no bin rests on a handful of answers. Ranking: if only the surest part is
answered, how much of it is wrong? The area under that curve is AURC (Geifman, Uziel, El-Yaniv, "Bias-Reduced
Uncertainty Estimation for Deep Neural Classifiers", 2018).

Answers of equal confidence count as equally right, each with the share that is right among them. So nothing depends
on the order that they came in: it is the mean over all orders of equals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityBins:
    """Bins of answers that are about equally sure, the least sure first.

    Attributes:
        confidence: `(B,)`, mean of each bin.
        accuracy: `(B,)`, share of each bin that is right.
        count: `(B,)`, answers in each; they differ by one at most.
    """

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """What answering only the surest costs.

    Attributes:
        coverage: `(N,)`, share of all questions that is answered: 1/N, 2/N, ..., 1.
        risk: `(N,)`, share of those that is wrong.
    """

    coverage: Floats
    risk: Floats


def reliability_bins(confidences: ArrayLike, correct: ArrayLike, bins: int = BINS) -> ReliabilityBins:
    """Cuts answers, ordered by confidence, into bins of equal mass.

    Args:
        confidences: `(N,)`, from 0 to 1.
        correct: `(N,)`, booleans, or 0 and 1.
        bins: How many; at most N are made.

    >>> reliability_bins([0.2, 0.9, 0.4, 0.7], [0, 1, 0, 1], bins=2)
    ReliabilityBins(confidence=array([0.3, 0.8]), accuracy=array([0., 1.]), count=array([2, 2]))
    """
    sure, right = _ascending(confidences, correct)
    parts = min(bins, len(sure))
    return ReliabilityBins(
        confidence=np.array([part.mean() for part in np.array_split(sure, parts)]),
        accuracy=np.array([part.mean() for part in np.array_split(right, parts)]),
        count=np.array([len(part) for part in np.array_split(sure, parts)]),
    )


def calibration_error(confidences: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: mean of `|accuracy - confidence|` over bins of equal mass, from 0 (best) to 1.

    Args:
        confidences: `(N,)`, from 0 to 1.
        correct: `(N,)`, booleans, or 0 and 1.
        bins: How many.

    >>> round(calibration_error([0.2, 0.9, 0.4, 0.7], [0, 1, 0, 1], bins=2), 4)
    0.25
    """
    found = reliability_bins(confidences, correct, bins)
    gaps = np.abs(found.accuracy - found.confidence)  # (B,)
    return float(np.average(gaps, weights=found.count))


def risk_coverage(confidences: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """The risk of answering the k surest questions, for every k.

    Args:
        confidences: `(N,)`; only their order counts.
        correct: `(N,)`, booleans, or 0 and 1.

    >>> risk_coverage([0.9, 0.5, 0.7, 0.1], [1, 1, 0, 0])
    RiskCoverage(coverage=array([0.25, 0.5 , 0.75, 1.  ]), risk=array([0.        , 0.5       , 0.33333333, 0.5       ]))
    """
    _, right = _ascending(confidences, correct)
    answered = np.arange(1, len(right) + 1)
    wrong = np.cumsum(1 - right[::-1])  # (N,), the surest first
    return RiskCoverage(coverage=answered / len(right), risk=wrong / answered)


def risk_coverage_area(confidences: ArrayLike, correct: ArrayLike) -> float:
    """AURC: mean of the risk over all coverages, from 0 (best) to 1.

    Args:
        confidences: `(N,)`; only their order counts.
        correct: `(N,)`, booleans, or 0 and 1.

    >>> round(risk_coverage_area([0.9, 0.5, 0.7, 0.1], [1, 1, 0, 0]), 4)
    0.3333
    """
    return float(risk_coverage(confidences, correct).risk.mean())


def _ascending(confidences: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    """Confidences in rising order, and how right each is: the share among its equals."""
    sure = np.asarray(confidences, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != right.shape or not sure.size:
        raise ValueError(
            f"expected as many confidences as judgements, at least one: {sure.shape} and {right.shape}"
        )
    if not np.isfinite(sure).all():
        raise ValueError("a confidence is not a number")
    values, group, sizes = np.unique(sure, return_inverse=True, return_counts=True)
    share = np.bincount(group, weights=right) / sizes
    return np.repeat(values, sizes), np.repeat(share, sizes)
