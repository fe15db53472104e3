"""What stands in for a trained model in tests of what is built on it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retriever.encoder import Passage, SpanScorer
from retriever.encoder.reading import Window
from retriever.encoder.runtime import Description
from retriever.encoder.spans import SpanScores, normalise


@dataclass
class Reading:
    """Stands in for the span scorer: knows how likely some words are, and remembers what it was shown."""

    margins: Mapping[str, float]
    folder: Path | None = None
    shown: int = 0

    computes = Description("none", "float32", "cpu", 0, side_by_side=2)

    def score(self, questions: Sequence[str], passages: Sequence[Passage]) -> list[SpanScores]:
        self.shown += len(passages)
        return [self._scores(passage.text) for _, passage in zip(questions, passages, strict=True)]

    def _scores(self, text: str) -> SpanScores:
        offsets = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
        scores = np.full((len(offsets), 2), -15.0, dtype=np.float32)
        for words, margin in self.margins.items():
            for match in re.finditer(re.escape(words), text):
                scores[[start for start, _ in offsets].index(match.start()), 0] = margin / 2
                scores[[end for _, end in offsets].index(match.end()), 1] = margin / 2
        return normalise(offsets, [(Window(np.zeros(len(offsets) + 2, dtype=np.int64), 1, 0), scores)])


class Remembering:
    """A span scorer that reads nothing twice."""

    def __init__(self, scorer: SpanScorer) -> None:
        self._scorer = scorer
        self._known: dict[tuple[str, Passage], SpanScores] = {}
        self.folder = scorer.folder

    def score(self, questions: Sequence[str], passages: Sequence[Passage]) -> list[SpanScores]:
        pairs = list(zip(questions, passages, strict=True))
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            scored = self._scorer.score([question for question, _ in new], [passage for _, passage in new])
            self._known.update(zip(new, scored, strict=True))
        return [self._known[pair] for pair in pairs]
