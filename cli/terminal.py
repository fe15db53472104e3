"""What output looks like: colours and bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from retriever.as_json import shown_path as shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from indexer import Progress

_WIDEST = 110
"""Columns of running text; longer lines are hard to read."""


def console() -> Console:
    """For results. Off a terminal it never wraps, colours or pads."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False, width=min(Console().width, _WIDEST))
    return Console(highlight=False, width=1_000_000, soft_wrap=True, color_system=None)


def error_console() -> Console:
    """For what is said on standard error while something goes on."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def has_colour(out: Console) -> bool:
    """Whether what is printed there can be coloured: a terminal that knows colours, and a user who wants them."""
    return out.is_terminal and out.color_system is not None and not out.no_color


def notice(message: str) -> None:
    """A line for the user, on standard error."""
    sys.stderr.write(message + "\n")


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line."""
    line = json.dumps(value, ensure_ascii=False)
    # a path may hold bytes that are no text; escaped like this, JSON has a form for them
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
    sys.stdout.flush()


def input_lines() -> Iterator[str]:
    """Lines of standard input, without their ends; bytes that aren't UTF-8 come as they do on a command line."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    for line in sys.stdin:
        yield line.rstrip("\n")


class IndexBar:
    """A progress bar for indexing: share of bytes read, passages and their rate, time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, counts="")

    def update(self, progress: Progress) -> None:
        """Shows how far it is."""
        elapsed = self._bar.tasks[0].elapsed or 0.0
        rate = f" ({progress.chunks / elapsed:.0f}/s)" if progress.chunks and elapsed > 1 else ""
        self._bar.update(
            self._task,
            total=max(progress.size_total, 1),
            completed=progress.size,
            counts=f"{progress.files}/{progress.files_total} files, {progress.chunks:,} passages{rate}",
        )

    def __enter__(self) -> IndexBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


@contextmanager
def index_bar() -> Iterator[IndexBar | None]:
    """A bar on standard error if that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    with IndexBar() as bar:
        yield bar


@contextmanager
def question_bar() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error, to call with questions done and their total; nothing off a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(*Bar.get_default_columns(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("questions", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """A function to call with what is being done now; shown on standard error if that is a terminal, until it ends."""
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda stage: status.update(f"measuring: {stage}")


def counter(count: int, singular: str, plural: str | None = None) -> str:
    """`1 file`, `2,000 files`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
