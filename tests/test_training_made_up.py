"""Made-up tables, keywords and statements: what they say is true of the text beside them."""

from __future__ import annotations

import random
import re

import pytest

from retriever.encoder.structure import borders
from retriever.training.cells import _COLOURS, _STUFFS, HEADERS, KEYS, VARIANTS, Words
from retriever.training.keywords import as_keywords, as_statement, as_typed
from retriever.training.rows import _by_part, make_row_question

NAMES = [f"Name{chr(65 + i)}{chr(65 + j)}" for i in range(6) for j in range(5)]


PHRASES = [f"phrase {chr(97 + i)} of several words" for i in range(20)]
WORDS = Words(NAMES, PHRASES)


@pytest.mark.parametrize("seed", range(120))
def test_the_answer_is_a_whole_cell(seed: int) -> None:
    made = make_row_question(WORDS, random.Random(seed))
    if not made.end:
        return
    cell = made.text[made.start : made.end]
    assert cell
    assert cell == cell.strip()
    assert {made.start, made.end} <= {0, len(made.text), *_beside(made.text)}
    line = made.text[made.text.rfind("\n", 0, made.start) + 1 :].split("\n")[0]
    known = [word for word in (*NAMES, *PHRASES) if word in made.question]
    named = any(word in line or word in made.text.split("\n")[0] or word == made.title for word in known)
    by_cell = any(value.strip() and value.strip() in made.question for value in re.split(r"[|;:]|  +", line))
    assert named or by_cell, made


def test_the_answer_stands_under_the_header_that_is_asked_for() -> None:
    """In rows that name each cell's header, where the question names one of them and the row."""
    seen = 0
    for seed in range(600):
        made = make_row_question(WORDS, random.Random(seed))
        own = re.search(r"(?:^|; )([^:;\n]+): $", made.text[: made.start], re.MULTILINE)
        if not made.end or "; " not in made.text or own is None or own[1] in KEYS:
            continue  # in those under a key, the row is asked for
        headers = {header for header, *_ in HEADERS if f"{header}: " in made.text}
        asked = {header for header in headers if header.split(" (")[0].lower() in made.question.lower()}
        if len(asked) == 1:
            seen += 1
            assert asked == {own[1]}, made
    assert seen > 40


def test_a_thing_may_be_named_in_part_and_by_what_it_looks_like() -> None:
    answered = refused = 0
    for seed in range(400):
        made = _by_part(WORDS, random.Random(seed))
        whole = [name for name in re.findall(r"Name\w\w(?: \d+)? \w+", made.text) if name in made.question]
        said_whole = [name for name in whole if name.split()[-1] in VARIANTS]
        assert not said_whole, made
        answered += bool(made.end)
        refused += not made.end
        looks = [word for word in (*_COLOURS, *_STUFFS) if re.search(rf"\b{word}\b", made.question)]
        assert looks
        if made.end:
            line = made.text[made.text.rfind("\n", 0, made.start) + 1 :].split("\n")[0]
            assert all(look in line for look in looks), made
            assert all(made.text.count(look) == 1 for look in looks), made  # no other row may be meant
        else:
            key = next(word for word in (*NAMES, *PHRASES) if word in made.question)
            shown = [
                line for line in made.text.split("\n") if key in line and all(look in line for look in looks)
            ]
            assert not [
                line for line in shown if re.search(rf"{key}(?: \d+)? (?:{'|'.join(VARIANTS)})\b", line)
            ], made
    assert refused * 2 < answered


def _beside(text: str) -> set[int]:
    """Places next to what parts cells, white space aside."""
    return {
        place
        for border in borders(text)
        for place in (
            border,
            border - (len(text[:border]) - len(text[:border].rstrip())),
            border + (len(text[border:]) - len(text[border:].lstrip(" \t"))),
        )
    } | {match.end() for match in re.finditer(r": |^[-*] |^", text, re.MULTILINE)} | {
        match.start() for match in re.finditer(r"$", text, re.MULTILINE)
    }  # fmt: skip


def test_all_ways_of_writing_and_asking_occur() -> None:
    """Over many draws; and about a quarter has no answer."""
    drawn = [make_row_question(WORDS, random.Random(seed)) for seed in range(800)]
    none = sum(not made.end for made in drawn) / len(drawn)
    assert 0.18 < none < 0.32
    tables = sum("| " in made.text for made in drawn) / len(drawn)
    fields = sum("; " in made.text for made in drawn) / len(drawn)
    spaced = sum("  " in made.text for made in drawn) / len(drawn)
    assert min(tables, fields, spaced) > 0.15
    assert sum(bool(made.title) for made in drawn) / len(drawn) > 0.1
    keys = sum(made.text[made.start : made.end] in NAMES for made in drawn)
    assert keys > 80, "a row is asked for, too"


def test_poor_words_still_make_tables() -> None:
    few = Words([f"A{'b' * i}" for i in range(20)])  # each a part of the next
    for seed in range(60):
        made = make_row_question(few, random.Random(seed))
        assert made.question
        assert made.text


def test_the_same_seed_makes_the_same_question() -> None:
    assert make_row_question(WORDS, random.Random(7)) == make_row_question(WORDS, random.Random(7))


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


def test_questions_as_they_are_typed() -> None:
    assert as_typed("Who approved the FCC's rule ?") == "who approved the fcc's rule"
    assert as_typed("why?") == "why"
    assert as_typed("?") == "?"
    assert as_typed("warranty petrel 3") == "warranty petrel 3"


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
