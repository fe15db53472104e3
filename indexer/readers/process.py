"""Reads files in a process of its own, so that none of them can stop, kill or overfill the one that indexes.

Useful for: whatever comes from others, one file after the other. Not for: reading in several threads at once.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, cast

from indexer.pipeline import StoppedError
from indexer.readers import ReadLimits, read
from indexer.readers.messages import HEADER_BYTES, Message, from_json, length_of, packed, unpacked
from retriever.errors import SpanseekError, UnreadableError
from retriever.types import Extract

_DEFAULT_LIMITS = ReadLimits()
_START_SECONDS = 60.0
_ATTEMPTS = 3
_SECONDS_PER_MIB = 2.0
_SLICE = 0.1
_LONGEST_SLICE = 1.0
_MIB = 1 << 20
_OUT_OF_MEMORY = (b"bad_alloc", b"out of memory", b"Out of memory", b"Cannot allocate memory", b"MemoryError")
_MUCH = 0.3
"""Share of its memory from which on a crash is put on the memory: parsers double what they hold, or copy it."""
_SIGKILL = 9


class ReadingProcess:
    """Reads files by `indexer.readers.read` in another process, which is started when it is first needed.

    A file of which that process dies is read once more by a new one, unless it was new already: what an earlier file
    has left broken is not put on a later one.
    """

    def __init__(self, limits: ReadLimits = _DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._worker: _Worker | None = None
        self._stopped = threading.Event()

    def read(self, path: Path) -> Iterator[Extract]:
        """Yields the documents that a file holds, as `indexer.readers.read` does.

        Raises:
            UnreadableError: It can't be read as a document, or only in part, or not within the limits.
            SpanseekError: No process can be started.
            StoppedError: `stop` was called.
        """
        if not sys.executable or getattr(sys, "frozen", False):  # no interpreter that could be started
            yield from read(path, self._limits)
            return
        passed = 0
        while True:
            worker = self._ready()
            is_new, worker.is_new = worker.is_new, False
            is_done = False
            try:
                for extract in worker.read(path, passed):
                    passed += 1
                    yield extract
                is_done = True
                return
            except UnreadableError:
                is_done = True
                raise
            except _OverError as error:
                raise UnreadableError(str(error)) from error
            except _DeadError as error:
                if is_new:
                    raise UnreadableError(str(error)) from error
            finally:
                if not is_done:  # it died, or goes on with what nobody waits for
                    self.close()

    def stop(self) -> None:
        """Ends the reading under way, within a tenth of a second. May be called from any thread."""
        self._stopped.set()

    def resume(self) -> None:
        """Lets files be read again after `stop`."""
        self._stopped.clear()

    def close(self) -> None:
        """Ends the process; it is started again if another file is read."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _ready(self) -> _Worker:
        if self._worker is not None and not self._worker.is_alive:
            self.close()
        problem = ""
        for _ in range(_ATTEMPTS):
            if self._worker is not None:
                break
            try:
                self._worker = _Worker(self._limits, self._stopped)
            except (OSError, _DeadError, _OverError) as error:
                problem = str(error)
        else:
            raise SpanseekError(f"the process that reads files can't be started: {problem}")
        return self._worker


class _DeadError(Exception):
    """The process is gone, or what it says makes no sense; the message is what is to be said of the file."""


class _OverError(Exception):
    """A limit of time was passed; the message says which."""


class _Clock:
    """Counts the time that is spent waiting; never that in which both processes were stopped (Ctrl-Z, sleep)."""

    def __init__(self, stalled: float, seconds: float) -> None:
        self._limits = (stalled, seconds)
        self._stalled = self._total = 0.0

    def add(self, seconds: float) -> None:
        """Adds a wait.

        Raises:
            _OverError: That is too much.
        """
        self._stalled += min(seconds, _LONGEST_SLICE)
        self._total += min(seconds, _LONGEST_SLICE)
        for spent, limit in zip((self._stalled, self._total), self._limits, strict=True):
            if spent > limit:
                raise _OverError(f"took longer than {limit:.3g} s")

    def progress(self) -> None:
        """Something came."""
        self._stalled = 0.0


class _Worker:
    """One process that reads, from its start to its end."""

    def __init__(self, limits: ReadLimits, stopped: threading.Event) -> None:
        self._limits = limits
        self._stopped = stopped
        self._longest = 16 * limits.characters + 64 * _MIB
        self._received = bytearray()
        self._most = 0  # address space, as far as it was seen
        self.is_new = True
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process ends
        try:
            self._process = subprocess.Popen(
                # -P: a folder with documents may hold a json.py, which isn't ours
                [sys.executable, "-P", "-m", "indexer.readers.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, "PYTHONPATH": _import_path()},
                bufsize=0,
            )
        except BaseException:
            self._errors.close()
            raise
        self._asks = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        self.end = weakref.finalize(self, _end, self._process, self._errors)
        try:
            if "hello" not in self._receive(_Clock(_START_SECONDS, _START_SECONDS)):
                raise _DeadError("it doesn't answer as it should")
        except BaseException:
            self.end()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def read(self, path: Path, skip: int) -> Generator[Extract, None, None]:
        """Yields the documents of a file after the first `skip`."""
        asked = {"path": os.fsencode(path.absolute()).hex(), "skip": skip, "limits": asdict(self._limits)}
        self._send({"read": asked})
        allowance = _SECONDS_PER_MIB * _size(path) / _MIB
        clock = _Clock(self._limits.stalled_seconds + allowance, self._limits.seconds + allowance)
        while True:
            message = self._receive(clock)
            if "extract" in message:
                try:
                    extract = from_json(message["extract"])
                except ValueError as error:
                    raise self._senseless() from error
                yield extract
            elif "end" in message:
                if message["end"]:
                    raise UnreadableError(str(message["end"]))
                return
            elif "memory" in message:
                raise _DeadError(self._too_much())
            elif "progress" not in message:
                raise self._senseless()

    def _send(self, message: Message) -> None:
        try:
            self._asks.write(packed(message))
        except BrokenPipeError as error:
            raise self._dead() from error

    def _receive(self, clock: _Clock) -> Message:
        """The next message.

        Raises:
            _DeadError: None will come.
            _OverError: None has come in time.
            StoppedError: It isn't waited for any more.
        """
        pipe = self._answers.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while (message := self._complete()) is None:
            if self._stopped.is_set():
                raise StoppedError
            begun = time.monotonic()
            is_there = poll.poll(_SLICE * 1000)
            clock.add(time.monotonic() - begun)
            if not is_there:
                self._most = max(self._most, _address_space(self._process.pid))
            else:
                content = os.read(pipe, 1 << 20)
                if not content:
                    raise self._dead()
                self._received += content
                clock.progress()
        return message

    def _complete(self) -> Message | None:
        """The first message of what was received, if it is all there."""
        if len(self._received) < HEADER_BYTES:
            return None
        try:
            end = HEADER_BYTES + length_of(self._received[:HEADER_BYTES])
            if end > self._longest:
                raise self._senseless()
            if len(self._received) < end:
                return None
            message = unpacked(self._received[HEADER_BYTES:end])
        except ValueError as error:
            raise self._senseless() from error
        del self._received[:end]
        return message

    def _dead(self) -> _DeadError:
        """What it died of, in words that are true of the file that it was reading."""
        code = _exit_code(self._process)
        self._errors.seek(0)
        said = self._errors.read()
        if any(sign in said for sign in _OUT_OF_MEMORY):
            return _DeadError(self._too_much())
        if code == -_SIGKILL:
            return _DeadError("the process that read it was killed (out of memory?)")
        if code < 0:
            limit = self._limits.memory_bytes
            why = (
                f", probably for want of memory ({limit / _MIB:g} MiB)" if self._most > _MUCH * limit else ""
            )
            return _DeadError(f"its parser crashed (signal {-code}){why}")
        return _DeadError(f"its parser ended the process (exit code {code})")

    def _too_much(self) -> str:
        return f"needs more than {self._limits.memory_bytes / _MIB:g} MiB of memory"

    def _senseless(self) -> _DeadError:
        return _DeadError("its parser disturbed the process that read it")


def _import_path() -> str:
    """Where this process imports from, so that the other one reads with the same modules."""
    return os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """The exit code, or the negative signal, of a process that has closed its pipe."""
    try:
        return process.wait(_LONGEST_SLICE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _address_space(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # not on Linux, or gone
        return 0


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """Ends a process at once: it has nothing to finish."""
    process.kill()
    for pipe in (process.stdin, process.stdout, errors):
        if pipe is not None:
            pipe.close()
    process.wait()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
