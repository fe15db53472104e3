"""What vectors are trained for: a question's nearest passage is the one that answers it.

The loss is InfoNCE (van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018, equation
4): a softmax over cosines, in which a question's own passage competes with those of the other questions of its batch
and with a hard negative for each (Karpukhin et al., "Dense Passage Retrieval", 2020, section 3.2).

`N` questions, `M` passages, `C` dimensions of a vector.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from retriever.encoder.model import SpanEncoder
from retriever.training.examples import Example, Ids
from retriever.training.loop import TrainingConfig
from retriever.training.pairs import Contrast, Pair, PairBatches, Texts

_MOST_MEASURED = 2000
"""Of the held-back questions."""


def info_nce(
    questions: Tensor, passages: Tensor, asked: Tensor, offered: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of each question's own passage among all that are offered, summed over the questions.

    A passage that is offered twice must not count against itself: where another row of `passages` has the number of
    a question's own, that question doesn't see it.

    Args:
        questions: `(N, C)`, each of length 1.
        passages: `(M, C)`, likewise; the first `N` are the questions' own, in their order.
        asked: `(N,)` integers: which passage each question is about.
        offered: `(M,)` integers: which passage each row of `passages` is of.
        temperature: What cosines are divided by.

    Returns:
        `()`.
    """
    own = torch.arange(len(questions), device=questions.device)
    again = asked[:, None] == offered[None, :]  # (N, M)
    again[own, own] = False
    logits = (questions @ passages.T / temperature).masked_fill(again, float("-inf"))  # (N, M)
    return nn.functional.cross_entropy(logits, own, reduction="sum")


def drift(now: Tensor, before: Tensor) -> Tensor:
    """How far vectors have moved: the mean of 1 - cosine.

    Args:
        now: `(N, C)`, each of length 1.
        before: `(N, C)`, likewise.

    Returns:
        `()`.
    """
    return 1 - (now * before).sum(dim=1).mean()


class ContrastiveTask:
    """Batches and losses of the vectors.

    Args:
        model: What is trained, on its device.
        texts: Token ids of the examples.
        batches: Of each epoch.
        held_back: Examples that are only measured, over the passages that they are about.
        contrast: What a question is compared with.
        config: `batch_tokens`: of one forward pass; a batch of questions takes several.
        padding: The token id that fills rows.
        before: The backbone as it was, where it is trained and its vectors are to be kept.
        bfloat16: Whether products are computed in bfloat16; trained weights stay float32.
    """

    def __init__(
        self,
        model: SpanEncoder,
        texts: Texts,
        batches: PairBatches,
        held_back: Sequence[Example],
        contrast: Contrast,
        config: TrainingConfig,
        *,
        padding: int,
        before: SpanEncoder | None = None,
        bfloat16: bool,
    ) -> None:
        self._model = model
        self._texts = texts
        self._batches = batches
        self._contrast = contrast
        self._batch_tokens = config.batch_tokens
        self._padding = padding
        self._before = before
        self._bfloat16 = bfloat16
        self._device = next(model.parameters()).device
        self._learns_backbone = any(p.requires_grad for p in model.backbone.parameters())
        self._planned: tuple[int, list[list[Pair]]] = (-1, [])
        passages = list(dict.fromkeys(example.passage for example in held_back))
        number = {passage: i for i, passage in enumerate(passages)}
        asked = _sample([example for example in held_back if example.span is not None])
        self._held_questions = [texts.question(example) for example in asked]
        self._held_passages = [texts.passage(passage) for passage in passages]
        self._held_own = torch.tensor([number[example.passage] for example in asked], dtype=torch.long)

    def batches(self, epoch: int) -> Sequence[list[Pair]]:
        if self._planned[0] != epoch:
            self._planned = epoch, self._batches.batches(epoch)
        return self._planned[1]

    def accumulate(self, batch: list[Pair]) -> tuple[Tensor, int]:
        """InfoNCE, and what keeps vectors near the backbone's own; its gradient is added up."""
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), len(batch)

    def loss(self, batch: Sequence[Pair]) -> Tensor:
        """Summed over the batch's questions, `()`."""
        examples = [self._batches.examples[pair.example] for pair in batch]
        excerpts = [pair.own for pair in batch] + [pair.hard for pair in batch if pair.hard is not None]
        rows = [self._texts.question(example) for example in examples]
        rows += [self._texts.excerpt(excerpt) for excerpt in excerpts]
        kept = self._contrast.keep > 0
        now, before = self.embed(rows, before=kept)  # (N + M, C)
        numbers = torch.tensor([excerpt.passage for excerpt in excerpts], device=self._device)
        count = len(batch)
        loss = info_nce(now[:count], now[count:], numbers[:count], numbers, self._contrast.temperature)
        if kept:
            loss = loss + self._contrast.keep * count * drift(now, before)
        return loss

    def evaluate(self) -> dict[str, float]:
        """How often a held-back question's own passage is the nearest of all held-back ones, and the loss there."""
        with torch.inference_mode():
            questions, _ = self.embed(self._held_questions)
            passages, _ = self.embed(self._held_passages)
            logits = (questions @ passages.T / self._contrast.temperature).cpu()  # (N, M)
            loss = float(nn.functional.cross_entropy(logits, self._held_own))
            recall = float((logits.argmax(dim=1) == self._held_own).float().mean())
        return {"score": recall - 1e-4 * loss, "recall@1": recall, "loss": loss}

    def embed(self, rows: Sequence[Ids], *, before: bool = False) -> tuple[Tensor, Tensor]:
        """Vectors of token ids, in their order.

        Args:
            rows: Special tokens included.
            before: Whether the backbone's own vectors are wanted, too: of before the training, without a gradient.

        Returns:
            `(N, C)` float32, and the backbone's `(N, C)`; `(0, C)` if they aren't wanted.
        """
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
        now: list[Tensor] = []
        then: list[Tensor] = []
        for part in _parts(order, [len(row) for row in rows], self._batch_tokens):
            ids, mask = self._padded([rows[i] for i in part])  # (B, T)
            spans, contextual = self._forward(ids, mask)  # (B, T, C)
            now.append(self._model.pool(spans, mask))  # (B, C)
            if before:
                with torch.no_grad():
                    if self._before is not None:
                        contextual = self._before(ids, mask, span_layer=False)
                    then.append(self._model.pool(contextual, mask))
        back = torch.empty(len(rows), dtype=torch.long, device=self._device)
        back[order] = torch.arange(len(rows), device=self._device)
        vectors = torch.cat(now)[back]
        return vectors, torch.cat(then)[back] if before else vectors[:0].detach()

    def _forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`Z` and `H`, both `(B, T, C)`."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            with nullcontext() if self._learns_backbone else torch.no_grad():
                contextual, tokens = self._model.contextualise(ids, mask)
            return self._model.add_span_layer(contextual, tokens, mask), contextual

    def _padded(self, rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
        """Token ids and mask, both `(B, T)`."""
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), self._padding, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.bool_)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = True
        return torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device)


def _parts(order: Sequence[int], lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Rows that go through the model at once: longest first, at most so many tokens, padding counted."""
    part: list[int] = []
    for i in order:
        if part and lengths[part[0]] * (len(part) + 1) > most_tokens:
            yield part
            part = []
        part.append(i)
    if part:
        yield part


def _sample(examples: Sequence[Example]) -> list[Example]:
    rng = random.Random(0)  # noqa: S311 - nothing secret
    return rng.sample(list(examples), min(_MOST_MEASURED, len(examples)))
