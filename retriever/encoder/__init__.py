"""How does a text become a vector, and its tokens span representations?

`attention.py` is the mathematics, `model.py` the span encoder and its heads, `backbone.py` finds a pretrained
transformer's files, `tokenizer.py` gives tokens with their places, `encoder.py` embeds in batches. `reading.py` puts
question and passage together, `span_scorer.py` reads them, `spans.py` makes spans of its scores, `reader_files.py`
keeps a trained span scorer.

Useful for embedding passages and questions, and (with a trained head) for scoring spans.
Not for finding anything: that is `retriever.search`, over what `retriever.store` keeps.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles, find_encoder
    from retriever.encoder.encoder import TextEncoder
    from retriever.encoder.span_scorer import SpanScorer
    from retriever.types import Passage

__all__ = ["DEFAULT_ENCODER", "EncoderFiles", "Passage", "SpanScorer", "TextEncoder", "find_encoder"]

_HOMES = {
    "DEFAULT_ENCODER": "retriever.encoder.backbone",
    "EncoderFiles": "retriever.encoder.backbone",
    "find_encoder": "retriever.encoder.backbone",
    "Passage": "retriever.types",
    "SpanScorer": "retriever.encoder.span_scorer",
    "TextEncoder": "retriever.encoder.encoder",
}


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used: what reads only numbers (`spans.py`) then needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
