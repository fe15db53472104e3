"""How is a document cut into passages?

Useful for: turning an `Extract` into the chunks that are encoded and indexed, each with its page, line and
headings. Not for: reading files (`indexer.readers`) or encoding text (`retriever.encoder`).

    sections.py    headings and rows say what must not be mixed
    splitting.py   a section that is too long is cut where it hurts least
    sentences.py   where sentences end
    measure.py     how long a stretch of text is, in tokens
"""

from indexer.chunking.chunker import chunk_document
from indexer.chunking.sentences import sentence_spans

__all__ = ["chunk_document", "sentence_spans"]
