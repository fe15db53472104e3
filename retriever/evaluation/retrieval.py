"""How well the documents that answer are found, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np

from retriever.errors import DatasetError, SpanseekError
from retriever.evaluation.dataset import RetrievalDataset

DEPTH = 100
_WARM_UP = 5  # questions; the first ones load and compile


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Means over all queries; times in milliseconds, size in bytes.

    nDCG is Järvelin and Kekäläinen's (2002) with the grade itself as gain, as trec_eval and BEIR have it. Recall
    is the part of the relevant documents found; with one of them to a query it is the success rate.
    """

    ndcg_at_10: float
    mrr_at_10: float
    recall_at_1: float
    recall_at_5: float
    recall_at_20: float
    recall_at_100: float
    queries: int
    documents: int
    index_bytes: int
    query_ms_p50: float
    query_ms_p95: float

    def to_dict(self) -> dict[str, float]:
        """The scores under their usual names: `ndcg@10`, `recall@1`, ..."""
        return {field.name.replace("_at_", "@"): getattr(self, field.name) for field in fields(self)}


def evaluate_retrieval(
    dataset: RetrievalDataset,
    search: Callable[[str, int], Sequence[tuple[str, float]]],
    *,
    index_bytes: int,
    progress: Callable[[int, int], None] | None = None,
) -> RetrievalScores:
    """Asks every query for the best 100 documents and scores what comes.

    Args:
        dataset: The queries and their judgements.
        search: From a query's text and a number k to at most k documents, best first: their ids, each once,
            and scores. Only the order counts, equal scores or not. A query for which nothing comes counts as 0.
        index_bytes: Size of the index, for the report.
        progress: Called after each query with the number of queries done and their total.

    Raises:
        SpanseekError: `ir_measures` is not installed.
        DatasetError: There are no queries.
        ValueError: `search` gave a document twice.
    """
    if not dataset.queries:
        raise DatasetError(f"{dataset.name}: there are no queries to evaluate")
    _import_ir_measures()  # before the work, not after it
    for text in islice(dataset.queries.values(), _WARM_UP):
        search(text, DEPTH)
    run: dict[str, dict[str, float]] = {}
    milliseconds = []
    for query_id, text in dataset.queries.items():
        began = time.perf_counter()
        found = search(text, DEPTH)
        milliseconds.append((time.perf_counter() - began) * 1000)
        run[query_id] = _by_rank(found, text)
        if progress is not None:
            progress(len(milliseconds), len(dataset.queries))
    means = _means(dataset, run)
    return RetrievalScores(
        ndcg_at_10=means["nDCG@10"],
        mrr_at_10=means["RR@10"],
        recall_at_1=means["R@1"],
        recall_at_5=means["R@5"],
        recall_at_20=means["R@20"],
        recall_at_100=means["R@100"],
        queries=len(dataset.queries),
        documents=len(dataset.documents),
        index_bytes=index_bytes,
        query_ms_p50=float(np.percentile(milliseconds, 50)),
        query_ms_p95=float(np.percentile(milliseconds, 95)),
    )


def _by_rank(found: Sequence[tuple[str, float]], query: str) -> dict[str, float]:
    """Scores that fall with the rank: trec_eval sorts by score itself, and breaks ties by document id."""
    ranked = {document_id: float(-rank) for rank, (document_id, _) in enumerate(found[:DEPTH])}
    if len(ranked) < len(found[:DEPTH]):
        raise ValueError(f"search gave a document more than once for the query {query!r}")
    return ranked


def _means(dataset: RetrievalDataset, run: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    ir_measures = _import_ir_measures()
    names = ("nDCG@10", "RR@10", "R@1", "R@5", "R@20", "R@100")
    sums = dict.fromkeys(names, 0.0)
    measures = [ir_measures.parse_measure(name) for name in names]
    for metric in ir_measures.iter_calc(measures, dataset.qrels, run):
        sums[str(metric.measure)] += metric.value
    # divided here, so that a query left out of the run or by the library counts as 0
    return {name: total / len(dataset.queries) for name, total in sums.items()}


def _import_ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise SpanseekError(
            "evaluation needs the package ir-measures: pip install 'spanseek[eval]'"
        ) from error
    return ir_measures
