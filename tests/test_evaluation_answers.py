"""Answers from a corpus: made-up responses against values worked out by hand, and the commands around them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import main
from retriever import Retriever
from retriever.errors import DatasetError, SpanseekError
from retriever.evaluation import AnswerEvaluation, GradedQuestion, evaluate_answers
from retriever.types import Answer, AnswerScores, Hit, Response, Scores, TextSpan

pytest.importorskip("torchmetrics")


def question(key: str, *accepted: str) -> GradedQuestion:
    spans = tuple(TextSpan(0, len(text), text) for text in accepted)
    return GradedQuestion(key, f"{key}?", f"context of {key}", "", spans, accepted)


def hit(rank: int, document: str) -> Hit:
    return Hit(rank, 1.0, document, None, "", (), None, None, 0, 1, "x", Scores(1.0))


def found(text: str, confidence: float) -> Answer:
    passage = TextSpan(0, len(text), text)
    scores = AnswerScores(1.0, None, None, 0.0, 0.0, -9.0)
    return Answer(1, confidence, "d", None, "", (), None, None, 0, len(text), text, passage, scores)


def response(documents: Sequence[str] = (), answers: Sequence[str] = (), confidence: float = 0.0) -> Response:
    hits = tuple(hit(rank, document) for rank, document in enumerate(documents, start=1))
    return Response("?", tuple(found(text, confidence) for text in answers), hits, confidence)


QUESTIONS = [question("q1", "red cat"), question("q2", "dog"), question("q3", "bird"), question("q4")]


def evaluate(questions: Sequence[GradedQuestion], **responses: Response) -> AnswerEvaluation:
    return evaluate_answers(
        questions,
        lambda text: responses.get(text.rstrip("?"), response()),
        lambda asked: f"d{asked.id[1:]}",
        documents=9,
        index_bytes=7,
    )


def test_by_hand() -> None:
    evaluation = evaluate(
        QUESTIONS,
        q1=response(["d1", "d2"], ["The red cat", "dog"], 0.9),
        q2=response(["d1", "d1", "d1", "d3", "d2"], ["big dog"], 0.6),
        q3=response(["d1", "d1", "d1", "d1", "d1", "d3"], ["bird"], 0.2),
        q4=response(["d1"], ["cat"], 0.4),
    )
    scores = evaluation.to_dict()
    assert (scores["recall@1"], scores["recall@5"]) == (1 / 4, 2 / 4)
    assert scores["exact"] == 50
    assert scores["f1"] == pytest.approx(100 * (1 + 2 / 3 + 1 + 0) / 4)
    assert scores["answered"] == 1
    assert scores["ece"] == pytest.approx((0.1 + 0.6 + 0.8 + 0.4) / 4)
    assert scores["aurc"] == pytest.approx((0 + 1 / 2 + 2 / 3 + 2 / 4) / 4)
    assert evaluation.confidences.tolist() == [0.9, 0.6, 0.2, 0.4]
    assert evaluation.correct.tolist() == [True, False, True, False]
    assert (evaluation.questions, evaluation.documents, evaluation.index_bytes) == (4, 9, 7)
    assert 0 <= evaluation.query_ms_p50 <= evaluation.query_ms_p95


def test_names_in_reports() -> None:
    scores = evaluate(QUESTIONS).to_dict()
    assert list(scores) == [
        "recall@1", "recall@5", "exact", "f1", "ece", "aurc", "answered",
        "questions", "documents", "index_bytes", "query_ms_p50", "query_ms_p95",
    ]  # fmt: skip
    assert json.loads(json.dumps(scores)) == scores


def test_no_answer_is_right_where_there_is_none_but_no_confidence_in_a_span() -> None:
    evaluation = evaluate(QUESTIONS[2:])
    assert (evaluation.exact, evaluation.f1, evaluation.answered) == (50, 50, 0)
    assert evaluation.correct.tolist() == [False, False]
    assert (evaluation.ece, evaluation.aurc) == (0, 1)


def test_warm_up_and_progress() -> None:
    asked: list[str] = []
    seen: list[tuple[int, int]] = []

    def respond(text: str) -> Response:
        asked.append(text)
        return response()

    questions = [question(f"q{number}", "cat") for number in range(7)]
    evaluate_answers(
        questions,
        respond,
        lambda graded: graded.id,
        documents=0,
        index_bytes=0,
        progress=lambda done, total: seen.append((done, total)),
    )
    texts = [graded.question for graded in questions]
    assert asked == texts[:5] + texts
    assert seen == [(done, 7) for done in range(1, 8)]


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="no questions"):
        evaluate([])
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.text", None)
    with pytest.raises(SpanseekError, match=r"torchmetrics: pip install 'spanseek\[eval\]'"):
        evaluate(QUESTIONS)


Run = Callable[..., tuple[int, str, str]]
CONTEXTS = ("The cat sat on the mat.", "Prices fell on Monday.", "Nobody asks about this.")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `spanseek eval ARGS...` beside a set in SQuAD's layout; gives exit code, standard output and error."""
    qas: list[list[dict[str, object]]] = [
        [
            {
                "id": "a",
                "question": "Where did the cat sit?",
                "answers": [{"text": "the mat", "answer_start": 15}],
            }
        ],
        [
            {
                "id": "b",
                "question": "When did prices fall?",
                "answers": [{"text": "Monday", "answer_start": 15}],
            },
            {"id": "c", "question": "Why did prices fall?", "answers": [], "is_impossible": True},
        ],
        [],
    ]
    paragraphs = [{"context": text, "qas": asked} for text, asked in zip(CONTEXTS, qas, strict=True)]
    content = {"data": [{"title": "A_title", "paragraphs": paragraphs}]}
    (tmp_path / "set.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def spanseek(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spanseek", "eval", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return spanseek


@dataclass(frozen=True)
class LastWords:
    """Stands in for a reading: the passage's last two words; of less weight than no answer to a question why."""

    text: str
    margin: float


class LastWordsScorer:
    """Stands in for the span scorer, and remembers what it was shown."""

    shown: list[tuple[str, str, str]]

    @classmethod
    def load(cls, name: str) -> LastWordsScorer:
        scorer = cls()
        cls.shown = [(name, "", "")]
        return scorer

    def read_many(self, pairs: Sequence[tuple[str, str, str]]) -> list[LastWords]:
        type(self).shown += pairs
        return [
            LastWords(" ".join(text.split()[-2:]), -1.0 if asked.startswith("Why") else 1.0)
            for asked, text, _ in pairs
        ]


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> type[LastWordsScorer]:
    monkeypatch.setattr("retriever.encoder.SpanScorer", LastWordsScorer, raising=False)
    return LastWordsScorer


def test_eval_reader(run: Run, scorer: type[LastWordsScorer]) -> None:
    code, out, _ = run("reader", "set.json", "--json")
    assert code == 0
    assert json.loads(out) == {
        "exact": pytest.approx(100 * 2 / 3),
        "f1": pytest.approx(100 * (1 + 2 / 3 + 1) / 3),
        "questions": 3,
        "has_ans_exact": 50,
        "has_ans_f1": pytest.approx(100 * (1 + 2 / 3) / 2),
        "no_ans_acc": 100,
        "best_exact": pytest.approx(100 * 2 / 3),
        "best_f1": pytest.approx(100 * (1 + 2 / 3 + 1) / 3),
        "best_f1_threshold": -1,
    }
    assert scorer.shown[:2] == [("default", "", ""), ("Where did the cat sit?", CONTEXTS[0], "")]
    code, out, _ = run("reader", "set.json", "--limit", "2", "--titles", "--reader", "mine")
    assert (code, out) == (0, "exact          50.0\nf1             83.3333\nquestions      2\n")
    assert scorer.shown[:2] == [("mine", "", ""), ("Where did the cat sit?", CONTEXTS[0], "A title")]


def test_eval_reader_always_answers_where_every_question_has_an_answer(
    run: Run, scorer: type[LastWordsScorer]
) -> None:
    row = {"question": "Why?", "context": "It rains.", "answers": [{"text": "It rains", "answer_start": 0}]}
    Path("set.jsonl").write_text(json.dumps(row), encoding="utf-8")
    _, out, _ = run("reader", "set.jsonl", "--json")
    assert json.loads(out) == {"exact": 100, "f1": 100, "questions": 1}


@pytest.mark.integration
def test_eval_answers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")

    def respond(
        self: Retriever, question: str, k: int = 10, *, min_confidence: float | None = None
    ) -> Response:
        assert min_confidence == 0
        hits = tuple(self.search(question, k))
        answer = found(" ".join(hits[0].text.split()[-2:]), 0.75)
        return Response(question, (answer,), hits, answer.confidence)

    monkeypatch.setattr(Retriever, "respond", respond, raising=False)
    code, out, err = run(
        "answers", "set.json", "--json", "--limit", "2", "--plot", "plot.png", "--index", "kept"
    )
    scores = json.loads(out)
    assert code == 0
    assert err.endswith("/set.json: 3 documents, 3 passages embedded\n")
    assert (scores["recall@1"], scores["recall@5"], scores["answered"]) == (1, 1, 1)
    assert (scores["exact"], scores["f1"]) == (50, pytest.approx(100 * (1 + 2 / 3) / 2))
    assert (scores["ece"], scores["aurc"]) == (pytest.approx(0.25), 0.5)
    assert (scores["questions"], scores["documents"]) == (2, 3)
    assert scores["index_bytes"] > 0
    assert Path("plot.png").read_bytes().startswith(b"\x89PNG")
    with Retriever.open("kept") as retriever:
        assert list(retriever.document_ids()) == ["0-0", "0-1", "0-2"]
        assert retriever.document("0-0").title == ""


def test_errors_are_told_before_the_work(run: Run, scorer: type[LastWordsScorer]) -> None:
    for arguments, said in (
        (["answers", "set.json", "--plot", "plot.doc"], "plot.doc: a plot's name must end in .png"),
        (["answers", "nowhere.json"], "nowhere.json"),
        (["reader", "set.txt"], "set.txt: expected a .json file"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
