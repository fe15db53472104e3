"""A folder that an index follows, for tests."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.watch import WatchReport, watching
from retriever.store.known import known_below

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

DEADLINE = 120.0
SETTLE = 0.3


class Followed:
    """A folder, the index that follows it, and what was said of it."""

    def __init__(self, folder: Path, index: Path) -> None:
        self.folder = folder
        self.index = index
        self.reports: list[WatchReport] = []
        self._changed = threading.Condition()

    def hear(self, report: WatchReport) -> None:
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until something holds after a report, or shortly after."""
        end = time.monotonic() + DEADLINE
        with self._changed:
            while not condition():
                assert time.monotonic() < end, self.said()
                self._changed.wait(0.1)

    def wait_for(self, kind: str, name: str = "", *, times: int = 1) -> None:
        """Until a file was reported so; `name` is the end of its path, or a part of the message."""
        self.wait(lambda: sum(said == kind and name in text for said, text in self.said()) >= times)

    def said(self) -> list[tuple[str, str]]:
        return [(report.kind, f"{report.path or ''} {report.message}".strip()) for report in self.reports]

    def names(self) -> set[str]:
        """The files that the index holds documents of, below the folder."""
        known = known_below(self.index, self.folder).values()
        return {file.path.relative_to(self.folder).as_posix() for file in known if file.documents}

    def revision(self) -> int:
        """How many commits there were."""
        connection = sqlite3.connect(self.index / "index.sqlite")
        try:
            return int(connection.execute("SELECT value FROM manifest WHERE key = 'revision'").fetchone()[0])
        finally:
            connection.close()


Follow = Callable[..., Followed]


@contextmanager
def following(root: Path, encoder: TextEncoder) -> Iterator[Follow]:
    """What begins to follow `docs` below a folder, or other paths, and waits until the index is up to date for the first
    time. All that was begun ends with the context."""
    folder = root / "docs"
    folder.mkdir()
    (folder / "cat.txt").write_text("the cat sat on the mat")
    with ExitStack() as running:

        def begin(*paths: Path, index: Path | None = None, ready: bool = True, **options: object) -> Followed:
            followed = Followed(folder, index or root / "index")
            context = watching(
                paths or [folder],
                followed.index,
                encoder=encoder,
                report=followed.hear,
                **{"settle": SETTLE, **options},  # type: ignore[arg-type]
            )
            running.enter_context(context)
            if ready:
                followed.wait_for("ready")
            return followed

        yield begin
