"""What the span encoder adds to its backbone: settings alone, so that they can be read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retriever.config import Saved

Pooling = Literal["mean", "cls"]


@dataclass(frozen=True, slots=True)
class SpanEncoderConfig(Saved):
    """What the span encoder adds to its backbone.

    Attributes:
        window: Tokens that local attention sees on either side.
        local_heads: Heads of local attention; must divide the backbone's hidden size.
        pooling: How a text's vector comes from its token vectors: their mean, or the first token's.
        local: False leaves local attention out, `Z = H + E W_o`: for measuring what it brings.
        concatenation: False leaves the token representations out, `Z = H + L W_o`, likewise.
    """

    window: int = 8
    local_heads: int = 12
    pooling: Pooling = "mean"
    local: bool = True
    concatenation: bool = True
