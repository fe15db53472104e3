"""Texts into an index and out of it again, for tests."""

from __future__ import annotations

from pathlib import Path

from indexer import Indexer, InputDocument
from retriever import Retriever
from retriever.encoder import TextEncoder

Texts = dict[str, str]


def add(root: Path, encoder: TextEncoder, texts: Texts) -> None:
    with Indexer.open(root, encoder=encoder) as indexer:
        indexer.add_documents(InputDocument(id_, text) for id_, text in texts.items())


def found(root: Path, encoder: TextEncoder, question: str, k: int = 10) -> list[str]:
    with Retriever.open(root, encoder=encoder) as retriever:
        return [hit.document_id for hit in retriever.search(question, k)]
