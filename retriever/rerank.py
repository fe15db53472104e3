"""From what was read to answers, what they are worth, and a better order of the passages.

The best candidates are read by the span scorer (`rounds.py`). A span's confidence is a logistic model of what is known
about it: how much likelier it is than no answer, how its passage was ranked, what else was found. The model
(`confidence.py`) is fitted to questions asked against an index, with answers that the scorer was not trained on
(`retriever/training/confidence.py`), so that of the answers given with 70 % about 70 % are right. Passages are ordered
by their fused score and, as far as a passage seems to answer, by what reading it said: where nothing seems to, as for
a claim or keywords, the order stays. The passage of a sure answer comes first.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from retriever.confidence import CLIP, FEATURES, ConfidenceModel, Features
from retriever.context import context_line
from retriever.encoder.spans import ScoredSpan
from retriever.search import Candidate
from retriever.store.snapshot import Snapshot, StoredPassage
from retriever.types import Answer, AnswerScores, Passage, TextSpan, number_at

Chunks = tuple[int, ...]
"""What a candidate is made of, and known by."""

_SURELY_NONE = -1e-6
"""Log-probability of no answer that counts as one; nearer to 0 it is mostly what float32 rounds."""
_WORD = re.compile(r"\w+")
_ASKING = re.compile(r"\b(?:who|whom|whose|what|which|when|where|why|how)\b", re.IGNORECASE)
_QUESTION_MARKS = (
    "?", "\N{FULLWIDTH QUESTION MARK}", "\N{ARABIC QUESTION MARK}", "\N{GREEK QUESTION MARK}", ";",
)  # fmt: skip
"""The Greek one is written as a semicolon, too."""
_AFTER_MARK = " \t\r\n\"')]\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_AROUND = " .,;:!?\"'()[]"


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
        rank: How many candidates stood before this one when they were read.
    """

    candidate: Candidate
    passage: StoredPassage
    span: ScoredSpan
    margin: float
    no_answer: float
    question: str = ""
    rank: int = 0

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


@dataclass(frozen=True, slots=True)
class Best:
    """The likeliest span of all, whether or not it is an answer, and its confidence; 0 where there is no span."""

    evidence: Evidence | None
    confidence: float


def readable(passage: StoredPassage) -> Passage:
    """A passage as the scorer reads it, with what stands over it."""
    return Passage(passage.text, context_line(passage.title, passage.headings))


def reorder(
    ranked: Sequence[Candidate], evidence: Sequence[Evidence], model: ConfidenceModel, best: Best
) -> list[Candidate]:
    """Candidates by their fused score and what reading them adds; what wasn't read comes as if it had no answer.

    That of a sure answer gets a score just above all others'.

    Args:
        ranked: By their fused score.
        evidence: All spans.
        model: What says how much reading adds.
        best: Of all spans.
    """
    margins = passage_margins(evidence)
    changed = [
        replace(candidate, score=score, scores=replace(candidate.scores, span=margins[candidate.chunks]))
        if candidate.chunks in margins
        else candidate
        for candidate, score in zip(ranked, scores_of(ranked, margins, model, best), strict=True)
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
    ranked: Sequence[Candidate], margins: Mapping[Chunks, float], model: ConfidenceModel, best: Best
) -> list[float]:
    """What passages are ordered by: the fused score, and what reading adds."""
    added = model.gains(np.array([*margins.values()]), best.confidence)
    gains = dict(zip(margins, map(float, added), strict=True))
    scores = {candidate.chunks: candidate.score + gains.get(candidate.chunks, 0.0) for candidate in ranked}
    top = best.evidence
    if top is not None and model.tops(best.confidence, marked=_marked(top.question)):
        greatest = max(
            (score for chunks, score in scores.items() if chunks != top.candidate.chunks), default=-math.inf
        )
        if scores[top.candidate.chunks] <= greatest:
            scores[top.candidate.chunks] = math.nextafter(greatest, math.inf)
    return [scores[candidate.chunks] for candidate in ranked]


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
    total = float(np.logaddexp.reduce(margins)) if margins else 0.0
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
        answers = math.log1p(
            -math.exp(min(item.no_answer, _SURELY_NONE))
        )  # log-probability that its passage does
        rows.append(
            [
                item.margin,
                max(item.span.start_score - answers, -CLIP),
                max(item.span.end_score - answers, -CLIP),
                item.margin - rival,
                item.margin - total,
                math.log1p(support),
                math.log1p(len(text.split())),
                item.candidate.scores.fused,
                item.candidate.scores.dense or 0.0,
                math.log1p(item.rank),
                *kinds[item.question],
            ]
        )
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))


def choose(
    evidence: Sequence[Evidence], model: ConfidenceModel, most: int, least: float
) -> tuple[list[tuple[Evidence, float]], Best]:
    """The spans that are answers, best first, each with its confidence.

    What one document says in several places is one answer, with the place where it is likeliest; what several
    documents say are several, for each has its own context.

    Args:
        evidence: All spans.
        model: What makes confidences of them.
        most: At most this many answers.
        least: Only answers of this confidence, from 0 to 1.

    Returns:
        Those, and the best span.
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
    return chosen, Best(spans[order[0][0]], order[0][1]) if order else Best(None, 0.0)


def likeliest(
    snapshot: Snapshot, evidence: Sequence[Evidence], model: ConfidenceModel, most: int, least: float
) -> tuple[list[Answer], Best]:
    """What `choose` chooses, each with its place in the original, and the best span.

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


def _kinds(query: str) -> list[float]:
    """What kind of query it is, in the order of `OF_QUERIES`."""
    return [float(_marked(query)), float(_ASKING.search(query) is None)]


def _marked(query: str) -> bool:
    return query.rstrip(_AFTER_MARK).endswith(_QUESTION_MARKS)


def _plain(text: str) -> str:
    """Without case, breaks of lines, and punctuation around it: what else differs is another answer, as in -4 and 4."""
    return " ".join(text.casefold().split()).strip(_AROUND)


def _flat(text: str) -> str:
    """Words only, in lower case: enough to see that two answers are one."""
    return " ".join(_WORD.findall(text.casefold()))
