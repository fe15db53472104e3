"""The process that reads may die, hang or talk nonsense: one file is skipped with a true reason, the next is read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from indexer import Indexer
from indexer.readers import ReadLimits, read
from indexer.readers.process import ReadingProcess
from retriever.encoder import TextEncoder
from retriever.errors import SpanseekError, UnreadableError
from retriever.types import Extract

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "documents"
LIMITS = ReadLimits(stalled_seconds=30.0)

BAD_READER = """
import ctypes, os, signal, sys, time
from indexer.readers import text, worker

whole = text.TextReader.read

def read(self, file, limits):
    for extract in whole(self, file, limits):
        for line in extract.text.splitlines():
            if line.startswith("!"):
                exec(line[1:], {**globals(), "progress": file.progress, "file": file})
        yield extract

text.TextReader.read = read
worker.main()
"""
"""A worker that does what its files say."""


@pytest.fixture
def reading() -> Iterator[ReadingProcess]:
    process = ReadingProcess(LIMITS)
    yield process
    process.close()


@pytest.fixture
def obedient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Reads a file whose lines after `!` are run by the worker, and returns its text or why there is none."""
    script = tmp_path / "bad_reader.py"
    script.write_text(BAD_READER)
    popen = subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        return popen([command[0], "-P", str(script)], **options)  # type: ignore[call-overload]

    monkeypatch.setattr("indexer.readers.process.subprocess.Popen", start)
    processes: list[ReadingProcess] = []

    def outcome(code: str, *, limits: ReadLimits = LIMITS, before: str | None = None) -> str:
        process = ReadingProcess(limits)
        processes.append(process)
        outcomes = []
        for number, line in enumerate((before, code, None)):
            path = tmp_path / f"{number}.txt"
            path.write_text("words" if line is None else f"words\n!{line}\n")
            try:
                outcomes.append(" ".join(extract.text for extract in process.read(path)))
            except UnreadableError as error:
                outcomes.append(str(error))
                assert "\n" not in outcomes[-1]
        assert outcomes[-1] == "words", "the file after it is read"
        return outcomes[1]

    yield outcome
    for process in processes:
        process.close()


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def pid_of(process: ReadingProcess) -> int:
    assert process._worker is not None
    return process._worker._process.pid


def is_gone(pid: int, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def test_the_same_is_read_in_both_processes(reading: ReadingProcess) -> None:
    files = sorted(path for path in SAMPLE.rglob("*") if path.is_file())
    assert len(files) > 30
    for path in files:
        assert list(reading.read(path)) == list(read(path)), path


def test_reasons_are_the_same_in_both_processes(reading: ReadingProcess, tmp_path: Path) -> None:
    rows = write(tmp_path / "a.jsonl", '{"text": "a"}\nnothing\n{"text": "b"}\n')
    texts = []
    with pytest.raises(UnreadableError, match=r"^line 2 isn't a JSON object with a 'text' \(1 such line"):
        texts += [extract.text for extract in reading.read(rows)]
    with pytest.raises(UnreadableError, match=r"^no such file$"):
        list(reading.read(tmp_path / "missing.txt"))
    with pytest.raises(UnreadableError, match=r"^not a regular file$"):
        list(reading.read(tmp_path))


def test_one_process_reads_many_files_and_ends_when_closed(reading: ReadingProcess, tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "words")
    assert reading._worker is None, "nothing is started before there is a file"
    list(reading.read(path))
    first = pid_of(reading)
    list(reading.read(path))
    assert pid_of(reading) == first
    reading.close()
    reading.close()
    assert is_gone(first)
    assert [extract.text for extract in reading.read(path)] == ["words"], "it can be used again"


def test_an_indexer_ends_its_process_when_it_is_closed(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    write(tmp_path / "a.txt", "red cat")
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        assert indexer.add_paths([tmp_path / "a.txt"]).indexed == 1
        worker = pid_of(indexer._files)
        assert indexer.add_paths([tmp_path / "a.txt"]).unchanged == 1
        assert not is_gone(worker, 0.0)
    assert is_gone(worker)
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        assert indexer.add_paths([tmp_path / "a.txt"]).unchanged == 1
        assert indexer._files._worker is None, "what hasn't changed starts none"


def test_what_the_worker_imports(tmp_path: Path) -> None:
    """No part of it is heavy, whatever it reads."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from indexer.readers import read, worker\n"
        "sys.modules['numpy'] = None\n"  # as the worker does
        f"for path in Path({str(SAMPLE)!r}).rglob('*'):\n"
        "    path.is_file() and list(read(path))\n"
        "print([name for name in ('torch', 'transformers', 'faiss', 'tantivy', 'tokenizers', 'pandas')"
        " if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_documents_come_one_at_a_time(reading: ReadingProcess, tmp_path: Path) -> None:
    """A file of 64 MB of rows: the process that reads waits until they are taken."""
    row = '{"text": "' + "words " * 10_000 + '"}\n'
    path = write(tmp_path / "a.jsonl", row * 1000)
    documents = reading.read(path)
    next(documents)
    time.sleep(0.3)
    worker = pid_of(reading)
    resident = int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < 200 << 20
    assert sum(1 for _ in documents) == 999
    assert pid_of(reading) == worker


def test_time_between_documents_is_not_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "words"}\n' * 4)
    process = ReadingProcess(ReadLimits(stalled_seconds=1.0, seconds=2.0))
    list(process.read(path))  # start-up is no part of it either
    count = 0
    for _ in process.read(path):
        count += 1
        time.sleep(0.8)
    assert count == 4
    process.close()


def test_a_file_that_is_left_half_way_does_not_disturb_the_next(
    reading: ReadingProcess, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "one"}\n{"text": "two"}\n')
    documents = reading.read(path)
    assert next(documents).text == "one"
    documents.close()  # type: ignore[attr-defined]
    assert [extract.text for extract in reading.read(path)] == ["one", "two"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "its parser crashed (signal 11)"),
        ("os.abort()", "its parser crashed (signal 6)"),
        ("ctypes.string_at(0)", "its parser crashed (signal 11)"),
        ("os._exit(3)", "its parser ended the process (exit code 3)"),
        ("sys.exit(0)", "its parser ended the process (exit code 0)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the process that read it was killed (out of memory?)"),
        ("f = lambda: f(); f()", "nested too deep to be read"),
        ("list(iter(lambda: bytearray(1 << 24), 0))", "needs more than 500 MiB of memory"),
        ("os.write(4, b'x' * 99)", "its parser disturbed the process that read it"),
        ("os.write(4, b'0000')", "its parser disturbed the process that read it"),
        ("os.write(4, bytes(8) + b'{}')", "its parser disturbed the process that read it"),
        ("import subprocess; subprocess.run(['true'])", "damaged or unusual text: a reader may not use "),
        ("os.fork()", "damaged or unusual text: a reader may not use "),
        (
            "import socket; socket.create_connection(('127.0.0.1', 9))",
            "damaged or unusual text: a reader may not use ",
        ),
        ("os.write(1, b'noise'); os.write(2, b'noise'); sys.stdin.read()", "words"),
        ("open(file.path.with_name('litter'), 'wb').write(bytes(1 << 20))", "can't be read: "),
    ],
)
def test_whatever_happens_is_a_reason(
    obedient: Callable[..., str], code: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = obedient(code, limits=ReadLimits(stalled_seconds=30.0, memory_bytes=500 << 20))
    assert outcome.startswith(expected)
    assert capfd.readouterr() == ("", "")


def test_a_hang_is_ended(obedient: Callable[..., str]) -> None:
    limits = ReadLimits(stalled_seconds=1.0)
    for code in (
        "while True: pass",
        "time.sleep(1000)",
        "import re; re.match('(a+)+b', 'a' * 100)",  # holds the interpreter's lock
        "os.kill(os.getpid(), signal.SIGSTOP)",
    ):
        assert obedient(code, limits=limits) == "took longer than 1 s"


def test_progress_counts_but_not_without_end(obedient: Callable[..., str]) -> None:
    limits = ReadLimits(stalled_seconds=2.0, seconds=5.0)
    slow = "[time.sleep(0.7) or progress() for _ in range(5)]"
    assert obedient(slow, limits=limits).startswith("words")
    endless = "[time.sleep(0.1) or progress() for _ in range(1000)]"
    assert obedient(endless, limits=limits) == "took longer than 5 s"


def test_a_crash_is_not_put_on_a_file_that_came_after_the_one_to_blame(obedient: Callable[..., str]) -> None:
    """What an earlier file has broken shows in a later one: that is read again by a new process."""
    outcome = obedient("hasattr(worker, 'broken') and os.abort()", before="worker.broken = True")
    assert outcome.startswith("words")


def test_documents_that_were_passed_on_before_a_crash_come_once(
    reading: ReadingProcess, tmp_path: Path
) -> None:
    row = '{"text": "' + "words " * 20_000 + '"}\n'
    path = write(tmp_path / "a.jsonl", row * 20)
    list(reading.read(write(tmp_path / "b.txt", "words")))
    keys = []
    for extract in reading.read(path):
        keys.append(extract.key)
        if len(keys) == 5:
            os.kill(pid_of(reading), signal.SIGKILL)
    assert keys == [str(number) for number in range(1, 21)]


def test_a_worker_that_died_between_two_files_is_replaced(reading: ReadingProcess, tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "words")
    list(reading.read(path))
    os.kill(pid_of(reading), signal.SIGKILL)
    assert [extract.text for extract in reading.read(path)] == ["words"]


def test_where_no_process_can_be_started_it_is_said(
    reading: ReadingProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.txt", "words")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(SpanseekError, match="process that reads files can't be started: "):
        list(reading.read(path))
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(SpanseekError, match="process that reads files can't be started: "):
        list(reading.read(path))
    monkeypatch.setattr(sys, "executable", "")
    assert [extract.text for extract in reading.read(path)] == ["words"], "then here"


def test_files_of_the_current_folder_are_not_imported(
    reading: ReadingProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "lxml.py", "indexer.py", "numpy.py"):
        write(tmp_path / name, "raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert [extract.text for extract in reading.read(Path("json.py"))] == ["raise SystemExit('imported')"]


SCRIPT = """
import sys, time
from pathlib import Path
from indexer.readers.process import ReadingProcess
process = ReadingProcess()
print([len(list(process.read(Path(path)))) for path in sys.argv[1:]], flush=True)
"""


def script(tmp_path: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    path = write(tmp_path / "script.py", code)
    return subprocess.Popen(
        [sys.executable, str(path), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )


def test_a_script_without_a_guard_works(tmp_path: Path) -> None:
    """Its top level isn't run again in the other process."""
    path = write(tmp_path / "a.txt", "words")
    process = script(tmp_path, SCRIPT, str(path), str(path))
    assert process.communicate(timeout=60) == ("[1, 1]\n", "")


HANGING = """
import sys
from pathlib import Path
from indexer.readers.process import ReadingProcess, _Clock
process = ReadingProcess()
list(process.read(Path(sys.argv[1])))
print(process._worker._process.pid, flush=True)
process._worker._send({"read": {"path": sys.argv[2].encode().hex(), "skip": 0, "limits": {}}})
try:
    process._worker._receive(_Clock(500, 500))
except KeyboardInterrupt:
    process.close()
    print("closed", flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_the_process_that_started_it_even_while_it_hangs(tmp_path: Path, how: int) -> None:
    """Also while a parser holds the interpreter's lock: no thread of the worker could notice."""
    bad = write(tmp_path / "bad_reader.py", BAD_READER)
    small = write(tmp_path / "a.txt", "words")
    endless = write(tmp_path / "b.txt", "words\n!import re; re.match('(a+)+b', 'a' * 100)\n")
    start = (
        "import subprocess, sys\n"
        "popen = subprocess.Popen\n"
        f"subprocess.Popen = lambda command, **options: popen([command[0], '-P', {str(bad)!r}], **options)\n"
    )
    process = script(tmp_path, start + HANGING, str(small), str(endless))
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    time.sleep(0.5)  # it is at it by then; if not, it ends all the same
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert is_gone(worker)
    assert err == ""
    assert out == ("closed\n" if how == signal.SIGINT else "")


def test_an_extract_is_the_same_after_its_way_through_the_pipe() -> None:
    from indexer.readers.messages import as_json, from_json, packed, unpacked

    extract = Extract("a\ud800\U0001f600\n", "text", "k", "t", "en", {"a": [1, {"b": None}]}, lines=None)
    sent = packed({"extract": as_json(extract)})
    assert from_json(unpacked(sent[8:])["extract"]) == extract
    for wrong in (b"", b"[]", b"{}", b'{"a": 1, "b": 2}', b"[" * 100_000, b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind
            unpacked(wrong)
    for fields in ({}, [], {**as_json(extract), "rows": [1]}, {**as_json(extract), "text": 1}):
        with pytest.raises(ValueError):  # noqa: PT011
            from_json(fields)
