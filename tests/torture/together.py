"""Reads an index from several threads and processes while a writer changes it, is killed, and begins again.

    python tests/torture/together.py --seconds 600

The writer adds, replaces and removes documents and compacts, as fast as it can; now and then it is killed and another
one takes over; a second one that comes while it writes is told who is there. Each reader searches without end. Every
result must be of one state: a document's passages are all of one version, and the words and the texts of one snapshot
agree. The last line says how much was done; the exit code is 1 if something went wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import breaking
from breaking import begin_child, in_child
from library import (
    Step,
    compact_index,
    index_files,
    load_encoder,
    make_texts,
    problems,
    remove_files,
    unique_word,
)

_LONGEST_LIFE = 8.0
"""Seconds until a writer is killed at the latest."""


class Torture:
    """One run of the suite."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.rng = random.Random(seed)
        self.encoder = load_encoder(folder)

    def run(self, seconds: float, readers: int) -> tuple[dict[str, int], list[str]]:
        """Lets readers and writers go for so long; returns how much was done, and what went wrong."""
        outcome = in_child(lambda: index_files(make_texts(range(20))).act(self.root, self.encoder))
        assert not outcome.error, outcome.error
        end = time.monotonic() + seconds
        children = [begin_child(self._reading(end, seed)) for seed in range(readers)]
        counts = {"writers": 0, "killed": 0, "told who is there": 0, "runs": 0}
        wrong: list[str] = []
        while time.monotonic() < end:
            counts["writers"] += 1
            life = min(end, time.monotonic() + self.rng.uniform(1.0, _LONGEST_LIFE))
            writer = begin_child(self._writing(life, self.rng.randrange(1 << 30)))
            time.sleep(self.rng.uniform(0.3, 1.0))
            second = in_child(self._intrude)
            wrong += [second.error] if second.error else []
            counts["told who is there"] += second.result == writer.pid
            if self.rng.random() < 0.5:
                time.sleep(max(0.0, self.rng.uniform(0.0, life - time.monotonic())))
                os.kill(writer.pid, signal.SIGKILL)
                counts["killed"] += 1
            ended = writer.wait(end - time.monotonic() + 120)
            counts["runs"] += ended.result or 0
            if ended.error or ended.hung or ended.signal not in (0, signal.SIGKILL):
                wrong.append(f"writer: signal {ended.signal}, hung {ended.hung}: {ended.error}")
        if not counts["told who is there"]:
            wrong.append("no second writer was told of the first")
        searches = 0
        for child in children:
            ended = child.wait(120)
            if ended.error or ended.hung or ended.signal:
                wrong.append(f"reader: signal {ended.signal}, hung {ended.hung}: {ended.error}")
            else:
                searches += ended.result[0]
                wrong += ended.result[1]
        last = make_texts(range(20))
        outcome = in_child(lambda: index_files(last).act(self.root, self.encoder))
        outcome = (
            in_child(lambda: problems(self.root, self.encoder, [last], 0)) if not outcome.error else outcome
        )
        wrong += [outcome.error] if outcome.error else outcome.result
        return {"searches": searches, **counts}, wrong

    def _writing(self, end: float, seed: int) -> Callable[[], int]:
        def work() -> int:
            rng, runs = random.Random(seed), 0
            while time.monotonic() < end:
                texts = {
                    name: text
                    for number in rng.sample(range(20), rng.randrange(12, 20))
                    for name, text in make_texts(range(number, number + 1), version=rng.randrange(3)).items()
                }
                name = rng.choice(sorted(texts))
                steps = [index_files(texts), remove_files(texts, [name], name)]
                steps += [compact_index(texts)] if rng.random() < 0.3 else []
                for step in steps:
                    self._insist(step)
                runs += 1
            return runs

        return work

    def _insist(self, step: Step) -> None:
        """Does a step; the intruder may have the lock for a moment, since each step opens the index anew."""
        from retriever.errors import IndexLockedError

        for _ in range(200):
            try:
                step.act(self.root, self.encoder)
                return
            except IndexLockedError:
                time.sleep(0.05)
        raise TimeoutError("the lock wasn't let go")

    def _intrude(self) -> int:
        """Tries to write too; returns the process that it is told of, or 0 where there was none just then."""
        from indexer import Indexer
        from retriever.errors import IndexLockedError

        try:
            Indexer.open(self.root / "index", encoder=self.encoder).close()
        except IndexLockedError as error:
            told = re.search(r"process (\d+)", str(error))
            return int(told.group(1)) if told else 0
        return 0

    def _reading(self, end: float, seed: int) -> Callable[[], list[Any]]:
        def work() -> list[Any]:
            from retriever import Retriever

            counts, wrong = [0, 0], list[str]()
            with Retriever.open(self.root / "index", encoder=self.encoder) as retriever:

                def read(number: int) -> None:
                    rng = random.Random(seed * 2 + number)
                    while time.monotonic() < end and len(wrong) < 5:
                        try:
                            wrong.extend(_look(retriever, rng))
                        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                            wrong.append(f"{type(error).__name__}: {error}")
                        counts[number] += 1

                threads = [threading.Thread(target=read, args=(number,)) for number in range(2)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            return [sum(counts), wrong]

        return work


def _look(retriever: Any, rng: random.Random) -> list[str]:
    """One search and one snapshot; what doesn't agree."""
    wrong = []
    versions: dict[str, str] = {}
    for hit in retriever.search("which sensor fell in winter?", 10, per_document=3):
        words = set(re.findall(r"sensor (q[a-j]{5})[abc]", hit.text))
        if versions.setdefault(hit.document_id, min(words, default="")) not in words or len(words) != 1:
            wrong.append(f"{hit.document_id}: passages of several versions in one answer")
    number = rng.randrange(20)
    name = f"d{number:03d}.md"
    with retriever._reader.snapshot() as snapshot:
        document = snapshot.document(f"docs/{name}")
        for version in range(3):
            word = unique_word(name, version)
            expected = 3 if document is not None and f"{word}a" in document.text else 0
            held = sum(len(snapshot.lexical(f"{word}{part}", 10, None)) for part in "abc")
            if held != expected:
                wrong.append(
                    f"{name}: {held} passages of version {version} by their words, {expected} stored"
                )
    return wrong


def main() -> int:
    breaking.start()
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--readers", type=int, default=2, help="processes, of two threads each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        counts, wrong = Torture(Path(folder), options.seed).run(options.seconds, options.readers)
    for line in wrong:
        print(f"FAILED {line}")
    print(f"{', '.join(f'{count} {name}' for name, count in counts.items())}; {len(wrong)} failures")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
