"""The index that an evaluation asks: made of its corpus, and thrown away unless it is to be kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.terminal import notice

if TYPE_CHECKING:
    from retriever import RerankConfig, Retriever, SearchConfig
    from retriever.evaluation import EvalDocument


@contextmanager
def indexed(
    documents: Iterable[EvalDocument],
    index_dir: Path | None,
    *,
    name: str,
    titles: bool,
    encoder: str | None = None,
    config: SearchConfig | None = None,
    rerank: RerankConfig | None = None,
) -> Iterator[Retriever]:
    """A retriever over a corpus.

    Args:
        documents: The corpus; what `index_dir` holds already isn't embedded again.
        index_dir: Where the index stays; `None` for one that is gone afterwards.
        name: Of the set, for the notice that it is indexed.
        titles: Whether documents keep their titles.
        encoder: What embeds, by its name; `None`: the index's own, or the default for a new one.
        config: How to search.
        rerank: How candidates are read.
    """
    from indexer import Indexer, InputDocument
    from retriever import Retriever

    with tempfile.TemporaryDirectory(prefix="spanseek-eval-") as scratch:
        root = index_dir or Path(scratch, "index")
        with Indexer.open(root, encoder=encoder) as indexer:
            report = indexer.add_documents(
                InputDocument(document.id, document.text, document.title if titles else "")
                for document in documents
            )
            loaded = indexer.encoder
        notice(
            f"{name}: {report.indexed + report.unchanged:,} documents, {report.chunks:,} passages embedded"
        )
        with Retriever.open(root, encoder=loaded, config=config, rerank=rerank) as retriever:
            yield retriever
