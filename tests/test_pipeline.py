"""The threads of a run: order, errors, interruptions; nothing is lost, nobody waits for ever, no thread is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator

import pytest

from indexer.pipeline import WAITING, Ahead, Background, Handed, StoppedError


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # those of an earlier test may have ended in between, when what they worked for was let go
    assert set(threading.enumerate()) <= before


def numbers(count: int, taken: list[int], seconds: float = 0.0) -> Generator[int, None, None]:
    for number in range(count):
        time.sleep(seconds)
        taken.append(number)
        yield number


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits until a condition holds; fails if it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def test_items_come_in_order_from_another_thread() -> None:
    threads: set[int] = set()

    def items() -> Generator[int, None, None]:
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    with Ahead(items()) as ahead:
        assert list(ahead.take()) == list(range(50))
    assert threads != {threading.get_ident()}
    assert len(threads) == 1


def test_no_more_is_read_ahead_than_may_wait() -> None:
    made: list[int] = []
    with Ahead(numbers(100, made)) as ahead:
        items = ahead.take()
        for number in range(10):
            assert next(items) == number
            most = number + 1 + WAITING + 1  # one that is made, and has no room yet
            until(lambda most=most: len(made) == most)  # type: ignore[misc]
            time.sleep(0.01)
            assert len(made) == most


def test_idle_is_called_while_there_is_nothing() -> None:
    calls: list[int] = []
    with Ahead(numbers(3, [], seconds=0.25)) as ahead:
        assert list(ahead.take(lambda: calls.append(threading.get_ident()))) == [0, 1, 2]
    assert set(calls) == {threading.get_ident()}
    assert 3 <= len(calls) <= 12


def test_an_error_of_what_reads_ahead_comes_after_what_came_before() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise ValueError("no third")

    with Ahead(items()) as ahead:
        taken = ahead.take()
        assert [next(taken), next(taken)] == [1, 2]
        with pytest.raises(ValueError, match="no third"):
            next(taken)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_whoever_takes_may_leave_at_any_time(kind: type[BaseException]) -> None:
    closed = threading.Event()
    stopped = threading.Event()

    def endless() -> Generator[int, None, None]:
        try:
            yield 0
            if stopped.wait(30):  # a file that takes its time
                raise StoppedError
            yield 1
        finally:
            closed.set()

    def leave() -> None:
        with Ahead(endless(), stopped.set) as ahead:
            for _ in ahead.take():
                raise kind

    begun = time.monotonic()
    with pytest.raises(kind):
        leave()
    assert closed.is_set()
    assert time.monotonic() - begun < 5


def test_a_generator_that_waits_for_room_is_closed_when_nobody_takes() -> None:
    closed = threading.Event()

    def items() -> Generator[int, None, None]:
        try:
            yield from range(100)
        finally:
            closed.set()

    with Ahead(items()) as ahead:
        assert next(ahead.take()) == 0
    assert closed.is_set()


def test_items_are_handed_to_another_thread_in_order_and_taken_here() -> None:
    threads: set[int] = set()
    most: list[int] = []
    passed: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            threads.add(threading.get_ident())
            most.append(number - len(passed))
            yield number

    def doubled(numbers: Handed[int]) -> Generator[int, None, None]:
        for number in numbers:
            passed.append(number)
            yield 2 * number

    handed = Handed(source(), lambda _: 3, 30)
    ahead = Ahead(doubled(handed), handed.stop)
    handed.when_empty = ahead.nudge
    begun = time.monotonic()
    with ahead:
        assert list(ahead.take(handed.fill)) == [2 * number for number in range(1000)]
    assert threads == {threading.get_ident()}
    assert max(most) <= 11, "no more than there is room for"
    assert time.monotonic() - begun < 5, "nobody waits for a clock to tick"


def test_an_error_of_the_source_ends_both_sides() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    def same(numbers: Handed[int]) -> Generator[int, None, None]:
        yield from numbers

    handed = Handed(source(), lambda _: 1, 1)
    ahead = Ahead(same(handed), handed.stop)
    with pytest.raises(LookupError, match="no more"), ahead:
        list(ahead.take(handed.fill))


def test_what_is_handed_over_is_done_in_order_and_to_the_end() -> None:
    done: list[int] = []

    def slow(number: int) -> None:
        time.sleep(0.02)
        done.append(number)

    with Background() as background:
        for number in range(5):
            background.hand_over(slow, number)
            assert len(done) >= number, "at most one waits"
        assert background.ask(lambda: list(done)) == [0, 1, 2, 3, 4], "asked after what came before"
        background.hand_over(slow, 5)
    assert done == [0, 1, 2, 3, 4, 5]


def test_what_is_handed_over_is_done_though_the_rest_is_interrupted() -> None:
    done: list[int] = []

    def slow() -> None:
        time.sleep(0.1)
        done.append(1)

    def interrupted() -> None:
        with Background() as background:
            background.hand_over(slow)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [1]


def test_an_error_of_what_was_handed_over_is_raised_with_the_next() -> None:
    def fail() -> None:
        raise OSError("disk full")

    done: list[int] = []
    with Background() as background:
        background.hand_over(fail)
        with pytest.raises(OSError, match="disk full"):
            background.hand_over(done.append, 1)
        background.hand_over(fail)
        with pytest.raises(OSError, match="disk full"):
            background.settle()
        background.settle()
    assert done == [], "what comes after a failure isn't done"


def test_three_stages_overlap() -> None:
    """Ten things of 30 ms in each of three stages: one after the other that is 900 ms."""
    begun = time.monotonic()
    with Background() as background, Ahead(numbers(10, [], seconds=0.03)) as ahead:
        for _ in ahead.take():
            time.sleep(0.03)
            background.hand_over(time.sleep, 0.03)
        background.settle()
    assert time.monotonic() - begun < 0.75
