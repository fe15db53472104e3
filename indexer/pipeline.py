"""The threads of a run: one that reads ahead, one that writes; between them, who called embeds.

    reading, cutting  ->  embedding in the thread that called  ->  writing
    Ahead                                                          Background

Each waits until what it has is taken, so that no more is held than what they work on and one thing between them. What
goes wrong anywhere is raised in the thread that called, and no thread outlives the `with` that started it.

Useful for: work that lets go of Python's lock (files, SQLite, an encoder). Not for: more than one reader or writer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, ParamSpec, Self, TypeVar

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
        self._is_over = self._is_stopped = False
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

    def take(self, idle: Callable[[], None] | None = None) -> Iterator[T]:
        """Yields the items in order; `idle` is called ten times a second while there is none."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._is_over, _IDLE_SECONDS if idle else None)
                taken, self._ready = self._ready[:1], self._ready[1:]
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
        self._thread.shutdown()

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
