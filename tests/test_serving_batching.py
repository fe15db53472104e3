"""Questions that arrive together go through the model together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from retriever.serving.batching import Lane, QuestionVectors, QueueFullError


class Counted:
    """Stands in for an encoder, and remembers how it was asked."""

    fingerprint = "f"
    dimension = 2

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.narrow: list[bool] = []

    def encode_questions(
        self, questions: Sequence[str], *, narrow: bool = False
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        self.asked.append(list(questions))
        self.narrow.append(narrow)
        return np.array([[len(question), 1] for question in questions], dtype=np.float32)


def test_vectors_are_remembered_and_computed_in_one_pass() -> None:
    encoder = Counted()
    vectors = QuestionVectors(encoder, most=3)  # type: ignore[arg-type]
    assert vectors.encode_questions(["a", "bb", "a"])[:, 0].tolist() == [1, 2, 1]
    assert vectors.encode_questions(["bb", "ccc"])[:, 0].tolist() == [2, 3]
    assert encoder.asked == [["a", "bb"], ["ccc"]]
    vectors.encode_questions(["dddd"])  # "a" was longest not asked for
    vectors.encode_questions(["a", "ccc"])
    assert encoder.asked[2:] == [["dddd"], ["a"]]


def test_many_are_embedded_on_one_processor_beside_what_is_answered() -> None:
    encoder = Counted()
    vectors = QuestionVectors(encoder)  # type: ignore[arg-type]
    for asked in (["a"], ["b", "c", "d"], ["e", "f", "g", "h"], ["e", "f", "g", "h", "i"]):
        vectors.encode_questions(asked)
    assert [len(asked) for asked in encoder.asked] == [1, 3, 4, 1]
    assert encoder.narrow == [False, False, True, False]


def test_what_cannot_be_stored_is_asked_as_it_is_stored() -> None:
    encoder = Counted()
    vectors = QuestionVectors(encoder)  # type: ignore[arg-type]
    vectors.encode_questions(["a\0b"])
    vectors.encode_questions(["a\ufffdb"])  # as the retriever asks
    assert encoder.asked == [["a\ufffdb"]]


def lane(answer: object, **options: object) -> tuple[Lane[str, str], list[list[str]], threading.Event]:
    """A lane that stands still until it is let go; what it took together."""
    taken: list[list[str]] = []
    go = threading.Event()

    def prepare(batch: Sequence[str]) -> None:
        taken.append(list(batch))
        assert go.wait(10)

    def answered(question: str, _: float) -> object:
        return answer(question)  # type: ignore[operator]

    settings = {"most_waiting": 10, "most_together": 4, "patience": 100.0} | options
    return Lane("test", prepare, answered, **settings), taken, go  # type: ignore[arg-type]


def test_what_queues_while_it_works_is_taken_together() -> None:
    answered: list[str] = []

    def answer(question: str) -> str:
        answered.append(question)
        return question.upper()

    sizes: list[int] = []
    asked, taken, go = lane(answer, observe=sizes.append)
    first = asked.submit("a")
    while not taken:
        pass
    others = [asked.submit(question) for question in ("b", "c", "b", "d", "e")]
    go.set()
    assert [future.result(10) for future in (first, *others)] == ["A", "B", "C", "B", "D", "E"]
    assert taken == [["a"], ["b", "c", "d"], ["e"]], "at most four at once, equal ones once"
    assert answered == ["a", "b", "c", "d", "e"]
    assert sizes == [1, 4, 1]
    asked.close()
    assert asked.waiting == 0


def test_the_next_are_prepared_while_one_is_answered() -> None:
    answering, prepared = threading.Event(), threading.Event()

    def prepare(batch: Sequence[str]) -> None:
        if "b" in batch:
            assert answering.wait(10)
            prepared.set()

    def answer(question: str, _: float) -> str:
        answering.set()
        assert prepared.wait(10), "it waits for the answer"
        return question

    asked = Lane("test", prepare, answer, most_waiting=10, most_together=4, patience=100.0)
    futures = [asked.submit("a")]
    assert answering.wait(10)
    futures.append(asked.submit("b"))
    assert [future.result(10) for future in futures] == ["a", "b"]
    asked.close()


def test_no_more_is_prepared_ahead_than_is_taken_together() -> None:
    go = threading.Event()
    taken: list[list[str]] = []

    def answer(question: str, _: float) -> str:
        assert go.wait(10)
        return question

    asked = Lane(
        "test",
        lambda batch: taken.append(list(batch)),
        answer,
        most_waiting=20,
        most_together=2,
        patience=100.0,
    )
    futures = [asked.submit(letter) for letter in "abcdefgh"]
    deadline = time.monotonic() + 10
    while sum(map(len, taken)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert 3 <= sum(map(len, taken)) <= 5  # one is answered, up to twice two wait
    go.set()
    assert [future.result(10) for future in futures] == list("abcdefgh")
    asked.close()


def test_a_question_that_fails_fails_alone() -> None:
    def answer(question: str) -> str:
        if question == "b":
            raise ValueError("b")
        return question

    asked, taken, go = lane(answer)
    futures = [asked.submit("a")]
    while not taken:
        pass
    futures += [asked.submit("b"), asked.submit("c")]
    go.set()
    assert futures[0].result(10) == "a"
    with pytest.raises(ValueError, match="b"):
        futures[1].result(10)
    assert futures[2].result(10) == "c"
    asked.close()


def test_what_is_given_up_before_its_turn_is_not_answered() -> None:
    asked, taken, go = lane(str.upper)
    asked.submit("a")
    while not taken:
        pass
    given_up = asked.submit("b")
    assert given_up.cancel()
    go.set()
    asked.close()
    assert taken == [["a"]]


def test_what_is_given_up_after_it_was_taken_is_not_answered_either() -> None:
    answered: list[str] = []
    taken: list[list[str]] = []
    turn = threading.Semaphore(0)

    def prepare(batch: Sequence[str]) -> None:
        taken.append(list(batch))
        assert turn.acquire(timeout=10)

    asked: Lane[str, None] = Lane(
        "test",
        prepare,
        lambda question, _: answered.append(question),
        most_waiting=10,
        most_together=10,
        patience=100.0,
    )
    first = asked.submit("a")
    while not taken:
        pass
    others = [asked.submit(question) for question in ("b", "c", "c")]
    turn.release()
    first.result(10)
    while len(taken) < 2:
        pass
    assert others[0].cancel(), "it was taken, but its turn hasn't come"
    assert others[1].cancel()
    turn.release()
    asked.close()
    assert taken == [["a"], ["b", "c"]]
    assert answered == ["a", "c"], "somebody still wants c"


def test_nothing_is_taken_that_would_wait_too_long() -> None:
    asked, taken, go = lane(str.upper, most_waiting=2)
    asked.submit("a")
    asked.submit("b")
    with pytest.raises(QueueFullError, match="ask again in 1 s"):
        asked.submit("c")
    go.set()
    asked.close()
    assert taken
    with pytest.raises(QueueFullError):
        asked.submit("after the end")


def test_several_are_answered_side_by_side_in_the_order_in_which_they_came() -> None:
    begun: list[str] = []
    together = threading.Barrier(2, timeout=10)

    def answer(question: str) -> str:
        begun.append(question)
        together.wait()  # as long as there is no other one, nothing goes on
        return question.upper()

    asked, taken, go = lane(answer, side_by_side=2, most_together=10)
    questions = [f"q{number}" for number in range(8)]
    futures = [asked.submit(question) for question in questions]
    go.set()
    assert [future.result(10) for future in futures] == [question.upper() for question in questions]
    assert [question for batch in taken for question in batch] == questions
    assert [set(begun[i : i + 2]) for i in range(0, 8, 2)] == [
        set(questions[i : i + 2]) for i in range(0, 8, 2)
    ]
    asked.close()
    assert not any(thread.is_alive() for thread in asked._threads)


def test_what_is_queued_is_answered_at_the_end_by_all_of_them() -> None:
    asked, _, go = lane(str.upper, side_by_side=3)
    futures = [asked.submit(question) for question in ("a", "b", "c", "d", "e", "f")]
    go.set()
    asked.close()
    assert [future.result(0) for future in futures] == ["A", "B", "C", "D", "E", "F"]
    assert not any(thread.is_alive() for thread in asked._threads)


def test_each_is_told_its_share_of_the_preparation() -> None:
    go = threading.Event()

    def prepare(batch: Sequence[str]) -> None:
        assert go.wait(10)
        time.sleep(0.02 * len(batch))

    asked: Lane[str, float] = Lane(
        "test", prepare, lambda _, share: share, most_waiting=10, most_together=10, patience=100.0
    )
    first = asked.submit("a")
    while asked._jobs.qsize():
        pass
    others = [asked.submit(question) for question in ("b", "c", "d", "e")]
    go.set()
    assert first.result(10) >= 0.02
    shares = [future.result(10) for future in others]
    assert len(set(shares)) == 1
    assert 0.02 <= shares[0] < 0.06, "a part of what they took together"
    asked.close()
