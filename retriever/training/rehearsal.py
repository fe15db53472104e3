"""What a span scorer could do before, read again beside what it is to learn.

A network that learns from other texts alone forgets the first ones. Against that some of them are read again
(Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", 1995), and there the span scorer as it was before is
the teacher: what it thought likely is to stay so (Li and Hoiem, "Learning without Forgetting", 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from retriever.evaluation.questions import GradedQuestion
from retriever.training.batches import Item
from retriever.training.negatives import SearchMany


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What is read again.

    Attributes:
        questions: With their passages.
        search: Given passages, a search over them, for hard negatives; `None`: without.
    """

    questions: Sequence[GradedQuestion]
    search: Callable[[Sequence[str]], SearchMany] | None = None


class Items(Protocol):
    """Makes the items of each epoch."""

    def items(self, epoch: int) -> list[Item]:
        """All items of one epoch, in no particular order."""


class WithRehearsal:
    """What is to be learned, and what is read again beside it.

    Args:
        learned: Makes the items of the former.
        again: Of the latter.
    """

    def __init__(self, learned: Items, again: Items) -> None:
        self._learned = learned
        self._again = again

    def items(self, epoch: int) -> list[Item]:
        """All items of one epoch, in no particular order."""
        again = [replace(item, rehearsed=True) for item in self._again.items(epoch)]
        return self._learned.items(epoch) + again
