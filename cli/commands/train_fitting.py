"""What is fitted to a span scorer after its training: how readily there is no answer, and its confidences."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli.commands.train_corpus import in_folder, index_passages
from cli.terminal import notice
from retriever.errors import SpanseekError

if TYPE_CHECKING:
    from retriever import Retriever
    from retriever.evaluation import GradedQuestion
    from retriever.training.confidence import Asked

_COLLECTION = 100
"""Passages that are a collection by themselves."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """What is fitted to.

    Attributes:
        questions: All of them: `held_back` and `apart` say which are taken.
        others: Passages that no question is about.
        index_dir: Of the documents that questions of one's own are about.
        by_folder: Each of those is asked of its document's folder alone.
        encoder: Of the index that the other questions' passages are put into.
        corpus: Where that is made.
        held_back: Share of the documents that nothing was learned from.
        apart: Titles of documents that are held back as well.
    """

    questions: Sequence[GradedQuestion]
    others: Sequence[str]
    index_dir: Path | None
    by_folder: bool
    encoder: str
    corpus: Path
    held_back: float
    apart: Sequence[str] = ()

    def held(self) -> list[GradedQuestion]:
        """The held-back questions."""
        from retriever.training.examples import held_back_questions

        return held_back_questions(self.questions, self.apart, self.held_back)


def fit_refusal_of(reader: Path, fitting: Fitting) -> None:
    """Reads held-back questions in their own passages, and writes how readily there is no answer."""
    from retriever.encoder.span_scorer import SpanScorer
    from retriever.training.refusal import FEWEST, add_refusal, fit_refusal

    held = fitting.held()
    without = [question for question in held if not question.answers]
    if min(len(without), len(held) - len(without)) < FEWEST:
        return  # it stays as it was: there is nothing to learn it from, as is usual with questions of one's own
    scorer = SpanScorer.load(str(reader))

    def read_many(some: Sequence[GradedQuestion]) -> list[tuple[str, float]]:
        readings = scorer.read_many([(question.question, question.context, "") for question in some])
        # what it adds so far is taken off here, not from its file: a kill in between loses nothing
        return [(reading.text, reading.margin + scorer.no_answer) for reading in readings]

    chosen = drawn([question for question in held if question.answers], 5 * len(without)) + without
    no_answer = fit_refusal(chosen, read_many)
    add_refusal(reader, no_answer)
    report(f"no answer: {no_answer:+.2f}, from {len(chosen):,} held-back questions")


def fit_confidence_of(reader: Path, fitting: Fitting, most: int) -> None:
    """Asks held-back questions, and writes what makes confidences of what is found.

    Questions of one's own are asked of the index of one's documents, or of their folder in it. Of the others, a third
    is asked of the passages that they are about alone, where these are a collection by themselves: what a score says
    differs between a large one and a small one, and most people's is small.

    Args:
        reader: The span scorer's folder.
        fitting: With what.
        most: At most so many questions are asked.
    """
    from retriever import RerankConfig, Retriever
    from retriever.confidence import CONFIDENCE
    from retriever.training.confidence import ask_all, fit

    held = fitting.held()
    other = [question for question in held if not question.document]
    own = drawn([question for question in held if question.document], most // 2 if other else most)
    other = drawn(other, most - len(own))
    asked: list[Asked] = []
    statements: list[Asked] = []

    def progress(done: int, total: int) -> None:
        if done % 100 == 0:
            report(f"confidence: {done:,} of {total:,} held-back questions asked")

    contexts = list(
        dict.fromkeys(
            [*(question.context for question in fitting.questions if not question.document), *fitting.others]
        )
    )
    few = list(dict.fromkeys(question.context for question in other))
    part = len(other) // 3 if len(few) >= _COLLECTION else 0
    parts = (
        (contexts, fitting.corpus, other[part:]),
        (few, fitting.corpus.with_name("few.index"), other[:part]),
    )
    rerank = RerankConfig(reader=str(reader))
    for seed, (passages, root, questions) in enumerate(parts):
        if questions:
            index_passages(passages, root, fitting.encoder)
            documents = {context: str(i) for i, context in enumerate(passages)}
            with Retriever.open(root, rerank=rerank) as retriever:
                brought = ask_all(questions, documents, retriever.evidence, seed=seed, progress=progress)
            asked += brought[0]
            statements += brought[1]
    if own and fitting.index_dir is not None:
        with Retriever.open(fitting.index_dir, rerank=rerank) as retriever:
            brought = ask_own(own, retriever, by_folder=fitting.by_folder)
        asked += brought[0]
        statements += brought[1]
    try:
        # asked of one's own documents alone, they are of the kind that confidences are for
        model = fit(asked, statements, unfamiliar=bool(other))
    except SpanseekError as error:
        notice(f"confidences are not fitted: {error}")
        return
    (reader / CONFIDENCE).write_text(model.to_json() + "\n", encoding="utf-8")


def ask_own(
    questions: Sequence[GradedQuestion], retriever: Retriever, *, by_folder: bool
) -> tuple[list[Asked], list[Asked]]:
    """Asks questions about an index's own documents; one that has no answer once, though it was read in several."""
    from retriever.training.confidence import ask_all

    asked: list[Asked] = []
    statements: list[Asked] = []
    once = {(question.question, question.document): question for question in questions}
    for number, question in enumerate(once.values()):
        where = in_folder(question.document) if by_folder else []
        brought = ask_all(
            [question],
            {question.context: question.document},
            partial(retriever.evidence, where=where),
            seed=number,
        )
        asked += brought[0]
        statements += brought[1]
        if (number + 1) % 100 == 0:
            report(f"confidence: {number + 1:,} of {len(once):,} held-back questions of your own asked")
    return asked, statements


def keep_confidence(start: str, out: Path) -> None:
    """Where none were fitted: the confidences of what was gone on from, which fit better than none."""
    from retriever.confidence import CONFIDENCE
    from retriever.encoder.reader_files import read_reader

    if start != "none" and not (out / CONFIDENCE).exists():
        known = read_reader(start).folder / CONFIDENCE
        if known.is_file():
            shutil.copyfile(known, out / CONFIDENCE)
            notice(f"confidences are those of {start!r}")


def drawn(questions: Sequence[GradedQuestion], most: int) -> list[GradedQuestion]:
    """At most so many, always the same ones."""
    import random

    return random.Random(0).sample(questions, min(most, len(questions)))  # noqa: S311 - nothing secret


def report(line: str) -> None:
    """A line with the time."""
    notice(f"{time.strftime('%H:%M:%S')}  {line}")
