"""What a watcher says: what became of a file, and what the user should know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from indexer.report import IndexReport

WatchKind = Literal["ready", "indexed", "updated", "removed", "skipped", "notice", "failed", "stopped"]
"""What a report tells:

    ready    the index is up to date with the folders for the first time; `run` is what was done for it
    indexed  a file is new in the index
    updated  a file was read again
    removed  a file is gone, and so it is from the index
    skipped  a file can't be read; `message` is the reason
    notice   `message` is something to know: a folder is gone, another process is writing
    failed   nothing could be written; `message` says why, and it is tried again
    stopped  the end
"""


@dataclass(frozen=True, slots=True)
class WatchReport:
    """One thing that happened.

    Attributes:
        kind: What it is.
        path: The file that it is about.
        passages: How many passages the index holds of the file.
        seconds: How long it took to read, embed and write it; `None` for one of several files that were taken together.
        message: In words, where there is something to say.
        run: What the first look at the folders did.
    """

    kind: WatchKind
    path: Path | None = None
    passages: int = 0
    seconds: float | None = None
    message: str = ""
    run: IndexReport | None = None
