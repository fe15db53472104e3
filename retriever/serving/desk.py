"""Where questions are answered: the index opened with its models, and two lanes to them.

Passages alone take milliseconds, answers a second. So each has a lane: who only looks doesn't wait for who reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from retriever.followed import FollowedIndex
from retriever.serving.batching import Lane, QuestionVectors
from retriever.serving.metrics import Metrics
from retriever.serving.pictures import Pictures
from retriever.serving.settings import ServingConfig
from retriever.store.catalogue import Catalogue
from retriever.types import Hit, Response, Scores

if TYPE_CHECKING:
    from retriever.api import Retriever
    from retriever.config import RerankConfig
    from retriever.encoder import SpanScorer, TextEncoder

Shade = list[tuple[int, int, float]]
_FAINT = 0.005
"""A word that is less likely than this to be part of the answer isn't named."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and how it shall be answered; see `Retriever.respond`."""

    question: str
    k: int
    where: tuple[str, ...] = ()
    answers: int = 3
    min_confidence: float | None = None
    rerank: bool = True
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a question brought; shades of the answers' passages and of the hits, if they were asked for."""

    response: Response
    answer_shades: Sequence[Shade] = ()
    hit_shades: Sequence[Shade] = ()


class Desk:
    """An index with all that answering needs. Safe to share by threads.

    Args:
        index: What is asked; its encoder remembers the vectors of questions.
        root: The index folder.
        config: How much is allowed.
    """

    def __init__(self, index: FollowedIndex, root: Path, config: ServingConfig) -> None:
        self.root = root
        self.config = config
        self.index = index
        self.catalogue = Catalogue(root)
        self.pictures = Pictures(self.catalogue, config.picture_seconds)
        self.metrics = Metrics(
            self.catalogue.counts, lambda: {"search": self._search.waiting, "ask": self._ask.waiting}
        )
        with index.using() as retriever:
            side_by_side = retriever.scorer.computes.side_by_side
        # after what may fail: a lane is a thread
        self._search = self._lane("search", self._look_ahead, 1)
        self._ask = self._lane("ask", self._embed, side_by_side)

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        config: ServingConfig | None = None,
        rerank: RerankConfig | None = None,
        encoder: TextEncoder | None = None,
        scorer: SpanScorer | None = None,
    ) -> Self:
        """Opens an index and loads its models.

        Args:
            root: The index folder.
            config: How much is allowed.
            rerank: How candidates are read.
            encoder: As for `Retriever.open`.
            scorer: As for `Retriever.open`.

        Raises:
            SpanseekError: As `Retriever.open` and its models do.
        """
        index = FollowedIndex(root, rerank, encoder=encoder, scorer=scorer, adapted=_remembering)
        try:
            return cls(index, root, config or ServingConfig())
        except BaseException:
            index.close()
            raise

    def close(self) -> None:
        """Answers what waits, and closes the index."""
        for lane in (self._search, self._ask):
            lane.close()
        self.index.close()

    async def ask(self, asked: Asked) -> Told:
        """What a question brings.

        Raises:
            QueueFullError: It would wait too long.
            SpanseekError: As `Retriever.respond` does.
        """
        return await (self._ask if asked.rerank else self._search).ask(asked)

    def _lane(
        self, name: str, prepare: Callable[[Sequence[Asked]], None], side_by_side: int
    ) -> Lane[Asked, Told]:
        config = self.config
        return Lane(
            name,
            prepare,
            self._answer,
            most_waiting=config.most_waiting,
            most_together=config.most_together,
            patience=config.timeout,
            side_by_side=side_by_side,
            observe=partial(self.metrics.together, name),
        )

    def _embed(self, batch: Sequence[Asked]) -> None:
        """In one pass; the retriever then finds the vectors known."""
        with self.index.using() as retriever:
            retriever.encoder.encode_questions([asked.question for asked in batch])

    def _look_ahead(self, batch: Sequence[Asked]) -> None:
        """Their vectors in one pass, and what is near them in another."""
        with self.index.using() as retriever:
            retriever.prepare([asked.question for asked in batch])

    def _answer(self, asked: Asked, embedding: float) -> Told:
        with self.index.using() as retriever:
            return self._told(retriever, asked, embedding)

    def _told(self, retriever: Retriever, asked: Asked, embedding: float) -> Told:
        response = retriever.respond(
            asked.question,
            asked.k,
            where=asked.where,
            answers=asked.answers,
            min_confidence=asked.min_confidence,
            rerank=asked.rerank,
        )
        response = _with_embedding(response, 1000 * embedding)
        if asked.rerank:
            self.metrics.answered(bool(response.answers))
        if not asked.explain:
            return Told(response)
        passages = [
            Hit(
                answer.rank, answer.confidence, answer.document_id, answer.path, answer.title, answer.headings,
                answer.page, answer.line, answer.passage.start, answer.passage.end, answer.passage.text, Scores(0.0),
            )
            for answer in response.answers
        ]  # fmt: skip
        shades = retriever.shades(asked.question, [*passages, *response.hits])
        visible = [[shade for shade in words if shade[2] >= _FAINT] for words in shades]
        return Told(response, visible[: len(passages)], visible[len(passages) :])


def _with_embedding(response: Response, ms: float) -> Response:
    """With the time that its question's vector took, which was known already when the retriever asked for it."""
    spent = response.timings
    return replace(response, timings=replace(spent, encode=spent.encode + ms, total=spent.total + ms))


def _remembering(encoder: TextEncoder) -> TextEncoder:
    return cast("TextEncoder", QuestionVectors(encoder))  # it does all that a retriever asks of an encoder
