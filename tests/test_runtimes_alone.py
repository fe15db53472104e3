"""ONNX Runtime takes each passage by itself, in 8 bits: near to float32, and whatever is beside it changes nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from retriever.encoder import Passage, SpanScorer, TextEncoder, onnx_runtime, onnx_weights
from retriever.encoder.graph import in_8_bits, scale_of
from retriever.encoder.reader_files import read_reader
from retriever.encoder.runtime import Precision, Vectors
from retriever.encoder.shipped import shipped_folder, shipped_tensors
from retriever.encoder.spans import SpanScores
from retriever.errors import EncoderError

PRECISIONS: list[Precision] = ["int8", "float32"]
TEXTS = [
    *("the cat sat on the red mat.", "", "snow", "Übung ☃", "a price of 12.50 in the open store " * 3),
    "in winter snow covers the wind speed sensor on the mountain " * 6,
]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_company_changes_nothing_that_is_read(
    tiny_reader_folder: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """To the bit: whatever is read beside it, by this thread or by others, early and late."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    scorer = SpanScorer.load(str(tiny_reader_folder), precision=precision, runtime="onnx")
    assert (scorer.computes.side_by_side, scorer.computes.precision) == (2, precision)
    passages = [Passage(text, "snow") for text in TEXTS if text]
    question = "what is on the mat?"
    alone = [scorer.score([question], [passage])[0] for passage in passages]

    def read(turn: int) -> list[SpanScores]:
        order = [*passages[turn:], *passages[:turn]]
        scores = scorer.score([question] * len(order), order)
        return [*scores[len(passages) - turn :], *scores[: len(passages) - turn]]

    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(read, [*range(len(passages))] * 3):
            for one, other in zip(scores, alone, strict=True):
                assert one.offsets == other.offsets
                assert np.array_equal(one.start, other.start)
                assert np.array_equal(one.end, other.end)
                assert one.no_answer == other.no_answer


@pytest.mark.parametrize("precision", PRECISIONS)
def test_company_changes_nothing_of_a_passages_vector(
    tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    """To the bit, likewise: so an index is the same whatever was added with what."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    encoder = TextEncoder.load(str(tiny_encoder_folder), precision=precision, runtime="onnx")
    assert encoder.precision == precision
    passages = [Passage(text, "snow") for text in TEXTS]
    alone = np.concatenate([encoder.encode_passages([passage]) for passage in passages])

    def embed(turn: int) -> Vectors:
        return np.roll(encoder.encode_passages([*passages[turn:], *passages[:turn]]), turn, axis=0)

    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(embed, [*range(len(passages))] * 3):
            assert np.array_equal(vectors, alone)


def test_passages_in_8_bits_are_near_and_questions_stay_in_float32(tiny_encoder_folder: Path) -> None:
    quick, exact = (
        TextEncoder.load(str(tiny_encoder_folder), precision=precision, device="cpu", runtime="onnx")
        for precision in ("auto", "float32")
    )
    assert (quick.precision, exact.precision) == ("int8", "float32")
    assert np.array_equal(quick.encode_questions(TEXTS), exact.encode_questions(TEXTS))
    passages = [Passage(text, "winter") for text in TEXTS]
    found, wanted = quick.encode_passages(passages), exact.encode_passages(passages)
    assert (found * wanted).sum(axis=1).min() > 0.999
    assert np.abs(found - wanted).max() > 1e-5, "they are computed in 8 bits"


def meeting_of(processors: int, monkeypatch: pytest.MonkeyPatch) -> threading.Barrier:
    """Passes wait until as many have begun as there are processors."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(processors))
    all_there = threading.Barrier(processors, timeout=30)
    real = onnx_runtime._Model.inputs

    def meeting(self: onnx_runtime._Model, *given: Any) -> dict[str, Any]:
        all_there.wait()
        return real(self, *given)

    monkeypatch.setattr(onnx_runtime._Model, "inputs", meeting)
    return all_there


@pytest.mark.parametrize("processors", [1, 2, 3])
@pytest.mark.parametrize("reading", [True, False])
def test_as_many_passes_are_made_at_once_as_there_are_processors(
    tiny_reader_folder: Path,
    tiny_encoder_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    processors: int,
    reading: bool,
) -> None:
    all_there = meeting_of(processors, monkeypatch)
    passages = [Passage("the team manager")] * 2 * processors
    if reading:
        scorer = SpanScorer.load(str(tiny_reader_folder), runtime="onnx")
        assert scorer.computes.side_by_side == processors
        scorer.score(["who?"] * len(passages), passages)
    else:
        TextEncoder.load(str(tiny_encoder_folder), runtime="onnx").encode_passages(passages)
    assert not all_there.broken


def test_matrices_in_8_bits_are_near_and_their_sums_fit_in_16() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((50, 64)).astype(np.float32) * np.exp(rng.standard_normal((50, 1)))
    matrix[7] = 0
    whole, scale = in_8_bits(matrix)
    assert whole.dtype == np.int8
    assert np.abs(whole.astype(int)).max() * 255 * 2 < 2**15
    assert (np.abs(whole * scale[:, None] - matrix) <= scale[:, None] * 0.5001).all()
    assert not whole[7].any()


def test_a_span_scorers_matrices_go_from_8_bits_to_8_bits_as_by_way_of_float32(
    tiny_reader_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_weights, "_ROWS", 5)  # not a divisor of a tiny matrix's rows
    stored = read_reader(str(tiny_reader_folder))
    small, whole = (onnx_weights.reader_weights(stored, whole=whole) for whole in (False, True))
    assert small is not None
    assert whole is not None
    in_8 = [name for name, value in small.items() if value.dtype == np.int8]
    assert len(in_8) > 5
    for name in in_8:
        matrix, scale = in_8_bits(whole[name])
        assert np.array_equal(small[name], matrix)
        assert np.array_equal(small[scale_of(name.removesuffix(".weight"))], scale)


@pytest.mark.integration
def test_reading_in_8_bits_finds_what_float32_does() -> None:
    passages = [
        Passage("Every release is approved by Kim Ito, the duty engineer.", "handbook"),
        Passage("The warranty of a Petrel 3 lasts three years from the day of purchase.", "warranty"),
        Passage("The assembly point is the slipway behind the boat shed.", "first day"),
        Passage("Bread is baked at six in the morning.", "kitchen"),
    ]
    questions = [
        "who approves a release?",
        "how long is the warranty?",
        "where is the assembly point?",
        "why?",
    ]
    rows = [(q, passage.text, passage.context) for q in questions for passage in passages]
    quick, exact = (SpanScorer.load(precision=precision, runtime="onnx") for precision in ("int8", "float32"))
    assert (quick.computes.precision, exact.computes.precision) == ("int8", "float32")
    assert SpanScorer.load(device="cpu").computes.precision == "int8"
    found, wanted = quick.read_many(rows), exact.read_many(rows)
    likely = [(one, other) for one, other in zip(found, wanted, strict=True) if other.margin > 0]
    assert len(likely) >= 3
    assert all(one.text == other.text for one, other in likely)
    assert max(abs(one.margin - other.margin) for one, other in likely) < 1.5
    assert [one.no_answer for one in found] == [one.no_answer for one in wanted]


def test_torch_computes_in_no_8_bits(tiny_reader_folder: Path, tiny_encoder_folder: Path) -> None:
    with pytest.raises(EncoderError, match="in int8 only ONNX Runtime computes"):
        SpanScorer.load(str(tiny_reader_folder), precision="int8", device="cpu", runtime="torch")
    with pytest.raises(EncoderError, match="in int8 only ONNX Runtime computes"):
        TextEncoder.load(str(tiny_encoder_folder), precision="int8", device="cpu", runtime="torch")


@pytest.mark.integration
def test_the_shipped_encoder_in_8_bits_is_near_float32() -> None:
    sample = (Path(__file__).parents[1] / "data" / "sample" / "documents").rglob("*.md")
    texts = [
        part for path in sample for part in path.read_text(encoding="utf-8").split("\n\n") if len(part) > 80
    ]
    passages = [Passage(text) for text in texts[:60]]
    quick, exact = (TextEncoder.load(precision=p, runtime="onnx") for p in PRECISIONS)
    cosines = (quick.encode_passages(passages) * exact.encode_passages(passages)).sum(axis=1)
    assert len(cosines) == 60
    assert cosines.mean() > 0.995, f"mean cosine {cosines.mean()}"
    assert cosines.min() > 0.98, f"least cosine {cosines.min()}"


@pytest.mark.integration
def test_nothing_changes_what_the_shipped_models_compute_in_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: long texts show it where rounding differs, which 8 bits make steps of."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    encoder, scorer = TextEncoder.load(precision="int8"), SpanScorer.load(precision="int8")
    words = (
        "Every release of the wind speed sensor in winter is approved by Kim Ito, the duty engineer.".split()
    )
    passages = [Passage(" ".join(words[i:] * 14)[: 1400 - 200 * i]) for i in range(6)]
    questions = ["who approves a release?"] * len(passages)
    alone = np.concatenate([encoder.encode_passages([passage]) for passage in passages])
    starts = [scorer.score(questions[:1], [passage])[0].start for passage in passages]
    for _ in range(3):
        assert np.array_equal(encoder.encode_passages(passages), alone)
        scored = scorer.score(questions, passages)
        assert all(np.array_equal(one.start, start) for one, start in zip(scored, starts, strict=True))


@pytest.mark.parametrize("name", ["model.safetensors", "reader.safetensors"])
def test_weights_that_are_mapped_are_those_of_the_file(name: str) -> None:
    mapped, read = shipped_tensors(name), load_file(shipped_folder() / name)
    assert mapped.keys() == read.keys()
    for tensor, values in read.items():
        assert mapped[tensor].dtype == values.dtype
        assert np.array_equal(mapped[tensor], values)
        assert not mapped[tensor].flags.writeable


@pytest.mark.integration
def test_both_shipped_models_share_a_tokenizer() -> None:
    assert TextEncoder.load(device="cpu").tokenizer is SpanScorer.load(device="cpu")._tokenizer
