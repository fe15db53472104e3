"""Questions that arrive together go through the model together.

A lane is a queue with a thread that prepares questions and one or a few that answer them. While a batch is prepared,
questions gather; then all of them are taken. Their vectors are computed in one pass: a question is a dozen tokens, and
half of what a pass costs does not depend on how many there are. The batch before is answered meanwhile. Passages are
read question by question: each passage is a pass of its own, and reading those of many questions at once measured no
faster, while the first would have had to wait for the last. But several questions are answered side by side, so that
no processor is idle while one question's last passages are read, or what was read is looked at.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from retriever.storable import storable_text

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder
    from retriever.store.vectors import Vectors

Q = TypeVar("Q")
A = TypeVar("A")

_REMEMBERED = 4096
_SMOOTHING = 0.2
_MANY = 4
"""Questions: where so many wait, there is other work for the rest of the processors while they are embedded on one."""


class QuestionVectors:
    """The index's encoder for a `Retriever`, which remembers the vectors of questions. Safe to share by threads.

    Args:
        encoder: What computes them.
        most: So many are remembered.
    """

    def __init__(self, encoder: TextEncoder, most: int = _REMEMBERED) -> None:
        self._encoder = encoder
        self._most = most
        self._known: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        return self._encoder.fingerprint

    @property
    def dimension(self) -> int:
        return self._encoder.dimension

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """`(N, C)`; those that aren't known are computed in one pass."""
        wanted = [storable_text(question) for question in questions]
        with self._lock:
            known = {text: self._known[text] for text in wanted if text in self._known}
        if new := [text for text in dict.fromkeys(wanted) if text not in known]:
            known.update(zip(new, self._vectors(new), strict=True))
        with self._lock:
            for text in wanted:
                self._known[text] = known[text]
                self._known.move_to_end(text)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return np.stack([known[text] for text in wanted])

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode_questions(texts, narrow=len(texts) >= _MANY)


class QueueFullError(Exception):
    """There are more questions than can be answered in time.

    Attributes:
        seconds: After so many it is worth asking again.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many questions are waiting: ask again in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class _Job(Generic[Q, A]):
    question: Q
    future: Future[A]


@dataclass(frozen=True, slots=True)
class _Turn(Generic[Q, A]):
    """A question whose turn it is next, and all who asked it; what preparing it took, or what went wrong with that."""

    question: Q
    futures: Sequence[Future[A]]
    share: float
    failure: Exception | None


class Lane(Generic[Q, A]):
    """A queue of questions with threads that prepare and answer them, in the order in which they came.

    Args:
        name: Of the threads.
        prepare: Called once with all questions that are taken together.
        answer: Called for each of them, with the seconds of its preparation that are its share; equal ones that are
            taken together are answered once.
        most_waiting: So many may wait.
        most_together: So many are taken at once.
        patience: Seconds that a question may wait; those that surely would wait longer aren't taken.
        side_by_side: So many are answered at once.
        observe: Told how many were taken together.
    """

    def __init__(
        self,
        name: str,
        prepare: Callable[[Sequence[Q]], object],
        answer: Callable[[Q, float], A],
        *,
        most_waiting: int,
        most_together: int,
        patience: float,
        side_by_side: int = 1,
        observe: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._prepare = prepare
        self._answer = answer
        self._most_waiting = most_waiting
        self._most_together = most_together
        self._patience = patience
        self._observe = observe
        self._jobs: queue.SimpleQueue[_Job[Q, A] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unanswered = 0
        self._seconds = 0.0  # of one answer, a moving average
        self._closed = False
        self._turns: deque[_Turn[Q, A]] = deque()
        self._ended = False
        self._changed = threading.Condition()  # of the last two
        self._threads = [
            threading.Thread(target=self._run, name=name, daemon=True) for _ in range(side_by_side)
        ]
        self._preparing = threading.Thread(target=self._prepare_all, name=f"{name} ahead", daemon=True)
        for thread in (self._preparing, *self._threads):
            thread.start()

    @property
    def waiting(self) -> int:
        """Questions without an answer yet."""
        return self._unanswered

    def submit(self, question: Q) -> Future[A]:
        """Queues a question; a future that is cancelled before its turn costs nothing.

        Raises:
            QueueFullError: It would wait too long.
        """
        with self._lock:
            wait = self._unanswered * self._seconds / len(self._threads)
            if self._closed or self._unanswered >= self._most_waiting or wait > self._patience:
                raise QueueFullError(max(1, min(60, round(wait / 2))))
            self._unanswered += 1
        future: Future[A] = Future()
        future.add_done_callback(self._done)
        self._jobs.put(_Job(question, future))
        return future

    async def ask(self, question: Q) -> A:
        """The answer, however long it takes.

        Raises:
            QueueFullError: It would wait too long.
        """
        return await asyncio.wrap_future(self.submit(question))

    def close(self, seconds: float = 10.0) -> None:
        """Answers what is queued, takes no more, and ends; after so many seconds nothing is waited for."""
        with self._lock:
            self._closed = True
        self._jobs.put(None)
        last = time.monotonic() + seconds
        for thread in (self._preparing, *self._threads):
            thread.join(max(0.0, last - time.monotonic()))

    def _done(self, _: Future[A]) -> None:
        with self._lock:
            self._unanswered -= 1

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            # one that was given up meanwhile costs nothing more
            futures = [future for future in turn.futures if future.set_running_or_notify_cancel()]
            if futures:
                begun = time.perf_counter()
                self._tell(turn, futures)
                spent = turn.share + time.perf_counter() - begun
                with self._lock:
                    self._seconds += _SMOOTHING * (spent - self._seconds)

    def _next(self) -> _Turn[Q, A] | None:
        """The question whose turn it is; `None` at the end."""
        with self._changed:
            while not self._turns and not self._ended:
                self._changed.wait()
            if not self._turns:
                return None
            turn = self._turns.popleft()
            self._changed.notify_all()
            return turn

    def _prepare_all(self) -> None:
        """Prepares what waits, one batch ahead of what is answered."""
        ended = False
        while not ended:
            jobs = self._take()
            ended = None in jobs
            wanted = [job for job in jobs if job is not None and not job.future.cancelled()]
            turns = list(self._prepared(wanted)) if wanted else []
            with self._changed:
                self._turns.extend(turns)
                self._ended = ended
                self._changed.notify_all()
                # what comes meanwhile gathers
                while not ended and len(self._turns) >= self._most_together:
                    self._changed.wait()

    def _take(self) -> list[_Job[Q, A] | None]:
        jobs = [self._jobs.get()]
        while len(jobs) < self._most_together and None not in jobs:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _prepared(self, jobs: Sequence[_Job[Q, A]]) -> Iterator[_Turn[Q, A]]:
        self._observe(len(jobs))
        together: dict[Q, list[Future[A]]] = {}
        for job in jobs:
            together.setdefault(job.question, []).append(job.future)
        begun = time.perf_counter()
        failure: Exception | None = None
        try:
            self._prepare(list(together))
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            failure = error
        share = (time.perf_counter() - begun) / len(together)
        for question, futures in together.items():
            yield _Turn(question, futures, share, failure)

    def _tell(self, turn: _Turn[Q, A], futures: Sequence[Future[A]]) -> None:
        """Answers one question, to all who asked it."""
        try:
            if turn.failure is not None:
                raise turn.failure
            answer = self._answer(turn.question, turn.share)
        except Exception as error:  # noqa: BLE001 - as above
            for future in futures:
                future.set_exception(error)
        else:
            for future in futures:
                future.set_result(answer)
