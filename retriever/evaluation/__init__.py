"""How good are the answers, in the field's own measures, on sets with graded questions?

Useful for: comparing settings, encoders and versions on public sets or on a set of one's own. Not for: asking
(`retriever.Retriever`); what is evaluated is handed in as a function.

    dataset.py     what a set is: documents, queries, judgements
    datasets.py    reads one, in the layout of BEIR (beir.py) or SQuAD (squad.py)
    retrieval.py   nDCG, reciprocal rank, recall, time for a question
"""

from retriever.evaluation.dataset import EvalDocument, RetrievalDataset
from retriever.evaluation.datasets import load_retrieval
from retriever.evaluation.retrieval import RetrievalScores, evaluate_retrieval

__all__ = ["EvalDocument", "RetrievalDataset", "RetrievalScores", "evaluate_retrieval", "load_retrieval"]
