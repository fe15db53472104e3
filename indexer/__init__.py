"""How do documents get into an index, and how does it follow them?

`Indexer` opens an index for writing. `discover.py` finds files, `readers/` extracts their text with its place in the
original, `chunking/` cuts it into passages, `prepare.py` puts the three together; `retriever` embeds and stores. `watch/` keeps an index up to date with folders.

Useful for making an index and keeping it up to date.
Not for searching one: that is `retriever`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.api import Indexer, InputDocument
    from indexer.discover import Selection
    from indexer.readers import ReadLimits
    from indexer.report import IndexReport, Progress, Skipped

__all__ = ["IndexReport", "Indexer", "InputDocument", "Progress", "ReadLimits", "Selection", "Skipped"]

_HOMES = {
    "Indexer": "indexer.api",
    "InputDocument": "indexer.api",
    "Selection": "indexer.discover",
    "ReadLimits": "indexer.readers",
    "IndexReport": "indexer.report",
    "Progress": "indexer.report",
    "Skipped": "indexer.report",
}


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
