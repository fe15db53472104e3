"""Is a predicted text the right one? Exact match and F1, as SQuAD's own scripts count them.

torchmetrics does the counting (Rajpurkar et al., "SQuAD", EMNLP 2016): lower case, without ASCII punctuation, without
a, an, the, white space collapsed, F1 over the words that remain, the best of all accepted texts. It has no notion of
'no answer', which is what is added here (Rajpurkar, Jia, Liang, "Know What You Don't Know", ACL 2018): '' is right
where nothing is accepted, and only there. That the official script takes 'the' for '' as well is not followed: three
accepted texts of SQuAD's dev set are a lone full stop, and no answer would be right for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retriever.errors import SpanseekError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class SpanScore:
    """Of one prediction, both from 0 to 1; `exact` is one or the other."""

    exact: float
    f1: float


def score_span(prediction: str, accepted: Sequence[str]) -> SpanScore:
    """Compares a predicted text with those that count as right, and takes the best of each measure.

    Args:
        prediction: A text, or '' for no answer.
        accepted: Texts that are right; none if the right thing is not to answer.

    Raises:
        SpanseekError: torchmetrics isn't installed.

    >>> score_span("The red cat!", ["a cat", "red cat"])
    SpanScore(exact=1.0, f1=1.0)
    >>> score_span("red dog", ["blue dog", "the cat"])
    SpanScore(exact=0.0, f1=0.5)
    >>> score_span("", [])
    SpanScore(exact=1.0, f1=1.0)
    """
    if not prediction or not accepted:
        right = float(not prediction and not accepted)
        return SpanScore(right, right)
    scores = import_squad()(
        [{"prediction_text": prediction, "id": ""}],
        [{"answers": {"text": list(accepted), "answer_start": [0] * len(accepted)}, "id": ""}],
    )
    return SpanScore(float(scores["exact_match"]) / 100, float(scores["f1"]) / 100)


def import_squad() -> Callable[..., dict[str, Any]]:
    """The metric; called before long work, so that a missing package is told before it and not after.

    Raises:
        SpanseekError: torchmetrics isn't installed.
    """
    try:
        from torchmetrics.functional.text import squad
    except ImportError as error:
        raise SpanseekError(
            "scoring answers needs the package torchmetrics: pip install 'spanseek[eval]'"
        ) from error
    return squad
