"""Reads passages for a question: the trained model with its tokenizer, in batches that waste little."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retriever.encoder.backbone import DEFAULT_ENCODER
from retriever.encoder.reader_files import read_reader
from retriever.encoder.reading import PairLayout, ReadingConfig, Window
from retriever.encoder.runtime import Description, Reads, RuntimeName, reader
from retriever.encoder.spans import Scores, SpanScores, normalise
from retriever.encoder.structure import answers_in, spelled
from retriever.encoder.tokenizer import Tokenizer, tokenizer_of
from retriever.types import Passage


@dataclass(frozen=True, slots=True)
class SpanReading:
    """The best span of one passage.

    Attributes:
        start: In code points.
        end: Likewise, half-open.
        text: The passage's `[start:end]`; empty if there is no token to answer with.
        margin: Log of how much likelier the span is than no answer.
        no_answer: Whether no answer is likelier.
    """

    start: int
    end: int
    text: str
    margin: float

    @property
    def no_answer(self) -> bool:
        return self.margin <= 0 or not self.text


class SpanScorer:
    """Reads passages for the answer to a question. Safe to share by threads.

    Args:
        model: What computes.
        tokenizer: The encoder's.
        reading: Sizes of windows.
        fingerprint: SHA-256 over all that decides what scores come out.
        folder: Where it was loaded from.
        no_answer: Added to the log-odds of no answer.
    """

    def __init__(
        self,
        model: Reads,
        tokenizer: Tokenizer,
        reading: ReadingConfig,
        fingerprint: str,
        folder: Path | None = None,
        no_answer: float = 0.0,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        special = tokenizer.special
        self._layout = PairLayout(special.before[0], special.after[-1], reading)
        self.fingerprint = fingerprint
        self.folder = folder
        self.no_answer = no_answer

    @classmethod
    def load(
        cls,
        name: str = DEFAULT_ENCODER,
        *,
        precision: str = "auto",
        device: str | None = None,
        runtime: RuntimeName = "auto",
    ) -> SpanScorer:
        """Loads a trained span scorer.

        Args:
            name: `default`, or a folder that `spanseek train reader` wrote.
            precision: `float32`, `bfloat16` (torch), `int8` (ONNX Runtime). By default int8 wherever ONNX Runtime
                reads, else as for `TextEncoder`.
            device: A torch device; `None`: the GPU where there is one.
            runtime: As for `TextEncoder`: by default what starts soonest, ONNX Runtime where it can.

        Raises:
            EncoderError: There is none, or the encoder that it goes with is another.
        """
        stored = read_reader(name)
        model = reader(stored, precision=precision, device=device, runtime=runtime)
        tokenizer = tokenizer_of(stored.files)
        return cls(model, tokenizer, stored.reading, stored.fingerprint, stored.folder, stored.no_answer)

    @property
    def computes(self) -> Description:
        """What computes it, and in which numbers."""
        return self._model.description

    def score(self, questions: Sequence[str], passages: Sequence[Passage]) -> list[SpanScores]:
        """Reads each passage for the question at the same place.

        Args:
            questions: As many as passages; the same one again and again, to rank passages for it.
            passages: Of any length.
        """
        texts = self._tokenizer.encode([spelled(passage.text) for passage in passages])
        distinct = list(dict.fromkeys([*questions, *(passage.context for passage in passages)]))
        ids = dict(zip(distinct, self._tokenizer.ids(distinct), strict=True))
        rows = [
            (number, window)
            for number, (question, passage) in enumerate(zip(questions, passages, strict=True))
            for window in self._layout.windows(ids[question], ids[passage.context], texts[number][0])
        ]
        relative: list[list[tuple[Window, Scores]]] = [[] for _ in passages]
        logits = self._model.logits([window for _, window in rows])
        for (number, window), row in zip(rows, logits, strict=True):
            # half of it to the start's log-odds, half to the end's
            inside = row[window.begin : len(window.ids) - 1] - row[0] - self.no_answer / 2
            relative[number].append((window, inside))
        places = [
            _with_marks(passage.text, offsets) for passage, (_, offsets) in zip(passages, texts, strict=True)
        ]
        return [normalise(offsets, windows) for offsets, windows in zip(places, relative, strict=True)]

    def read_many(self, rows: Sequence[tuple[str, str, str]]) -> list[SpanReading]:
        """The best span for each `(question, passage, context)`."""
        passages = [Passage(text, context) for _, text, context in rows]
        scores = self.score([question for question, _, _ in rows], passages)
        readings = []
        for passage, scored in zip(passages, scores, strict=True):
            best = answers_in(passage.text, scored, 1)
            if not best:
                readings.append(SpanReading(0, 0, "", -np.inf))
                continue
            text = passage.text[best[0].start : best[0].end]
            readings.append(SpanReading(best[0].start, best[0].end, text, best[0].score - scored.no_answer))
        return readings

    def read(self, question: str, passage: str, context: str = "") -> SpanReading:
        """The best span of one passage."""
        return self.read_many([(question, passage, context)])[0]


def _with_marks(text: str, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each token's place with the combining marks after it: tokenizers that strip accents leave those out."""
    if text.isascii():
        return offsets
    whole = []
    for i, (start, end) in enumerate(offsets):
        limit = offsets[i + 1][0] if i + 1 < len(offsets) else len(text)
        while end < limit and unicodedata.category(text[end]).startswith("M"):
            end += 1
        whole.append((start, end))
    return whole
