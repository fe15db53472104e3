"""The process that reads: `python -m indexer.readers.worker`, started by `process.py`, which it talks to over pipes.

It takes one file after the other, passes on each document as it is read, and may die of any of them. All formats are
read here, text too: it starts in 0.07 s, a file costs 0.4 ms more than when it is read where it is indexed (0.6 % of
indexing 500 small texts), and a regular expression can hang as well as a parser can crash.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from indexer.readers import ReadLimits, read
from indexer.readers.messages import HEADER_BYTES, Message, as_json, length_of, packed, unpacked
from retriever.errors import UnreadableError

_PROGRESS_SECONDS = 0.5
_STANDARD_ERROR_BYTES = 1 << 16
_WORN = 0.25
"""A process that has kept this share of its memory ends: the next file is to have all of it."""
_FORBIDDEN = (
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
)


class _Worker:
    """One run of this process."""

    def __init__(self, requests: BinaryIO, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        self._answered = 0.0

    def run(self) -> None:
        """Reads files until there is nobody who asks."""
        self._send({"hello": os.getpid()})
        while (request := self._next()) is not None:
            asked = request["read"]
            limits = ReadLimits(**asked["limits"])
            _confine(limits)
            with self._ending_with_the_other_process():
                reason = self._read(os.fsdecode(bytes.fromhex(asked["path"])), limits, asked["skip"])
            self._send({"end": reason})
            if _address_space() > limits.memory_bytes * _WORN:
                os._exit(0)

    def _read(self, path: str, limits: ReadLimits, skip: int) -> str:
        """Reads a file and returns why it can't be read, if so; what was passed on before is left out."""
        try:
            for extract in islice(read(Path(path), limits, self._progress), skip, None):
                self._send({"extract": as_json(extract)})
        except UnreadableError as error:
            if _is_of_memory(error):
                raise MemoryError from error
            return str(error)
        except (RecursionError, ValueError) as error:  # of a message: metadata can be anything
            return f"can't be passed on: {error}"
        return ""

    def _progress(self) -> None:
        now = time.monotonic()
        if now - self._answered > _PROGRESS_SECONDS:
            self._send({"progress": True})

    def _send(self, message: Message) -> None:
        data = memoryview(packed(message))
        while data:
            data = data[os.write(self._answers, data) :]
        self._answered = time.monotonic()

    def _next(self) -> Message | None:
        header = self._requests.read(HEADER_BYTES)
        return unpacked(self._requests.read(length_of(header))) if header else None

    @contextlib.contextmanager
    def _ending_with_the_other_process(self) -> Iterator[None]:
        """While it lasts, the kernel ends this process when the other one closes the pipe, or is killed.

        A thread that waits for that would never get its turn while a parser or a regular expression doesn't let go.
        """
        pipe = self._requests.fileno()
        flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
        with contextlib.suppress(
            OSError
        ):  # where pipes can't, an orphan ends when it answers, or by its time
            fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
        try:
            if select.select([pipe], [], [], 0)[0]:  # closed before that
                os._exit(0)
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETFL, flags)


def main() -> None:
    """Serves the process that started this one, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the other one decides
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    requests, answers = os.dup(0), os.dup(1)
    # What a parser prints must not get between the messages, nor may it wait for input.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would load it, only to know its numbers
    with contextlib.suppress(OSError):  # if memory is short for all, this process goes first
        Path("/proc/self/oom_score_adj").write_text("800")
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NPROC", 0)
    _limit("RLIMIT_FSIZE", _STANDARD_ERROR_BYTES)
    sys.addaudithook(_refuse)
    worker = _Worker(os.fdopen(requests, "rb"), answers)
    try:
        worker.run()
    except MemoryError:
        worker._send({"memory": True})
    os._exit(0)


def _confine(limits: ReadLimits) -> None:
    """Limits of the process that stay what they are once set."""
    _limit("RLIMIT_AS", limits.memory_bytes)


def _limit(name: str, value: int) -> None:
    """Sets a limit, unless a lower one is set already or the system doesn't know it."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _address_space() -> int:
    try:
        with Path("/proc/self/statm").open("rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # not on Linux
        return 0


def _refuse(event: str, _: object) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"a reader may not use {event}")


def _is_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    main()
