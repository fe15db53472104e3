"""What a span's confidence is computed with, and how far reading reorders passages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retriever.config import Saved
from retriever.errors import EncoderError, IndexFormatError

Features = NDArray[np.float64]

OF_QUERIES = ("marked", "wordless")
"""Those that all spans of a query have alike."""

OF_RETRIEVAL = ("fused", "dense", "rank")
"""Those that were known before reading."""

FEATURES = (
    *("margin", "start_given", "end_given", "lead", "part", "support", "length"),
    *OF_RETRIEVAL,
    *OF_QUERIES,
)
"""What a span's confidence is computed from:

    margin       log of how much likelier the span is than no answer, in its passage
    start_given  log-probability of its start, given that its passage answers
    end_given    log-probability of its end, likewise
    lead         margin less the greatest margin of another answer
    part         log of its part in all that the candidates offer (a softmax over their margins)
    support      how many spans of other candidates have the same words, logarithmic
    length       its words, logarithmic
    fused        the passage's score before reading
    dense        cosine of question and passage
    rank         how many candidates stood before the passage, logarithmic
    marked       whether the query ends in a question mark
    wordless     whether it has no English question word: keywords, a title, a claim, another language

How likely no answer is moves with the kind of text and of question, and is too great for those that the scorer hasn't
learned from; where a span stands among others does not. So most of these leave it out. Who, when, where and the like
tell more of a set of questions than of an answer, and aren't here (data/EXPERIMENTS.md).
"""

CONFIDENCE = "confidence.json"
_GATE = 24.0
"""How sharply reading is trusted or not as the best answer's confidence passes the gate."""
CLIP = 20.0
"""Log-odds beyond this are all the same."""


@dataclass(frozen=True, slots=True)
class ConfidenceModel(Saved):
    """A logistic model of a span's evidence, and how reading reorders passages.

    Attributes:
        weights: Of a span's evidence among all spans, by the names in `FEATURES`: answers are ordered by it.
        bias: What is added.
        first_weights: The same for the span that is put first: to be the best of many says something of its own.
        first_bias: What is added there.
        threshold: Confidence from which an answer is shown unless something else is asked for.
        passage_weight: What a passage that surely answers gains over its fused score.
        passage_bias: Added to a passage's margin before the logistic function makes a share of `passage_weight` of it.
        passage_slope: What the margin is multiplied by before that.
        gate: Confidence of the best answer from which reading is trusted to reorder passages.
        top_marked: Confidence of the best answer from which its passage comes first of all, whatever the others' scores
            are, if the query ends in a question mark; 1, which none reaches: never.
        top_unmarked: Likewise if it doesn't, as claims and titles don't, and questions that are typed in a hurry.
    """

    weights: dict[str, float]
    first_weights: dict[str, float]
    bias: float = 0.0
    first_bias: float = 0.0
    threshold: float = 0.5
    passage_weight: float = 0.3
    passage_bias: float = 0.0
    passage_slope: float = 1.0
    gate: float = 0.5
    top_marked: float = 1.0
    top_unmarked: float = 1.0

    @classmethod
    def of(cls, folder: Path) -> ConfidenceModel:
        """The model that lies in a span scorer's folder; one that takes the scorer at its word if none does.

        Raises:
            EncoderError: The file isn't such a model.
        """
        path = folder / CONFIDENCE
        if not path.is_file():
            return UNFITTED
        try:
            model = cls.from_json(path.read_text(encoding="utf-8"))
            for weights in (model.weights, model.first_weights):
                if unknown := set(weights) - set(FEATURES):
                    raise ValueError(f"there is no feature {min(unknown)!r}")
            return model
        except (OSError, ValueError, TypeError, IndexFormatError) as error:
            raise EncoderError(
                f"{path} is damaged, or of another version of spanseek: {error}; "
                f"'spanseek train confidence {folder} --data FILE' fits it anew"
            ) from error

    def rank(self, features: Features) -> list[tuple[int, float]]:
        """Spans and their confidence, best first.

        Args:
            features: `(N, len(FEATURES))`.

        Returns:
            Rows of `features`, and probabilities that don't rise.
        """
        logits = features @ _vector(self.weights) + self.bias  # (N,)
        firsts = features @ _vector(self.first_weights) + self.first_bias
        ranked: list[tuple[int, float]] = []
        for row in sorted(range(len(features)), key=lambda i: (-logits[i], i)):
            confidence = _logistic(logits[row] if ranked else firsts[row])
            ranked.append((row, min(confidence, ranked[-1][1]) if ranked else confidence))
        return ranked

    def gains(self, margins: Features, confidence: float) -> Features:
        """What reading adds to passages' scores, `(P,)`.

        Args:
            margins: `(P,)`, log of how much likelier each passage's best span is than no answer.
            confidence: Of the best answer of all. Where it is below the gate, as for claims and keywords, reading
                has nothing to say, and next to nothing is added.
        """
        trust = _logistic(_GATE * (confidence - self.gate))
        logits = np.clip(self.passage_slope * margins + self.passage_bias, -CLIP, CLIP)
        gains: Features = self.passage_weight * trust / (1.0 + np.exp(-logits))
        return gains

    def tops(self, confidence: float, *, marked: bool) -> bool:
        """Whether the passage of the best answer comes first of all.

        Args:
            confidence: Of that answer.
            marked: Whether the query ends in a question mark.
        """
        return confidence >= (self.top_marked if marked else self.top_unmarked)


def _vector(weights: Mapping[str, float]) -> Features:
    # a model that was fitted before a feature was there knows nothing of it
    return np.array([weights.get(name, 0.0) for name in FEATURES])


def _logistic(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -CLIP), CLIP)))


UNFITTED = ConfidenceModel(
    weights=dict.fromkeys(FEATURES, 0.0) | {"margin": 1.0},
    first_weights=dict.fromkeys(FEATURES, 0.0) | {"margin": 1.0},
)
"""Takes the span scorer at its word."""
