"""BEIR's layout: a corpus and queries as JSON Lines, judgements as tab-separated values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from retriever.errors import DatasetError
from retriever.evaluation.dataset import EvalDocument, RetrievalDataset
from retriever.evaluation.lines import numbered_lines
from retriever.evaluation.spread import spread


def load_beir(folder: Path, split: str, limit: int | None) -> RetrievalDataset:
    """The set in `folder`; the corpus is only opened once its documents are asked for."""
    corpus = _Corpus(_existing(folder, "corpus.jsonl"))
    judgements = _read_qrels(folder, split)
    texts = _read_queries(_existing(folder, "queries.jsonl"))
    for query_id in judgements:
        if query_id not in texts:
            raise DatasetError(f"{folder / 'qrels' / split}.tsv: query {query_id!r} is not in queries.jsonl")
    judged = [(key, text) for key, text in texts.items() if key in judgements]
    queries = dict(spread(judged, limit))
    return RetrievalDataset(
        name=f"{folder.resolve().name} ({split})",
        documents=corpus,
        queries=queries,
        qrels={query_id: judgements[query_id] for query_id in queries},
    )


@dataclass(frozen=True, slots=True)
class _Corpus:
    """The documents of a corpus file, read one at a time."""

    path: Path

    def __iter__(self) -> Iterator[EvalDocument]:
        for place, row in _rows(self.path):
            title = row.get("title") or ""
            if not isinstance(title, str):
                raise DatasetError(f"{place}: expected a string as 'title'")
            yield EvalDocument(_id(place, row), title, _text(place, row))

    def __len__(self) -> int:
        return sum(1 for _ in numbered_lines(self.path))


def _read_queries(path: Path) -> dict[str, str]:
    queries: dict[str, str] = {}
    for place, row in _rows(path):
        query_id = _id(place, row)
        if query_id in queries:
            raise DatasetError(f"{place}: there is a query {query_id!r} above already")
        queries[query_id] = _text(place, row)
    return queries


def _read_qrels(folder: Path, split: str) -> dict[str, dict[str, int]]:
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        others = ", ".join(sorted(other.stem for other in path.parent.glob("*.tsv"))) or "none"
        raise DatasetError(f"{path}: no such file; splits that are there: {others}")
    qrels: dict[str, dict[str, int]] = {}
    for number, line in numbered_lines(path):
        fields = line.rstrip("\r\n").split("\t")
        if number == 1 and fields[-1] == "score":
            continue
        try:
            query_id, document_id, grade = fields
            qrels.setdefault(query_id, {})[document_id] = int(grade)
        except ValueError:
            raise DatasetError(
                f"{path}, line {number}: expected query id, document id and a whole number, separated by tabs"
            ) from None
    return qrels


def _existing(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DatasetError(f"{folder}: expected {name} or {name}.gz in it")


def _rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Place, for messages, and JSON object of each line."""
    for number, line in numbered_lines(path):
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise DatasetError(f"{place}: expected a JSON object with '_id' and 'text'")
        yield place, row


def _id(place: str, row: dict[str, object]) -> str:
    value = row.get("_id")
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DatasetError(f"{place}: expected a string as '_id'")
    return str(value)


def _text(place: str, row: dict[str, object]) -> str:
    value = row.get("text")
    if not isinstance(value, str):
        raise DatasetError(f"{place}: expected a string as 'text'")
    return value
