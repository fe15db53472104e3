"""Results say whether their file is still what was indexed: one look at each file that is shown, never blocking."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer, InputDocument
from retriever import Retriever
from retriever.encoder import TextEncoder
from retriever.store import sources
from retriever.store.checksums import DOCUMENT_COLUMNS, DOCUMENTS, document_checksum
from retriever.store.records import FileRecord
from retriever.store.sources import source_state
from tests.stand_ins import Reading

TEXT = b"The price of the sensor fell on Monday.\n"
OTHER = b"The price of the sensor fell on Friday.\n"
HOUR_NS = 3_600_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that was changed an hour before it was recorded."""
    path = tmp_path / "price.txt"
    path.write_bytes(TEXT)
    earlier = path.stat().st_mtime_ns - HOUR_NS
    os.utime(path, ns=(earlier, earlier))
    return path


@pytest.fixture
def known(path: Path) -> FileRecord:
    status = path.stat()
    sha256 = hashlib.sha256(TEXT).hexdigest()
    return FileRecord(path.name, status.st_size, status.st_mtime_ns, sha256, status.st_mtime_ns + HOUR_NS)


@pytest.fixture
def never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, size: int) -> str:
        raise AssertionError("size and time say enough")

    monkeypatch.setattr(sources, "file_sha256", read)


def rewrite(path: Path, content: bytes, time_ns: int) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(time_ns, time_ns))


@pytest.mark.usefixtures("never_read")
def test_size_and_time_say_enough(path: Path, known: FileRecord) -> None:
    assert source_state(path, known) == "same"
    path.write_bytes(TEXT * 2)
    assert source_state(path, known) == "changed"


def test_where_time_says_nothing_the_content_counts(path: Path, known: FileRecord) -> None:
    rewrite(path, TEXT, known.mtime_ns + 1)
    assert source_state(path, known) == "same", "only touched"
    rewrite(path, OTHER, known.mtime_ns + 1)
    assert source_state(path, known) == "changed"
    rewrite(path, OTHER, known.mtime_ns)
    racy = replace(known, seen_ns=known.mtime_ns + 1)
    assert source_state(path, racy) == "changed", "changed so shortly before that the time may not show it"
    assert source_state(path, known) == "same", "the price of one stat: nobody sets the time back by chance"


def test_what_is_no_regular_file_is_gone_and_never_opened(path: Path, known: FileRecord) -> None:
    empty = replace(known, size=0)
    path.unlink()
    assert source_state(path, empty) == "gone"
    path.symlink_to(path.with_name("nowhere"))
    assert source_state(path, empty) == "gone"
    path.unlink()
    os.mkfifo(path)
    assert source_state(path, empty) == "gone"
    path.unlink()
    path.mkdir()
    assert source_state(path, empty) == "gone"
    assert source_state(path / "below", empty) == "gone"
    assert source_state(Path("/dev/zero"), empty) == "gone"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path / "s"))
        assert source_state(path / "s", empty) == "gone"


def test_a_file_below_a_file_is_gone(path: Path, known: FileRecord) -> None:
    assert source_state(path / "below", known) == "gone"


def test_what_cannot_be_compared_is_not_called_the_same(path: Path, known: FileRecord) -> None:
    loop = path.with_name("loop")
    loop.symlink_to(loop)
    for strange in (loop, Path("a\0b"), Path("\ud800"), path.with_name("x" * 300)):
        assert source_state(strange, known) == "unknown"
    assert source_state(path, replace(known, sha256=None)) == "unknown"
    assert source_state(path, replace(known, sha256=None, size=1)) == "changed"


def test_a_large_file_is_not_read_for_a_mark(
    path: Path, known: FileRecord, monkeypatch: pytest.MonkeyPatch, never_read: None
) -> None:
    monkeypatch.setattr(sources, "_LONGEST", len(TEXT) - 1)
    assert source_state(path, known) == "same"
    os.utime(path)
    assert source_state(path, known) == "unknown"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_without_permission_the_time_is_all_there_is(path: Path, known: FileRecord) -> None:
    path.chmod(0)
    assert source_state(path, known) == "same"
    os.utime(path)
    assert source_state(path, known) == "unknown"


def test_a_hash_never_waits_and_never_reads_on(path: Path) -> None:
    assert sources.file_sha256(path, len(TEXT)) == hashlib.sha256(TEXT).hexdigest()
    assert sources.file_sha256(path, 3) == hashlib.sha256(TEXT[:3]).hexdigest()
    assert sources.file_sha256(path, 1 << 40) == hashlib.sha256(TEXT).hexdigest()
    fifo = path.with_name("fifo")
    os.mkfifo(fifo)
    for strange in (fifo, Path("/dev/zero")):
        with pytest.raises(OSError, match="isn't a regular file"):
            sources.file_sha256(strange, 1 << 40)


Open = Callable[[], Retriever]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    rows = [{"id": name, "text": f"{name}: The price fell on Monday."} for name in ("first", "second")]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("one", "two", "three"):
        (folder / f"{name}.txt").write_bytes(name.encode() + b": " + TEXT)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    return folder


@pytest.fixture
def opened(folder: Path, tiny_encoder: TextEncoder) -> Open:
    root = folder.parent / "index"
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_paths([folder])
        indexer.add_documents([InputDocument("memory", "From memory: the price fell on Monday.")])
    scorer: Any = Reading({"Monday": 5.0})
    return lambda: Retriever.open(root, encoder=tiny_encoder, scorer=scorer)


def test_hits_and_answers_are_marked(opened: Open, folder: Path) -> None:
    (folder / "one.txt").write_bytes(b"Something else.")
    (folder / "two.txt").unlink()
    text = (folder / "rows.jsonl").read_text()
    (folder / "rows.jsonl").write_text(text.replace("second: The", "second, the"))
    with opened() as retriever:
        response = retriever.respond("the price", answers=9, min_confidence=0.1)
        searched = retriever.search("the price")
        (many,) = retriever.search_many(["the price"])
    for found in (response.answers, response.hits, searched, many):
        assert {item.document_id.removeprefix("files/"): item.source for item in found} == {
            "one.txt": "changed",
            "two.txt": "gone",
            "three.txt": "same",
            "rows.jsonl#first": "changed",
            "rows.jsonl#second": "changed",
            "memory": "same",
        }


def test_indexing_again_takes_the_marks_away(opened: Open, folder: Path, tiny_encoder: TextEncoder) -> None:
    (folder / "one.txt").write_bytes(b"one: " + OTHER)
    with opened() as retriever:
        (before,) = retriever.search("the price", where=["path=one.txt"])
        with Indexer.open(folder.parent / "index", encoder=tiny_encoder) as indexer:
            indexer.add_paths([folder])
        (after,) = retriever.search("the price", where=["path=one.txt"])
    assert (before.source, after.source) == ("changed", "same")
    assert (before.text[-7:], after.text[-7:]) == ("Monday.", "Friday.")


def test_each_shown_file_is_looked_at_once_and_no_other(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(path: Path, known: FileRecord) -> str:
        assert str(path).endswith(known.path)
        looked.append(path.name)
        return source_state(path, known)

    monkeypatch.setattr("retriever.store.snapshot.source_state", look)
    with opened() as retriever:
        hits = retriever.search("the price", 2, where=["path=files/*"])
        assert sorted(looked) == sorted({Path(hit.path or "").name for hit in hits})
        looked.clear()
        response = retriever.respond("the price", 1, where=["path=rows.jsonl"], min_confidence=0.1)
        assert len(response.answers) == 2
        assert looked == ["rows.jsonl"]
        looked.clear()
        response = retriever.respond("the price", 1, where=["path=files/*"], min_confidence=1)
        assert (len(response.answers), len(looked)) == (0, 1), "answers that aren't shown aren't looked up"


def test_the_records_come_with_the_passages(opened: Open) -> None:
    """Looking up k hits stays one query."""
    asked: list[str] = []
    with opened() as retriever:
        retriever.search("the price")
        (connection,) = retriever._reader._free
        connection.set_trace_callback(lambda sql: asked.append(sql) if "files f" in sql else None)
        assert len(retriever.search("the price")) > 3
    assert len(asked) == 1


HOSTILE = ["/dev/zero", "/dev/stdin", "/etc/shadow", "../" * 20 + "etc/passwd", "/proc/kmsg", "fifo", ""]


@pytest.mark.parametrize("stored", HOSTILE)
def test_a_hostile_index_neither_blocks_a_search_nor_learns_anything(
    opened: Open, folder: Path, stored: str
) -> None:
    """Whatever path an index from elsewhere names: a search ends, and shows the index's own text."""
    os.mkfifo(folder.parent / "fifo")
    with sqlite3.connect(folder.parent / "index" / "index.sqlite") as database:
        database.execute(
            "UPDATE files SET path = ?, size = 0, mtime_ns = 0 WHERE path = 'files/one.txt'", [stored]
        )
        rows = database.execute(f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS}").fetchall()  # noqa: S608
        sums = [
            (document_checksum(*row[:-1]), row[0]) for row in rows
        ]  # whoever means harm corrects these too
        database.executemany("UPDATE documents SET checksum = ? WHERE key = ?", sums)
    database.close()
    with opened() as retriever:
        (hit,) = (hit for hit in retriever.search("the price") if hit.document_id == "files/one.txt")
    assert hit.text == "one: " + TEXT.decode().strip()
    assert hit.source in {"changed", "gone", "unknown"}
