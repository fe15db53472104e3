"""Where the time of one question goes, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

from retriever.types import Timings

Stage = Literal["load", "encode", "dense", "lexical", "fetch", "read", "rank"]


class Stopwatch:
    """Runs from when it is made; one for each question, not shared by threads. A stage costs a microsecond."""

    def __init__(self) -> None:
        self._begun = perf_counter()
        self._spent: dict[Stage, float] = {}

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """What is done meanwhile is counted for a stage; stages don't lie within each other."""
        begun = perf_counter()
        try:
            yield
        finally:
            self._spent[name] = self._spent.get(name, 0.0) + perf_counter() - begun

    def timings(self) -> Timings:
        """All stages until now."""
        spent = {str(name): 1000 * seconds for name, seconds in self._spent.items()}
        return Timings(**spent, total=1000 * (perf_counter() - self._begun))
