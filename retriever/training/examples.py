"""Graded questions as token ids, with the answer's first and last token."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retriever.encoder.structure import spelled
from retriever.encoder.tokenizer import Tokenizer
from retriever.evaluation.questions import GradedQuestion

Ids = NDArray[np.int64]
HELD_BACK = 0.05
"""Share of the documents that is measured, not trained on."""
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s+")


@dataclass(frozen=True, slots=True)
class PassageTokens:
    """A passage's token ids `(T,)`, and the tokens that sentences begin with (the first is 0)."""

    text: str
    ids: Ids
    sentences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A question about a passage.

    Attributes:
        question: As it was asked.
        question_ids: `(Q,)`.
        title_ids: Of the document's title; `(0,)` where it has none.
        passage: Which passage, as a number in the set's list.
        span: First and last token of the answer; `None` where the passage doesn't answer.
        answers: Texts that would be right, for telling whether another passage holds one.
        group: What it shares with questions of the same document.
        held_back: Whether it is only measured, not trained on.
    """

    question: str
    question_ids: Ids
    title_ids: Ids
    passage: int
    span: tuple[int, int] | None
    answers: tuple[str, ...]
    group: str
    held_back: bool = False


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """Examples and the passages they are about, each passage once."""

    passages: list[PassageTokens]
    examples: list[Example]


def tokenize(
    questions: Sequence[GradedQuestion],
    tokenizer: Tokenizer,
    others: Sequence[str] = (),
    *,
    held_back: float = 0.0,
    apart: Sequence[str] = (),
) -> ExampleSet:
    """Graded questions as examples; a span that no token stands for is left out.

    Args:
        questions: What to learn from.
        tokenizer: The encoder's.
        others: Passages that no question is about, to be hard negatives.
        held_back: Share of the documents whose questions are marked as held back.
        apart: Titles of documents that are held back as well.
    """
    contexts = list(dict.fromkeys([*(question.context for question in questions), *others]))
    number = {context: i for i, context in enumerate(contexts)}
    passages: list[PassageTokens] = []
    places: list[list[tuple[int, int]]] = []
    read = tokenizer.encode([spelled(context) for context in contexts])
    for context, (ids, offsets) in zip(contexts, read, strict=True):
        starts = [start for start, _ in offsets]
        begins = [bisect_left(starts, match.end()) for match in _SENTENCE_END.finditer(context)]
        sentences = tuple(dict.fromkeys([0, *(begin for begin in begins if begin < len(ids))]))
        passages.append(PassageTokens(context, ids, sentences))
        places.append(offsets)
    question_ids = tokenizer.ids([question.question for question in questions])
    titles = list(dict.fromkeys(question.title for question in questions))
    title_ids = dict(zip(titles, tokenizer.ids(titles), strict=True))
    examples = []
    held = hold_back(questions, held_back, apart)
    for question, ids, is_held in zip(questions, question_ids, held, strict=True):
        passage = number[question.context]
        span = None
        if question.answers:
            answer = question.answers[0]
            span = tokens_of(places[passage], answer.start, answer.end)
            if span is None:
                continue
        examples.append(
            Example(
                question.question,
                ids,
                title_ids[question.title],
                passage,
                span,
                question.accepted,
                group_of(question),
                is_held,
            )
        )
    return ExampleSet(passages, examples)


def together(one: ExampleSet, other: ExampleSet) -> ExampleSet:
    """Both, the second's passages and examples after the first's."""
    moved = [replace(example, passage=example.passage + len(one.passages)) for example in other.examples]
    return ExampleSet([*one.passages, *other.passages], [*one.examples, *moved])


def hold_back(questions: Sequence[GradedQuestion], share: float, apart: Sequence[str] = ()) -> list[bool]:
    """Which questions are held back: about `share` of the documents, whole, and always the same ones.

    So are the documents whose titles are in `apart`. Where all are of one document, its passages are split instead.
    """
    by_title = len({group_of(question) for question in questions}) > 1
    names = [group_of(question) if by_title else question.context for question in questions]
    return [
        question.title in apart or int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < share * 16**8
        for question, name in zip(questions, names, strict=True)
    ]


def held_back_questions(
    questions: Sequence[GradedQuestion], apart: Sequence[str] = (), share: float = HELD_BACK
) -> list[GradedQuestion]:
    """Those that are measured, not trained on; see `hold_back`."""
    held = hold_back(questions, share, apart)
    return [question for question, is_held in zip(questions, held, strict=True) if is_held]


def group_of(question: GradedQuestion) -> str:
    """What it shares with the other questions about its document."""
    return question.document or question.title or question.context


def tokens_of(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """First and last token that lie in code points `start ... end - 1`, at least in part."""
    first = bisect_right(offsets, start, key=lambda offset: offset[1])
    last = bisect_left(offsets, end, key=lambda offset: offset[0]) - 1
    return (first, last) if first <= last else None
