"""Questions and passages changed so that nothing answers: every device by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.training.examples import PassageTokens
from retriever.training.unanswerable import (
    ANTONYMS,
    Entities,
    Phrases,
    change_question,
    negate,
    swap_entity,
    swap_word,
    use_antonym,
    without_answer,
)

SEEDS = range(60)
TEXT = "Ada Lovelace met Charles Babbage in 1833; in Turin, on 5 May 1840, he spoke of 250 wheels."


def drawn(device: object, *arguments: object) -> set[str | None]:
    """All that some seeds draw."""
    return {device(*arguments, random.Random(seed)) for seed in SEEDS}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who did sign it?", {"Who didn't sign it?", "Who did not sign it?", "Who did never sign it?"}),
        ("Can it fly?", {"can't it fly?", "Can not it fly?", "Can never it fly?"}),
        ("Who will pay?", {"Who won't pay?", "Who will not pay?", "Who will never pay?"}),
        (
            "who was it that had won",
            {"who wasn't it that had won", "who was not it that had won", "who was never it that had won"},
        ),
        ("Who signed it?", {None}),
        ("Who candidly island?", {None}),
    ],
)
def test_negate(question: str, expected: set[str | None]) -> None:
    assert drawn(negate, question) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What was the first day?", {"What was the last day?", "What was the first night?"}),
        ("Who is the Oldest?", {"Who is the newest?", "Who is the youngest?"}),
        ("Who firstly came?", {None}),
        ("", {None}),
    ],
)
def test_use_antonym(question: str, expected: set[str | None]) -> None:
    assert drawn(use_antonym, question) == expected


def test_antonyms_go_both_ways_and_never_to_themselves() -> None:
    assert ANTONYMS["left"] == ["right", "joined"]
    for word, others in ANTONYMS.items():
        assert word.islower()
        assert word not in others
        assert all(word in ANTONYMS[other] for other in others)


@pytest.mark.parametrize(
    ("question", "answers", "expected"),
    [
        (
            "Whom did Ada meet in 1833?",
            [],
            {
                "Whom did Ada meet in 1840?",
                "Whom did Charles Babbage meet in 1833?",
                "Whom did Turin meet in 1833?",
                "Whom did May meet in 1833?",
            },
        ),
        ("How many of 7?", ["1840 or 1841"], {"How many of 5?", "How many of 1833?", "How many of 250?"}),
        ("How many of 2501?", [], {"How many of 1833?", "How many of 1840?", None}),  # after 8 draws
        ("What was in 1833?", ["It was 1840"], {None}),
        ("Ada?", [], {None}),
        ("why and how?", [], {None}),
    ],
    ids=[
        "year or name",
        "number",
        "no part of the number",
        "the other is the answer",
        "the first word is no name",
        "nothing to swap",
    ],
)
def test_swap_entity(question: str, answers: list[str], expected: set[str | None]) -> None:
    assert drawn(swap_entity, question, answers, Entities([TEXT])) == expected


def test_nothing_else_to_swap_with() -> None:
    assert drawn(swap_entity, "What was in 1833?", [], Entities(["1833 and no other year"])) == {None}
    assert drawn(swap_entity, "What was in 1833?", [], Entities([])) == {None}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["Ada", "Ada Lovelace", "ada", "Turin", "1833", "1840", "5", "250", "2,500"]),
        max_size=8,
    ),
    st.sampled_from(
        ["what did Ada Lovelace do", "what of Ada", "what in 1833", "what of 250", "what of 2,500"]
    ),
    st.integers(0, 999),
)
def test_an_entity_is_never_swapped_for_itself(words: list[str], question: str, seed: int) -> None:
    changed = swap_entity(question, ["Turin"], Entities([", ".join(words)]), random.Random(seed))
    if changed is None:
        return
    assert changed != question
    kept = question.split()[:2]
    assert changed.split()[:2] == kept
    new, old = (text.removeprefix(" ".join(kept)).lower() for text in (changed, question))
    assert "turin" not in new
    assert new.strip() not in old
    assert old.strip() not in new


def test_names_for_tables() -> None:
    entities = Entities(
        ["Bo met Ada Lovelace, of A House of The Long Red Road, in St. Paul. They went to Turin."]
    )
    assert entities.names == ["Ada Lovelace", "Paul", "They", "Turin"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        # "wheels" follows "the" too, but ends in other letters; "Turin" is a name
        ("who built the engine?", {"who built the machine?"}),
        ("Who built The engine first?", {"Who built The machine first?"}),
        ("who built an engine?", {None}),
        ("the Engine", {None}),
        ("how many wheels", {None}),
        ("", {None}),
    ],
    ids=["same ending", "case of the word before", "another word before", "a name", "asked for", "empty"],
)
def test_swap_word(question: str, expected: set[str | None]) -> None:
    phrases = Phrases(
        ["Who saw the machine?", "how heavy were the wheels", "Where is the Turine?", "how machine"]
    )
    assert drawn(swap_word, question, phrases) == expected


def test_a_word_is_not_swapped_for_a_form_of_itself() -> None:
    assert drawn(swap_word, "who built it", Phrases(["who builtit", "who"])) == {None}
    assert drawn(swap_word, "the cities", Phrases(["the citizenries"])) == {None}


def test_change_question_uses_every_device() -> None:
    question = "Who did Ada meet first in 1833?"
    none = Phrases([])
    changed = drawn(change_question, question, [], Entities([TEXT]), Phrases(["did Ada greet it"]))
    assert None not in changed
    assert question not in changed
    assert "Who didn't Ada meet first in 1833?" in changed
    assert "Who did Ada meet last in 1833?" in changed
    assert "Who did Ada meet first in 1840?" in changed
    assert "Who did Ada greet first in 1833?" in changed
    only = drawn(change_question, "which of the first", [], Entities([]), none)
    assert only == {"which of the last", None}, (
        "where there is no entity, the antonym; where no auxiliary, nothing"
    )
    assert drawn(change_question, "in 1833", [], Entities([TEXT]), none) == {"in 1840", None}


def passage(length: int, *sentences: int) -> PassageTokens:
    return PassageTokens("", np.arange(100, 100 + length), (0, *sentences))


@pytest.mark.parametrize(
    ("span", "left"),
    [
        ((12, 14), [*range(10), *range(20, 50)]),
        ((10, 19), [*range(10), *range(20, 50)]),
        ((0, 0), [*range(10, 50)]),
        ((49, 49), [*range(40)]),
        ((18, 21), [*range(10), *range(40, 50)]),
    ],
    ids=["inside", "all of it", "the first", "the last", "over two: too little is left"],
)
def test_the_sentences_with_the_answer_are_taken_out(span: tuple[int, int], left: list[int]) -> None:
    found = without_answer(passage(50, 10, 20, 40), span)
    if len(left) < 24:
        assert found is None
    else:
        assert found is not None
        assert (found - 100).tolist() == left


def test_two_sentences_that_share_the_answer_both_go() -> None:
    found = without_answer(passage(60, 10, 20, 30), (19, 20))
    assert found is not None
    assert (found - 100).tolist() == [*range(10), *range(30, 60)]


def test_an_answer_that_stands_elsewhere_too_is_left() -> None:
    ids = np.arange(100, 160)
    ids[40:42] = [112, 113]
    elsewhere = PassageTokens("", ids, (0, 10, 20))
    assert without_answer(elsewhere, (12, 13)) is None
    assert without_answer(elsewhere, (12, 12)) is None
    assert without_answer(elsewhere, (12, 14)) is not None, "only its beginning stands there again"
    assert without_answer(elsewhere, (15, 15)) is not None


def test_24_tokens_are_enough() -> None:
    assert without_answer(passage(34, 10), (0, 0)) is not None
    assert without_answer(passage(33, 10), (0, 0)) is None
    assert without_answer(passage(33), (0, 0)) is None
