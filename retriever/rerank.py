"""Reading the best candidates: answers, what they are worth, and a better order of the passages.

Every candidate is read by the span scorer. A span's confidence is a logistic model of what is known about it: how
much likelier it is than no answer, how its passage was ranked, what else was found. The model is fitted to questions
asked against an index, with answers that the scorer was not trained on (`retriever/training/confidence.py`), so that
of the answers given with 70 % about 70 % are right. Passages are ordered by their fused score and, as far as a
passage seems to answer, by what reading it said: where nothing seems to, as for a claim or keywords, the order stays.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retriever.config import Saved
from retriever.context import context_line
from retriever.encoder.spans import ScoredSpan
from retriever.errors import EncoderError, IndexFormatError
from retriever.search import Candidate
from retriever.store.snapshot import Snapshot, StoredPassage
from retriever.types import Answer, AnswerScores, Passage, TextSpan, number_at

Features = NDArray[np.float64]
Chunks = tuple[int, ...]
"""What a candidate is made of, and known by."""

FEATURES = (
    *("margin", "start", "end", "fused", "dense", "lead", "share", "support", "length"),
    *("marked", "wordless", "who", "when", "where", "number", "reason"),
)
"""What a span's confidence is computed from:

    margin   log of how much likelier the span is than no answer, in its passage
    start    log-probability of its start
    end      log-probability of its end
    fused    the passage's score before reading
    dense    cosine of question and passage
    lead     margin less the greatest margin of another answer
    share    log of its part in all that the candidates offer (a softmax over their margins)
    support  how many other candidates have the same words as their best span, logarithmic
    length   its words, logarithmic
    marked   whether the question ends in a question mark
    wordless whether it has no English question word: keywords, a title, a claim, another language
    who      whether it asks for somebody; when, where, number, reason likewise
"""

CONFIDENCE = "confidence.json"
_WORD = re.compile(r"\w+")
_ASKING = re.compile(r"\b(?:who|whom|whose|what|which|when|where|why|how)\b", re.IGNORECASE)
_QUESTION_MARKS = (
    "?", "\N{FULLWIDTH QUESTION MARK}", "\N{ARABIC QUESTION MARK}", "\N{GREEK QUESTION MARK}", ";",
)  # fmt: skip
"""The Greek one is written as a semicolon, too."""
_AFTER_MARK = " \t\r\n\"')]\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
_AMOUNTS = "many|much|long|old|far|often|high|tall|big|large|fast|deep|wide|hot|cold|heavy|soon|late|early"
_KINDS = tuple(
    re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    for words in (
        "who|whom|whose",
        "when|(?:what|which) (?:year|date|day|month|century|decade|time)",
        "where|(?:what|which) (?:city|country|state|place|town|county|continent|island|building|street)",
        rf"how (?:{_AMOUNTS})|(?:what|which) (?:percentage|percent|number|amount|share)",
        rf"why|how(?! (?:{_AMOUNTS})\b)",
    )
)
"""Somebody, a time, a place, a number, a reason or manner."""
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_GATE = 12.0
"""How sharply reading is trusted or not as the best answer's confidence passes the gate."""
_AROUND = " .,;:!?\"'()[]"
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
            raise EncoderError(f"{path} is damaged, or of another version of spanseek: {error}") from error

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


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span that might answer, and what is known about it.

    Attributes:
        candidate: The chunk it stands in.
        passage: The chunk as a reader sees it.
        span: In code points of the chunk's text.
        margin: Log of how much likelier it is than no answer.
        no_answer: Log-probability of no answer in this chunk.
        question: What was asked.
    """

    candidate: Candidate
    passage: StoredPassage
    span: ScoredSpan
    margin: float
    no_answer: float
    question: str = ""

    @property
    def start(self) -> int:
        """In code points of the document."""
        return self.candidate.start + self.span.start

    @property
    def end(self) -> int:
        """Likewise, half-open."""
        return self.candidate.start + self.span.end

    @property
    def text(self) -> str:
        return self.passage.text[self.span.start : self.span.end]


def readable(passage: StoredPassage) -> Passage:
    """A passage as the scorer reads it, with what stands over it."""
    return Passage(passage.text, context_line(passage.title, passage.headings))


def reorder(
    ranked: Sequence[Candidate], evidence: Sequence[Evidence], model: ConfidenceModel, confidence: float
) -> list[Candidate]:
    """Candidates by their fused score and what reading them adds; what wasn't read comes as if it had no answer.

    Args:
        ranked: By their fused score.
        evidence: All spans.
        model: What says how much reading adds.
        confidence: Of the best span.
    """
    margins = passage_margins(evidence)
    changed = [
        replace(candidate, score=score, scores=replace(candidate.scores, span=margins[candidate.chunks]))
        if candidate.chunks in margins
        else candidate
        for candidate, score in zip(ranked, scores_of(ranked, margins, model, confidence), strict=True)
    ]
    return sorted(changed, key=lambda c: (-c.score, c.chunks))


def passage_margins(evidence: Sequence[Evidence]) -> dict[Chunks, float]:
    """Of each passage that spans stand in, the greatest margin of them."""
    margins: dict[Chunks, float] = {}
    for item in evidence:
        chunks = item.candidate.chunks
        margins[chunks] = max(margins.get(chunks, -CLIP), item.margin)
    return margins


def scores_of(
    ranked: Sequence[Candidate], margins: Mapping[Chunks, float], model: ConfidenceModel, confidence: float
) -> list[float]:
    """What passages are ordered by: the fused score, and what reading adds."""
    gains = dict(
        zip(margins, map(float, model.gains(np.array([*margins.values()]), confidence)), strict=True)
    )
    return [candidate.score + gains.get(candidate.chunks, 0.0) for candidate in ranked]


def distinct(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Of spans that overlap in their document (chunks do), the likeliest; likeliest first."""
    kept: list[Evidence] = []
    taken: dict[int, list[tuple[int, int]]] = {}
    for item in sorted(evidence, key=lambda e: (-e.margin, e.candidate.chunks, e.start)):
        start, end = item.start, item.end
        others = taken.setdefault(item.candidate.document, [])
        if not any(start < last and first < end for first, last in others):
            others.append((start, end))
            kept.append(item)
    return kept


def features(evidence: Sequence[Evidence]) -> Features:
    """What is known of each span, `(N, len(FEATURES))`.

    Args:
        evidence: Spans that don't overlap, of one question.
    """
    texts = [_flat(item.text) for item in evidence]
    margins = [item.margin for item in evidence]
    kinds = {question: _kinds(question) for question in {item.question for item in evidence}}
    total = float(np.logaddexp.reduce([*margins, 0.0]))  # 0: no answer
    greatest: dict[str, float] = {}
    for text, margin in zip(texts, margins, strict=True):
        greatest[text] = max(greatest.get(text, -math.inf), margin)
    leading = sorted(greatest, key=lambda text: -greatest[text])[:2]
    said = Counter(texts)
    said_here = Counter((text, item.candidate.chunks) for text, item in zip(texts, evidence, strict=True))
    rows = []
    for text, item in zip(texts, evidence, strict=True):
        rival = next((greatest[other] for other in leading if other != text), -CLIP)
        support = said[text] - said_here[text, item.candidate.chunks]
        rows.append(
            [
                item.margin,
                max(item.span.start_score, -CLIP),
                max(item.span.end_score, -CLIP),
                item.candidate.scores.fused,
                item.candidate.scores.dense or 0.0,
                item.margin - rival,
                item.margin - total,
                math.log1p(support),
                math.log1p(len(text.split())),
                *kinds[item.question],
            ]
        )
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))


def choose(
    evidence: Sequence[Evidence], model: ConfidenceModel, most: int, least: float
) -> tuple[list[tuple[Evidence, float]], float]:
    """The spans that are answers, best first, each with its confidence.

    What one document says in several places is one answer, with the place where it is likeliest; what several
    documents say are several, for each has its own context.

    Args:
        evidence: All spans.
        model: What makes confidences of them.
        most: At most this many answers.
        least: Only answers of this confidence, from 0 to 1.

    Returns:
        Those, and the confidence of the best span, whether or not it is an answer; 0 where there are no spans.
    """
    spans = distinct(evidence)
    order = model.rank(features(spans))
    chosen: list[tuple[Evidence, float]] = []
    said: set[tuple[int, str]] = set()
    for row, confidence in order:
        if len(chosen) == most or confidence < least:  # confidences don't rise
            break
        words = spans[row].candidate.document, _plain(spans[row].text)
        if words not in said:
            said.add(words)
            chosen.append((spans[row], confidence))
    return chosen, order[0][1] if order else 0.0


def likeliest(
    snapshot: Snapshot, evidence: Sequence[Evidence], model: ConfidenceModel, most: int, least: float
) -> tuple[list[Answer], float]:
    """What `choose` chooses, each with its place in the original, and the confidence of the best span.

    Args:
        snapshot: What they were read in.
        evidence: As for `choose`; `model`, `most` and `least` likewise.
        model: See there.
        most: See there.
        least: See there.
    """
    chosen, best = choose(evidence, model, most, least)
    anchors = snapshot.anchors(list({item.candidate.document for item, _ in chosen}))
    found = []
    for rank, (item, confidence) in enumerate(chosen, start=1):
        candidate, passage = item.candidate, item.passage
        places = anchors[candidate.document]
        line = passage.line
        if places.lines is not None:
            line = number_at(places.lines, item.start)
        elif line is not None:
            line += len(_LINE_BREAK.findall(passage.text, 0, item.span.start))
        found.append(
            Answer(
                rank=rank,
                confidence=confidence,
                document_id=passage.document_id,
                path=passage.path,
                title=passage.title,
                headings=passage.headings,
                page=number_at(places.pages, item.start),
                line=line,
                start=item.start,
                end=item.end,
                text=item.text,
                passage=TextSpan(candidate.start, candidate.end, passage.text),
                scores=AnswerScores(
                    fused=candidate.scores.fused,
                    dense=candidate.scores.dense,
                    lexical=candidate.scores.lexical,
                    start=item.span.start_score,
                    end=item.span.end_score,
                    no_answer=item.no_answer,
                ),
                source=snapshot.source(passage),
            )
        )
    return found, best


def _kinds(question: str) -> list[float]:
    """What kind of question it is, in the order of `FEATURES`."""
    marked = question.rstrip(_AFTER_MARK).endswith(_QUESTION_MARKS)
    wordless = _ASKING.search(question) is None
    return [float(marked), float(wordless), *(float(kind.search(question) is not None) for kind in _KINDS)]


def _plain(text: str) -> str:
    """Without case, breaks of lines, and punctuation around it: what else differs is another answer, as in -4 and 4."""
    return " ".join(text.casefold().split()).strip(_AROUND)


def _flat(text: str) -> str:
    """Words only, in lower case: enough to see that two answers are one."""
    return " ".join(_WORD.findall(text.casefold()))
