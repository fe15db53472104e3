"""Draws how an index grows, from what `scale.py --json` measured.

    python tests/benchmarks/scale.py --json > scale.json
    python tests/benchmarks/growth.py scale.json [--out data/growth.png] [--against-chunks N]

Four small curves over the number of passages, both axes logarithmic: a search without its question's encoding, the cost
of writing a passage, memory for vectors, and the time until a new document is found. The picture has no background, and
colours that can be read on a light page and on a dark one. Where `scale.py` compared with other libraries, they are
points of the first and the third; rows that don't say at how many vectors are drawn at `--against-chunks`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

ROOT = Path(__file__).resolve().parents[2]
INK, GRID = "#7d8590", "#7d859040"
BLUE, ORANGE, GREEN, PINK = "#2f81f7", "#e0823d", "#2da44e", "#bf5fb4"
MARKS = "sDv^Pp"
HALF_A_DECADE = 10**0.5


@dataclass(frozen=True)
class Line:
    """One curve: its name, its colour, and a value a size."""

    name: str
    colour: str
    values: Sequence[float]
    dashed: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("figures", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "growth.png")
    parser.add_argument("--against-chunks", type=int)
    options = parser.parse_args()
    draw(json.loads(options.figures.read_text(encoding="utf-8")), options.out, options.against_chunks)
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


def draw(figures: dict[str, Any], out: Path, against_chunks: int | None = None) -> None:
    """Draws the picture.

    Args:
        figures: What `scale.py --json` prints.
        out: A `.png`.
        against_chunks: At how many vectors the other libraries were measured, where their rows don't say.
    """
    rows = sorted(figures["sizes"], key=lambda row: row["chunks"])
    sizes = [row["chunks"] for row in rows]
    dimension = figures["dimension"]
    against = [
        (row["what"], row.get("chunks", against_chunks), row)
        for row in figures.get("against", [])
        if row.get("chunks", against_chunks)
    ]
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 8.5, "text.color": INK})
    picture, (search, write, memory, add) = plt.subplots(1, 4, figsize=(12, 4.6), dpi=100)

    def searched(side: str, quantile: str) -> list[float]:
        return [row["search_ms"][side][quantile] for row in rows]

    panel(search, "A search, after encoding", "milliseconds, median", sizes, [
        Line("both, fused and read", BLUE, searched("both", "p50")),
        Line("nearest vectors", ORANGE, searched("dense", "p50")),
        Line("words", GREEN, searched("lexical", "p50")),
    ], [(name, chunks, row["p50_ms"]) for name, chunks, row in against])  # fmt: skip
    search.fill_between(sizes, searched("both", "p50"), searched("both", "p95"), color=BLUE, alpha=0.15, lw=0)
    panel(write, "Writing a passage", "milliseconds, encoding left out", sizes, [
        Line("with all merges", BLUE, [row["write_s_per_1000"] for row in rows]),
    ])  # fmt: skip
    panel(memory, "Memory for vectors", "MB", sizes, [
        Line("of the process", BLUE, [max(row["memory_mb"]["own"], 0.1) for row in rows]),
        Line("with mapped files", ORANGE, [max(sum(row["memory_mb"].values()), 0.1) for row in rows]),
        Line("plain float32", INK, [4 * dimension * size / 1e6 for size in sizes], dashed=True),
    ], [(name, chunks, row["memory_mb"]) for name, chunks, row in against])  # fmt: skip
    panel(add, "Adding a document", "milliseconds until it is found", sizes, [
        Line("writer open", BLUE, [1000 * row["add_s"]["open_writer"] for row in rows]),
        Line("writer opened for it", ORANGE, [1000 * row["add_s"]["new_writer"] for row in rows]),
    ])  # fmt: skip
    picture.supxlabel("passages in the index", color=INK, fontsize=9)
    picture.tight_layout(w_pad=2.2)
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(out, transparent=True, metadata={"Software": None})
    plt.close(picture)


def panel(
    axes: Axes,
    title: str,
    unit: str,
    sizes: Sequence[int],
    lines: Sequence[Line],
    others: Sequence[tuple[str, int, float]] = (),
) -> None:
    """One small curve; at least a decade is shown, so that what is flat looks flat."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for line in lines:
        style = {"ls": (0, (2, 2)), "lw": 1.2} if line.dashed else {"marker": "o", "ms": 4.5, "lw": 2.0}
        axes.plot(sizes, line.values, color=line.colour, label=line.name, solid_capstyle="round", **style)
    for number, (name, chunks, value) in enumerate(others):
        axes.plot(chunks, value, MARKS[number % len(MARKS)], color=PINK, ms=5.5, label=name, alpha=0.9)
    values = [value for line in lines for value in line.values] + [value for _, _, value in others]
    low, high = min(values), max(values)
    if high / low < 10:
        middle = (low * high) ** 0.5
        low, high = middle / HALF_A_DECADE, middle * HALF_A_DECADE
    # the legend stands above the curves, and needs room there
    room = (high / low) ** (0.1 + 0.065 * (len(lines) + len(others)))
    axes.set_ylim(low / 1.25, high * room)
    axes.set_xlim(min(sizes) / 1.4, max(sizes) * (max(sizes) / min(sizes)) ** 0.16)
    for line, place in zip(
        lines, _apart([line.values[-1] for line in lines], (high / low) ** 0.05), strict=True
    ):
        if not line.dashed:
            axes.annotate(
                f"{line.values[-1]:.2g}" if line.values[-1] < 100 else f"{line.values[-1]:,.0f}",
                (sizes[-1], place),
                textcoords="offset points",
                xytext=(7, -3),
                color=line.colour,
                fontsize=8.5,
                fontweight="bold",
            )
    axes.set_title(f"{title}\n", loc="left", fontsize=10, fontweight="bold", color=INK, pad=5)
    axes.text(0, 1.02, unit, transform=axes.transAxes, color=INK, fontsize=8.5)
    axes.xaxis.set_major_locator(LogLocator(10, numticks=8))
    decades = high * room / low
    steps = LogLocator(10, subs=(1, 2, 5) if decades < 300 else (1,), numticks=12).tick_values(low, high)
    axes.set_yticks([step for step in steps if low / 1.25 <= step <= high * 1.3])  # none behind the legend
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", color=GRID, lw=0.7)
    axes.tick_params(which="both", color=GRID, labelcolor=INK, length=3)
    axes.tick_params(which="minor", length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side == "bottom")
        axes.spines[side].set_color(GRID)
    axes.legend(
        loc="upper left", frameon=False, fontsize=8, labelcolor=INK, borderaxespad=0.2, handlelength=1.6
    )


def _apart(values: Sequence[float], factor: float) -> list[float]:
    """Where to write values so that none covers another: each at least `factor` above the one below it."""
    places = list(values)
    order = sorted(range(len(values)), key=lambda i: values[i])
    for lower, upper in pairwise(order):
        places[upper] = max(places[upper], places[lower] * factor)
    return places


def short(value: float) -> str:
    """1k, 10k, 1M.

    >>> [short(number) for number in (0.1, 2, 1000, 10_000, 1_000_000)]
    ['0.1', '2', '1k', '10k', '1M']
    """
    for least, letter in ((1e6, "M"), (1e3, "k")):
        if value >= least:
            return f"{value / least:g}{letter}"
    return f"{value:g}"


if __name__ == "__main__":
    main()
