"""What answers a question from an index?

`Retriever` opens an index and finds answers and passages; `types.py` says what it returns. Below it: `search.py`
finds and fuses candidates, `rerank.py` reads them for answers, `encoder/` is the span encoder and the span scorer,
`store/` the index folder, `evaluation/` measures how good it all is, `training/` trains it, `assistant/` answers AI
assistants.

Useful for searching an index that is there, from any number of threads and processes.
Not for making or changing one: that is `indexer`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retriever.api import Retriever
    from retriever.config import ChunkingConfig, RerankConfig, SearchConfig
    from retriever.errors import (
        DatasetError,
        EncoderError,
        FilterError,
        IndexAccessError,
        IndexDamagedError,
        IndexFormatError,
        IndexLockedError,
        IndexNotFoundError,
        IndexOutdatedError,
        SpanseekError,
        UnreadableError,
    )
    from retriever.filters import Filter
    from retriever.types import Answer, AnswerScores, Document, Hit, IndexStatus, Response, Scores, TextSpan

__all__ = [
    "Answer",
    "AnswerScores",
    "ChunkingConfig",
    "DatasetError",
    "Document",
    "EncoderError",
    "Filter",
    "FilterError",
    "Hit",
    "IndexAccessError",
    "IndexDamagedError",
    "IndexFormatError",
    "IndexLockedError",
    "IndexNotFoundError",
    "IndexOutdatedError",
    "IndexStatus",
    "RerankConfig",
    "Response",
    "Retriever",
    "Scores",
    "SearchConfig",
    "SpanseekError",
    "TextSpan",
    "UnreadableError",
]

_HOMES = {
    "Retriever": "retriever.api",
    "ChunkingConfig": "retriever.config",
    "RerankConfig": "retriever.config",
    "SearchConfig": "retriever.config",
    "Answer": "retriever.types",
    "AnswerScores": "retriever.types",
    "Response": "retriever.types",
    "TextSpan": "retriever.types",
    "Filter": "retriever.filters",
    "Document": "retriever.types",
    "Hit": "retriever.types",
    "IndexStatus": "retriever.types",
    "Scores": "retriever.types",
}


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used, so that `spanseek --help` needn't import FAISS."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "retriever.errors")), name)
