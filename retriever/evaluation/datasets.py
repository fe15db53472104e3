"""Reads sets of graded questions, in two common layouts."""

from __future__ import annotations

from pathlib import Path

from retriever.errors import DatasetError
from retriever.evaluation.beir import load_beir
from retriever.evaluation.dataset import EvalDocument, RetrievalDataset
from retriever.evaluation.squad import load_squad

__all__ = ["EvalDocument", "RetrievalDataset", "load_retrieval"]


def load_retrieval(path: Path, *, split: str = "test", limit: int | None = None) -> RetrievalDataset:
    """Reads an evaluation set.

    Args:
        path: A folder in BEIR's layout (`corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`, the first two
            perhaps with `.gz`), or a file in SQuAD's (`.json` or `.json.gz`), where each distinct paragraph is
            a document and each question that has an answer is a query for its paragraph.
        split: Which judgements to take; a file in SQuAD's layout is one split.
        limit: Take only so many of the queries that have judgements, at even distances.

    Raises:
        DatasetError: The set is not in one of these layouts, or has no queries.
    """
    if path.is_dir():
        dataset = load_beir(path, split, limit)
    elif path.name.endswith((".json", ".json.gz")) and path.is_file():
        dataset = load_squad(path, limit)
    else:
        raise DatasetError(
            f"{path}: expected a folder in BEIR's layout or a .json[.gz] file in SQuAD's layout"
        )
    if not dataset.queries:
        raise DatasetError(f"{path}: no query here has both a text and a judgement")
    return dataset
