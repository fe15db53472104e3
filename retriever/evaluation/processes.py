"""Programs run as a user runs them, each a fresh process: how long until output, how much memory at most."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from retriever.errors import SpanseekError

_LAUNCHER = Path(__file__).with_name("launched.py")


@dataclass(frozen=True, slots=True)
class Ran:
    """A process that ended.

    Attributes:
        first_s: Seconds from its start to its first output.
        seconds: Seconds from its start to its end.
        peak: Bytes that it held in memory at most.
        output: What it wrote to standard output.
    """

    first_s: float
    seconds: float
    peak: int
    output: str


def run_fresh(arguments: Sequence[str], *, allowed: Iterable[int] = (0,)) -> Ran:
    """Runs a program and waits for it; an interruption ends it, too.

    Args:
        arguments: The program's path, and what it is given.
        allowed: Exit codes that are no failure.

    Raises:
        SpanseekError: It ended with another code; the message is the last line of its errors.
    """
    with tempfile.TemporaryDirectory(prefix="spanseek-bench-") as scratch:
        result = Path(scratch, "result.json")
        started = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", str(_LAUNCHER), str(result), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            start_new_session=True,  # Ctrl-C is for us alone; we end it then
        )
        try:
            output, errors = started.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.communicate()
            raise
        said = json.loads(result.read_text(encoding="utf-8")) if result.is_file() else {"code": -1}
    if said["code"] not in set(allowed):
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {said['code']}"
        raise SpanseekError(f"a fresh process failed: {reason.removeprefix('spanseek: ')}")
    return Ran(said["first_s"], said["seconds"], said["peak"], output.decode("utf-8", "replace"))
