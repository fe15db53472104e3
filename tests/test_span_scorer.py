"""Reading passages: batches and windows don't matter, and every place is exact in the text as it was given."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from retriever.encoder import Passage, SpanScorer
from retriever.encoder.loading import load_reader_model
from retriever.encoder.reading import PairLayout
from retriever.encoder.span_scorer import SpanReading
from retriever.encoder.spans import SpanScores, best_spans
from retriever.encoder.tokenizer import Tokenizer
from retriever.errors import EncoderError

ROWS = [
    ("who approves a release", "A release is approved by the team manager.", ""),
    ("where is the cat", "cat", "mat"),
    ("", "The price of the sensor fell on Monday.", ""),
    ("what is on the mountain in winter and when where who what on the mat", "snow", "the winter mountain"),
    ("who", "the cat sat on the red mat. " * 20, "Paris"),
    ("who", "in winter snow covers the wind speed sensor " * 7, ""),
    ("when", "wind", ""),
]


def passages(rows: Sequence[tuple[str, str, str]]) -> tuple[list[str], list[Passage]]:
    return [question for question, _, _ in rows], [Passage(text, context) for _, text, context in rows]


def difference(one: Sequence[SpanScores], other: Sequence[SpanScores]) -> float:
    """The largest difference of any probability."""
    found = 0.0
    for a, b in zip(one, other, strict=True):
        assert list(a.offsets) == list(b.offsets)
        for x, y in (
            (a.start, b.start),
            (a.end, b.end),
            ([a.no_start], [b.no_start]),
            ([a.no_end], [b.no_end]),
        ):
            found = max(found, float(np.abs(np.exp(x) - np.exp(y)).max()))
    return found


def test_batched_equals_one_by_one(tiny_scorer: SpanScorer) -> None:
    together = tiny_scorer.score(*passages(ROWS))
    alone = [tiny_scorer.score(*passages([row]))[0] for row in ROWS]
    assert difference(together, alone) < 1e-5, f"largest difference {difference(together, alone)}"


def test_a_long_passage_is_the_windows_it_is_read_in(
    tiny_scorer: SpanScorer, tiny_reader_folder: Path
) -> None:
    """Against each window by itself, with no padding, put together token by token."""
    model, files, reading = load_reader_model(str(tiny_reader_folder))
    tokenizer = Tokenizer.from_folder(files.folder)
    question, text, context = ROWS[4]
    ids, offsets = tokenizer.encode([text])[0]
    asked, over = tokenizer.ids([question, context])
    windows = PairLayout(2, 3, reading).windows(asked, over, ids)
    assert len(windows) > 5
    raw = np.zeros((len(ids), 2))
    most = np.full(len(ids), -1)
    for window in windows:
        row = torch.from_numpy(window.ids)[None]
        segments = torch.from_numpy(window.segments)[None]
        with torch.inference_mode():
            logits = model(row, torch.ones_like(row, dtype=torch.bool), segments)[0].double().numpy()
        inside = len(window.ids) - window.begin - 1
        for i in range(inside):
            if min(i, inside - 1 - i) > most[window.first + i]:
                most[window.first + i] = min(i, inside - 1 - i)
                raw[window.first + i] = logits[window.begin + i] - logits[0]
    total = np.log(1 + np.exp(raw).sum(axis=0))
    (scores,) = tiny_scorer.score([question], [Passage(text, context)])
    assert list(scores.offsets) == offsets
    np.testing.assert_allclose(np.stack([scores.start, scores.end], axis=1), raw - total, atol=1e-4)
    np.testing.assert_allclose([scores.no_start, scores.no_end], -total, atol=1e-4)


def test_only_the_passage_and_no_answer_can_be_chosen(tiny_reader_folder: Path) -> None:
    """Two rows, the second with three tokens of padding: neither question nor the special tokens, nor padding."""
    model = load_reader_model(str(tiny_reader_folder))[0]
    ids = torch.tensor([[2, 10, 3, 20, 21, 22, 3], [2, 3, 20, 3, 0, 0, 0]])
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]])
    with torch.inference_mode():
        logits = model(ids, ids != 0, segments)
    assert logits.shape == (2, 7, 2)
    for side in (0, 1):
        assert logits[..., side].isfinite().tolist() == [
            [True, False, False, True, True, True, False],
            [True, False, True, False, False, False, False],
        ]


def test_bfloat16_agrees_with_float32(tiny_scorer: SpanScorer, tiny_reader_folder: Path) -> None:
    fast = SpanScorer.load(str(tiny_reader_folder), precision="bfloat16", device="cpu")
    found = difference(fast.score(*passages(ROWS)), tiny_scorer.score(*passages(ROWS)))
    assert 0 < found < 0.03, f"largest difference {found}"


def test_question_and_context_count(tiny_scorer: SpanScorer) -> None:
    text = "the cat sat on the red mat"
    base, question, context = tiny_scorer.score(
        ["who", "where", "who"], [Passage(text), Passage(text), Passage(text, "winter")]
    )
    assert difference([base], [question]) > 1e-3
    assert difference([base], [context]) > 1e-3


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The red mat.", ["The", "red", "mat", "."]),
        ("wind speed\r\nsnow\n\nmat", ["wind", "speed", "snow", "mat"]),
        (
            "wind\tspeed\r\nsnow\n\nmat",
            ["wind", "\t", "speed", "\r", "snow", "mat"],
        ),  # a row's bar and full stop
        ("in cafe\u0301, Paris", ["in", "cafe\u0301", ",", "Paris"]),
        ("caf\u00e9 e\u0302\u0301\u0323 a", ["caf\u00e9", "e\u0302\u0301\u0323", "a"]),
        (
            "cat \U0001f469\u200d\U0001f680 \u2764\ufe0f dog",
            ["cat", "\U0001f469\u200d\U0001f680", "\u2764\ufe0f", "dog"],
        ),
        ("\u202b\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd cat", ["\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd", "cat"]),
        ("\u6771\u4eac wind", ["\u6771", "\u4eac", "wind"]),
        ("\u0301cat", ["cat"]),
        ("mats, prices", ["mat", "s", ",", "price", "s"]),
    ],
    ids=["plain", "lines", "row", "mark", "marks", "emoji", "right to left", "CJK", "mark alone", "parts"],
)
def test_places_are_in_the_text_as_given(tiny_scorer: SpanScorer, text: str, tokens: list[str]) -> None:
    (scores,) = tiny_scorer.score(["who"], [Passage(text)])
    assert [text[start:end] for start, end in scores.offsets] == tokens
    reading = tiny_scorer.read("who", text)
    assert text[reading.start : reading.end] == reading.text
    assert reading.text.startswith(tuple(tokens))
    assert reading.text.endswith(tuple(tokens))


def test_reading_is_the_best_span_and_its_odds(tiny_scorer: SpanScorer) -> None:
    readings = tiny_scorer.read_many(ROWS)
    scored = tiny_scorer.score(*passages(ROWS))
    for (_, text, _), reading, scores in zip(ROWS, readings, scored, strict=True):
        best = best_spans(scores, 1)[0]
        assert (reading.start, reading.end) == (best.start, best.end)
        assert reading.text == text[best.start : best.end]
        assert reading.margin == pytest.approx(best.score - scores.no_answer)
    alone = tiny_scorer.read(*ROWS[0])
    assert (alone.start, alone.end, alone.text) == (readings[0].start, readings[0].end, readings[0].text)
    assert alone.margin == pytest.approx(readings[0].margin, abs=1e-4)


def test_no_answer_is_what_is_likelier() -> None:
    assert not SpanReading(0, 3, "cat", 0.01).no_answer
    assert SpanReading(0, 3, "cat", 0.0).no_answer
    assert SpanReading(0, 0, "", 5.0).no_answer


@pytest.mark.parametrize("text", ["", " \n\t", "\u0301"], ids=["empty", "blank", "a mark"])
def test_a_passage_without_words_has_no_answer(tiny_scorer: SpanScorer, text: str) -> None:
    reading = tiny_scorer.read("who", text)
    assert reading == SpanReading(0, 0, "", -np.inf)
    assert reading.no_answer
    (scores,) = tiny_scorer.score(["who"], [Passage(text)])
    assert (list(scores.offsets), scores.no_answer) == ([], 0)


def test_nothing_to_read(tiny_scorer: SpanScorer) -> None:
    assert tiny_scorer.score([], []) == []
    assert tiny_scorer.read_many([]) == []


def test_a_scorer_serves_threads(tiny_scorer: SpanScorer) -> None:
    alone = [tiny_scorer.read(*row) for row in ROWS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda row: tiny_scorer.read(*row), ROWS * 3))
    assert together == alone * 3


def test_a_device_that_is_not_supported_is_named(tiny_reader_folder: Path) -> None:
    with pytest.raises(EncoderError, match="device 'meta' isn't supported: one of cpu, cuda"):
        SpanScorer.load(str(tiny_reader_folder), device="meta")
