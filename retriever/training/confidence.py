"""Fits what an answer's confidence is computed with, and how much reading may reorder passages.

The questions are held-back ones: the span scorer, which is very sure of what it was trained on, has not seen them.
Each is asked of an index as a user would. A part of them is asked as if the passages that answer weren't there, so
that the model also meets questions to which the honest answer is none.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.confidence import CLIP, FEATURES, OF_QUERIES, OF_RETRIEVAL, ConfidenceModel, Features
from retriever.errors import SpanseekError
from retriever.evaluation.questions import GradedQuestion
from retriever.evaluation.spans import score_span
from retriever.rerank import Evidence, distinct, features
from retriever.training.keywords import as_keywords, as_statement, as_typed
from retriever.training.refusal import FEWEST

RIGHT = 0.6
"""F1 from which a span counts as right. Training sets have the span of one annotator; others who were asked the same
often chose a word more or less, and sets with several annotators accept each one's."""
UNANSWERABLE = 0.08
"""What a question without an answer counts when probabilities are fitted. A third of the questions is asked a second
time that way: so they make a fortieth of all. How many they are among a user's questions, nobody knows: a probability
is told for questions that the documents mostly answer, and what is refused is the threshold's affair."""
REFUSED = 0.875
"""Share of the held-back questions without an answer to which none is given."""
UNFAMILIAR = 0.67
"""What the log-odds of a first answer are multiplied by, after the fit, so that confidences hold on documents of a kind
that gave no evidence, as a user's nearly always are. Of a kind that was left out, the slope that would have been right
was 0.84 to 1.05 of what was fitted to the others; of SQuAD dev and Natural Questions, which nothing was fitted to, 0.87
and 0.53 (data/EXPERIMENTS.md): this lies between those."""
UNFAMILIAR_READING = 0.65
"""What reading is worth then against retrieval when answers are put in order. The span scorer was trained on the kinds
of documents that give evidence, and is surer of the right answer there than elsewhere; how retrieval ranks a passage
says as much elsewhere (data/EXPERIMENTS.md)."""
_GATE = 0.67
"""The best answer's confidence from which reading is trusted to reorder. It isn't fitted: training questions would have
it at 0.5, but they are all questions that some passage answers, and from there sets of long descriptions and of titles
lose (data/EXPERIMENTS.md)."""
_TOP_MARKED = 0.15
_TOP_UNMARKED = 0.76
"""Confidence from which the best answer's passage comes first, with and without a question mark. Not fitted either, and
for the same reason: of training questions, marked or not, the passage would best come first always."""
_LOSS = 0.001
"""Mean reciprocal rank that statements may lose."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question's evidence, and what of it is right.

    Attributes:
        features: `(N, len(FEATURES))`, of its spans, without overlaps.
        right: `(N,)`, whether each span's text is an accepted answer, or nearly.
        fused: `(P,)`, of each passage that was read.
        margins: `(P,)`, of each one's best span.
        gold: `(P,)`, whether it is the passage that the question is about.
        answerable: Whether the passages that answer were left among the candidates.
    """

    features: Features
    right: NDArray[np.bool_]
    fused: Features
    margins: Features
    gold: NDArray[np.bool_]
    answerable: bool


def ask(
    question: GradedQuestion, evidence: Sequence[Evidence], *, gold: str, answerable: bool = True
) -> Asked:
    """What one question brought.

    Args:
        question: With its accepted answers.
        evidence: From all candidates that were read.
        gold: Id of the document that the question is about.
        answerable: False takes out every passage in which an accepted answer stands.
    """
    if not answerable:
        accepted = [answer.casefold() for answer in question.accepted]
        evidence = [item for item in evidence if not any(a in item.passage.text.casefold() for a in accepted)]
    spans = distinct(evidence)
    best: dict[tuple[int, ...], Evidence] = {}
    for item in evidence:
        known = best.get(item.candidate.chunks)
        if known is None or item.margin > known.margin:
            best[item.candidate.chunks] = item
    right = [answerable and score_span(item.text, question.accepted).f1 >= RIGHT for item in spans]
    return Asked(
        features=features(spans),
        right=np.array(right, dtype=np.bool_),
        fused=np.array([item.candidate.scores.fused for item in best.values()]),
        margins=np.array([item.margin for item in best.values()]),
        gold=np.array([item.passage.document_id == gold for item in best.values()], dtype=np.bool_),
        answerable=answerable,
    )


def ask_all(
    questions: Sequence[GradedQuestion],
    documents: Mapping[str, str],
    find: Callable[[str], Sequence[Evidence]],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Asked], list[Asked]]:
    """Asks questions of an index, some in keywords too, and some as statements of their answer.

    Half of them are typed in a hurry, without capitals and question mark, so that a missing mark isn't taken for a sign
    of keywords, which are answered less often. A third is looked at a second time as if no passage answered; a fourth
    is asked in keywords as well, and of the others a third is put as a statement, which asks nothing.

    Args:
        questions: Held-back ones.
        documents: Of each question's context, the id of its document in the index.
        find: Asks the index; `Retriever.evidence`.
        seed: What is asked a second time is drawn from it.
        progress: Called with the questions asked, and their number.

    Returns:
        What questions and keywords brought, and what statements did.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    asked: list[Asked] = []
    statements: list[Asked] = []

    def look(question: GradedQuestion, evidence: Sequence[Evidence]) -> None:
        answerable = bool(question.answers)
        gold = documents[question.context]
        asked.append(ask(question, evidence, gold=gold, answerable=answerable))
        if answerable and rng.random() < 1 / 3:
            asked.append(ask(question, evidence, gold=gold, answerable=False))

    for done, question in enumerate(questions, start=1):
        look(question, find(as_typed(question.question) if rng.random() < 1 / 2 else question.question))
        words = as_keywords(question.question, rng) if rng.random() < 1 / 4 else None
        if words is not None:
            look(question, find(words))
        elif question.answers and rng.random() < 1 / 3:
            statement = as_statement(question.question, question.accepted[0])
            if statement is not None:
                statements.append(ask(question, find(statement), gold=documents[question.context]))
        if progress is not None:
            progress(done, len(questions))
    return asked, statements


def fit(
    asked: Sequence[Asked], statements: Sequence[Asked] = (), *, unfamiliar: bool = True
) -> ConfidenceModel:
    """The model that fits best.

    Which span to put first is learned by comparing each question's own: a softmax over its spans (McFadden,
    "Conditional logit analysis of qualitative choice behavior", 1974; `ListNet`, Cao et al., 2007, ranks so). One
    logistic regression over all spans of all questions would learn as much from how questions differ, and less from
    how a question's passages do. A logistic regression over all spans then makes probabilities of that order, and
    another over first spans alone says how likely those are right: to be the best of many says something of its own.
    An answer is given where it is likelier right than wrong, and, if there are `FEWEST` questions without one, so
    likely that `REFUSED` of these get none. For documents of other kinds reading counts less (`UNFAMILIAR_READING`,
    `UNFAMILIAR`).

    Args:
        asked: Questions, and keywords that stand for one.
        statements: Queries that ask nothing: the order of their passages may not lose by reading.
        unfamiliar: Whether documents will be of kinds that gave none of this evidence.

    Raises:
        SpanseekError: A package that it needs is not installed, or the questions are too few.
    """
    needed_to_fit()
    regression = _logistic_regression()
    useful = [one for one in asked if len(one.right)]
    if sum(int(one.right.any()) for one in useful) < 20:
        raise SpanseekError("fewer than 20 held-back questions were answered: give more data")
    weights = np.array([1.0 if one.answerable else UNANSWERABLE for one in useful])
    x = np.concatenate([one.features for one in useful])
    y = np.concatenate([one.right for one in useful])
    if y.all():
        raise _one_sided()
    order = _fit_choice(useful)
    if unfamiliar:
        order[~np.isin(FEATURES, OF_RETRIEVAL)] *= UNFAMILIAR_READING
    # What all spans of a question have alike doesn't order them, but says how likely they are.
    alike = np.isin(FEATURES, OF_QUERIES)
    columns = np.column_stack([x @ order, x[:, alike]])
    spans = regression().fit(columns, y, sample_weight=np.repeat(weights, [len(one.right) for one in useful]))
    likely = max(float(spans.coef_[0, 0]), 0.0) * order
    likely[alike] = spans.coef_[0, 1:]
    first = [int((one.features @ order).argmax()) for one in useful]
    firsts = np.array([one.features[i] for one, i in zip(useful, first, strict=True)])
    truths = np.array([one.right[i] for one, i in zip(useful, first, strict=True)])
    if truths.all() or not truths.any():
        raise _one_sided()
    best = regression().fit(firsts, truths, sample_weight=weights)
    first_weights = best.coef_[0] * (UNFAMILIAR if unfamiliar else 1.0)
    first_bias = _intercept(firsts @ first_weights, truths, weights)
    model = ConfidenceModel(
        weights=_named(likely),
        bias=float(spans.intercept_[0]),
        first_weights=_named(first_weights),
        first_bias=first_bias,
    )
    unanswerable = [model.rank(one.features)[0][1] for one in useful if not one.answerable]
    if len(unanswerable) >= FEWEST:
        model = replace(model, threshold=max(0.5, float(np.quantile(unanswerable, REFUSED))))
    return _fit_order(model, [one for one in useful if one.answerable], statements)


def needed_to_fit() -> None:
    """Called before long work, so that a missing package is told before it and not after.

    Raises:
        SpanseekError: Something of the extra `train` isn't installed.
    """
    for package, name in (("sklearn", "scikit-learn"), ("scipy", "scipy"), ("torchmetrics", "torchmetrics")):
        if find_spec(package) is None:
            raise SpanseekError(f"training needs the package {name}: pip install 'spanseek[train]'")


def _fit_choice(asked: Sequence[Asked]) -> Features:
    """Weights by which a question's right spans stand before its others, `(len(FEATURES),)`.

    They make `sum log P(right)` greatest, where `P` is a softmax over a question's spans, less half the squares of the
    weights of features that are scaled to a deviation of one.
    """
    from scipy.optimize import minimize

    choices = [one for one in asked if one.right.any() and not one.right.all()]
    if not choices:
        raise _one_sided()
    scale = np.concatenate([one.features for one in choices]).std(axis=0)
    scale[scale == 0] = 1.0
    spans = [one.features / scale for one in choices]

    def loss(weights: Features) -> tuple[float, Features]:
        value, gradient = float(weights @ weights) / 2, weights.copy()
        for x, one in zip(spans, choices, strict=True):
            logits = x @ weights
            powers = np.exp(logits - logits.max())
            of_right = powers * one.right
            value -= float(np.log(of_right.sum() / powers.sum()))
            gradient += x.T @ (powers / powers.sum() - of_right / of_right.sum())
        return value, gradient

    found: Features = minimize(loss, np.zeros(len(FEATURES)), jac=True, method="L-BFGS-B").x
    # what is the same for all of a question's spans has no part in it, but for rounding
    found[np.isin(FEATURES, OF_QUERIES)] = 0.0
    weights: Features = found / scale
    return weights


def _intercept(logits: Features, right: NDArray[np.bool_], weights: Features) -> float:
    """What makes the mean of probabilities the share that is right, if it is added to their log-odds."""
    from scipy.optimize import brentq

    def surplus(bias: float) -> float:
        return float(weights @ (1.0 / (1.0 + np.exp(-np.clip(logits + bias, -CLIP, CLIP))) - right))

    return float(brentq(surplus, -CLIP - logits.max(), CLIP - logits.min()))


def _one_sided() -> SpanseekError:
    return SpanseekError("the held-back questions were all answered right, or all wrong: give more data")


def _named(weights: Features) -> dict[str, float]:
    return dict(zip(FEATURES, map(float, weights), strict=True))


def _fit_order(
    model: ConfidenceModel, asked: Sequence[Asked], statements: Sequence[Asked]
) -> ConfidenceModel:
    """Weight, bias and slope of a passage's gain with the best mean reciprocal rank of the gold passage.

    They are chosen among those by which statements lose no more than `_LOSS`; if none is, nothing is reordered.
    """
    with_gold, others = (
        [(one, model.rank(one.features)[0][1]) for one in queries if one.gold.any()]
        for queries in (asked, statements)
    )
    model = replace(model, gate=_GATE, top_marked=_TOP_MARKED, top_unmarked=_TOP_UNMARKED)
    if not with_gold:
        return model
    untouched = replace(model, passage_weight=0.0)
    unread = _mean_rank(untouched, others)
    best, best_score = untouched, -1.0
    # Weights are bounded, no bias is above zero and no slope small, so that a passage that doesn't seem to answer gains
    # little; else hardly any reading could stop early, for fear of the next one.
    grid = itertools.product((0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0), (0.5, 1.0), (-4.0, -2.0, 0.0))
    for weight, slope, bias in grid:
        tried = replace(model, passage_weight=weight, passage_bias=bias, passage_slope=slope)
        score = _mean_rank(tried, with_gold)
        if score > best_score + 1e-4 and _mean_rank(tried, others) >= unread - _LOSS:
            best, best_score = tried, score
    return best


def _mean_rank(model: ConfidenceModel, asked: Sequence[tuple[Asked, float]]) -> float:
    """Mean reciprocal rank of the gold passage, given each query's best answer's confidence."""
    return float(np.mean([_reciprocal_rank(one, model, sure) for one, sure in asked])) if asked else 0.0


def _reciprocal_rank(one: Asked, model: ConfidenceModel, confidence: float) -> float:
    scores = one.fused + model.gains(one.margins, confidence)
    gold = scores[one.gold].max()
    return 1.0 / (1 + int((scores[~one.gold] > gold).sum()))


def _logistic_regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return lambda: LogisticRegression(C=1.0, max_iter=2000)
