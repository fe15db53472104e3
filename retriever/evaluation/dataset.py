"""What a set of graded questions is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EvalDocument:
    """A document of an evaluation set; `title` may be empty."""

    id: str
    title: str
    text: str


class Documents(Protocol):
    """Documents that can be counted, and gone through more than once."""

    def __iter__(self) -> Iterator[EvalDocument]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RetrievalDataset:
    """Questions, and which documents answer them.

    Attributes:
        name: Name of the file or folder that it came from, and of the split.
        documents: All documents, those that answer nothing too; may be read from disk each time.
        queries: Text of each question by its id, in the set's order; each has an entry in `qrels`.
        qrels: For each question its judged documents and their grades; above 0 is relevant.
    """

    name: str
    documents: Documents
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
