"""The indexes that a training asks, for hard negatives and confidences: of the passages that are learned from, or of
one's own documents.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retriever import Retriever
    from retriever.training.examples import Example
    from retriever.training.negatives import SearchMany

DEPTH = 20
_GLOB = re.compile(r"[*?\[]")


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

        def search(examples: Sequence[Example]) -> Iterator[list[int]]:
            questions = [example.question for example in examples]
            for hits in retriever.search_many(questions, DEPTH, per_document=1):
                yield [int(hit.document_id) for hit in hits]

        return search

    return over


def searching_folders(
    index_dir: Path, documents: Collection[str], others: Callable[[Sequence[str]], SearchMany]
) -> Callable[[Sequence[str]], SearchMany]:
    """For hard negatives of questions that make sense among the papers of their folder alone.

    Args:
        index_dir: An index of one's own documents.
        documents: Ids of those that questions are about.
        others: What is searched for questions about anything else.
    """
    from retriever import Retriever

    def over(passages: Sequence[str]) -> SearchMany:
        numbers = {passage: number for number, passage in enumerate(passages)}
        search_others = cache(lambda: others(passages))  # indexes them: only if something else is asked
        retriever = Retriever.open(index_dir)

        def search(examples: Sequence[Example]) -> Iterator[Sequence[int]]:
            other = [example for example in examples if example.group not in documents]
            found = iter(search_others()(other) if other else ())
            for example in examples:
                if example.group in documents:
                    where = in_folder(example.group)
                    hits = retriever.search(example.question, DEPTH, where=where, per_document=DEPTH)
                    yield [numbers[hit.text] for hit in hits if hit.text in numbers]
                else:
                    yield next(found)

        return search

    return over


def in_folder(document: str) -> list[str]:
    """The filter that leaves what lies in a document's folder or below it; none, if it lies in no folder."""
    folder = PurePosixPath(document).parent.as_posix()
    return [] if folder == "." else [f"id={_GLOB.sub(lambda found: f'[{found[0]}]', folder)}/*"]


def passages_of(retriever: Retriever) -> list[str]:
    """Every passage of an index, once."""
    return list(dict.fromkeys(retriever.passages()))
