"""Finding passages: dense and lexical candidates, fused, neighbours merged.

Fusion is the weighted sum of both sides' scores, each scaled to 0 ... 1 over its own candidates (Fox and Shaw,
"Combination of Multiple Searches", 1994, CombSUM): cosines from the least to the greatest of the candidates', since
their zero says nothing; BM25 from its own zero, where no word is shared, towards the most that these words could give
(Bruch et al., "An Analysis of Fusion Functions for Hybrid Retrieval", 2023, on theoretical bounds). So a passage that
shares one common word with the question doesn't outweigh one that means the same. `data/EXPERIMENTS.md` has the
figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from retriever.config import SearchConfig
from retriever.filters import Filter
from retriever.stopwatch import Stopwatch
from retriever.store.snapshot import Place, Snapshot, StoredChunk
from retriever.store.vectors import Vectors
from retriever.types import Hit, Scores

_ADJACENT = 4
"""Code points that may lie between two chunks that are one passage: blank space between paragraphs."""
_MERGED_CHUNKS = 3
_AT_FIRST = 20
"""Chunks that are looked up at first beyond twice as many as passages are shown: mostly enough."""
_COVERED = 2 / 3
"""Share of the greatest possible BM25 from which the words count in full; no real passage comes near all of it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk, or neighbouring chunks of one section of a document, with the scores of the best of them.

    `score` is what it is ranked by.
    """

    chunks: tuple[int, ...]
    document: int
    section: str
    start: int
    end: int
    score: float
    scores: Scores


def search(
    snapshot: Snapshot,
    question: str,
    vector: Vectors,
    k: int,
    config: SearchConfig,
    filters: Sequence[Filter] = (),
) -> list[Hit]:
    """The `k` best passages for a question.

    Args:
        snapshot: The state of the index to search.
        question: The words, for the lexical side.
        vector: `(C,)`, the question embedded, for the dense side.
        k: At most this many.
        config: How to.
        filters: Only documents that all of these hold for.
    """
    ranked = candidates(snapshot, question, vector, k, config, filters, only_shown=True)
    return present(snapshot, ranked, k, config)


def present(snapshot: Snapshot, ranked: Sequence[Candidate], k: int, config: SearchConfig) -> list[Hit]:
    """The `k` first of ranked chunks as hits: neighbours merged, not too many of one document.

    Args:
        snapshot: What they are of.
        ranked: Best first.
        k: At most this many.
        config: How to.
    """
    chosen = limit_per_document(merge_neighbours(ranked), k, config.per_document)
    passages = snapshot.passages([Place(c.chunks, c.start, c.end) for c in chosen])
    return [
        Hit(
            rank=rank,
            score=candidate.score,
            document_id=passage.document_id,
            path=passage.path,
            title=passage.title,
            headings=passage.headings,
            page=passage.page,
            line=passage.line,
            start=candidate.start,
            end=candidate.end,
            text=passage.text,
            scores=candidate.scores,
            source=snapshot.source(passage),
        )
        for rank, (candidate, passage) in enumerate(zip(chosen, passages, strict=True), start=1)
    ]


def candidates(
    snapshot: Snapshot,
    question: str,
    vector: Vectors,
    k: int,
    config: SearchConfig,
    filters: Sequence[Filter] = (),
    watch: Stopwatch | None = None,
    *,
    only_shown: bool = False,
) -> list[Candidate]:
    """Single chunks that either side finds, best first by the fused score.

    Args:
        snapshot: As for `search`.
        question: Likewise.
        vector: Likewise.
        k: Likewise.
        config: Likewise.
        filters: Likewise.
        watch: Told how long each part takes.
        only_shown: Leaves out chunks without which `present` shows the same `k`: looking them up takes longer than
            all else of fusion.
    """
    watch = watch or Stopwatch()
    with watch.stage("fetch"):
        allowed = snapshot.allowed(filters)
    if allowed is not None and not len(allowed.chunks):
        return []
    wanted = max(config.candidates, k)
    with watch.stage("dense"):
        dense = {hit.chunk: hit.score for hit in snapshot.dense(vector, wanted, allowed)}
    with watch.stage("lexical"):
        words = snapshot.lexical(question, wanted, allowed)
    with watch.stage("fetch"):
        fused = fuse(dense, {hit.chunk: hit.coverage for hit in words}, config.dense_weight)
        order = sorted(fused, key=lambda chunk: (-fused[chunk], chunk))
        lexical = {hit.chunk: hit.score for hit in words}

        def ranked(chunks: Iterable[StoredChunk]) -> list[Candidate]:
            found = [
                Candidate(
                    (chunk.id,),
                    chunk.document,
                    chunk.section,
                    chunk.start,
                    chunk.end,
                    fused[chunk.id],
                    Scores(fused[chunk.id], dense.get(chunk.id), lexical.get(chunk.id)),
                )
                for chunk in chunks
            ]
            return sorted(found, key=lambda c: (-c.score, c.chunks))

        if only_shown:
            return _shown(snapshot, order, ranked, k, config.per_document)
        return ranked(snapshot.chunks(order))


def _shown(
    snapshot: Snapshot,
    order: Sequence[int],
    ranked: Callable[[Iterable[StoredChunk]], list[Candidate]],
    k: int,
    per_document: int,
) -> list[Candidate]:
    """The best chunks of `order`, as many as `k` passages take, and all others of the same documents.

    Which passages are shown doesn't depend on chunks that rank below all of them; what is in them does, since those
    below may touch.
    """
    taken: list[Candidate] = []
    more = 2 * k + _AT_FIRST
    while len(taken) < len(order):
        taken += ranked(snapshot.chunks(order[len(taken) : len(taken) + more]))
        passages = merge_neighbours(taken)
        counts = Counter(passage.document for passage in passages)
        if sum(min(count, per_document) for count in counts.values()) >= k:
            shown = {passage.document for passage in limit_per_document(passages, k, per_document)}
            return taken + ranked(snapshot.chunks_near(order[len(taken) :], shown))
        more = len(taken)
    return taken


def fuse(dense: dict[int, float], lexical: dict[int, float], dense_weight: float) -> dict[int, float]:
    """Weighted sum of both sides' scores, each scaled to 0 ... 1; what one side didn't find has 0 there.

    Args:
        dense: Cosine by chunk.
        lexical: Share of the greatest possible BM25, by chunk.
        dense_weight: From 0 to 1.

    >>> fuse({1: 0.9, 2: 0.5}, {2: 0.7, 3: 1 / 3}, 0.5)
    {1: 0.5, 2: 0.5, 3: 0.25}
    """
    low, high = min(dense.values(), default=0.0), max(dense.values(), default=0.0)
    fused = {
        chunk: dense_weight * ((cosine - low) / (high - low) if high > low else 1.0)
        for chunk, cosine in dense.items()
    }
    for chunk, coverage in lexical.items():
        fused[chunk] = fused.get(chunk, 0.0) + (1 - dense_weight) * min(1.0, coverage / _COVERED)
    return fused


def merge_neighbours(ranked: Iterable[Candidate]) -> list[Candidate]:
    """Joins candidates of one section that overlap or touch into one passage, at the rank of the better one.

    At most `_MERGED_CHUNKS` chunks make a passage; it has the scores of its best.
    """
    merged: list[Candidate] = []
    by_section: dict[tuple[int, str], list[int]] = {}
    for candidate in ranked:
        places = by_section.setdefault((candidate.document, candidate.section), [])
        for i in places:
            other = merged[i]
            touching = candidate.start <= other.end + _ADJACENT and other.start <= candidate.end + _ADJACENT
            if touching and len(other.chunks) < _MERGED_CHUNKS:
                merged[i] = Candidate(
                    tuple(sorted((*other.chunks, *candidate.chunks))),
                    other.document,
                    other.section,
                    min(other.start, candidate.start),
                    max(other.end, candidate.end),
                    other.score,
                    other.scores,
                )
                break
        else:
            places.append(len(merged))
            merged.append(candidate)
    return merged


def limit_per_document(ranked: Sequence[Candidate], k: int, per_document: int) -> list[Candidate]:
    """The first `k`, with at most `per_document` of one document while others are left to show instead."""
    seen: dict[int, int] = {}
    first: list[Candidate] = []
    rest: list[Candidate] = []
    for candidate in ranked:
        count = seen[candidate.document] = seen.get(candidate.document, 0) + 1
        (first if count <= per_document else rest).append(candidate)
    return (first + rest)[:k]
