"""The index that a training asks: of the passages that are learned from, for hard negatives and confidence."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retriever import Retriever
    from retriever.training.negatives import SearchMany

DEPTH = 20


def index_passages(passages: Sequence[str], root: Path, encoder: str) -> None:
    """Makes an index of passages, each a document by its number, or brings it up to date."""
    from indexer import Indexer, InputDocument
    from retriever import Retriever
    from retriever.store.known import has_index

    if has_index(root):
        with Retriever.open(root) as retriever:
            documents = retriever.status().documents
        if documents > len(passages):  # of another run: what is no longer among them would be found, too
            shutil.rmtree(root)
    with Indexer.open(root, encoder=encoder) as indexer:
        indexer.add_documents(InputDocument(str(i), text) for i, text in enumerate(passages))


def searching(root: Path, encoder: str) -> Callable[[Sequence[str]], SearchMany]:
    """For hard negatives: a function that indexes passages in `root`, and gives a search over them."""
    from retriever import Retriever

    def over(passages: Sequence[str]) -> SearchMany:
        index_passages(passages, root, encoder)
        retriever = Retriever.open(root)

        def search(questions: Sequence[str]) -> Iterator[list[int]]:
            for hits in retriever.search_many(questions, DEPTH, per_document=1):
                yield [int(hit.document_id) for hit in hits]

        return search

    return over


def passages_of(retriever: Retriever) -> list[str]:
    """Every passage of an index, once."""
    return list(dict.fromkeys(retriever.passages()))
