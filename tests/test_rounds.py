"""Which candidates are read, by hand: the best first, until the rest could hardly change what is shown."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from retriever.confidence import UNFITTED
from retriever.config import RerankConfig
from retriever.encoder.spans import ScoredSpan
from retriever.rerank import Evidence
from retriever.rounds import Gathered, Shown, gather, settled
from retriever.search import Candidate
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
        found.append(Evidence(RANKED[i], passage, span, margin, span.score - margin, QUESTION))
    return found


ONE = evidence(9.0, -6.0, -6.0, -6.0, -6.0, -7.0)
"""An answer, and a middle of -6."""
NONE = evidence(-6.0, -6.0, -6.0, -6.0, -7.0, -8.0)
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


def test_a_passage_with_no_words_to_answer_with_is_one_that_does_not() -> None:
    assert settled(RANKED, ONE[:2], 6, replace(SHOWN, answers=3), 16.0), "the middle of six is -20"
    assert not settled(RANKED, ONE[:2], 2, replace(SHOWN, answers=3), 16.0)


class Passages:
    """Stands in for a snapshot."""

    def __init__(self, texts: list[str], titles: dict[int, str] | None = None) -> None:
        self._found = [
            StoredPassage(str(i), None, (titles or {}).get(i, ""), None, None, (), text)
            for i, text in enumerate(texts)
        ]

    def passages(self, places: list[Place]) -> list[StoredPassage]:
        return [self._found[place.chunks[0]] for place in places]


def read(texts: list[str], scorer: Reading, *, shown: Shown | None = SHOWN, **config: Any) -> Gathered:
    snapshot: Any = Passages(texts)
    reader: Any = scorer
    return gather(snapshot, QUESTION, RANKED[: len(texts)], reader, RerankConfig(**config), shown=shown)


LETTERS = "abcdefghijklmnopqrstuvwxy"
TEXTS = [f"Nobody knows who did {letter}." for letter in LETTERS]


def test_the_first_are_read_and_then_some_more_until_it_is_enough() -> None:
    sure = {"did b": 12.0}
    scorer = Reading(sure)
    gathered = read(TEXTS, scorer)
    assert (gathered.read, scorer.shown) == (6, 6)
    assert [item.candidate.chunks[0] for item in gathered.evidence] == [i for i in range(6) for _ in (0, 1)]
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
