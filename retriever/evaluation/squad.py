"""SQuAD's layout as a retrieval set: find the paragraph that a question was asked about."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from retriever.errors import DatasetError
from retriever.evaluation.dataset import EvalDocument, RetrievalDataset
from retriever.evaluation.spread import spread


def load_squad(path: Path, limit: int | None) -> RetrievalDataset:
    """The set in the file `path`.

    A paragraph that occurs again, in whatever article, is the same document: its questions are answered by
    its first occurrence.
    """
    documents: dict[str, EvalDocument] = {}  # by text
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for article_index, article in enumerate(list_of(read_json(path), "data", f"{path}: ")):
        place = f"{path}: data[{article_index}]"
        title = text_of(article, "title", f"{place}.") if "title" in article else ""
        for index, paragraph in enumerate(list_of(article, "paragraphs", f"{place}.")):
            inner = f"{place}.paragraphs[{index}]"
            text = text_of(paragraph, "context", f"{inner}.")
            document = EvalDocument(f"{article_index}-{index}", title.replace("_", " "), text)
            document = documents.setdefault(text, document)
            for number, question in enumerate(list_of(paragraph, "qas", f"{inner}.")):
                within = f"{inner}.qas[{number}]."
                if question.get("is_impossible") or not list_of(question, "answers", within):
                    continue
                query_id = text_of(question, "id", within)
                if query_id in queries:
                    raise DatasetError(f"{within}id: there is a question {query_id!r} above already")
                queries[query_id] = text_of(question, "question", within)
                qrels[query_id] = {document.id: 1}
    chosen = dict(spread(list(queries.items()), limit))
    return RetrievalDataset(
        name="/".join(path.resolve().parts[-2:]),  # dev.json alone would say little
        documents=tuple(documents.values()),
        queries=chosen,
        qrels={query_id: qrels[query_id] for query_id in chosen},
    )


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        whole = json.loads(content)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}, line {error.lineno}: expected JSON: {error.msg}") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: expected JSON in UTF-8, perhaps compressed by gzip: {error}") from error
    if not isinstance(whole, dict):
        raise DatasetError(f"{path}: expected a JSON object with 'data', as in SQuAD")
    return whole


def list_of(parent: dict[str, Any], key: str, place: str) -> list[dict[str, Any]]:
    value = parent.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DatasetError(f"{place}{key}: expected a list of objects, as in SQuAD")
    return value


def text_of(parent: dict[str, Any], key: str, place: str) -> str:
    value = parent.get(key)
    if not isinstance(value, str):
        raise DatasetError(f"{place}{key}: expected a string, as in SQuAD")
    return value
