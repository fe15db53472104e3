"""The threads of a run: one that reads ahead, one that writes; between them, who called embeds.

    reading, cutting  ->  embedding in the thread that called  ->  writing
    Ahead                                                          Background

Each waits until what it has is taken, so that no more is held than what they work on and one thing between them. What
goes wrong anywhere is raised in the thread that called, and no thread outlives the `with` that started it.

Useful for: work that lets go of Python's lock (files, SQLite, an encoder). Not for: more than one reader or writer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, ParamSpec, Self, TypeVar, cast

T = TypeVar("T")
P = ParamSpec("P")

WAITING = 1
"""How many things lie ready to be taken."""
_IDLE_SECONDS = 0.1


class StoppedError(Exception):
    """Raised in what reads ahead, to end it at once: nobody waits for it any more."""


class Ahead(Generic[T]):
    """Takes items from a generator in a thread of its own, before they are asked for.

    Args:
        items: Iterated, and closed, in that thread. What it raises is raised where the items are taken, after those
            that came before.
        stop: Called from the other thread when nobody wants further items, to end what it may be waiting for.
    """

    def __init__(self, items: Generator[T, None, None], stop: Callable[[], None] = lambda: None) -> None:
        self._items = items
        self._stop = stop
        self._changed = threading.Condition()
        self._ready: list[T] = []
        self._is_over = self._is_stopped = self._is_nudged = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="spanseek-ahead")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._stop()
        self._thread.join()

    def nudge(self) -> None:
        """Has `take` call its `idle` now. May be called from any thread."""
        with self._changed:
            self._is_nudged = True
            self._changed.notify_all()

    def take(self, idle: Callable[[], None] | None = None) -> Iterator[T]:
        """Yields the items in order; `idle` is called while there is none, ten times a second and when nudged."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._ready or self._is_over or self._is_nudged, _IDLE_SECONDS if idle else None
                )
                taken, self._ready = self._ready[:1], self._ready[1:]
                self._is_nudged = self._is_nudged and bool(taken)  # else it is heeded now
                is_over = self._is_over
                self._changed.notify_all()
            if taken:
                yield taken[0]
            elif is_over:
                if self._error is not None:
                    raise self._error
                return
            elif idle is not None:
                idle()

    def _run(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_stopped or len(self._ready) < WAITING)
                    if self._is_stopped:
                        break
                    self._ready.append(item)
                    self._changed.notify_all()
            self._items.close()
        except BaseException as error:  # noqa: BLE001 - raised again by `take`
            self._error = error
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()


class Handed(Generic[T]):
    """Hands items from one thread, where they are taken from their source, to another, where this is iterated.

    Somebody else's iterator may hold what only the thread that made it can use, such as a connection to a database.

    Args:
        items: The source.
        weigh: How much room an item takes.
        room: How much there is.
    """

    def __init__(self, items: Iterable[T], weigh: Callable[[T], int], room: int) -> None:
        self._items = iter(items)
        self._weigh = weigh
        self._room = room
        self._changed = threading.Condition()
        self._waiting: deque[T] = deque()
        self._is_over = self._is_stopped = False
        self.when_empty: Callable[[], None] = lambda: None
        """Called from the thread that iterates when nothing is left, for the other one to `fill` it."""

    def fill(self) -> None:
        """Takes items from the source while there is room; what it raises is raised here."""
        while not self._is_over and self._room > 0:
            item = next(self._items, self)
            with self._changed:
                if item is self:
                    self._is_over = True
                else:
                    self._waiting.append(cast(T, item))
                    self._room -= self._weigh(cast(T, item))
                self._changed.notify_all()

    def stop(self) -> None:
        """Ends the iteration with a `StoppedError`."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            if not self._waiting and not self._is_over:
                self.when_empty()
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_over or self._is_stopped)
                if self._is_stopped:
                    raise StoppedError
                if not self._waiting:
                    return
                item = self._waiting.popleft()
                self._room += self._weigh(item)
            yield item


class Background:
    """Does what it is given in a thread of its own, one thing after the other, and is done with all of it at the end."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spanseek-background")
        self._handed_over: Future[object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._thread.shutdown()
        except BaseException:  # interrupted once more: what is under way must not be used by two
            self._thread.shutdown()
            raise

    def ask(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Does this after what was given before, and returns what it gives. May be called from any thread."""
        return self._thread.submit(work, *args, **named).result()

    def hand_over(self, work: Callable[P, object], *args: P.args, **named: P.kwargs) -> None:
        """Sees to it that this is done, once the last that was handed over is; what that one raised is raised here."""
        self.settle()
        self._handed_over = self._thread.submit(work, *args, **named)

    def settle(self) -> None:
        """Waits until what was handed over is done, and raises what it raised."""
        handed_over, self._handed_over = self._handed_over, None
        if handed_over is not None:
            handed_over.result()
