"""Which candidates are read, by hand: the best first, until the rest could hardly change what is shown."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from retriever.confidence import UNFITTED
from retriever.config import RerankConfig
from retriever.encoder.spans import ScoredSpan
from retriever.rerank import Chunks, Evidence, choose, reorder
from retriever.rounds import Gathered, Shown, gather, settled
from retriever.search import Candidate, limit_per_document, merge_neighbours
from retriever.store.snapshot import Place, StoredPassage
from retriever.types import Scores
from tests.stand_ins import Reading

MODEL = replace(UNFITTED, passage_weight=0.0)
"""Takes the scorer at its word, and leaves passages in their order."""
SHOWN = Shown(MODEL, answers=1, least=0.5, passages=5, per_document=3)
QUESTION = "who?"


def candidate(chunk: int, document: int | None = None) -> Candidate:
    score = 1 - chunk / 100
    scores = Scores(score, 0.5, None)
    return Candidate((chunk,), chunk if document is None else document, "[]", 0, 100, score, scores)


RANKED = [candidate(i) for i in range(40)]


def evidence(*margins: float) -> list[Evidence]:
    """One span in each of the first candidates, with words of its own."""
    found = []
    for i, margin in enumerate(margins):
        span = ScoredSpan(0, 5, -0.1, -0.2)
        passage = StoredPassage(str(i), None, "", None, None, (), f"wor{i:02} is here")
        found.append(Evidence(RANKED[i], passage, span, margin, span.score - margin, QUESTION, i))
    return found


ONE = evidence(9.0, -6.0, -6.0, -6.0, -6.0, -7.0)
"""An answer, and a middle of -6."""
NONE = evidence(-6.0, -6.0, -6.0, -6.0, -7.0, -8.0)
TEN = evidence(9.0, *[-6.0] * 9)
KEYWORDS = evidence(13.0, 6.0, 6.0, 6.0, 6.0, 6.0)


@pytest.mark.parametrize(
    ("read", "patience", "enough"),
    [
        (ONE, 8.0, True),  # the next would have 2
        (ONE, 16.0, False),  # 10, and be the first
        (ONE, math.inf, False),
        (NONE, 5.0, True),  # -1: still no answer
        (NONE, 7.0, False),
        (KEYWORDS, 6.0, True),
        (KEYWORDS, 8.0, False),  # where all margins are high, that of the next may be, too
        ([], 8.0, False),
    ],
)
def test_enough_is_read_where_one_more_that_answers_well_is_not_shown(
    read: list[Evidence], patience: float, enough: bool
) -> None:
    assert settled(RANKED, read, 6, SHOWN, patience) is enough


def test_the_next_one_is_imagined_at_its_rank() -> None:
    """It must make up for what stands before it."""
    ranks = replace(SHOWN, model=replace(MODEL, weights=MODEL.weights | {"rank": -2.0}))
    assert not settled(RANKED, ONE, 6, SHOWN, 16.0), "10 against 9"
    assert settled(RANKED, ONE, 6, ranks, 16.0), "3.9 less for the six before it"
    assert not settled(RANKED, ONE, 6, ranks, 20.0)


def test_all_answers_that_are_shown_count() -> None:
    three = replace(SHOWN, answers=3)
    assert not settled(RANKED, ONE, 6, three, 8.0), "a second one of 2 would be shown"
    assert settled(RANKED, ONE, 6, three, 5.0)
    assert settled(RANKED, ONE, 6, replace(three, least=0.9), 8.0)
    assert settled(RANKED, ONE, 6, replace(three, answers=0), 16.0)


def test_how_sure_an_answer_is_counts() -> None:
    lead = replace(MODEL, first_weights=UNFITTED.weights | {"margin": 0.0, "lead": 0.25})
    # its lead would fall from 15 to 7, and its confidence from 0.98 to 0.85
    assert not settled(RANKED, ONE, 6, replace(SHOWN, model=lead), 8.0)
    assert settled(RANKED, ONE, 6, replace(SHOWN, model=lead), 0.5)


def test_the_order_of_the_passages_counts() -> None:
    lifts = replace(UNFITTED, passage_weight=0.3)
    assert not settled(RANKED, ONE, 6, replace(SHOWN, model=lifts), 8.0), "the seventh would be the second"
    assert settled(RANKED, ONE, 6, replace(SHOWN, model=lifts, passages=1), 8.0)
    assert settled(RANKED, NONE, 6, replace(SHOWN, model=lifts), 5.0), "where nothing answers, nothing moves"


def test_all_is_read_where_it_hangs_on_little_whether_there_is_an_answer() -> None:
    sure = choose(ONE, MODEL, 1, 0.5)[1].confidence
    for least, enough in ((sure - 0.03, False), (min(sure + 1e-5, 1.0), False), (sure - 0.05, True)):
        assert settled(RANKED, ONE, 6, replace(SHOWN, least=least), 8.0) is enough
    unsure = choose(NONE, MODEL, 1, 0.5)[1].confidence
    assert not settled(RANKED, NONE, 6, replace(SHOWN, least=unsure + 0.03), 3.0)
    assert settled(RANKED, NONE, 6, replace(SHOWN, least=unsure + 0.2), 3.0)
    # where all guesses or none are shown it hangs on nothing
    assert settled(RANKED, ONE, 6, replace(SHOWN, answers=0, least=sure), 8.0)
    assert settled(RANKED, ONE, 6, replace(SHOWN, least=0.0), 8.0)
    assert settled(RANKED, ONE, 6, replace(SHOWN, least=1.0), 8.0)


def test_that_the_next_answer_would_bring_its_passage_to_the_top_counts() -> None:
    first = replace(MODEL, top_marked=0.5)
    one_answer = replace(SHOWN, model=first, answers=0)
    assert settled(RANKED, NONE, 6, one_answer, 5.0), "nothing is sure enough"
    assert settled(RANKED, ONE, 6, one_answer, 8.0), "the one that was read is surer"
    assert not settled(RANKED, NONE, 6, one_answer, 16.0)


def test_a_passage_with_no_words_to_answer_with_is_one_that_does_not() -> None:
    assert settled(RANKED, ONE[:2], 6, replace(SHOWN, answers=3), 16.0), "the middle of six is -20"
    assert not settled(RANKED, ONE[:2], 2, replace(SHOWN, answers=3), 16.0)


LETTERS = "abcdefghijklmnopqrstuvwxy"
TEXTS = [f"Nobody knows who did {letter}." for letter in LETTERS]


class Passages:
    """Stands in for a snapshot."""

    def __init__(self, texts: list[str], titles: dict[int, str] | None = None) -> None:
        self._found = [
            StoredPassage(str(i), None, (titles or {}).get(i, ""), None, None, (), text)
            for i, text in enumerate(texts)
        ]

    def passages(self, places: list[Place]) -> list[StoredPassage]:
        return [self._found[place.chunks[0]] for place in places]


def place(chunk: int, document: int, start: int, score: float) -> Candidate:
    return Candidate((chunk,), document, "[]", start, start + 100, score, Scores(score, 0.5, None))


@pytest.mark.parametrize(
    "apart",
    [
        pytest.param(100, id="six chunks that touch are two passages"),
        pytest.param(1000, id="of six passages of one document three are shown"),
    ],
)
@pytest.mark.parametrize("answers_too", [10, 11])
def test_what_is_shown_is_what_reading_all_would_show(apart: int, answers_too: int) -> None:
    """A page reaches further down than to as many chunks as it has passages."""
    ranked = [place(chunk, 100, apart * chunk, 0.9 - chunk / 100) for chunk in range(6)]
    ranked += [place(chunk, chunk, 0, 0.3 - chunk / 10_000) for chunk in range(6, 12)]
    # Reading goes on after six, since the next might be the first to answer; the ninth is.
    answers = {8: 8.0, answers_too: 2.0}
    margins = {f"did {letter}": answers.get(i, -8.0) for i, letter in enumerate(LETTERS)}
    shown = replace(SHOWN, model=replace(UNFITTED, passage_weight=0.2))

    def page(*, stops: bool) -> list[Chunks]:
        snapshot: Any = Passages(TEXTS)
        scorer: Any = Reading(margins)
        found = gather(snapshot, QUESTION, ranked, scorer, RerankConfig(), shown=shown if stops else None)
        _, best = choose(found.evidence, shown.model, shown.answers, shown.least)
        passages = merge_neighbours(reorder(ranked, found.evidence, shown.model, best))
        return [c.chunks for c in limit_per_document(passages, shown.passages, shown.per_document)]

    expected = page(stops=False)
    assert (answers_too,) in expected, "it is shown"
    assert page(stops=True) == expected


@pytest.mark.parametrize(
    ("passages", "per_document", "enough"),
    [
        (2, 3, True),  # six chunks that touch fill a page of two
        (3, 3, False),  # the eleventh would be the third passage
        (3, 1, False),  # one of that document, then others: the eleventh would be the second
    ],
)
def test_a_page_is_of_passages_not_of_chunks(passages: int, per_document: int, enough: bool) -> None:
    ranked = [place(chunk, 100, 100 * chunk, 0.9 - chunk / 100) for chunk in range(6)]
    ranked += [place(chunk, chunk, 0, 0.3 - chunk / 10_000) for chunk in range(6, 12)]
    read_ = [replace(item, candidate=candidate) for item, candidate in zip(TEN, ranked, strict=False)]
    shown = replace(
        SHOWN,
        model=replace(UNFITTED, passage_weight=0.2),
        passages=passages,
        per_document=per_document,
    )
    assert settled(ranked, read_, 10, shown, 8.0) is enough


def read(texts: list[str], scorer: Reading, *, shown: Shown | None = SHOWN, **config: Any) -> Gathered:
    snapshot: Any = Passages(texts)
    reader: Any = scorer
    return gather(snapshot, QUESTION, RANKED[: len(texts)], reader, RerankConfig(**config), shown=shown)


def test_the_first_are_read_and_then_some_more_until_it_is_enough() -> None:
    sure = {"did b": 12.0}
    scorer = Reading(sure)
    gathered = read(TEXTS, scorer)
    assert (gathered.read, scorer.shown) == (6, 6)
    assert [item.candidate.chunks[0] for item in gathered.evidence] == [i for i in range(6) for _ in (0, 1)]
    assert [item.rank for item in gathered.evidence] == [i for i in range(6) for _ in (0, 1)]
    # its rival alone is nearer than the patience: all are read, never more than `depth`
    unsure = {f"did {letter}": 8.0 for letter in LETTERS}
    assert read(TEXTS, Reading(unsure)).read == 20
    assert read(TEXTS, Reading(sure), patience=math.inf).read == 20
    assert read(TEXTS, Reading(sure), shown=None).read == 20
    assert read(TEXTS, Reading(sure), depth=3).read == 3
    assert read(TEXTS[:5], Reading(sure)).read == 5
    assert read([], Reading(sure)) == Gathered([], 0)
    # the answer comes with the second look
    assert read(TEXTS, Reading({"did h": 4.0} | {f"did {letter}": -6.0 for letter in "abcdef"})).read == 10


def test_one_text_is_read_once_and_found_everywhere() -> None:
    texts = [*TEXTS[:3], *TEXTS[:3], "", " ", *TEXTS[:3]]
    scorer = Reading({"did b": 3.0})
    gathered = read(texts, scorer, shown=None)
    assert (gathered.read, scorer.shown) == (11, 5)
    answers = [item for item in gathered.evidence if item.text == "did b"]
    assert [(item.candidate.chunks[0], item.passage.document_id) for item in answers] == [
        (1, "1"),
        (4, "4"),
        (9, "9"),
    ]
    assert len({(item.margin, item.span, item.no_answer) for item in answers}) == 1
    assert {item.candidate.chunks[0] for item in gathered.evidence} == {0, 1, 2, 3, 4, 5, 8, 9, 10}
