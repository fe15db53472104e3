"""Graded questions as token ids: spans, sentences, what is held back; and hard negatives for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.encoder import TextEncoder
from retriever.encoder.structure import spelled
from retriever.evaluation import GradedQuestion
from retriever.training.examples import (
    Example,
    ExampleSet,
    PassageTokens,
    group_of,
    hold_back,
    together,
    tokenize,
    tokens_of,
)
from retriever.training.negatives import mine, mine_once
from retriever.types import TextSpan

NOTHING = np.empty(0, dtype=np.int64)


def graded(question: str, context: str, *answers: str, title: str = "", key: str = "q") -> GradedQuestion:
    spans = tuple(TextSpan(context.index(text), context.index(text) + len(text), text) for text in answers)
    return GradedQuestion(key, question, context, title, spans, answers)


def test_together_the_second_comes_after(tiny_encoder: TextEncoder) -> None:
    one = tokenize([graded("who", "The cat sat.", "cat")], tiny_encoder.tokenizer, ["wind"])
    other = tokenize([graded("when", "Snow in winter.", "winter")], tiny_encoder.tokenizer)
    both = together(one, other)
    assert [passage.text for passage in both.passages] == ["The cat sat.", "wind", "Snow in winter."]
    assert [example.question for example in both.examples] == ["who", "when"]
    assert [both.passages[example.passage].text for example in both.examples] == [
        "The cat sat.",
        "Snow in winter.",
    ]


def test_tokenize_by_hand(tiny_encoder: TextEncoder) -> None:
    cat, snow = 'The cat sat. "On the red mat!" It is on.', "Snow in winter. "
    data = tokenize(
        [
            graded("where is the cat", cat, "the red mat", "red mat", title="cat"),
            graded("when", snow, "winter"),
            graded("who", cat, title="cat"),
        ],
        tiny_encoder.tokenizer,
        ["wind", snow],
    )
    assert [passage.text for passage in data.passages] == [cat, snow, "wind"]
    # The cat sat . " On the red mat ! " It is on .  (It: i and ##t)
    assert len(data.passages[0].ids) == 16
    assert data.passages[0].sentences == (0, 4, 11)
    assert data.passages[1].sentences == (0,)
    assert data.passages[1].ids.tolist() == tiny_encoder.tokenizer.ids([snow])[0].tolist()
    where, when, who = data.examples
    assert where.question_ids.tolist() == tiny_encoder.tokenizer.ids(["where is the cat"])[0].tolist()
    assert where.title_ids.tolist() == tiny_encoder.tokenizer.ids(["cat"])[0].tolist()
    assert when.title_ids.tolist() == []
    assert [(example.passage, example.span) for example in data.examples] == [
        (0, (6, 8)),
        (1, (2, 2)),
        (0, None),
    ]
    assert where.answers == ("the red mat", "red mat")
    assert [example.group for example in data.examples] == ["cat", snow, "cat"]
    assert who.question == "who"


def test_a_span_that_no_token_stands_for_is_left_out(tiny_encoder: TextEncoder) -> None:
    context = "the  cat"
    blank = GradedQuestion("b", "what", context, "", (TextSpan(3, 5, "  "),), ("  ",))
    data = tokenize([blank, graded("who", context, "cat")], tiny_encoder.tokenizer)
    assert [example.question for example in data.examples] == ["who"]


def test_part_of_a_token_takes_all_of_it() -> None:
    offsets = [(0, 3), (4, 7), (7, 9), (12, 13)]
    places = {
        (0, 3): (0, 0), (1, 2): (0, 0), (2, 5): (0, 1), (3, 4): None, (4, 8): (1, 2), (8, 13): (2, 3),
        (9, 12): None, (6, 7): (1, 1), (7, 8): (2, 2), (0, 20): (0, 3), (13, 20): None,
    }  # fmt: skip
    assert {place: tokens_of(offsets, *place) for place in places} == places
    assert tokens_of([], 0, 5) is None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_tokens_cover_the_answer_and_nothing_beside_it(
    tiny_encoder: TextEncoder, data: st.DataObject
) -> None:
    alphabet = st.sampled_from(
        [*"ab Zé.,-\t\n\r", "e\u0301", "\U0001f469\u200d\U0001f680", "東", "ש", "cat ", "mats"]
    )
    context = "".join(data.draw(st.lists(alphabet, min_size=1, max_size=40)))
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    answer = context[start:end]
    question = GradedQuestion("q", "who", context, "", (TextSpan(start, end, answer),), (answer,))
    examples = tokenize([question], tiny_encoder.tokenizer).examples
    offsets = tiny_encoder.token_spans(spelled(context))  # what the span scorer reads
    touched = [i for i, (s, e) in enumerate(offsets) if s < end and e > start]
    if not touched:
        assert examples == []
        return
    assert examples[0].span == (touched[0], touched[-1])
    covered = context[offsets[touched[0]][0] : offsets[touched[-1]][1]]
    letters = "".join(c for c in answer if c.isalnum())
    assert letters in "".join(c for c in covered if c.isalnum())


def test_tables_are_read_as_the_span_scorer_reads_them(tiny_encoder: TextEncoder) -> None:
    context = "cat    mat\ndog    hat\n"
    questions = [graded("what", context), graded("what", "cat mat")]
    table, plain = tokenize(questions, tiny_encoder.tokenizer).passages
    assert list(table.ids) == list(tiny_encoder.tokenizer.ids([spelled(context)])[0])
    assert len(table.ids) > len(tiny_encoder.tokenizer.ids([context])[0])
    assert list(plain.ids) == list(tiny_encoder.tokenizer.ids(["cat mat"])[0])


def test_documents_are_held_back_whole_and_always_the_same() -> None:
    questions = [
        graded(f"{title} {i}", f"passage {title} {i}", title=f"title {title}")
        for title in range(200)
        for i in range(3)
    ]
    held = hold_back(questions, 0.1)
    titles = {question.title for question, is_held in zip(questions, held, strict=True) if is_held}
    assert all(
        (question.title in titles) is is_held for question, is_held in zip(questions, held, strict=True)
    )
    assert 10 <= len(titles) <= 30
    assert hold_back(questions[::-1], 0.1) == held[::-1], "the order doesn't matter"
    part = [question for question in questions if question.title in {"title 1", *sorted(titles)[:1]}]
    assert hold_back(part, 0.1) == [question.title in titles for question in part], (
        "nor does what else there is"
    )
    more = hold_back(questions, 0.3)
    assert all(later for later, is_held in zip(more, held, strict=True) if is_held), (
        "a larger share adds to it"
    )
    assert hold_back(questions, 0) == [False] * 600
    assert hold_back(questions, 1) == [True] * 600
    assert hold_back([], 0.5) == []


def test_of_one_document_passages_are_held_back() -> None:
    questions = [graded(f"{p} {i}", f"passage {p}", title="one") for p in range(100) for i in range(2)]
    held = hold_back(questions, 0.3)
    assert held[::2] == held[1::2]
    assert 15 <= sum(held[::2]) <= 45


def test_without_a_title_the_passage_is_the_document() -> None:
    assert group_of(graded("q", "context", title="title")) == "title"
    assert group_of(graded("q", "context")) == "context"


def test_tokenize_marks_what_is_held_back(tiny_encoder: TextEncoder) -> None:
    questions = [graded(f"who {i}", f"the cat sat {i}", "cat") for i in range(40)]
    examples = tokenize(questions, tiny_encoder.tokenizer, held_back=0.3).examples
    assert [example.held_back for example in examples] == hold_back(questions, 0.3)
    assert {example.held_back for example in examples} == {True, False}


def example_set(passages: Sequence[str], *examples: tuple[str, int, bool, tuple[str, ...]]) -> ExampleSet:
    return ExampleSet(
        [PassageTokens(text, NOTHING, (0,)) for text in passages],
        [
            Example(question, NOTHING, NOTHING, passage, (0, 0) if answerable else None, answers, "")
            for question, passage, answerable, answers in examples
        ],
    )


PASSAGES = [
    "The red cat",
    "A red-cat, of course",
    "infrared catalogue",
    "Red: CATS",
    "",
    "blue dog in 1996",
    "1 996",
]


def test_negatives_hold_no_answer_as_whole_words() -> None:
    data = example_set(
        PASSAGES,
        ("red cat?", 0, True, ("Red cat.",)),
        ("no answer?", 0, False, ()),
        ("dog?", 5, True, ("blue dog", "1996", "red")),
        ("only its own?", 2, True, ("x",)),
    )
    asked: list[str] = []

    def search(examples: Sequence[Example]) -> list[list[int]]:
        asked.extend(example.question for example in examples)
        found = {"red cat?": [6, 1, 2, 0, 3, 4, 5], "dog?": [3, 2, 0, 6, 1, 5], "only its own?": [2]}
        return [found[example.question] for example in examples]

    assert mine(data, search) == {0: (6, 2, 3, 4, 5), 2: (2, 6)}
    assert asked == ["red cat?", "dog?", "only its own?"]
    assert mine(data, search, most=2) == {0: (6, 2), 2: (2, 6)}


def test_negatives_are_mined_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retriever.training.negatives._BLOCK", 2)
    data = example_set(PASSAGES, *((f"q{i}", 0, i != 1, ("x",)) for i in range(6)))
    seen: list[tuple[int, int]] = []
    found = mine(
        data,
        lambda block: [[int(example.question[1:])] for example in block],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert found == {2: (2,), 3: (3,), 4: (4,), 5: (5,)}
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_negatives_are_mined_once(tmp_path: Path) -> None:
    data = example_set(PASSAGES, ("dog?", 5, True, ("blue dog",)))
    given: list[list[str]] = []

    def search(passages: Sequence[str]) -> object:
        given.append(list(passages))
        return lambda examples: [[0, 1] for _ in examples]

    lines: list[str] = []
    first = mine_once(data, tmp_path, search, lines.append)  # type: ignore[arg-type]
    assert first == {0: (0, 1)}
    assert mine_once(data, tmp_path, search, lines.append) == first  # type: ignore[arg-type]
    assert given == [PASSAGES]
    assert lines == ["hard negatives: 1 of 1 questions"]
    assert json.loads((tmp_path / "negatives.json").read_text())["negatives"] == {"0": [0, 1]}
    more = example_set([*PASSAGES, "new"], ("dog?", 5, True, ("blue dog",)))
    mine_once(more, tmp_path, search, lines.append)  # type: ignore[arg-type]
    assert given == [PASSAGES, [*PASSAGES, "new"]], "other data is mined anew"
