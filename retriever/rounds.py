"""Which candidates are read: the best first, until what is left could hardly change what is shown.

Reading is most of a question's time, and mostly the first few passages decide. Nothing proves it: a passage that isn't
read yet could always be the one that surely answers, and what is known of it, its fused score, weighs less than what
reading says. So it is imagined: the next passage, as one that answers better than those that were read for the same
question do in the middle, by `RerankConfig.patience`. If even then the same answers would be shown, as sure, and the
same passages in the same order, reading stops, unless it hangs on very little whether there is an answer at all. The
middle is the question's own, because the scorer's margins are: keywords make all of them high. What that costs is
measured in `data/EXPERIMENTS.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from retriever.confidence import CLIP, ConfidenceModel
from retriever.config import RerankConfig
from retriever.encoder.spans import ScoredSpan
from retriever.encoder.structure import answers_in
from retriever.rerank import Best, Chunks, Evidence, choose, passage_margins, readable, scores_of
from retriever.search import Candidate, limit_per_document, merge_neighbours
from retriever.stopwatch import Stopwatch
from retriever.storable import storable_text
from retriever.store.snapshot import Place, Snapshot, StoredPassage
from retriever.types import Passage

if TYPE_CHECKING:
    from retriever.encoder import SpanScorer

_FIRST = 6
_NEXT = 4
"""So many are read before the first look at whether more are needed, and between two looks. Fewer are no batch."""
_AS_SURE = 0.02
"""Confidences that differ by less are the same."""
_NEAR = 0.04
"""Where the best answer is as near as this to the confidence from which it is shown, all is read."""
_UNREAD = StoredPassage("", None, "", None, None, (), "")


@dataclass(frozen=True, slots=True)
class Shown:
    """What will be shown of what is found.

    Attributes:
        model: What makes answers and an order of evidence.
        answers: At most this many.
        least: Confidence from which one is shown.
        passages: At most this many.
        per_document: At most this many of them of one document while others are left.
    """

    model: ConfidenceModel
    answers: int
    least: float
    passages: int
    per_document: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """The best spans of the candidates that were read, in their order, and how many those are."""

    evidence: list[Evidence]
    read: int


def gather(
    snapshot: Snapshot,
    question: str,
    ranked: Sequence[Candidate],
    scorer: SpanScorer,
    config: RerankConfig,
    *,
    shown: Shown | None = None,
    watch: Stopwatch | None = None,
) -> Gathered:
    """Reads candidates, at most the first `config.depth`.

    What several documents say in the same words, under the same title and headings, is read once.

    Args:
        snapshot: What they are of.
        question: What they were found for.
        ranked: By their fused score.
        scorer: What reads them.
        config: How to.
        shown: Reading stops where the rest could hardly change this; `None`: it doesn't.
        watch: Told how long each part takes.
    """
    watch = watch or Stopwatch()
    reading = ranked[: config.depth]
    with watch.stage("fetch"):
        passages = snapshot.passages([Place(c.chunks, c.start, c.end) for c in reading])
    texts = [readable(passage) for passage in passages]
    known: dict[Passage, list[tuple[ScoredSpan, float]]] = {}
    evidence: list[Evidence] = []
    may_stop = shown is not None and math.isfinite(config.patience)
    read = 0
    while read < len(reading):
        begin, more = read, _NEXT if read else _FIRST
        read = min(read + more, len(reading)) if may_stop else len(reading)
        with watch.stage("read"):
            new = [text for text in dict.fromkeys(texts[begin:read]) if text not in known]
            scored = scorer.score([storable_text(question)] * len(new), new) if new else []
            for text, scores in zip(new, scored, strict=True):
                spans = answers_in(text.text, scores, config.spans)
                known[text] = [(span, scores.no_answer) for span in spans]
            for rank in range(begin, read):
                for span, no_answer in known[texts[rank]]:
                    margin = min(max(span.score - no_answer, -CLIP), CLIP)
                    evidence.append(
                        Evidence(reading[rank], passages[rank], span, margin, no_answer, question, rank)
                    )
        if shown is not None and may_stop and read < len(reading):
            with watch.stage("rank"):
                if settled(ranked, evidence, read, shown, config.patience):
                    break
    return Gathered(evidence, read)


def settled(
    ranked: Sequence[Candidate], evidence: Sequence[Evidence], read: int, shown: Shown, patience: float
) -> bool:
    """Whether one more passage that answers well would change nothing that is shown.

    Args:
        ranked: By their fused score.
        evidence: Of the first `read` of them, fewer than all.
        read: That number.
        shown: What is shown.
        patience: How much better than the middle one the next one is imagined to answer, in log-odds.
    """
    if not evidence:
        return False
    margins = passage_margins(evidence)
    middle = median(margins.get(candidate.chunks, -CLIP) for candidate in ranked[:read])
    imagined = _imagined(ranked[read], read, min(middle + patience, CLIP), evidence[0].question)
    answers, best, order = _outcome(ranked, evidence, margins, shown)
    if shown.answers and 0 < shown.least < 1 and abs(best.confidence - shown.least) < _NEAR:
        return False
    margins[imagined.candidate.chunks] = imagined.margin
    others, _, other_order = _outcome(ranked, [*evidence, imagined], margins, shown)
    return (
        order == other_order
        and [item for item, _ in answers] == [item for item, _ in others]
        and all(abs(one - other) <= _AS_SURE for (_, one), (_, other) in zip(answers, others, strict=True))
    )


def _outcome(
    ranked: Sequence[Candidate], evidence: Sequence[Evidence], margins: Mapping[Chunks, float], shown: Shown
) -> tuple[list[tuple[Evidence, float]], Best, list[Chunks]]:
    answers, best = choose(evidence, shown.model, shown.answers, shown.least)
    scores = scores_of(ranked, margins, shown.model, best)
    order = sorted(zip(scores, ranked, strict=True), key=lambda pair: (-pair[0], pair[1].chunks))
    # As they will be shown: neighbours are one passage, and a document doesn't fill the page.
    passages = merge_neighbours([candidate for _, candidate in order])
    return (
        answers,
        best,
        [hit.chunks for hit in limit_per_document(passages, shown.passages, shown.per_document)],
    )


def _imagined(candidate: Candidate, rank: int, margin: float, question: str) -> Evidence:
    """A span of a passage that wasn't read, of this margin: start and end alike, and nothing else likely."""
    score = -math.log1p(math.exp(-margin / 2))
    span = ScoredSpan(0, 0, score, score)
    return Evidence(
        replace(candidate, document=-1), _UNREAD, span, margin, 2 * score - margin, question, rank
    )
