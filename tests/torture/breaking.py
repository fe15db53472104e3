"""Runs work in child processes whose file operations break, and plays what a loss of power leaves of their files.

`faults.c` is built once and loaded before everything else; importing this module in a process that was started
without it is an error, so scripts begin with `breaking.start()`. Children are forked: torch and the encoder are loaded
once for hundreds of them.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

_SOURCE = Path(__file__).with_name("faults.c")
_KEY_LENGTH = 80
HANG_SECONDS = 120


class Fault(IntEnum):
    """What happens at the chosen operation; the numbers are those of `faults.c`."""

    NONE = 1
    KILL_BEFORE = 2
    KILL_AFTER = 3
    FULL = 4
    READ_ONLY = 5


@dataclass(frozen=True, slots=True)
class Operation:
    """A file operation that changed something: what it was, and on which path below the watched folder."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended.

    Attributes:
        result: What its work returned, by way of JSON.
        error: The traceback of what it raised.
        signal: That ended it; 0 for none.
        hung: Whether it had to be killed for taking too long.
    """

    result: Any = None
    error: str = ""
    signal: int = 0
    hung: bool = False


def start() -> None:
    """Starts this script again with `faults.c` loaded, unless it is already."""
    library = (
        Path(tempfile.gettempdir()) / f"faults-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]}.so"
    )
    if os.environ.get("LD_PRELOAD") == str(library):
        return
    if not library.exists():
        unfinished = library.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", unfinished, _SOURCE, "-ldl"], check=True)
        unfinished.replace(library)
    calm = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **calm, "LD_PRELOAD": str(library)})  # noqa: S606


class Area:
    """A folder whose files break. Its `root` has the index and its documents; what is durable lies beside it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.durable = folder / "durable"
        self.journal = folder / "operations"
        self.acknowledged = folder / "acknowledged"

    def fill(self, source: Path | None) -> None:
        """Copies a folder here; all of it counts as safe on disk."""
        if source is None:
            self.root.mkdir(parents=True)
        else:
            shutil.copytree(source, self.root)
        self.durable.mkdir()
        for path in (self.root, *self.root.rglob("*")):
            kept = self.durable / key(path)
            if path.is_dir():
                kept.write_text("".join(f"{key(child)} {child.name}\n" for child in path.iterdir()))
            else:
                shutil.copyfile(path, kept)

    def acknowledge(self, step: int) -> None:
        """Notes, durably and outside of what breaks, that a step was reported as done."""
        with self.acknowledged.open("a") as file:
            file.write(f"{step}\n")

    def steps_acknowledged(self) -> int:
        """How many were."""
        return len(self.acknowledged.read_text().split()) if self.acknowledged.exists() else 0

    def operations(self) -> list[Operation]:
        """Those that were counted, in their order."""
        return [Operation(*line.split("\t", 1)) for line in self.journal.read_text().splitlines()]

    def run(self, work: Callable[[], object], fault: Fault = Fault.NONE, at: int = 0) -> Outcome:
        """Does the work in a child whose operations below `root` break as told."""

        def armed() -> object:
            arm = ctypes.CDLL(None).faults_arm
            names = [os.fsencode(path) for path in (self.root, self.durable, self.journal)]
            arm(*(ctypes.c_char_p(name) for name in names), ctypes.c_int(fault), ctypes.c_long(at))
            return work()

        return in_child(armed)

    def lose_power(self, to: Path, rng: random.Random, *, names: float, contents: float) -> None:
        """Writes what would be there after a loss of power.

        Args:
            to: A new folder.
            rng: Decides.
            names: Chance that a folder's names are as they were last, synced or not.
            contents: Chance that some of a file's content, from its beginning on, is as it was last.
        """
        last = {key(path): path for path in (self.root, *self.root.rglob("*"))}
        self._restore(key(self.root), to, last, rng, names, contents)
        if (self.root / "docs").exists():  # the user's own files aren't what is tested
            shutil.rmtree(to / "docs", ignore_errors=True)
            shutil.copytree(self.root / "docs", to / "docs")

    def _restore(
        self, file: str, to: Path, last: dict[str, Path], rng: random.Random, names: float, contents: float
    ) -> None:
        kept, now = self.durable / file, last.get(file)
        if now is not None and now.is_dir():
            to.mkdir()
            if rng.random() < names:
                children = [(key(child), child.name) for child in now.iterdir()]
            else:
                lines = kept.read_text().splitlines() if kept.exists() else []
                children = [(child, name) for child, _, name in (line.partition(" ") for line in lines)]
            for child, name in children:
                self._restore(child, to / name, last, rng, names, contents)
            return
        content = kept.read_bytes() if kept.exists() else b""
        if now is not None and rng.random() < contents:
            written = now.read_bytes()
            torn = rng.choice([len(written), rng.randrange(len(written) + 1)])
            content = written[:torn] + content[torn:]
        to.write_bytes(content)


def key(path: Path) -> str:
    """What a file is known by, whatever its name."""
    buffer = ctypes.create_string_buffer(_KEY_LENGTH)
    ctypes.CDLL(None).faults_key(os.fsencode(path), buffer, ctypes.c_size_t(_KEY_LENGTH))
    return buffer.value.decode()


@dataclass(frozen=True, slots=True)
class Child:
    """A forked process at work, and the end of a pipe that its result comes by."""

    pid: int
    pipe: int

    def wait(self, seconds: float) -> Outcome:
        """Waits for it, at most so long, and says how it ended."""
        received, end, hung = b"", time.monotonic() + seconds, False
        while True:
            ready, _, _ = select.select([self.pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                hung = True
                os.kill(self.pid, signal.SIGKILL)
                break
            block = os.read(self.pipe, 1 << 16)
            if not block:
                break
            received += block
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome(**(json.loads(received) if received else {}), signal=ended, hung=hung)


def begin_child(work: Callable[[], object]) -> Child:
    """Does the work in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return Child(child, reading)
    os.close(reading)
    try:
        answer, code = {"result": work()}, 0
    except BaseException:  # noqa: BLE001 - whatever it is, the parent tells
        answer, code = {"error": traceback.format_exc()}, 1
    with os.fdopen(writing, "w") as pipe:
        json.dump(answer, pipe)
    os._exit(code)


def in_child(work: Callable[[], object], seconds: float = HANG_SECONDS) -> Outcome:
    """Does the work in a forked process, waits for it, and says how it ended."""
    return begin_child(work).wait(seconds)
