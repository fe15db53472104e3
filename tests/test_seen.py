"""Files of the words' index that were found whole aren't read by every process, and are read again when they change."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from retriever.errors import IndexDamagedError
from retriever.store import seen, segments
from retriever.store.lexical import LexicalReader, LexicalWriter
from retriever.store.seen import SeenFiles


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of words whose files count as settled, and are worth a note, at once."""
    monkeypatch.setattr(seen, "_SETTLED_NS", 0)
    monkeypatch.setattr(segments, "_WORTH_NOTING", 0)
    folder = tmp_path / "lexical"
    writer = LexicalWriter(folder, "english")
    for number in range(1, 6):
        writer.add(number, number, f"passage {number} of snow")
    writer.commit()
    writer.close()
    time.sleep(0.02)  # longer than the grain of a file's times
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read to be checked."""
    names: list[str] = []
    real = segments._check_file

    def checking(path: Path) -> int | None:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(segments, "_check_file", checking)
    return names


def overwrite(path: Path, content: bytes | bytearray) -> None:
    """Changes a file in its place, never shorter meanwhile: tantivy has it mapped."""
    with path.open("r+b") as file:
        file.write(content)


def test_a_file_is_read_once_and_again_when_it_has_changed(folder: Path, read: list[str]) -> None:
    LexicalReader(folder, "english").close()
    assert len(read) == 6
    assert folder.with_name("lexical.seen").stat().st_mode & 0o777 == 0o600
    read.clear()
    LexicalReader(folder, "english").close()
    assert read == []
    path = next(folder.glob("*.idx"))
    content = bytearray(path.read_bytes())
    content[3] ^= 8
    overwrite(path, content)
    with pytest.raises(IndexDamagedError, match="checksum is wrong"):
        LexicalReader(folder, "english")
    assert read == [path.name]
    content[3] ^= 8
    overwrite(path, content)
    os.utime(path, ns=(0, 1_000_000_000))  # with any time of change: that of its status tells
    LexicalReader(folder, "english").close()
    assert read == [path.name] * 2


def test_it_is_read_again_after_a_day_or_a_start_of_the_system_or_without_the_note(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    LexicalReader(folder, "english").close()
    now = time.time()
    with monkeypatch.context() as patched:
        patched.setattr(seen.time, "time", lambda: now + 25 * 3600)
        read.clear()
        LexicalReader(folder, "english").close()
        assert len(read) == 6
    with monkeypatch.context() as patched:
        patched.setattr(seen, "_boot", lambda: "another start")
        read.clear()
        LexicalReader(folder, "english").close()
        assert len(read) == 6
    note = folder.with_name("lexical.seen")
    for content in (b"", b"[1]", note.read_bytes().replace(b"files", b"filed"), b'{"content": {}, "sum": 0}'):
        note.write_bytes(content)
        read.clear()
        LexicalReader(folder, "english").close()
        assert len(read) == 6


def test_who_verifies_reads_everything(folder: Path, read: list[str]) -> None:
    LexicalReader(folder, "english").close()
    read.clear()
    LexicalReader(folder, "english", noted=False).close()
    assert len(read) == 6


def test_a_file_that_has_only_just_changed_is_not_noted(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "_SETTLED_NS", 10**12)
    for _ in range(2):
        LexicalReader(folder, "english").close()
    assert len(read) == 12


def test_a_note_that_cannot_be_written_costs_nothing_else(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    LexicalReader(folder, "english").close()
    assert len(read) == 6
    assert [path.name for path in folder.parent.iterdir()] == ["lexical"]


def test_a_writer_notes_what_is_in_step(folder: Path) -> None:
    writer = LexicalWriter(folder, "english")
    assert not writer.is_in_step(7)
    writer.close(in_step_with=7)
    writer = LexicalWriter(folder, "english")
    assert writer.is_in_step(7)
    assert not writer.is_in_step(8)
    writer.add(6, 6, "another")
    writer.commit()
    assert not writer.is_in_step(7)
    writer.close()
    assert SeenFiles(folder.with_name("lexical.seen"))._in_step[0] == 7
