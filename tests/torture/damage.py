"""Damages the files of an index at random, and looks at what spanseek makes of it.

    python tests/torture/damage.py --count 500 --seed 0

Each case takes a whole index (FAISS files, a delta, tombstones, tantivy segments with deletions; every second one also
with SQLite's log, as a kill leaves it), and does one thing to one of its files: flips a bit, overwrites some bytes,
empties a block, cuts it off, makes it longer, deletes it. Then every question is asked again: the answers are what they
were, or there is one line that says what to do; nothing else. Then `verify --repair` is run: it mends the index, and
after the folder is indexed again all is as it was; or it says in one line that it can't.

The last line says how many cases ended how; the exit code is 1 if one went wrong.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import breaking
from breaking import in_child
from library import Texts, index_files, load_encoder, make_texts, open_index, problems, unique_word

_DOCUMENTS = 14
_QUESTIONS = (
    "which sensor fell in winter?",
    "who approves the cat?",
    "Part b of d004.md",
    "monday",
    *(f"{unique_word(f'd{number:03d}.md', 0)}a" for number in (2, 6, 10)),
)


def flip(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    content[start : start + 8] = rng.randbytes(len(content[start : start + 8]))


def empty_block(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content)) // 512 * 512
    content[start : start + 512] = bytes(len(content[start : start + 512]))


def cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def lengthen(content: bytearray, rng: random.Random) -> None:
    content += rng.randbytes(rng.randrange(1, 2000))


_WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip,
    flip,
    flip,
    overwrite,
    empty_block,
    cut,
    lengthen,
)


@dataclass(frozen=True, slots=True)
class Base:
    """An index that is whole, what its documents are, and what it answers; with a log, also what it answered before."""

    root: Path
    texts: Texts
    answers: list[Any]


class Torture:
    """One run of the suite."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.encoder = load_encoder(folder)
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.number = 0
        self.bases = [self.base(logged=False), self.base(logged=True)]

    def base(self, *, logged: bool) -> Base:
        """An index of many parts; if `logged`, its last commits are still in SQLite's log."""
        root = self.folder / f"base-{logged}"
        root.mkdir()
        first = make_texts(range(14))
        last = {**make_texts(range(1, 15)), **make_texts(range(4, 6), version=1)}

        def make() -> object:
            from retriever import Retriever

            index_files(first).act(root, self.encoder)
            with open_index(root, self.encoder) as index:
                index.compact()
            earlier = self.answers(root)
            index_files(last).act(root, self.encoder)
            if logged:
                with Retriever.open(root / "index", encoder=self.encoder) as held:
                    held.search("a reader keeps SQLite's log from being emptied into the file")
                    index_files(last).act(root, self.encoder)
                    shutil.copytree(root, root.with_name("copy"))
                shutil.rmtree(root)
                root.with_name("copy").rename(root)
            return [self.answers(root), earlier]

        outcome = in_child(make)
        assert not outcome.error, outcome.error
        return Base(root, last, outcome.result)

    def answers(self, root: Path) -> list[Any]:
        """All that can be seen of an index through the public API."""
        from retriever import Retriever

        with Retriever.open(root / "index", encoder=self.encoder) as retriever:
            asked = [(question, where) for question in _QUESTIONS for where in ([], ["path=docs/d00*"])]
            found: list[Any] = [
                [
                    [hit.document_id, hit.text, hit.title, list(hit.headings), hit.line, round(hit.score, 4)]
                    for hit in retriever.search(question, 8, where=where)
                ]
                for question, where in asked
            ]
            found.append(
                sorted([d.id, d.text, d.title] for d in map(retriever.document, retriever.document_ids()))
            )
            return found

    def case(self) -> None:
        """Damages one file, and looks."""
        base = self.bases[self.number % 2]
        self.number += 1
        root = self.folder / f"case-{self.number}"
        shutil.copytree(base.root, root)
        what = self.damage(root / "index")
        outcome = in_child(lambda: self.asked(root))
        kind = outcome.result[0] if outcome.result else "failed"
        if outcome.error or outcome.signal or outcome.hung:
            self.fail(what, f"asking: signal {outcome.signal}, hung {outcome.hung}: {outcome.error}")
        elif kind == "answered" and outcome.result[1] != base.answers[0]:
            if "-wal" in what or "-shm" in what:  # a log that is cut off is a log that ends earlier
                self.counts["answered as before the last commits"] += 1
            else:
                self.fail(what, f"a wrong answer: {_difference(outcome.result[1], base.answers[0])}")
        elif kind == "told" and "\n" in outcome.result[1]:
            self.fail(what, f"more than a line: {outcome.result[1]}")
        self.counts[kind] += 1
        self.mend(root, base, what, kind)
        shutil.rmtree(root)

    def asked(self, root: Path) -> list[Any]:
        """What somebody who asks gets: answers or a line."""
        from retriever.errors import SpanseekError

        try:
            return ["answered", self.answers(root)]
        except SpanseekError as error:
            return ["told", str(error)]

    def mend(self, root: Path, base: Base, what: str, asked: str) -> None:
        """Repairs, indexes again, and compares with what was."""

        def work() -> list[Any]:
            from retriever.errors import SpanseekError
            from retriever.store.repair import repair

            try:
                done = repair(root / "index")
            except SpanseekError as error:
                return ["beyond repair", str(error)]
            if done.after.damage:
                return ["not repaired", list(done.after.damage)]
            index_files(base.texts).act(root, self.encoder)
            return [
                "repaired" if done.before else "nothing to repair",
                problems(root, self.encoder, [base.texts], 0),
            ]

        outcome = in_child(work)
        if outcome.error or outcome.signal or outcome.hung:
            self.fail(what, f"repair: signal {outcome.signal}, hung {outcome.hung}: {outcome.error}")
            return
        kind, rest = outcome.result
        self.counts[kind] += 1
        if kind == "not repaired" or (kind != "beyond repair" and rest):
            self.fail(what, f"{kind}: {rest}")
        if kind == "beyond repair" and "index.sqlite of" not in what and "index.sqlite deleted" not in what:
            self.fail(what, f"only the database can be beyond repair: {rest}")
        if kind == "nothing to repair" and asked == "told":
            self.fail(what, "refused, though there is nothing to repair")

    def damage(self, index: Path) -> str:
        """Does something to a file of an index; says what. Small files get as much of it as large ones."""
        files = sorted(path for path in index.rglob("*") if path.is_file() and path.name != "writer.lock")
        kinds = sorted({path.suffix for path in files})
        kind = self.rng.choice([*kinds, *[kind for kind in kinds if kind.startswith(".sqlite")] * 3])
        path = self.rng.choice([path for path in files if path.suffix == kind])
        name = path.relative_to(index)
        if self.rng.random() < 0.1:
            path.unlink()
            return f"{name} deleted"
        content = bytearray(path.read_bytes())
        if not content:
            content = bytearray(b"\n")
        way = self.rng.choice(_WAYS)
        before = bytes(content)
        way(content, self.rng)
        path.write_bytes(content)
        where = next(
            (i for i, (a, b) in enumerate(zip(before, content, strict=False)) if a != b), len(content)
        )
        return f"case {self.number}: {name} of {len(before)} bytes, {way.__name__} at {where}"

    def fail(self, what: str, line: str) -> None:
        self.failures.append(f"{what}: {line}")
        print(f"FAILED {what}: {line}", flush=True)


def _difference(found: list[Any], expected: list[Any]) -> str:
    for number, (a, b) in enumerate(zip(found, expected, strict=False)):
        if a != b:
            return f"question {number}: {str(a)[:300]} and not {str(b)[:300]}"
    return "fewer answers"


def main() -> int:
    breaking.start()
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    torture = Torture(folder, options.seed)
    for _ in range(options.count):
        torture.case()
    shutil.rmtree(folder)
    counts = ", ".join(f"{count} {name}" for name, count in torture.counts.items())
    print(
        f"{options.count} damaged: {counts}; {len(torture.failures)} failures in {time.monotonic() - begun:.0f} s"
    )
    return bool(torture.failures)


if __name__ == "__main__":
    sys.exit(main())
