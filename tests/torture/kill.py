"""Kills a process that writes an index at hundreds of its file operations, and looks at what is left.

    python tests/torture/kill.py --points 200 --seed 0

Each point is an operation of a real run (first indexing, update, removal, compaction): the process gets SIGKILL before
or after it. What is left is looked at as it is, and as a loss of power would have left it, three times: nothing that
wasn't synced; all names but no content that wasn't synced; a random part of each. Then: the index opens, `verify`
finds no damage, all that was reported as done is found by its words and by its vectors, nothing half-done is seen, and
the same work, done again, ends in what it would have ended in. With `--fault full` and `--fault readonly` the disk is
full, or can't be written to, from the point on; the process must end with an error that a user can read.

The last line says how many cases there were; the exit code is 1 if one went wrong.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import breaking
from breaking import Area, Fault, in_child
from library import IDLE, Scenario, Step, index_files, load_encoder, make_outdated, problems, scenarios

_IMPORTANT = ("fsync", "fdatasync", "rename", "unlink", "unlinkat", "rmdir", "mkdir", "create", "ftruncate64")
_LOSSES = {"all": (0.0, 0.0), "names": (1.0, 0.0), "part": (0.5, 0.5)}


class Torture:
    """One run of the suite: an encoder, a folder to work in, and what was found."""

    def __init__(self, folder: Path, seed: int, *, keep: bool = False) -> None:
        self.folder = folder
        self.keep = keep
        self.rng = random.Random(seed)
        self.encoder = load_encoder(folder)
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.number = 0

    def base(self, scenario: Scenario) -> Path | None:
        """The index that a scenario begins with."""
        if scenario.before is None:
            return None
        folder = self.folder / f"base-{scenario.name}"
        folder.mkdir()
        step = index_files(scenario.before)
        outcome = in_child(lambda: step.act(folder, self.encoder))
        assert not outcome.error, outcome.error
        if scenario.outdated:
            make_outdated(folder)
        return folder

    def area(self, base: Path | None) -> Area:
        """A new folder, filled with what a scenario begins with."""
        self.number += 1
        area = Area(self.folder / f"case-{self.number}")
        area.root.parent.mkdir()
        area.fill(base)
        return area

    def work(self, area: Area, scenario: Scenario) -> None:
        """All steps, each noted when it is reported as done."""
        for number, step in enumerate(scenario.steps, start=1):
            step.act(area.root, self.encoder)
            area.acknowledge(number)

    def scenario(self, scenario: Scenario, points: int, faults: list[Fault]) -> None:
        """Breaks a scenario at so many points."""
        base = self.base(scenario)
        area = self.area(base)
        outcome = area.run(lambda: self.work(area, scenario))
        assert not outcome.error, outcome.error
        operations = area.operations()
        self.check(area.root, scenario, len(scenario.steps), f"{scenario.name}, unbroken")
        shutil.rmtree(area.root.parent)
        important = [i for i, op in enumerate(operations, start=1) if op.name in _IMPORTANT]
        others = [i for i, op in enumerate(operations, start=1) if op.name not in _IMPORTANT]
        chosen = self.rng.sample(important, min(len(important), points * 2 // 3))
        chosen += self.rng.sample(others, min(len(others), points - len(chosen)))
        for at in sorted(chosen):
            fault = self.rng.choice(faults)
            op = operations[at - 1]
            self.point(scenario, base, fault, at, f"{scenario.name}, {fault.name} {at} ({op.name} {op.path})")

    def point(self, scenario: Scenario, base: Path | None, fault: Fault, at: int, what: str) -> None:
        """Breaks at one operation, and looks at what is left."""
        failed = len(self.failures)
        area = self.area(base)
        outcome = area.run(lambda: self.work(area, scenario), fault, at)
        self.counts[fault.name] += 1
        if outcome.hung:
            self.fail(what, "hung")
        done = area.steps_acknowledged()
        if fault in (Fault.KILL_BEFORE, Fault.KILL_AFTER):
            if outcome.signal not in (0, signal.SIGKILL) or outcome.error:
                self.fail(what, f"ended by signal {outcome.signal}: {outcome.error}")
            if outcome.signal == 0:  # its threads took fewer operations this time
                self.counts["not reached"] += 1
            for name, (names, contents) in _LOSSES.items():
                left = area.root.parent / name
                area.lose_power(left, self.rng, names=names, contents=contents)
                self.counts["losses of power"] += 1
                self.check(left, scenario, done, f"{what}, power lost ({name})")
        else:
            self.check_error(outcome, what)
        if fault is Fault.READ_ONLY:
            states = scenario.states()
            outcome = area.run(lambda: problems(area.root, self.encoder, states, done), fault, 1)
            # Where a log is left that can't be read without writing, that is said.
            if outcome.error and "errors.IndexAccessError" in outcome.error.strip().splitlines()[-1]:
                self.counts["not to be read without writing"] += 1
            elif outcome.error or outcome.result:
                self.fail(what, f"read where nothing can be written: {outcome.error}{outcome.result}")
            else:
                self.counts["read where nothing can be written"] += 1
        self.check(area.root, scenario, done, what)
        if not self.keep or len(self.failures) == failed:
            shutil.rmtree(area.root.parent)

    def check_error(self, outcome: breaking.Outcome, what: str) -> None:
        """What a disk that is full or can't be written to ends a run with: an error that spanseek raises itself."""
        if outcome.signal:
            self.fail(what, f"ended by signal {outcome.signal}")
        elif (
            outcome.error
            and "retriever.errors.IndexAccessError" not in outcome.error.strip().splitlines()[-1]
        ):
            self.fail(what, outcome.error)
        self.counts["told" if outcome.error else "not needed"] += 1

    def check(self, root: Path, scenario: Scenario, done: int, what: str) -> None:
        """Looks at what is left, does the rest of the work, and looks again."""
        states = scenario.states()
        outcome = in_child(lambda: problems(root, self.encoder, states, done))
        for line in outcome.result or []:
            self.fail(what, line)
        if outcome.error or outcome.signal or outcome.hung:
            self.fail(what, f"looking at it: signal {outcome.signal}, hung {outcome.hung}: {outcome.error}")
        outcome = in_child(lambda: self.go_on(root, scenario.steps[done:]))
        if outcome.error or outcome.signal or outcome.hung:
            self.fail(what, f"going on: signal {outcome.signal}, hung {outcome.hung}: {outcome.error}")
        outcome = in_child(
            lambda: [*problems(root, self.encoder, states, len(scenario.steps)), *_left_over(root)]
        )
        for line in outcome.result or []:
            self.fail(what, f"after going on: {line}")
        if outcome.error or outcome.signal or outcome.hung:
            self.fail(what, f"after going on: signal {outcome.signal}: {outcome.error}")
        self.counts["states looked at"] += 1

    def go_on(self, root: Path, steps: tuple[Step, ...]) -> None:
        """What was left undone; a step that had begun is done again. Then a writer opens, which removes what is left over:
        an upgrade that was killed at its very end leaves nothing to do for who only reads."""
        for step in (*steps, IDLE):
            step.act(root, self.encoder)

    def fail(self, what: str, line: str) -> None:
        self.failures.append(f"{what}: {line}")
        print(f"FAILED {what}: {line}", flush=True)


def _left_over(root: Path) -> Iterator[str]:
    """Files that nobody needs any more."""
    from retriever.store.generations import names_of
    from retriever.store.manifest import read_manifest
    from retriever.store.schema import connect

    folder = root / "index" / "vectors"
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    connection = connect(root / "index" / "index.sqlite")
    try:
        named = set(names_of(read_manifest(connection)))
    finally:
        connection.close()
    if names != named:
        yield f"left over: {sorted(names - named)}, missing: {sorted(named - names)}"


def main() -> int:
    breaking.start()
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=200, help="operations to break at, over all scenarios")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fault", choices=("kill", "full", "readonly"), default="kill")
    parser.add_argument("--scenario", help="only this one")
    parser.add_argument("--keep", action="store_true", help="leave the folders of what failed")
    options = parser.parse_args()
    faults = {
        "kill": [Fault.KILL_BEFORE, Fault.KILL_AFTER],
        "full": [Fault.FULL],
        "readonly": [Fault.READ_ONLY],
    }[options.fault]
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    torture = Torture(folder, options.seed, keep=options.keep)
    chosen = [s for s in scenarios() if options.scenario in (None, s.name)]
    for scenario in chosen:
        torture.scenario(scenario, -(-options.points // len(chosen)), faults)
    if not (options.keep and torture.failures):
        shutil.rmtree(folder)
    counts = ", ".join(f"{count} {name.lower().replace('_', ' ')}" for name, count in torture.counts.items())
    print(f"{counts}; {len(torture.failures)} failures in {time.monotonic() - begun:.0f} s")
    return bool(torture.failures)


if __name__ == "__main__":
    sys.exit(main())
