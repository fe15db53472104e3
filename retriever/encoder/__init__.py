"""How does a text become a vector, and its tokens span representations?

`attention.py` is the mathematics, `model.py` the span encoder and its heads, `backbone.py` finds a pretrained
transformer's files, `tokenizer.py` gives tokens with their places, `encoder.py` runs all of it in batches.

Useful for embedding passages and questions, and (with a trained head) for scoring spans.
Not for finding anything: that is `retriever.search`, over what `retriever.store` keeps.
"""

from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles, find_encoder
from retriever.encoder.encoder import TextEncoder
from retriever.types import Passage

__all__ = ["DEFAULT_ENCODER", "EncoderFiles", "Passage", "TextEncoder", "find_encoder"]
