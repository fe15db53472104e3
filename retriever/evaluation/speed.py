"""How fast is it here? Encoding, search and reading in this process, on an index that is only read.

What takes turns with something else is measured in turns, and figures are medians: what else the machine does at the
same time then changes them least.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.config import RerankConfig, SearchConfig
from retriever.context import context_line
from retriever.encoder import Passage
from retriever.search import candidates
from retriever.storable import storable_text
from retriever.store.reader import IndexReader
from retriever.store.snapshot import Place

if TYPE_CHECKING:
    from retriever.api import Retriever
    from retriever.encoder import SpanScorer, TextEncoder
    from retriever.types import Response

_ROUNDS = 3
_WARM_UP = 3
_SEARCHES = (5, 300)
_READINGS = (3, 100)
"""At least and at most so many questions."""
_SHOWN = 10
_SCANNED = 20_000
_WORDS = 10
_SENTENCE = re.compile(r"[^.!?\n]{25,}[.!?\n]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """How fast texts become vectors.

    Attributes:
        runtime: What computes the encoder.
        precision: What it computes in.
        passages: How many were encoded, in each of the rounds.
        tokens: Of all of them, special ones counted.
        passages_per_s: Passages a second.
        tokens_per_s: Tokens a second.
        product_precision: What plain products of large matrices were measured in: the fastest here.
        product_gflops: 10^9 operations a second of such products.
        share: Part of that rate which encoding reaches; `None` where the model's size isn't known.
    """

    runtime: str
    precision: str
    passages: int
    tokens: int
    passages_per_s: float
    tokens_per_s: float
    product_precision: str
    product_gflops: float
    share: float | None


@dataclass(frozen=True, slots=True)
class Stages:
    """Where a question's time goes, in milliseconds; means, so that they add up to the mean of the whole.

    Attributes:
        encode: The question becomes a vector.
        dense: The nearest vectors are found.
        lexical: The best passages by their words are found.
        read: Passages are read for answers; 0 where none are.
        rest: Both sides are fused, and what is shown is looked up.
    """

    encode: float
    dense: float
    lexical: float
    read: float
    rest: float


@dataclass(frozen=True, slots=True)
class Asking:
    """How long a question takes in an open index.

    Attributes:
        questions: How many were asked.
        ms_p50: Median.
        ms_p95: One in twenty takes longer.
        ms_mean: The mean.
        stages: What it is made of.
        read: Passages that were read for answers, on average; 0 where none are.
    """

    questions: int
    ms_p50: float
    ms_p95: float
    ms_mean: float
    stages: Stages
    read: float


@dataclass(frozen=True, slots=True)
class Reading:
    """How long it takes to read all of the best candidates for an answer, where nothing lets it stop early.

    Attributes:
        questions: How many were asked.
        candidates: Passages that are read for a question.
        ms_p50: Median.
        ms_p95: One in twenty takes longer.
    """

    questions: int
    candidates: int
    ms_p50: float
    ms_p95: float


def measure_encoding(encoder: TextEncoder, texts: Sequence[str], seconds: float) -> Encoding:
    """Encodes passages, in turns with plain products of matrices.

    Args:
        encoder: The encoder.
        texts: Passages, as many as should be encoded at most.
        seconds: About so long; fewer passages are taken where all of them would take longer.
    """
    from retriever.encoder.backbone import SPAN_WEIGHTS
    from retriever.encoder.work import ModelSize, product_precision, product_rate

    passages = [Passage(text) for text in texts]
    rate = passages_per_second(encoder, passages)
    passages = passages[: max(8, int(rate * seconds * 0.75 / _ROUNDS))]
    special = len(encoder.tokenizer.special.before) + len(encoder.tokenizer.special.after)
    lengths = [len(encoder.token_spans(passage.text)) + special for passage in passages]
    precision = product_precision()
    turns = [
        (
            product_rate(precision, seconds * 0.2 / _ROUNDS),
            _seconds(lambda: encoder.encode_passages(passages)),
        )
        for _ in range(_ROUNDS)
    ]
    products, took = (statistics.median(side) for side in zip(*turns, strict=True))
    files = encoder.files
    # without weights of its own the span layer is untrained, and isn't computed
    size = ModelSize.of(files.folder, files.config if (files.folder / SPAN_WEIGHTS).is_file() else None)
    share = None if size is None else sum(map(size.operations, lengths)) / took / products
    return Encoding(
        runtime=encoder.computes.runtime,
        precision=encoder.computes.precision,
        passages=len(passages),
        tokens=sum(lengths),
        passages_per_s=len(passages) / took,
        tokens_per_s=sum(lengths) / took,
        product_precision=precision,
        product_gflops=products / 1e9,
        share=share,
    )


def passages_per_second(encoder: TextEncoder, passages: Sequence[Passage]) -> float:
    """A first guess, from a few passages."""
    few = passages[:16]
    encoder.encode_passages(few[:2])  # what is only done once
    return len(few) / max(1e-9, _seconds(lambda: encoder.encode_passages(few)))


def measure_asking(retriever: Retriever, questions: Sequence[str], seconds: float, *, rerank: bool) -> Asking:
    """Asks an open index, one question after the other.

    Args:
        retriever: Nothing in its index is changed.
        questions: Any; asked again where they are few.
        seconds: About so long.
        rerank: Whether passages are read for answers.
    """
    asked: list[Response] = []

    def ask(question: str) -> None:
        asked.append(retriever.respond(question, _SHOWN, rerank=rerank))

    _repeat(ask, questions, seconds, _READINGS if rerank else _SEARCHES)
    asked = asked[_WARM_UP:]
    times = [response.timings for response in asked]
    took = [time_.total - time_.load for time_ in times]
    mean = statistics.mean(took)
    encode, dense, lexical, read = (
        statistics.mean(stage)
        for stage in zip(*((t.encode, t.dense, t.lexical, t.read) for t in times), strict=True)
    )
    return Asking(
        questions=len(asked),
        ms_p50=statistics.median(took),
        ms_p95=_p95(took),
        ms_mean=mean,
        stages=Stages(encode, dense, lexical, read, mean - encode - dense - lexical - read),
        read=statistics.mean(response.read for response in asked),
    )


def measure_reading(
    root: Path, encoder: TextEncoder, scorer: SpanScorer, questions: Sequence[str], seconds: float
) -> Reading:
    """Reads the best candidates for each question.

    Args:
        root: The index folder; nothing in it is changed.
        encoder: The index's.
        scorer: What reads.
        questions: Any; asked again where they are few.
        seconds: About so long.
    """
    config, depth = SearchConfig(), RerankConfig().depth
    took: list[float] = []
    read: list[int] = []
    with IndexReader(root) as reader:

        def ask(question: str) -> None:
            vector = encoder.encode_questions([question])[0]
            with reader.snapshot() as snapshot:
                ranked = candidates(snapshot, question, vector, 1, config)[:depth]
                found = snapshot.passages([Place(c.chunks, c.start, c.end) for c in ranked])
            passages = [Passage(item.text, context_line(item.title, item.headings)) for item in found]
            took.append(1000 * _seconds(lambda: scorer.score([question] * len(passages), passages)))
            read.append(len(passages))

        _repeat(ask, questions, seconds, _READINGS)
    took, read = took[_WARM_UP:], read[_WARM_UP:]
    return Reading(len(took), max(read), statistics.median(took), _p95(took))


def sample_passages(root: Path, count: int) -> list[str]:
    """Passages of an index, spread evenly over it, or over its first twenty thousand."""
    with IndexReader(root) as reader, reader.snapshot() as snapshot:
        step = max(1, min(snapshot.status().chunks, _SCANNED) // count)
        found: list[str] = []
        for number, text in enumerate(snapshot.texts()):
            if len(found) == count:
                break
            if number % step == 0 and text.strip():
                found.append(text)
    return found


def questions_of(passages: Sequence[str]) -> list[str]:
    """What somebody might ask of passages: a part of a sentence, or its longest words."""
    questions = []
    for number, passage in enumerate(passages):
        sentence = _SENTENCE.search(passage)
        words = (sentence.group() if sentence else passage).split()
        if number % 2:
            words = sorted(dict.fromkeys(words), key=len, reverse=True)[: _WORDS // 2]
        question = storable_text(" ".join(words[:_WORDS]).strip())
        if question:
            questions.append(question)
    return list(dict.fromkeys(questions))


def _repeat(
    ask: Callable[[str], None], questions: Sequence[str], seconds: float, counts: tuple[int, int]
) -> None:
    """Warms up, then asks for about so long: at least and at most so many questions."""
    least, most = counts
    ends = None
    for number, question in enumerate(_endless(questions)):
        if number == _WARM_UP:
            ends = time.perf_counter() + seconds
        asked = number - _WARM_UP
        if asked >= most or (ends is not None and asked >= least and time.perf_counter() > ends):
            return
        ask(question)


def _endless(questions: Sequence[str]) -> Iterator[str]:
    while True:
        yield from questions


def _p95(took: Sequence[float]) -> float:
    """Of few, the greatest."""
    return sorted(took)[min(len(took) - 1, int(0.95 * len(took)))]


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
