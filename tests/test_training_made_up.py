"""Made-up tables, keywords and statements: what they say is true of the text beside them."""

from __future__ import annotations

import random

import pytest

from retriever.training.keywords import as_keywords, as_statement
from retriever.training.rows import make_row_question

NAMES = [f"Name{chr(65 + i)}{chr(65 + j)}" for i in range(6) for j in range(5)]


@pytest.mark.parametrize("seed", range(40))
def test_the_answer_is_the_cell_that_header_and_key_name(seed: int) -> None:
    made = make_row_question(NAMES, random.Random(seed))
    if not made.end:
        named = [name for name in NAMES if name in made.question]
        assert named, "a question about nobody"
        return
    cell = made.text[made.start : made.end]
    line = made.text[made.text.rfind("\n", 0, made.start) + 1 :].split("\n")[0]
    key = next(name for name in NAMES if name in made.question)
    assert key in line
    assert cell == cell.strip()
    assert cell
    before = made.text[made.start - 2 : made.start]
    assert before in {": ", "| "}


def test_both_ways_of_writing_occur() -> None:
    """Over many draws both ways of writing occur, and about a quarter has no answer."""
    drawn = [make_row_question(NAMES, random.Random(seed)) for seed in range(600)]
    none = sum(not made.end for made in drawn) / len(drawn)
    assert 0.18 < none < 0.32
    tables = sum(made.text.startswith("| ") for made in drawn) / len(drawn)
    assert 0.3 < tables < 0.5


def test_the_same_seed_makes_the_same_question() -> None:
    assert make_row_question(NAMES, random.Random(7)) == make_row_question(NAMES, random.Random(7))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who approves a release of the firmware in 2024?", {"approves", "release", "firmware", "2024"}),
        ("What is it?", None),
        ("Why?", None),
        ("warranty Petrel 3", {"warranty", "Petrel", "3"}),
        ("What does U.S. law say?", {"U.S", "law", "say"}),
    ],
)
def test_keywords(question: str, expected: set[str] | None) -> None:
    words = as_keywords(question, random.Random(0))
    assert (None if words is None else set(words.split())) == expected


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("When did Bell move home?", "1864", "1864 Bell move home."),
        ("How many wheels does it have?", "two", "two wheels it have."),
        ("The bid was lost in what court?", "the Supreme Court", "The bid was lost the Supreme Court court."),
        ("In what year was it built?", "1890", "1890 was it built."),
        ("Where does it fly?", "Rio Grande do Sul", "Rio Grande do Sul it fly."),
        ("warranty Petrel 3", "2 years", None),
    ],
)
def test_statements(question: str, answer: str, expected: str | None) -> None:
    assert as_statement(question, answer) == expected
