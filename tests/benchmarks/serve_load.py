"""The server under load, on this machine alone: 32 connections against one, in the same run, and a kill under load.

Asks `spanseek serve` distinct questions (a word of the index and a number, so that nothing is answered from memory),
first over one connection, then over many. Prints throughput, median and 95th percentile, errors, and memory, for
`/api/search` (passages) and `/api/ask` (answers), then kills the server with -9 while it is asked and looks whether
the index is as it was.

    python tests/benchmarks/serve_load.py --index DIR [--seconds 60] [--connections 32] [--requests 20000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

SPANSEEK = "from cli.main import main; main()"
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(slots=True)
class Load:
    """What one load brought; seconds."""

    connections: int
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return self.statuses["200"] / self.seconds

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.times, n=20)[-1] if len(self.times) > 1 else self.times[0]

    def __str__(self) -> str:
        failed = sum(count for status, count in self.statuses.items() if status != "200")
        kinds = {status: count for status, count in self.statuses.items() if status != "200"}
        return (
            f"{self.connections:>3} connections: {self.rate:8.2f} a second, median {1000 * statistics.median(self.times):7.1f} ms, "
            f"p95 {1000 * self.p95:7.1f} ms, {self.statuses['200']} answered, {failed} errors {kinds or ''}"
        )


def questions(words: list[str], seed: int) -> Iterator[str]:
    """Endless, and none twice."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        yield f"what is said of {' '.join(chance.sample(words, min(3, len(words))))} in {1000 + number}?"


async def load(
    address: str, path: str, connections: int, seconds: float, most: int, words: list[str]
) -> Load:
    """Asks over so many connections for so long, or until so many were answered."""
    done = Load(connections)
    begun = time.perf_counter()
    asked = questions(words, connections)
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)

    async def ask(client: httpx.AsyncClient) -> None:
        while time.perf_counter() - begun < seconds and len(done.times) < most:
            start = time.perf_counter()
            try:
                reply = await client.get(f"{address}{path}", params={"q": next(asked), "k": 5})
                done.statuses[str(reply.status_code)] += 1
            except httpx.HTTPError as error:
                done.statuses[type(error).__name__] += 1
                if isinstance(error, httpx.ConnectError):
                    return
            done.times.append(time.perf_counter() - start)

    async with httpx.AsyncClient(limits=limits, timeout=120, trust_env=False) as client:
        await asyncio.gather(*(ask(client) for _ in range(connections)))
    done.seconds = time.perf_counter() - begun
    return done


@asynccontextmanager
async def serving(index: Path) -> AsyncIterator[tuple[subprocess.Popen[str], str]]:
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


async def run(options: argparse.Namespace) -> bool:
    from retriever import Retriever

    with Retriever.open(options.index) as retriever:
        words = sorted({word for text in retriever.passages() for word in _WORD.findall(text)})[:20_000]
    good = True
    async with serving(options.index) as (process, address):
        for path in options.paths:
            await load(address, path, 2, 5, 20, words)  # warms up
            one = await load(address, path, 1, options.seconds, options.requests, words)
            many = await load(address, path, options.connections, options.seconds, options.requests, words)
            ratio = many.rate / one.rate
            bound = options.connections / 1.5 * statistics.median(one.times)
            print(f"{path}\n  {one}\n  {many}")
            print(
                f"  throughput {ratio:.2f} times; p95 {many.p95 / bound:.2f} of what is allowed; {memory(process):.0f} MB"
            )
            good &= set(many.statuses) == {"200"}
        if options.memory:
            print(f"memory over {options.memory} requests of /api/search")
            for part in range(5):
                await load(address, "/api/search", options.connections, 1e9, options.memory // 5, words)
                print(f"  after {(part + 1) * options.memory // 5:>6}: {memory(process):.0f} MB")
    before = content(options.index)
    async with serving(options.index) as (process, address):
        asking = asyncio.create_task(load(address, "/api/search", options.connections, 30, 10**9, words))
        await asyncio.sleep(3)
        os.kill(process.pid, signal.SIGKILL)
        killed = await asking
    same = content(options.index) == before
    with Retriever.open(options.index) as retriever:
        documents = retriever.status().documents
    print(
        f"killed after {killed.statuses['200']} answers: index {'as it was' if same else 'CHANGED'}, {documents} documents"
    )
    return good and same


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=10**9, help="at most so many of each load")
    parser.add_argument(
        "--memory", type=int, default=20_000, help="requests over which memory is watched; 0: none"
    )
    parser.add_argument("--paths", nargs="+", default=["/api/search", "/api/ask"])
    sys.exit(not asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
