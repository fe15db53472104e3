"""Answers from an index: exact to the character, line and page, as confident as the model says, filtered, or none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer, InputDocument
from retriever import FilterError, RerankConfig, Retriever, SpanseekError
from retriever.confidence import CONFIDENCE, UNFITTED
from retriever.config import ChunkingConfig
from retriever.encoder import Passage, TextEncoder
from retriever.encoder.spans import coverage
from retriever.errors import EncoderError
from retriever.types import TextSpan, Timings
from tests.stand_ins import Reading


def logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


Open = Callable[..., Retriever]


@pytest.fixture
def opened(tmp_path: Path, tiny_encoder: TextEncoder, sentences: dict[str, str]) -> Open:
    """Opens an index of the five sentences, read by `Reading`."""
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents(
            InputDocument(name, text, title=f"On {name}", metadata={"n": i})
            for i, (name, text) in enumerate(sentences.items())
        )

    def retriever(scorer: Any, **options: Any) -> Retriever:
        return Retriever.open(tmp_path / "index", encoder=tiny_encoder, scorer=scorer, **options)

    return retriever


WHO = "who approves a release?"


def test_an_answer_is_exact(opened: Open, sentences: dict[str, str]) -> None:
    with opened(Reading({"the team manager": 3.0, "Berlin": -1.0})) as retriever:
        response = retriever.respond(WHO, 2)
        document = retriever.document("release")
        (hit,) = (hit for hit in response.hits if hit.document_id == "release")
    (answer,) = response.answers
    text = sentences["release"]
    assert (answer.start, answer.end) == (25, 41)
    assert document.text[answer.start : answer.end] == answer.text == "the team manager"
    assert answer.passage == TextSpan(0, len(text), text)
    assert (answer.rank, answer.document_id, answer.path) == (1, "release", None)
    assert (answer.title, answer.headings, answer.page, answer.line) == ("On release", (), None, 1)
    assert answer.confidence == response.confidence == pytest.approx(logistic(3.0), abs=1e-5)
    assert answer.scores.fused == hit.scores.fused
    assert (answer.scores.dense, answer.scores.lexical) == (hit.scores.dense, hit.scores.lexical)
    margin = answer.scores.start + answer.scores.end - answer.scores.no_answer
    assert margin == pytest.approx(3.0, abs=1e-5)
    assert hit.scores.span == pytest.approx(3.0, abs=1e-5)
    trust = logistic(24 * (answer.confidence - 0.5))
    assert hit.score == pytest.approx(hit.scores.fused + 0.3 * trust * logistic(3.0), abs=1e-6)
    assert response.question == WHO


def test_min_confidence(opened: Open) -> None:
    with opened(Reading({"the team manager": 3.0, "Berlin": -1.0})) as retriever:
        every = retriever.respond(WHO, answers=9, min_confidence=0)
        assert [answer.text for answer in every.answers[:2]] == ["the team manager", "Berlin"]
        assert len(every.answers) == 9
        assert [answer.rank for answer in every.answers] == list(range(1, 10))
        confidences = [answer.confidence for answer in every.answers]
        assert confidences[:2] == pytest.approx([logistic(3.0), logistic(-1.0)], abs=1e-5)
        assert confidences == sorted(confidences, reverse=True)
        none = retriever.respond(WHO, min_confidence=1)
        assert none.answers == ()
        assert none.confidence == pytest.approx(logistic(3.0), abs=1e-5), "of the best, though it isn't shown"
        assert len(retriever.respond(WHO, answers=9, min_confidence=0.2).answers) == 2
        assert [a.text for a in retriever.ask(WHO, min_confidence=0.2)] == ["the team manager", "Berlin"]
        assert [a.text for a in retriever.ask(WHO, 1, min_confidence=0.2)] == ["the team manager"]
        assert [a.text for a in retriever.ask(WHO)] == ["the team manager"], (
            "one half, where nothing is fitted"
        )


def test_the_scorers_own_model_decides(opened: Open, tmp_path: Path) -> None:
    scorer = Reading({"the team manager": 3.0, "Berlin": 2.0}, folder=tmp_path)
    model = replace(UNFITTED, threshold=0.97, passage_weight=0.0)
    (tmp_path / CONFIDENCE).write_text(model.to_json(), encoding="utf-8")
    with opened(scorer) as retriever:
        response = retriever.respond(WHO)
        assert response.answers == ()
        assert response.confidence == pytest.approx(logistic(3.0), abs=1e-5)
        assert [hit.score for hit in response.hits] == [hit.scores.fused for hit in response.hits]
    sure = replace(model, first_bias=5.0, first_weights=dict(model.weights))
    (tmp_path / CONFIDENCE).write_text(sure.to_json(), encoding="utf-8")
    with opened(scorer) as retriever:
        assert [answer.text for answer in retriever.ask(WHO)] == ["the team manager"]


def test_reading_lifts_the_passage_that_answers(opened: Open) -> None:
    with opened(Reading({"Berlin": 15.0})) as retriever:
        plain = [hit.document_id for hit in retriever.search(WHO)]
        lifted = retriever.search(WHO, rerank=True)
        response = retriever.respond(WHO)
    assert plain[0] == "release"
    before = {name: place for place, name in enumerate(plain)}
    after = {hit.document_id: place for place, hit in enumerate(lifted)}
    assert after["cafe"] <= before["cafe"]
    others = [name for name in plain if name != "cafe"]
    assert sorted(others, key=after.__getitem__) == others, "the rest keeps its order"
    assert [hit.rank for hit in lifted] == [1, 2, 3, 4, 5]
    assert list(response.hits) == lifted


def test_where_nothing_answers_the_order_stays(opened: Open) -> None:
    with opened(Reading({})) as retriever:
        assert [hit.document_id for hit in retriever.search(WHO, rerank=True)] == [
            hit.document_id for hit in retriever.search(WHO)
        ]
        response = retriever.respond(WHO)
    assert response.answers == ()
    assert 0 < response.confidence < 1e-6


def test_without_reading_there_are_no_answers(opened: Open) -> None:
    scorer = Reading({"the team manager": 3.0})
    with opened(scorer) as retriever:
        response = retriever.respond(WHO, rerank=False, min_confidence=0)
        assert (response.answers, response.confidence) == ((), 0.0)
        assert list(response.hits) == retriever.search(WHO)
        assert scorer.shown == 0


def test_the_stages_add_up(opened: Open) -> None:
    with opened(Reading({"the team manager": 3.0})) as retriever:
        response = retriever.respond(WHO)
        again = retriever.respond(WHO)
        unread = retriever.respond(WHO, rerank=False)
    for timings in (response.timings, again.timings, unread.timings):
        stages = [getattr(timings, field.name) for field in fields(timings) if field.name != "total"]
        assert all(stage >= 0 for stage in stages)
        assert sum(stages) <= timings.total
    assert all(spent > 0 for spent in asdict(again.timings).values())
    assert (response.read, unread.read) == (5, 0)
    assert unread.timings.read == 0 < unread.timings.rank
    assert response == again, "how long it took is no part of what was found"


def test_loading_is_a_stage_of_its_own(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def load(name: str) -> Reading:
        assert name == "default"
        clock[0] += 5.0
        return Reading({"the team manager": 3.0})

    monkeypatch.setattr("retriever.stopwatch.perf_counter", lambda: clock[0])
    monkeypatch.setattr("retriever.encoder.SpanScorer.load", load)
    with opened(None) as retriever:
        first, second = retriever.respond(WHO).timings, retriever.respond(WHO).timings
    assert first == Timings(load=5000, total=5000)
    assert second == Timings()


def test_what_several_documents_say_alike_is_read_once(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    texts = dict.fromkeys(("a", "b", "c"), "The cat sat on the red mat.") | {"d": "Snow fell on Monday."}
    titles = {"c": "On cats"}
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents(
            InputDocument(name, text, title=titles.get(name, "")) for name, text in texts.items()
        )
    scorer: Any = Reading({"the red mat": 3.0})
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder, scorer=scorer) as retriever:
        response = retriever.respond("where is the cat", answers=9, min_confidence=0)
    assert response.read == 4
    assert scorer.shown == 3, "under another title it may mean something else"
    said = [(answer.document_id, answer.text) for answer in response.answers if answer.text == "the red mat"]
    assert sorted(said) == [("a", "the red mat"), ("b", "the red mat"), ("c", "the red mat")]
    first = {answer.document_id: answer.scores for answer in response.answers if answer.text == "the red mat"}
    assert (first["a"].start, first["a"].end) == (first["b"].start, first["b"].end)


def test_only_the_best_are_read(opened: Open) -> None:
    scorer = Reading({"the team manager": 3.0, "the red mat": 4.0})
    with opened(scorer, rerank=RerankConfig(depth=2, spans=1)) as retriever:
        response = retriever.respond(WHO, answers=9, min_confidence=0)
        assert scorer.shown == 2
        assert len(response.answers) == 2
        assert sum(hit.scores.span is not None for hit in response.hits) == 2
        assert len(retriever.evidence(WHO)) == 2


@pytest.mark.parametrize(
    ("where", "texts"),
    [
        ([], ["Berlin", "the team manager", "Monday"]),
        (["id=price"], ["Monday"]),
        (["n<=2"], ["the team manager", "Monday"]),
        (["id!=cafe", "n!=2"], ["Monday"]),
        (["id=nothing"], []),
    ],
)
def test_filters_hold(opened: Open, where: list[str], texts: list[str]) -> None:
    with opened(Reading({"Berlin": 4.0, "the team manager": 3.0, "Monday": 2.0})) as retriever:
        response = retriever.respond(WHO, where=where)
        assert [answer.text for answer in response.answers] == texts
        assert [answer.text for answer in retriever.ask(WHO, where=where)] == texts
    if not texts:
        assert (response.hits, response.confidence) == ((), 0.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"question": " \n"}, "the question is empty"),
        ({"k": 0}, "k must be at least 1, not 0"),
        ({"answers": 0}, "answers must be at least 1, not 0"),
        ({"min_confidence": 1.5}, "a probability from 0 to 1, not 1.5"),
        ({"min_confidence": -0.1}, "a probability from 0 to 1, not -0.1"),
        ({"min_confidence": math.nan}, "a probability from 0 to 1, not nan"),
    ],
)
def test_bad_arguments_are_told(opened: Open, arguments: dict[str, Any], said: str) -> None:
    scorer = Reading({})
    with opened(scorer) as retriever, pytest.raises(SpanseekError, match=said):
        retriever.respond(**{"question": WHO} | arguments)
    assert scorer.shown == 0


def test_bad_filters_and_numbers_of_ask_are_told(opened: Open) -> None:
    with opened(Reading({})) as retriever:
        with pytest.raises(FilterError, match="KEY=VALUE"):
            retriever.ask(WHO, where=["year"])
        with pytest.raises(SpanseekError, match="k must be at least 1, not 0"):
            retriever.ask(WHO, 0)


def test_shades_are_the_coverage_of_each_token(opened: Open) -> None:
    scorer = Reading({"the team manager": 3.0})
    with opened(scorer) as retriever:
        hits = retriever.search(WHO, 2)
        shades = retriever.shades(WHO, hits)
        assert retriever.shades(WHO, []) == []
    for hit, shaded in zip(hits, shades, strict=True):
        (scores,) = scorer.score([WHO], [Passage(hit.text)])
        assert [(start, end) for start, end, _ in shaded] == list(scores.offsets)
        assert [p for _, _, p in shaded] == pytest.approx(coverage(scores).tolist())
    (release,) = (
        {hit.text[start:end]: p for start, end, p in shaded}
        for hit, shaded in zip(hits, shades, strict=True)
        if hit.document_id == "release"
    )
    assert min(release[word] for word in ("the", "team", "manager")) > 0.6
    assert release["approved"] < 0.01


def test_the_same_words_in_overlapping_chunks_are_one_answer(
    tmp_path: Path, tiny_encoder: TextEncoder
) -> None:
    text = "The cat sat on the mat. Snow fell on Monday. The dog is in Paris. The price is red."
    with Indexer.open(
        tmp_path / "index", encoder=tiny_encoder, chunking=ChunkingConfig(max_tokens=16, overlap_tokens=8)
    ) as indexer:
        indexer.add_documents([InputDocument("d", text)])
    scorer: Any = Reading({"Monday": 5.0})
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder, scorer=scorer) as retriever:
        read = [item for item in retriever.evidence("when") if item.text == "Monday"]
        answers = retriever.respond("when", answers=5, min_confidence=0.5).answers
    assert len(read) == 2, "the chunks should overlap there"
    assert {item.start for item in read} == {text.index("Monday")}
    assert [(answer.start, answer.text) for answer in answers] == [(text.index("Monday"), "Monday")]


def test_what_one_document_says_twice_is_one_answer(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    texts = {
        "plan": "Snow fell on Monday. The cat sat.\n\nIt ended on Monday!",
        "note": "It began on monday.",
    }
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents(InputDocument(name, text) for name, text in texts.items())
    scorer: Any = Reading({"Monday": 5.0, "monday": 4.0})
    with Retriever.open(
        tmp_path / "index", encoder=tiny_encoder, scorer=scorer, rerank=RerankConfig(spans=5)
    ) as retriever:
        answers = retriever.respond("when", answers=5, min_confidence=0.01).answers
    found = [(answer.rank, answer.document_id, answer.text) for answer in answers]
    assert sorted(found) == [(1, "plan", "Monday"), (2, "note", "monday")]


@pytest.mark.parametrize(
    ("words", "several"),
    [
        (["-40 C", "40 C"], True),
        (["C#", "C++"], True),
        (["the cat", "The  cat."], False),
        (["Monday", "monday!"], False),
    ],
)
def test_what_is_said_twice_is_the_same_but_for_case_and_marks_around(
    tmp_path: Path, tiny_encoder: TextEncoder, words: list[str], several: bool
) -> None:
    text = "\n\n".join(f"It was {word} there" for word in words)
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents([InputDocument("d", text)])
    scorer: Any = Reading({word: 5.0 - i for i, word in enumerate(words)})
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder, scorer=scorer) as retriever:
        answers = retriever.respond("what", answers=5, min_confidence=0.0).answers
    said = [answer.text for answer in answers if answer.text in words]
    assert len(said) == (2 if several else 1)


def test_both_models_are_loaded_at_once(
    tmp_path: Path, tiny_encoder: TextEncoder, tiny_reader_folder: Path
) -> None:
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents([InputDocument("cat", "The cat sat on the red mat.")])
    with Retriever.open(tmp_path / "index", rerank=RerankConfig(reader=str(tiny_reader_folder))) as retriever:
        retriever.load()
        encoder, scorer = retriever.encoder, retriever.scorer
        assert retriever.respond("who sat on the mat?", min_confidence=0).answers
        assert (retriever.encoder, retriever.scorer) == (encoder, scorer)
    with Retriever.open(tmp_path / "index", rerank=RerankConfig(reader=str(tmp_path))) as retriever:
        retriever.load(reading=False)
        with pytest.raises(EncoderError, match="there is no span scorer"):
            retriever.load()
