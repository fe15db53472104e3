"""An epoch's windows and batches: drawn from seed and epoch alone, every item once, no batch too large."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.encoder import TextEncoder
from retriever.encoder.reading import PairLayout, ReadingConfig, Window
from retriever.training.batches import Epochs, Item, Mixture, plan
from retriever.training.examples import Example, ExampleSet, PassageTokens

NOTHING = np.empty(0, dtype=np.int64)
NONE = Mixture(**{field.name: 0 if field.name == "most_tokens" else 0.0 for field in fields(Mixture)})  # type: ignore[arg-type]
"""Nothing beside the examples; each test says what it adds."""
LENGTHS = (30, 100, 40)


def example(
    passage: int, span: tuple[int, int] | None, question: str = "who did it", token: int = 10
) -> Example:
    return Example(
        question, np.array([token, token]), np.array([20]), passage, span, ("answer",), f"group {passage}"
    )


def examples() -> ExampleSet:
    """Passages of 30, 100 and 40 tokens, each with numbers of its own; two sentences and more in each."""
    passages = [
        PassageTokens(
            f"Ada met Bo in {1800 + i}, then in {1900 + i}.",
            np.arange(1000 * i, 1000 * i + length),
            (0, 5, 20),
        )
        for i, length in enumerate(LENGTHS, start=1)
    ]
    return ExampleSet(
        passages,
        [
            example(0, (3, 4), token=10),
            example(1, (50, 54), token=11),
            example(2, None, token=12),
            example(2, (6, 9), "who did meet Ada in 1803", token=13),
        ],
    )


def epochs(
    encoder: TextEncoder,
    mixture: Mixture,
    *,
    data: ExampleSet | None = None,
    negatives: Mapping[int, Sequence[int]] | None = None,
    seed: int = 1,
    reading: ReadingConfig | None = None,
) -> Epochs:
    layout = PairLayout(2, 3, reading or ReadingConfig())
    return Epochs(data or examples(), negatives or {}, layout, encoder.tokenizer, mixture, seed)


def contents(items: Sequence[Item]) -> list[tuple[list[int], int, int, int, int]]:
    return [
        (item.window.ids.tolist(), item.window.begin, item.window.first, item.start, item.end)
        for item in items
    ]


def test_a_mixture_of_nothing_is_the_examples(tiny_encoder: TextEncoder) -> None:
    items = epochs(tiny_encoder, replace(NONE, most_tokens=220), negatives={0: (1, 2)}).items(0)
    assert contents(items) == [
        ([2, 10, 10, 3, *range(1000, 1030), 3], 4, 0, 7, 8),
        ([2, 11, 11, 3, *range(2000, 2100), 3], 4, 0, 54, 58),
        ([2, 12, 12, 3, *range(3000, 3040), 3], 4, 0, 0, 0),
        ([2, 13, 13, 3, *range(3000, 3040), 3], 4, 0, 10, 13),
    ]
    titled = epochs(tiny_encoder, replace(NONE, most_tokens=220, title=1.0)).items(0)
    assert contents(titled)[0] == ([2, 10, 10, 3, 20, 3, *range(1000, 1030), 3], 6, 0, 9, 10)


def test_a_long_passage_is_cut_around_its_answer(tiny_encoder: TextEncoder) -> None:
    made = epochs(tiny_encoder, replace(NONE, most_tokens=20))
    firsts: dict[int, set[int]] = {10: set(), 11: set(), 12: set(), 13: set()}
    for epoch in range(400):
        for item in made.items(epoch):
            ids, begin, first, start, end = contents([item])[0]
            length = {10: 30, 11: 100, 12: 40, 13: 40}[ids[1]]
            base = {10: 1000, 11: 2000, 12: 3000, 13: 3000}[ids[1]]
            assert ids[begin:-1] == list(range(base + first, base + first + 20))
            assert first + 20 <= length
            firsts[ids[1]].add(first)
            answer = {10: (3, 4), 11: (50, 54), 12: None, 13: (6, 9)}[ids[1]]
            if answer is None:
                assert (start, end) == (0, 0)
            else:
                assert (ids[start], ids[end]) == (base + answer[0], base + answer[1])
    # every place that keeps the answer in is drawn, and no other
    assert firsts == {
        10: set(range(4)), 11: set(range(35, 51)), 12: set(range(21)), 13: set(range(7)),
    }  # fmt: skip


def test_an_answer_longer_than_the_cut_counts_as_none(tiny_encoder: TextEncoder) -> None:
    data = replace(examples(), examples=[example(1, (0, 60)), example(1, (20, 99))])
    made = epochs(tiny_encoder, replace(NONE, most_tokens=20), data=data)
    for epoch in range(50):
        for item in made.items(epoch):
            assert (item.start, item.end) == (0, 0)
            assert len(item.window.ids) == 25


def test_an_answer_that_the_window_has_no_room_for_counts_as_none(tiny_encoder: TextEncoder) -> None:
    reading = ReadingConfig(max_length=40)  # 35 of the passage
    items = epochs(tiny_encoder, replace(NONE, most_tokens=220), reading=reading).items(0)
    assert [(item.start, item.end, len(item.window.ids)) for item in items] == [
        (7, 8, 35), (0, 0, 40), (0, 0, 40), (10, 13, 40),
    ]  # fmt: skip


def test_hard_negatives_have_no_answer_and_the_best_ranked_come_most(tiny_encoder: TextEncoder) -> None:
    made = epochs(tiny_encoder, replace(NONE, most_tokens=220, hard=1.0), negatives={0: (2, 1), 2: (0,)})
    taken: Counter[int] = Counter()
    for epoch in range(200):
        items = made.items(epoch)
        assert len(items) == 5, "one more, for the one answerable example that has any"
        ids, begin, first, start, end = contents(items)[1]
        assert (ids[:begin], first, start, end) == ([2, 10, 10, 3], 0, 0, 0)
        taken[ids[begin] // 1000 - 1] += 1
    # an exponential of mean 3: below 1 with 1 - exp(-1/3) = 0.28, and all the rest is the last's
    assert set(taken) == {1, 2}
    assert taken[2] / 200 == pytest.approx(0.28, abs=0.09)


def test_removed_sentences(tiny_encoder: TextEncoder) -> None:
    items = epochs(tiny_encoder, replace(NONE, most_tokens=220, removed=1.0)).items(0)
    removed = [row for row in contents(items) if len(row[0]) not in {35, 105, 45}]
    assert removed == [
        # of the first, tokens 0...4 are left out; of the second 20...99, which leaves 20, too few
        ([2, 10, 10, 3, *range(1005, 1030), 3], 4, 0, 0, 0),
        ([2, 13, 13, 3, *range(3000, 3005), *range(3020, 3040), 3], 4, 0, 0, 0),
    ]


def test_changed_questions_have_no_answer(tiny_encoder: TextEncoder) -> None:
    made = epochs(tiny_encoder, replace(NONE, most_tokens=220, changed=1.0))
    tokens = tiny_encoder.tokenizer.ids(["who did meet Ada in 1903", "who did meet Ada in 1803"])
    asked = set()
    for epoch in range(60):
        items = made.items(epoch)
        assert contents(items[:4]) == contents(epochs(tiny_encoder, replace(NONE, most_tokens=220)).items(0))
        for item in items[4:]:
            assert (item.start, item.end) == (0, 0)
            asked.add(tuple(item.window.ids[1 : item.window.begin - 1].tolist()))
    assert tuple(tokens[0].tolist()) in asked
    assert tuple(tokens[1].tolist()) not in asked


@pytest.mark.parametrize(("share", "times"), [(0.0, 1), (0.1, 1), (0.7, 2), (1.0, 3), (9.0, 5)])
def test_few_questions_without_an_answer_are_read_again(
    tiny_encoder: TextEncoder, share: float, times: int
) -> None:
    # one of the four has none: read `share * 3` times, once at least and five times at most
    mixture = replace(NONE, most_tokens=220, unanswerable=share)
    rows = contents(epochs(tiny_encoder, mixture).items(0))
    assert len(rows) == 3 + times
    assert rows.count(([2, 12, 12, 3, *range(3000, 3040), 3], 4, 0, 0, 0)) == times


def test_keywords_stand_in_for_the_question(tiny_encoder: TextEncoder) -> None:
    items = epochs(tiny_encoder, replace(NONE, most_tokens=220, keywords=1.0)).items(0)
    assert len(items) == 4
    # "who did it" has none; "who did meet Ada in 1803" has three, and its answer stays
    rows = contents(items)
    assert [row[0][1] for row in rows[:3]] == [10, 11, 12]
    ids, begin, _, start, end = rows[3]
    words = sorted(tiny_encoder.tokenizer.ids(["meet Ada 1803"])[0].tolist())
    assert sorted(ids[1 : begin - 1]) == words
    assert (ids[start], ids[end]) == (3006, 3009)


def test_a_changed_question_that_people_asked_too_is_not_trained_as_unanswerable(
    tiny_encoder: TextEncoder,
) -> None:
    asked = (
        "who did meet Ada in 1803",
        "who did meet Ada in 1903",
    )  # each is the other with its year swapped
    spans = [(6, 9), (12, 13)]
    data = replace(
        examples(), examples=[example(2, span, q, token=9) for span, q in zip(spans, asked, strict=True)]
    )
    made = epochs(tiny_encoder, replace(NONE, most_tokens=220, changed=1.0), data=data)
    human = [tuple(ids) for ids in tiny_encoder.tokenizer.ids(asked)]
    changed = [
        tuple(item.window.ids[1 : item.window.begin - 1])
        for epoch in range(60)
        for item in made.items(epoch)
        if not item.end
    ]
    assert len(set(changed)) > 1, "other changes are read"
    assert not set(changed) & set(human)


def test_rows_come_where_there_are_names_enough(tiny_encoder: TextEncoder) -> None:
    few = epochs(tiny_encoder, replace(NONE, most_tokens=220, rows=1.0)).items(0)
    assert len(few) == 4
    names = ", ".join(f"Name{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    data = examples()
    data.passages[0] = replace(data.passages[0], text=names)
    many = epochs(
        tiny_encoder,
        replace(NONE, most_tokens=220, rows=1.0),
        data=data,
        reading=ReadingConfig(max_length=600),
    )
    answered = 0
    for epoch in range(20):
        items = many.items(epoch)
        assert len(items) == 7, "one for each answerable example"
        for item in items[4:]:
            assert item.window.first == 0
            if item.end:
                answered += 1
                assert item.window.begin <= item.start <= item.end < len(item.window.ids) - 1
    assert 0.5 < answered / 60 < 0.95


def test_an_epoch_is_drawn_from_seed_and_epoch_alone(tiny_encoder: TextEncoder) -> None:
    mixture = replace(Mixture(), most_tokens=20)
    negatives = {0: (1, 2), 1: (2,)}
    one = epochs(tiny_encoder, mixture, negatives=negatives)
    first = contents(one.items(3))
    random.seed(0)
    one.items(0)
    assert contents(one.items(3)) == first, "whatever was drawn before"
    assert contents(epochs(tiny_encoder, mixture, negatives=negatives).items(3)) == first
    assert contents(one.items(4)) != first
    assert contents(epochs(tiny_encoder, mixture, negatives=negatives, seed=2).items(3)) != first


def items_of(lengths: Sequence[int]) -> list[Item]:
    return [Item(Window(np.full(length, i), 1, 0), 0, 0) for i, length in enumerate(lengths)]


def numbers(batches: Sequence[Sequence[Item]]) -> list[list[int]]:
    return [[int(item.window.ids[0]) for item in batch] for batch in batches]


def test_a_plan_by_hand() -> None:
    batches = plan(items_of([10, 10, 10, 10, 10, 7, 7, 7, 50]), 20, "seed")
    lengths = sorted([len(item.window.ids) for item in batch] for batch in batches)
    # whole batches of one length: 10 10 twice, 7 7 once; left are 50, 10 and 7, and 50 is too long already
    assert lengths == [[7, 7], [10, 7], [10, 10], [10, 10], [50]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=80), st.integers(1, 120), st.integers(0, 5))
def test_every_item_is_in_one_batch_and_none_is_too_large(lengths: list[int], budget: int, seed: int) -> None:
    items = items_of(lengths)
    batches = plan(items, budget, str(seed))
    assert sorted(number for batch in numbers(batches) for number in batch) == list(range(len(items)))
    for batch in batches:
        sizes = [len(item.window.ids) for item in batch]
        assert len(batch) == 1 or max(sizes) * len(batch) <= budget
    mixed = sum(len({len(item.window.ids) for item in batch}) > 1 for batch in batches)
    assert mixed <= len(set(lengths))
    assert numbers(plan(items, budget, str(seed))) == numbers(batches)


def test_another_seed_is_another_plan() -> None:
    items = items_of([5] * 30 + [6] * 30)
    one, other = (numbers(plan(items, 20, seed)) for seed in ("1/0", "1/1"))
    assert one != other
    assert sorted(map(sorted, one)) != sorted(map(sorted, other)), "other items are together, too"
