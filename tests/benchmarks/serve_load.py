"""The server under load, on this machine alone: 32 connections against one, in the same run, and a kill under load.

Asks `spanseek serve` distinct questions (words of the index and a number, so that nothing is answered from memory),
first over one connection, then over many. Prints throughput, median and 95th percentile, errors, and memory, for
`/api/search` (passages) and `/api/ask` (answers), then kills the server with -9 while it is asked and looks whether
the index is as it was. The questions come from wrk, which takes next to no time itself: a client in Python takes as
much as the server, and tells less of the server than of itself.

    apt-get install wrk
    python tests/benchmarks/serve_load.py --index DIR [--seconds 60] [--connections 32] [--memory 20000]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SPANSEEK = "from cli.main import main; main()"
_WORD = re.compile(r"[a-z]{4,}")
_WORDS = 5_000
_TIMEOUT = 120
"""Seconds until wrk gives a reply up."""
_SCRIPT = """
local words = {%s}
local asked = 0
math.randomseed(%d)
request = function()
  asked = asked + 1
  local function word() return words[math.random(#words)] end
  local question = string.format("what+is+said+of+%%s+%%s+%%s+in+%%d%%%%3F", word(), word(), word(), 1000 + asked)
  return wrk.format("GET", "%s?k=5&q=" .. question)
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("result %%d %%d %%.0f %%.0f %%d\\n", summary.requests - errors.status, summary.duration,
    latency:percentile(50), latency:percentile(95),
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one load brought; times in seconds."""

    connections: int
    answered: int
    seconds: float
    median: float
    p95: float
    errors: int

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.connections:>3} connections: {self.rate:8.2f} a second, median {1000 * self.median:7.1f} ms, "
            f"p95 {1000 * self.p95:7.1f} ms, {self.answered} answered, {self.errors} errors"
        )


def load(address: str, path: str, connections: int, seconds: float, words: list[str], seed: int) -> Load:
    """Asks over so many connections for so long."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % (", ".join(f'"{word}"' for word in words), seed, path))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", f"--timeout={_TIMEOUT}s"]
        done = subprocess.run(
            [*command, "-s", script.name, address], capture_output=True, text=True, check=False
        )
    found = re.search(r"^result (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk failed: {done.stdout}{done.stderr}")
    answered, duration, median, p95, errors = map(int, found.groups())
    return Load(connections, answered, duration / 1e6, median / 1e6, p95 / 1e6, errors)


@contextmanager
def serving(index: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port of this machine."""
    command = [sys.executable, "-c", SPANSEEK, "serve", "--index", str(index), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"at (http://127\.0\.0\.1:\d+)/", line):
                yield process, found[1]
                break
        else:
            raise SystemExit("the server didn't start")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stderr.close()


def memory(process: subprocess.Popen[str]) -> float:
    """Resident, in megabytes."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def content(index: Path) -> dict[str, bytes]:
    """Every file that a reader may not change."""
    return {
        str(path): path.read_bytes()
        for path in sorted(index.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def run(options: argparse.Namespace) -> bool:
    from retriever import Retriever

    with Retriever.open(options.index) as retriever:
        words = sorted({word for text in retriever.passages() for word in _WORD.findall(text)})
    words = random.Random(0).sample(words, min(_WORDS, len(words)))
    good = True
    with serving(options.index) as (process, address):
        for path in options.paths:
            load(address, path, 2, 5, words, 0)  # warms up
            one = load(address, path, 1, options.seconds, words, 1)
            many = load(address, path, options.connections, options.seconds, words, 2)
            ratio = many.rate / one.rate
            bound = options.connections / 1.5 * one.median
            print(f"{path}\n  {one}\n  {many}")
            print(
                f"  throughput {ratio:.2f} times; p95 {many.p95 / bound:.2f} of what is allowed; {memory(process):.0f} MB",
                flush=True,
            )
            good &= not one.errors + many.errors
        if options.memory:
            print(f"memory over {options.memory} requests of /api/search")
            asked, part = 0, 0
            while asked < options.memory:
                part += 1
                asked += load(address, "/api/search", options.connections, 30, words, 2 + part).answered
                print(f"  after {asked:>6}: {memory(process):.0f} MB", flush=True)
    before = content(options.index)
    with serving(options.index) as (process, address), ThreadPoolExecutor(1) as beside:
        asking = beside.submit(load, address, "/api/search", options.connections, 6, words, 1)
        time.sleep(3)
        if asking.done() or process.poll() is not None:
            raise SystemExit("it ended before it was killed")
        os.kill(process.pid, signal.SIGKILL)
        killed = asking.result()
    same = content(options.index) == before
    with Retriever.open(options.index) as retriever:
        documents = retriever.status().documents
    print(
        f"killed after {killed.answered} answers: index {'as it was' if same else 'CHANGED'}, {documents} documents"
    )
    return good and same and killed.answered > 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument(
        "--memory", type=int, default=20_000, help="requests over which memory is watched; 0: none"
    )
    parser.add_argument("--paths", nargs="+", default=["/api/search", "/api/ask"])
    if shutil.which("wrk") is None:
        sys.exit("this needs wrk: apt-get install wrk")
    sys.exit(not run(parser.parse_args()))


if __name__ == "__main__":
    main()
