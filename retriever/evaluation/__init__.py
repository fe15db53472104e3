"""How good are the answers, in the field's own measures, on sets with graded questions?

Useful for: comparing settings, encoders, readers and versions on public sets or on a set of one's own. Not for:
asking (`retriever.Retriever`); what is evaluated is handed in as a function.

    dataset.py      what a retrieval set is: documents, queries, judgements
    datasets.py     reads one, in the layout of BEIR (beir.py) or SQuAD (squad.py)
    retrieval.py    are the right documents found? nDCG, reciprocal rank, recall, time for a question
    questions.py    what a question with a passage and spans is; reads a set of them, and its passages as a corpus
    spread.py       a part of a set that stands for all of it
    reading.py      is the answer read in a passage that is given? exact match, F1, no answer
    answering.py    is the best answer from a whole corpus right? recall, exact match, F1, calibration, time
    spans.py        exact match and F1 of one predicted text
    calibration.py  what confidences are worth: ECE, AURC, and the curves that they sum up
    plots.py        draws both curves
    speed.py        how fast are encoding, search and reading on this machine?
    processes.py    how long does a fresh process take (launched.py starts it), and how much memory?
    machine.py      what is this machine?
    prose.py        made-up text with English statistics, to measure speed on
"""

from retriever.evaluation.answering import AnswerEvaluation, evaluate_answers
from retriever.evaluation.calibration import (
    calibration_error,
    reliability_bins,
    risk_coverage,
    risk_coverage_area,
)
from retriever.evaluation.dataset import EvalDocument, RetrievalDataset
from retriever.evaluation.datasets import load_retrieval
from retriever.evaluation.plots import check_plot, draw_calibration
from retriever.evaluation.questions import GradedQuestion, corpus_of, load_questions
from retriever.evaluation.reading import ReaderScores, evaluate_reader
from retriever.evaluation.retrieval import RetrievalScores, evaluate_retrieval
from retriever.evaluation.spans import SpanScore, score_span
from retriever.evaluation.spread import spread

__all__ = [
    "AnswerEvaluation",
    "EvalDocument",
    "GradedQuestion",
    "ReaderScores",
    "RetrievalDataset",
    "RetrievalScores",
    "SpanScore",
    "calibration_error",
    "check_plot",
    "corpus_of",
    "draw_calibration",
    "evaluate_answers",
    "evaluate_reader",
    "evaluate_retrieval",
    "load_questions",
    "load_retrieval",
    "reliability_bins",
    "risk_coverage",
    "risk_coverage_area",
    "score_span",
    "spread",
]
