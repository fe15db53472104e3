"""Borders of cells and paragraphs, by hand; and spans that stay within them."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.encoder.spans import SpanScores, best_spans
from retriever.encoder.structure import borders, cuts


def parts(text: str) -> list[str]:
    """What lies between borders, without what separates."""
    places = [0, *borders(text), len(text)]
    pieces = (text[start:end].strip() for start, end in itertools.pairwise(places))
    return [piece for piece in pieces if piece.strip("|:;-")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cell: Volmer; Capacity (Ah): 2.87", ["Cell", "Volmer", "Capacity (Ah)", "2.87"]),
        ("Door: left; Opens: 9:30; Note:", ["Door", "left", "Opens", "9:30; Note:"]),
        ("Door: a; b; Opens: 9:30 to 17:00", ["Door", "a; b", "Opens", "9:30 to 17:00"]),
        ("Price list\nItem: oil; Price: 4\nItem: ink; Price: 5",
         ["Price list", "Item", "oil", "Price", "4", "Item", "ink", "Price", "5"]),
        ("| Name | Ext |\n|---|---|\n| Beatriz | 252 |", ["Name", "Ext", "Beatriz", "252"]),
        ("One.\n\nTwo.\n \t\nThree.\nFour.", ["One.", "Two.", "Three.\nFour."]),
        ("It holds: he came; she left.", ["It holds: he came; she left."]),
        ("Note: we came; however: we left", ["Note", "we came", "however", "we left"]),
        ("int | None; str | bytes", ["int | None; str | bytes"]),
        ("", []),
    ],
)  # fmt: skip
def test_borders(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


@given(st.text(alphabet="ab:;| \n", max_size=60))
def test_borders_are_places_in_the_text(text: str) -> None:
    found = borders(text)
    assert found == sorted(set(found))
    assert all(0 <= border <= len(text) for border in found)
    offsets = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    assert all(0 < token < len(offsets) for token in cuts(text, offsets))


def scored(text: str, start: str, end: str) -> SpanScores:
    """Scores by which the answer goes from one word to another."""
    offsets = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    words = [text[a:b] for a, b in offsets]
    values = np.full((2, len(words)), -9.0, dtype=np.float32)
    values[0, words.index(start)] = values[1, words.index(end)] = -0.5
    return SpanScores(offsets, values[0], values[1], -3.0, -3.0)


def test_a_span_stays_in_its_cell() -> None:
    text = "Cell: Volmer; Capacity: 287; Colour: red"
    scores = scored(text, "Volmer", "287")
    free = best_spans(scores, 1)[0]
    assert text[free.start : free.end] == "Volmer; Capacity: 287"
    held = best_spans(scores, 9, cuts=cuts(text, scores.offsets))
    assert {text[span.start : span.end] for span in held[:2]} == {"Volmer", "287"}
    assert not any(re.search("[;:].", text[span.start : span.end]) for span in held)


@given(st.lists(st.integers(1, 11), max_size=4), st.integers(0, 99), st.integers(1, 14))
def test_no_span_has_a_cut_inside(cutting: list[int], seed: int, longest: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(2, 12)).astype(np.float32)
    scores = SpanScores([(i, i + 1) for i in range(12)], values[0], values[1], -1.0, -1.0)
    spans = best_spans(scores, 20, cuts=cutting, longest=longest)
    for span in spans:
        assert not any(span.start < cut < span.end for cut in cutting)
    allowed = [
        values[0, i] + values[1, j]
        for i in range(12)
        for j in range(i, min(12, i + longest))
        if not any(i < cut <= j for cut in cutting)
    ]
    assert spans[0].score == pytest.approx(max(allowed), abs=1e-5)
