"""How does an index follow a folder?

`watcher.py` is the loop: it gathers what changed, waits till that settles, and brings the index up to date in one
batch. `places.py` says which paths count, and what may be taken for deleted; `signals.py` hears of changes from the
system; `reports.py` is what is said of it all.

Useful for keeping an index up to date while people work on their files.
Not for bringing it up to date once: that is `Indexer.add_paths`.
"""

from __future__ import annotations

from indexer.watch.reports import WatchReport
from indexer.watch.watcher import Watcher, watching

__all__ = ["WatchReport", "Watcher", "watching"]
