"""Starts one process, waits for it, and says how long it took and how much memory it took at most.

A file to run by its path, not to import: a process's peak counts what its parent held while it started, so it is
started from here, where next to nothing is loaded.

    python launched.py RESULT ARGUMENT...     runs ARGUMENT..., writes {"code", "first_s", "seconds", "peak"} to RESULT
"""

import json
import os
import sys
import time


def main() -> None:
    """Runs what the command line names; its standard output goes through this process, its errors aren't touched."""
    result, *arguments = sys.argv[1:]
    come, go = os.pipe()
    begun = time.perf_counter()
    actions = [(os.POSIX_SPAWN_DUP2, go, 1), (os.POSIX_SPAWN_CLOSE, come)]
    child = os.posix_spawn(arguments[0], arguments, os.environ, file_actions=actions)
    os.close(go)
    first = 0.0
    while block := os.read(come, 1 << 16):
        first = first or time.perf_counter() - begun
        os.write(1, block)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - begun
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    said = {
        "code": os.waitstatus_to_exitcode(status),
        "first_s": first or seconds,
        "seconds": seconds,
        "peak": peak,
    }
    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is one import more
        json.dump(said, file)


if __name__ == "__main__":
    main()
