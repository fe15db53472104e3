"""Measures on five documents and three queries, against values worked out by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log2

import pytest

from retriever.errors import DatasetError, SpanseekError
from retriever.evaluation import EvalDocument, RetrievalDataset, RetrievalScores, evaluate_retrieval

pytest.importorskip("ir_measures")

Search = Callable[[str, int], Sequence[tuple[str, float]]]

DATASET = RetrievalDataset(
    name="birds",
    documents=tuple(EvalDocument(f"d{i}", "", f"text {i}") for i in range(1, 6)),
    queries={"q1": "one", "q2": "two", "q3": "three"},
    qrels={"q1": {"d1": 2, "d2": 1, "d5": 0}, "q2": {"d3": 1}, "q3": {"d4": 1}},
)


def answers(**by_query: list[str]) -> Search:
    """A search that gives these documents, all with the same score."""
    return lambda query, k: [(document, 1.0) for document in by_query.get(query, [])][:k]


def evaluate(search: Search, dataset: RetrievalDataset = DATASET) -> RetrievalScores:
    return evaluate_retrieval(dataset, search, index_bytes=7)


def test_by_hand() -> None:
    scores = evaluate(answers(one=["d2", "d5", "d1"], two=["d1", "d3"], three=["d4"]))
    ndcg_one = (1 + 2 / log2(4)) / (2 + 1 / log2(3))
    assert scores.ndcg_at_10 == pytest.approx((ndcg_one + 1 / log2(3) + 1) / 3)
    assert scores.mrr_at_10 == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert scores.recall_at_1 == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert scores.recall_at_5 == scores.recall_at_20 == scores.recall_at_100 == 1
    assert (scores.queries, scores.documents, scores.index_bytes) == (3, 5, 7)
    assert 0 <= scores.query_ms_p50 <= scores.query_ms_p95


def test_names_in_reports() -> None:
    assert list(evaluate(answers()).to_dict()) == [
        "ndcg@10", "mrr@10", "recall@1", "recall@5", "recall@20", "recall@100",
        "queries", "documents", "index_bytes", "query_ms_p50", "query_ms_p95",
    ]  # fmt: skip


def test_a_query_without_results_counts_as_zero() -> None:
    scores = evaluate(answers(three=["d4"]))
    assert scores.ndcg_at_10 == scores.mrr_at_10 == scores.recall_at_100 == pytest.approx(1 / 3)
    assert evaluate(answers()).to_dict()["ndcg@10"] == 0


@pytest.mark.parametrize(("order", "expected"), [(["d3", "d1", "d5"], 1), (["d5", "d1", "d3"], 1 / 3)])
def test_ties_keep_their_order(order: list[str], expected: float) -> None:
    only_two = replace(DATASET, queries={"q2": "two"}, qrels={"q2": {"d3": 1}})
    assert evaluate(answers(two=order), only_two).mrr_at_10 == pytest.approx(expected)


def test_cut_offs() -> None:
    documents = tuple(EvalDocument(f"n{i}", "", "") for i in range(150))
    for rank, found in ((1, 4), (5, 3), (6, 2), (20, 2), (21, 1), (100, 1), (101, 0)):
        dataset = RetrievalDataset("ranks", documents, {"q": "q"}, {"q": {f"n{rank - 1}": 1}})
        scores = evaluate(lambda query, k: [(f"n{i}", 0.0) for i in range(150)], dataset)
        recalls = [scores.recall_at_1, scores.recall_at_5, scores.recall_at_20, scores.recall_at_100]
        assert sum(recalls) == found, rank


def test_progress_and_depth() -> None:
    seen: list[tuple[int, int]] = []
    depths: set[int] = set()

    def search(query: str, k: int) -> list[tuple[str, float]]:
        depths.add(k)
        return []

    evaluate_retrieval(
        DATASET, search, index_bytes=0, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert depths == {100}


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="more than once"):
        evaluate(answers(one=["d1", "d1"]))
    with pytest.raises(DatasetError, match="no queries"):
        evaluate(answers(), replace(DATASET, queries={}))
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(SpanseekError, match=r"pip install 'spanseek\[eval\]'"):
        evaluate(answers())
