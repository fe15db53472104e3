"""What the span scorer reads: `[question ; what stands over the passage ; passage]` in windows of tokens.

    [CLS] question [SEP] (title > headings [SEP]) passage [SEP]
      0      0       0            0          0       1      1      segments

Only the passage's tokens can be an answer, and the first token for 'no answer'. A passage that is longer than a
window has room is read in several that overlap (Devlin et al., "BERT", 2019, appendix A.5 for the layout).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retriever.config import Saved

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReadingConfig(Saved):
    """Sizes, in tokens.

    Attributes:
        max_length: A window, all in all.
        stride: How far the next window of the same passage begins after the last; less than its room for the passage.
        question_tokens: A longer question is read up to here.
        context_tokens: Title and headings are read up to here.
    """

    max_length: int = 384
    stride: int = 128
    question_tokens: int = 64
    context_tokens: int = 32


@dataclass(frozen=True, slots=True)
class Window:
    """A pass over a passage or a part of it.

    Attributes:
        ids: `(T,)`, special tokens included.
        begin: Where in `ids` the passage's tokens begin; they end before the last token, which is special.
        first: Which of the passage's tokens is at `begin`.
    """

    ids: Ids
    begin: int
    first: int

    @property
    def segments(self) -> Ids:
        """`(T,)`: 1 from the passage on."""
        return (np.arange(len(self.ids)) >= self.begin).astype(np.int64)


class PairLayout:
    """Puts token ids of question, context and passage together.

    Args:
        start: The token that stands first, and for 'no answer'.
        separator: The token that stands after each part.
        config: Sizes.
    """

    def __init__(self, start: int, separator: int, config: ReadingConfig) -> None:
        self.config = config
        self._start = start
        self._separator = separator

    def windows(self, question: Ids, context: Ids, passage: Ids) -> list[Window]:
        """All windows of a passage, in order; every token of it is in at least one."""
        head = self._head(question, context)
        room = max(16, self.config.max_length - len(head) - 1)
        firsts = [0]
        while firsts[-1] + room < len(passage):
            firsts.append(min(firsts[-1] + min(self.config.stride, room), len(passage) - room))
        return [self.window(head, passage[first : first + room], first) for first in firsts]

    def crop(self, question: Ids, context: Ids, passage: Ids, first: int, last: int) -> Window:
        """One window of the passage's tokens `first ... last - 1`, cut at the window's room."""
        head = self._head(question, context)
        room = max(16, self.config.max_length - len(head) - 1)
        return self.window(head, passage[first : min(last, first + room)], first)

    def window(self, head: Ids, part: Ids, first: int) -> Window:
        """`[head ; part ; separator]`."""
        return Window(np.concatenate([head, part, [self._separator]]).astype(np.int64), len(head), first)

    def _head(self, question: Ids, context: Ids) -> Ids:
        question = question[: self.config.question_tokens]
        context = context[: self.config.context_tokens]
        parts: list[Sequence[int] | Ids] = [[self._start], question, [self._separator]]
        if len(context):
            parts += [context, [self._separator]]
        return np.concatenate(parts).astype(np.int64)
