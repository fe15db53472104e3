"""What a run of the indexer did, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file (or a row of one) that isn't in the index, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """Documents by what became of them.

    Attributes:
        indexed: New ones.
        updated: Ones whose content had changed.
        unchanged: Ones that were left as they are.
        removed: Ones that were deleted: of vanished files with `prune`, and rows gone from files of many.
        vanished: Ones whose file is gone, and which are still in the index for want of `prune`.
        skipped: Files that can't be read as documents.
        chunks: Passages that were embedded.
        reused: Passages of new and changed documents whose vectors were known: they were in the index already, or
            several times in what was added.
        seconds: How long it took.
    """

    indexed: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    vanished: int = 0
    skipped: tuple[Skipped, ...] = ()
    chunks: int = 0
    reused: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """A report in the making."""

    indexed: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    vanished: int = 0
    chunks: int = 0
    reused: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def report(self, seconds: float) -> IndexReport:
        """The report, done."""
        return IndexReport(
            indexed=self.indexed,
            updated=self.updated,
            unchanged=self.unchanged,
            removed=self.removed,
            vanished=self.vanished,
            skipped=tuple(self.skipped),
            chunks=self.chunks,
            reused=self.reused,
            seconds=seconds,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Sizes are of files, in bytes; `chunks` counts passages embedded so far."""

    files: int
    files_total: int
    size: int
    size_total: int
    chunks: int
    path: Path | None = None
