"""What confidences are worth, as a picture: reliability diagram and risk-coverage curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from retriever.errors import SpanseekError
from retriever.evaluation.calibration import (
    Floats,
    calibration_error,
    reliability_bins,
    risk_coverage,
    risk_coverage_area,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _RED, _GREY, _PALE, _INK = "#1f5f99", "#c8553d", "#8a8f98", "#e3e7ec", "#22262b"
_SUFFIXES = (".png", ".svg", ".pdf")
_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "text.color": _INK,
    "text.parse_math": False,  # a dollar in a title is one
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def check_plot(path: Path) -> None:
    """Makes sure that a picture can be drawn to `path`; called before long work.

    Raises:
        SpanseekError: matplotlib isn't installed, or the path's folder is missing or its suffix no picture's.
    """
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise SpanseekError(
            "drawing a plot needs the package matplotlib: pip install 'spanseek[eval]'"
        ) from error
    if path.suffix.lower() not in _SUFFIXES:
        raise SpanseekError(f"{path}: a plot's name must end in {', '.join(_SUFFIXES)}")
    if not path.parent.is_dir():
        raise SpanseekError(f"{path.parent}: no such folder to put the plot in")


def draw_calibration(path: Path, confidences: ArrayLike, correct: ArrayLike, title: str) -> None:
    """Draws reliability diagram and risk-coverage curve side by side.

    Args:
        path: Where to; `.png`, `.svg` or `.pdf`.
        confidences: `(N,)`, from 0 to 1.
        correct: `(N,)`, booleans, or 0 and 1.
        title: Over both.

    Raises:
        SpanseekError: As `check_plot`.
    """
    check_plot(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    sure, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    # a figure without pyplot: no window, no global state, and Agg draws the PNG
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 4.8), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
        left, other = figure.subplots(1, 2)
        figure.suptitle(f"{title}  ·  {len(sure):,} questions", x=0.015, ha="left", fontweight="bold")
        _draw_reliability(left, sure, right)
        _draw_risk(other, sure, right)
        figure.savefig(path, dpi=160)


def _draw_reliability(axes: Axes, sure: Floats, right: Floats) -> None:
    bins = reliability_bins(sure, right)
    heights, edges = np.histogram(sure, bins=20, range=(0, 1))
    scale = 0.16 / max(1, heights.max())  # the histogram takes the lowest sixth of the picture
    axes.bar(
        edges[:-1],
        heights * scale,
        width=np.diff(edges),
        align="edge",
        color=_PALE,
        label="spread of the confidences",
        zorder=1,
    )
    axes.plot(
        [0, 1], [0, 1], color=_GREY, linestyle=(0, (4, 3)), linewidth=1.2, label="what it should be", zorder=2
    )
    axes.vlines(
        bins.confidence,
        bins.accuracy,
        bins.confidence,
        color=_RED,
        linewidth=3,
        alpha=0.35,
        label="gap",
        zorder=3,
    )
    low, high = _wilson(bins.accuracy, bins.count)
    axes.errorbar(
        bins.confidence,
        bins.accuracy,
        yerr=np.clip([bins.accuracy - low, high - bins.accuracy], 0, None),
        color=_BLUE,
        marker="o",
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.8,
        linewidth=1.4,
        elinewidth=1,
        label=f"what it is: {len(bins.count)} bins, 95 %",
        zorder=4,
    )
    axes.set(
        xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="share that is right", aspect="equal"
    )
    axes.set_title(f"Reliability: ECE {calibration_error(sure, right):.3f}")
    axes.legend(loc="upper left")


def _draw_risk(axes: Axes, sure: Floats, right: Floats) -> None:
    curve = risk_coverage(sure, right)
    best = risk_coverage(right, right)  # the right ones first
    axes.fill_between(curve.coverage, curve.risk, color=_BLUE, alpha=0.12, linewidth=0)
    axes.axhline(curve.risk[-1], color=_GREY, linestyle=(0, (1, 2)), linewidth=1.4, label="in random order")
    axes.plot(
        best.coverage,
        best.risk,
        color=_GREY,
        linestyle=(0, (4, 3)),
        linewidth=1.2,
        label="right ones first: the best possible",
    )
    axes.plot(curve.coverage, curve.risk, color=_BLUE, linewidth=2, label="surest first: what it is")
    top = min(1.0, 1.25 * max(0.02, float(curve.risk[-1]), float(np.quantile(curve.risk, 0.99))))
    axes.set(
        xlim=(0, 1),
        ylim=(0, top),
        xlabel="coverage: share that is answered",
        ylabel="share of those that is wrong",
    )
    axes.set_title(f"Risk and coverage: AURC {risk_coverage_area(sure, right):.3f}")
    axes.legend(loc="upper left")


def _wilson(share: Floats, count: ArrayLike, z: float = 1.96) -> tuple[Floats, Floats]:
    """Both ends of the interval that holds a share's true value with 95 % (Wilson, 1927)."""
    n = np.asarray(count, dtype=np.float64)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half
