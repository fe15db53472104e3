"""Borders of cells and paragraphs, by hand; and spans that stay within them."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.encoder.spans import SpanScores, best_spans
from retriever.encoder.structure import answers_in, borders, cuts, spelled
from retriever.graphemes import whole_words


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
        ("Revenue; 2022: 510; 2023: 620", ["Revenue", "2022", "510", "2023", "620"]),
        ("287; Colour: red; Weight: 5", ["287", "Colour", "red", "Weight", "5"]),
        ("A: 1; B: 2\rA: 3; B: 4\r\rEnd", ["A", "1", "B", "2", "A", "3", "B", "4", "End"]),
        ("One.\r\nTwo.\r\n\r\nThree.", ["One.\r\nTwo.", "Three."]),
        ("int | None; str | bytes", ["int | None; str | bytes"]),
        ("Model  Weight\nR1     0.9 kg\nfrom 2024 on", ["Model", "Weight", "R1", "0.9 kg", "from 2024 on"]),
        ("Radio\t8 km\r\nMemory\t\t14 days", ["Radio", "8 km", "Memory", "14 days"]),
        ("a\t\tb", ["a", "b"]),
        ("It ended.  Then  came rain.", ["It ended.  Then  came rain."]),
        ("1.  First  one\n2.  Second one", ["1.  First  one\n2.  Second one"]),
        ("*   milk\n*   eggs", ["*   milk\n*   eggs"]),
        ("a mistyped  space\nin prose", ["a mistyped  space\nin prose"]),
        ("Delegate: Ann Vole\nStatus: Final", ["Delegate: Ann Vole", "Status: Final"]),
        ("To: Ann,\r\n  Ben\r\nDate: today\r\n\r\nDear: all", ["To: Ann,\r\n  Ben", "Date: today", "Dear: all"]),
        ("- Badge: 17\n- Key holder: Ann\n- tea", ["- Badge: 17", "- Key holder: Ann\n- tea"]),
        ("Note: we came.\nIt was late.\nThen: we left", ["Note: we came.\nIt was late.\nThen: we left"]),
        ("Bring: tea\n \t\n  and: milk", ["Bring: tea", "and: milk"]),
        ("what Ann had said before: no\nBen: hi", ["what Ann had said before: no\nBen: hi"]),
        ("", []),
    ],
)  # fmt: skip
def test_borders(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


@pytest.mark.parametrize(
    ("heading", "version", "date"),
    [
        ("2.9.0 \u2013 2024-11-12", "2.9.0", "2024-11-12"),
        ("## [1.0.0] - 2017-06-20", "## [1.0.0]", "2017-06-20"),
        ("v2.0 (March 3, 2021)", "v2.0", "March 3, 2021"),
        ("Version 1.4: 7 May 2019", "Version 1.4", "7 May 2019"),
        ("3.0rc1, 03/11/2025", "3.0rc1", "03/11/2025"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_version_and_the_date_of_a_release_are_two_answers(
    heading: str, version: str, date: str, newline: str
) -> None:
    text = newline.join(["# Changes", heading, "- It is faster."])
    places = [0, *borders(text), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    assert f"# Changes{newline}{version}" in pieces
    assert date in pieces


@pytest.mark.parametrize(
    "text",
    [
        "10.2.2021 - 11.2.2021",
        "2.9.0 \u2013 2024-11-12 is out",
        "of version 2.9.0 \u2013 2024-11-12",
        "1.2.0 - 17 boxes",
        "12 - 2024-11-12",
    ],
)
def test_what_only_looks_like_the_heading_of_a_release_is_whole(text: str) -> None:
    assert borders(text) == []


def test_a_line_of_nothing_but_numbers_is_looked_at_once() -> None:
    """Looked at again from each number it would take hours."""
    assert borders("1." * 200_000) == borders("1.1" * 200_000) == []


@given(st.text(alphabet="ab:;| \n\r", max_size=60))
def test_borders_stand_where_something_separates(text: str) -> None:
    for border in borders(text):
        around = text[max(0, border - 1) : border + 1]
        assert border in {0, len(text)} or set(around) & set("|:; \t\n\r"), (text, border)
    for line in re.finditer(r"[^\r\n]+", text):
        if (
            line.group().strip().startswith("|")
            and len(line.group().strip()) > 1
            and line.group().strip().endswith("|")
        ):
            for bar in re.finditer(r"\|", line.group()):
                place = line.start() + bar.start()
                assert {place, place + 1} <= set(borders(text))


PROSE = """\
The  text of an old  manual is  often set to one  width, so that
its right  edge stands  as straight  as its  left. What lies in
between is  prose and  no table, however wide  the spaces  are."""


def test_prose_that_is_set_to_one_width_is_no_table() -> None:
    widths = [len(line) for line in PROSE.split("\n")]
    even = "\n".join(line.ljust(max(widths), "x") for line in PROSE.split("\n"))
    assert borders(even) == []
    assert spelled(even) == even
    assert borders(even.replace("manual", "hand-written manual")) != [], "columns of unequal rows"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Model  Weight\nR1     0.9 kg\n", "Model| Weight.R1|    0.9 kg."),
        ("Door\tleft\r\nLamp\tred", "Door|left.\nLamp|red"),
        ("Item: oil; Price: 4\nItem: ink; Price: 5", "Item: oil; Price: 4.Item: ink; Price: 5"),
        ("| Name | Ext |\n|---|---|\n| Bea | 252 |\n", "| Name | Ext |\n|---|---|\n| Bea | 252 |\n"),
        ("Open  all day!\nShut  at night", "Open| all day!\nShut| at night"),
        ("Nothing here\nis a table.", "Nothing here\nis a table."),
    ],
)
def test_spelled(text: str, expected: str) -> None:
    assert spelled(text) == expected


@given(st.text(alphabet="ab1.:;| \t\n\r\N{NO-BREAK SPACE}é", max_size=80))
def test_only_white_space_is_written_over(text: str) -> None:
    written = spelled(text)
    assert len(written) == len(text)
    for place, (before, after) in enumerate(zip(text, written, strict=True)):
        if before != after:
            assert before in " \t\n\r", (text, place)
            assert after in "|.", (text, place)
            assert {place, place + 1} <= set(borders(text)), "what was written in is no part of an answer"


def scored(text: str, start: str, end: str) -> SpanScores:
    """Scores by which the answer goes from one word to another."""
    offsets = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    words = [text[a:b] for a, b in offsets]
    values = np.full((2, len(words)), -9.0, dtype=np.float32)
    values[0, words.index(start)] = values[1, words.index(end)] = -0.5
    return SpanScores(offsets, values[0], values[1], -3.0, -3.0)


def test_no_answer_is_punctuation_alone() -> None:
    text = "It cost 5 % . Yes!"
    scores = scored(text, "%", ".")
    assert text[best_spans(scores, 1)[0].start :].startswith("% .")
    found = [text[span.start : span.end] for span in answers_in(text, scores, 30)]
    assert found
    assert all(any(char.isalnum() for char in words) for words in found)


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("The cafe\u0301 is open", ["The", "cafe", "is", "open"], "cafe\u0301"),
        ("x cafe\u0301\u0323.", ["x", "cafe", "."], "cafe\u0301\u0323"),
        ("\u091c\u0940 \u0939\u0948", ["\u091c", "\u0940", "\u0939"], "\u091c\u0940"),
        ("a \U0001f469\u200d\U0001f680 b", ["a", "\U0001f680", "b"], "\U0001f469\u200d\U0001f680"),
        ("ok \U0001f44d\U0001f3fd", ["ok", "\U0001f44d"], "\U0001f44d\U0001f3fd"),
    ],
)
def test_an_answer_tears_no_character_apart(text: str, tokens: list[str], expected: str) -> None:
    """Whatever tokens a tokenizer makes of it."""
    offsets = [(text.index(token), text.index(token) + len(token)) for token in tokens]
    values = np.full((2, len(tokens)), -9.0, dtype=np.float32)
    values[:, 1] = -0.5
    found = answers_in(text, SpanScores(offsets, values[0], values[1], -3.0, -3.0), 9)
    assert text[found[0].start : found[0].end] == expected
    places = sorted((span.start, span.end) for span in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(places)), "and none overlap"


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("Order number: PET3-E-G; Product: Petrel", "E-G", "PET3-E-G"),
        ("Order number: PET3-E-G; Product: Petrel", "PET3", "PET3-E-G"),
        ("key LIM_2026-07, and more", "2026", "LIM_2026-07"),
        ("\u306fPET3-E-G\u3067\u3059", "E-G", "PET3-E-G"),
        ("we refunded 420 euros", "we refund", "we refunded"),
        ("Document 5120-D", "512", "5120-D"),
        ("it costs 1,200.50 euros", "200", "1,200.50"),
        ("die Blattn\u00e4ssesensoren sind da", "sensoren", "Blattn\u00e4ssesensoren"),
        ("since 2024-11-12 again", "11-12", "2024-11-12"),
        ("version 2.9 \u2013 2024-11-12", "2.9 \u2013 2024", "2.9 \u2013 2024-11-12"),
        ("on 3/11/2025, too", "11/2025", "3/11/2025"),
        ("an alarm at 03:12 in May", "12", "03:12"),
        ("it took 2 hours and 10 minutes", "10 minutes", "2 hours and 10 minutes"),
        ("it took 2 hours, 10 minutes and 5 seconds", "2 hours", "2 hours, 10 minutes and 5 seconds"),
        ("he is 6 feet 2 inches tall", "6 feet", "6 feet 2 inches"),
        ("it took 1.5 hours and 10 minutes", "10 minutes", "1.5 hours and 10 minutes"),
        ("at 3.33:30, we left", "3", "3.33:30"),
        ("on the last Friday of each month at 3", "last Friday", "last Friday of each month"),
        (
            "the 2nd Monday in every odd-numbered\n month",
            "the 2nd Monday",
            "the 2nd Monday in every odd-numbered\n month",
        ),
        (
            "until the first Sunday of May 2024, then",
            "until the first Sunday",
            "until the first Sunday of May 2024",
        ),
        # what may well be an answer stays as it is
        ("on the last Friday of each month at 3", "Friday", "Friday"),
        ("on the last Friday of each month at 3", "each month", "each month"),
        ("on the last Friday of each month at 3", "last", "last"),
        ("the second Tuesday of his stay", "second Tuesday", "second Tuesday"),
        ("since 2024-11-12 again", "2024", "2024"),
        ("between 2 days and 3 weeks", "2 days", "2 days"),
        ("after 5 minutes and 20 metres", "5 minutes", "5 minutes"),
        ("12-2024-11-12", "2024", "2024"),
        ("a scale of 1:250000", "250000", "250000"),
        ("the Tokyo-based company", "Tokyo", "Tokyo"),
        ("in the mid-1990s again", "1990s", "1990s"),
        ("from 2019-2020 on", "2019", "2019"),
        ("at 10pm sharp", "10", "10"),
        ("\u3092\uff12\uff10\u53f0", "\uff12\uff10", "\uff12\uff10"),
        ("\u8fb2\u5bb6\u306b", "\u5bb6", "\u5bb6"),
        ("read/write access", "read", "read"),
    ],
)
def test_an_answer_tears_no_word_number_date_amount_or_code_apart(
    text: str, span: str, expected: str
) -> None:
    start = text.index(span)
    offsets = [(start, start + len(span))]
    value = np.array([-0.5], dtype=np.float32)
    found = answers_in(text, SpanScores(offsets, value, value, -3.0, -3.0), 1)
    assert text[found[0].start : found[0].end] == expected


@given(st.text(alphabet="aB\u00e93-_.,:/ \n|\u3042", max_size=40), st.data())
def test_words_are_widened_within_their_line_and_only_once(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    wide = whole_words(text, start, end)
    assert wide[0] <= start <= end <= wide[1]
    assert not set(text[wide[0] : start] + text[end : wide[1]]) & set(" \n|\u3042")
    if start < end:
        assert whole_words(text, *wide) == wide


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 99), st.integers(1, 14))
def test_spans_hold_a_word(unspoken: list[bool], seed: int, longest: int) -> None:
    random = np.random.default_rng(seed)
    count = len(unspoken)
    values = random.normal(size=(2, count)).astype(np.float32)
    scores = SpanScores([(i, i + 1) for i in range(count)], values[0], values[1], -1.0, -1.0)
    spans = best_spans(scores, 20, unspoken=unspoken, longest=longest)
    allowed = [
        values[0, i] + values[1, j]
        for i in range(count)
        for j in range(i, min(count, i + longest))
        if not all(unspoken[i : j + 1])
    ]
    assert bool(spans) is bool(allowed)
    if spans:
        assert spans[0].score == pytest.approx(max(allowed), abs=1e-5)
    assert all(not all(unspoken[span.start : span.end]) for span in spans)


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
