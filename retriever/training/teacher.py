"""Learning from a larger span scorer: what it thinks likely, beside what is right.

A small model that is shown the whole distribution of a large one learns which other spans were nearly right, and how
sure one can be at all (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015). The teacher is
a span scorer like any other, over a larger encoder; it need only know the same pieces of words, under whatever numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retriever.config import Saved
from retriever.encoder.loading import load_reader_model
from retriever.encoder.model import SpanReader
from retriever.encoder.tokenizer import Tokenizer
from retriever.errors import SpanseekError

_FEWEST_KNOWN = 0.99
"""Share of the pupil's pieces of words that a teacher must know."""


@dataclass(frozen=True, slots=True)
class Distillation(Saved):
    """How a teacher is listened to.

    Attributes:
        weight: Of the teacher's distribution in the loss; the rest is what is right.
        temperature: What both models' scores are divided by: the higher, the more the unlikely counts.
    """

    weight: float = 0.7
    temperature: float = 2.0


class Teacher:
    """A trained span scorer that is asked for its scores.

    Args:
        model: In evaluation mode.
        pieces: `(V,)` integers: for each of the pupil's token ids, the teacher's.
        bfloat16: Whether products are computed in bfloat16.
    """

    def __init__(self, model: SpanReader, pieces: Tensor, *, bfloat16: bool) -> None:
        self._model = model.eval().requires_grad_(False)
        self._pieces = pieces
        self._bfloat16 = bfloat16

    @classmethod
    def load(cls, name: str, pupil: Tokenizer, device: torch.device, *, bfloat16: bool) -> Teacher:
        """A span scorer that `train reader` wrote.

        Args:
            name: Its folder.
            pupil: The tokenizer of the model that is to learn.
            device: Where it computes.
            bfloat16: Whether in bfloat16.

        Raises:
            EncoderError: There is none.
            SpanseekError: It cuts words into other pieces.
        """
        model, files, _ = load_reader_model(name)
        pieces = same_pieces(pupil, Tokenizer.from_folder(files.folder), name)
        return cls(model.to(device), pieces.to(device), bfloat16=bfloat16)

    def logits(self, token_ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """The pupil's `(B, T)` each -> the teacher's scores `(B, T, 2)`, minus infinity where no answer can be."""
        with torch.no_grad(), torch.autocast(token_ids.device.type, torch.bfloat16, enabled=self._bfloat16):
            logits: Tensor = self._model(self._pieces[token_ids], mask, segments)
        return logits


def same_pieces(pupil: Tokenizer, teacher: Tokenizer, name: str) -> Tensor:
    """For each of the pupil's token ids the teacher's, `(V,)`; what the teacher doesn't know is its padding.

    Args:
        pupil: A tokenizer.
        teacher: Another.
        name: The teacher's, for the error.

    Raises:
        SpanseekError: The teacher lacks too many of the pupil's pieces of words.
    """
    own, theirs = pupil.vocabulary(), teacher.vocabulary()
    pieces = torch.full((max(own.values()) + 1,), teacher.special.padding, dtype=torch.long)
    known = 0
    for piece, number in own.items():
        if piece in theirs:
            pieces[number] = theirs[piece]
            known += 1
    if known < _FEWEST_KNOWN * len(own):
        raise SpanseekError(
            f"the teacher at {name!r} cuts words into other pieces: it knows {known:,} of {len(own):,}; "
            "a teacher's tokenizer must be of the same words"
        )
    special = {
        pupil.special.before[0]: teacher.special.before[0],
        pupil.special.after[-1]: teacher.special.after[-1],
        pupil.special.padding: teacher.special.padding,
    }
    for number, other in special.items():
        pieces[number] = other
    return pieces


def divergence(pupil: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of the pupil's distributions from the teacher's, times the temperature squared.

    So scaled, its gradient is as large as that of a cross-entropy whatever the temperature (Hinton et al., section 2).

    Args:
        pupil: Scores `(B, T, 2)`, minus infinity where there can be no answer.
        teacher: Likewise, and infinite in the same places.
        temperature: What both are divided by.

    Returns:
        Summed over the batch, `()`; start and end halved.
    """
    possible = torch.isfinite(teacher)
    wanted = (teacher / temperature).log_softmax(dim=1)
    given = (pupil / temperature).log_softmax(dim=1)
    # minus infinity less minus infinity is no number, and times nought isn't either
    difference = torch.where(possible, wanted, 0) - torch.where(possible, given, 0)
    return (wanted.exp() * difference).sum() * temperature**2 / 2


def learning_loss(
    logits: Tensor, targets: Tensor, teacher: Tensor | None, distillation: Distillation
) -> Tensor:
    """Cross-entropy of start and end, halved, and what a teacher adds; summed over the batch.

    Args:
        logits: `(B, T, 2)`.
        targets: `(B, 2)`.
        teacher: Its `(B, T, 2)`; `None` without one.
        distillation: How it is weighed.
    """
    right = (
        sum(nn.functional.cross_entropy(logits[..., i], targets[:, i], reduction="sum") for i in (0, 1)) / 2
    )
    assert isinstance(right, Tensor)  # noqa: S101 - for the type checker
    if teacher is None:
        return right
    share = distillation.weight
    return (1 - share) * right + share * divergence(logits, teacher, distillation.temperature)
