"""A run of the indexer as a whole: what is embedded again and what is not, what an interruption leaves, what is held."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer import Indexer, IndexReport, InputDocument, Progress
from retriever import Retriever
from retriever.encoder import TextEncoder
from retriever.errors import IndexAccessError
from retriever.store.verify import verify
from retriever.store.writer import IndexWriter
from retriever.types import Passage


class Watched:
    """The tests' encoder, with a list of what it was given, and something that happens before it embeds."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self.calls: list[list[Passage]] = []
        self.before: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_passages(self, passages: Sequence[Passage], **options: Any) -> NDArray[np.float32]:
        self.before()
        self.calls.append(list(passages))
        return self._encoder.encode_passages(passages, **options)

    @property
    def texts(self) -> list[str]:
        """All that was embedded."""
        return [passage.text for call in self.calls for passage in call]


@pytest.fixture
def encoder(tiny_encoder: TextEncoder) -> Any:
    return Watched(tiny_encoder)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.batches._MOST_CHUNKS", 4)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("spanseek")]
    assert left == []


def article(*words: str) -> str:
    """A document of sections that each are one passage; the first has the title before it."""
    parts = (f"## Part {word}\n\nThe {word} sat on the mat in winter." for word in words)
    return "\n\n".join(["# Notes", *parts]) + "\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - 60,) * 2)


def index(docs: Path, encoder: Any, **options: Any) -> IndexReport:
    encoder.calls.clear()
    with Indexer.open(docs.parent / "index", encoder=encoder) as indexer:
        return indexer.add_paths([docs], **options)


def stored_vectors(docs: Path) -> dict[tuple[str, str], bytes]:
    """Vectors by document and text."""
    database = sqlite3.connect(docs.parent / "index" / "index.sqlite")
    query = 'SELECT d.id, substr(d.text, c.start + 1, c."end" - c.start), c.vector FROM chunks c JOIN documents d ON d.key = c.document'
    found = {(id_, text): vector for id_, text, vector in database.execute(query)}
    database.close()
    return found


# What is embedded again


def test_a_file_that_moved_is_not_embedded_again(docs: Path, encoder: Any) -> None:
    write(docs / "a.md", article("cat", "dog", "sensor"))
    assert (index(docs, encoder).chunks, len(encoder.texts)) == (3, 3)
    before = stored_vectors(docs)
    (docs / "deep").mkdir()
    (docs / "a.md").rename(docs / "deep" / "b.md")
    report = index(docs, encoder, prune=True)
    assert (report.indexed, report.removed, report.chunks, report.reused) == (1, 1, 0, 3)
    assert encoder.calls == []
    after = stored_vectors(docs)
    assert {text: vector for (_, text), vector in after.items()} == {
        text: vector for (_, text), vector in before.items()
    }
    assert {id_ for id_, _ in after} == {"docs/deep/b.md"}


def test_of_an_edited_file_only_what_changed_is_embedded(docs: Path, encoder: Any) -> None:
    write(docs / "a.md", article("cat", "dog", "sensor"))
    index(docs, encoder)
    write(docs / "a.md", article("cat", "wind", "sensor"))
    report = index(docs, encoder)
    assert (report.updated, report.chunks, report.reused) == (1, 1, 2)
    assert [text for text in encoder.texts if "wind" in text] == encoder.texts


def test_a_passage_under_another_heading_or_title_is_embedded(docs: Path, encoder: Any) -> None:
    """What stands over a passage is part of what its vector is made of."""
    text = "The cat sat.\n"
    write(docs / "a.md", f"# One\n\n{text}")
    write(docs / "b.md", f"# One\n\n{text}")
    assert (index(docs, encoder).chunks, len(encoder.texts)) == (1, 1)
    with Indexer.open(docs.parent / "index", encoder=encoder) as indexer:
        report = indexer.add_documents(
            [InputDocument("x", text), InputDocument("y", text, title="One"), InputDocument("z", text)]
        )
    assert (report.chunks, report.reused) == (2, 1)
    contexts = [passage.context for passage in encoder.calls[-1]]
    assert sorted(contexts) == ["", "One"]


@pytest.mark.usefixtures("small_batches")
def test_copies_are_embedded_once_however_batches_fall(docs: Path, encoder: Any) -> None:
    for number in range(40):
        write(docs / f"{number:02d}.md", article("cat", f"s{number % 2}"))
    report = index(docs, encoder)
    assert (report.indexed, report.chunks, report.reused) == (40, 3, 77)
    assert len(encoder.texts) == len(set(encoder.texts)) == 3
    assert verify(docs.parent / "index").damage == ()


@pytest.mark.usefixtures("small_batches")
def test_a_paragraph_that_went_to_a_later_file_is_not_embedded_again(docs: Path, encoder: Any) -> None:
    """By the time that it is looked for, the document that it was in has been replaced."""
    write(docs / "a.md", article("cat", "dog", "sensor", "wind"))
    for number in range(20):
        write(docs / f"b{number:02d}.md", article(f"filler{number}"))
    write(docs / "c.md", article("snow"))
    index(docs, encoder)
    write(docs / "a.md", article("cat"))
    for number in range(20):
        write(docs / f"b{number:02d}.md", article(f"other{number}"))
    write(docs / "c.md", article("snow", "dog", "sensor", "wind"))
    report = index(docs, encoder)
    assert (report.updated, report.chunks, report.reused) == (22, 20, 5)


def test_documents_from_memory_are_treated_alike(tmp_path: Path, encoder: Any) -> None:
    with Indexer.open(tmp_path / "index", encoder=encoder) as indexer:
        indexer.add_documents([InputDocument("1", article("cat")), InputDocument("2", article("dog"))])
        report = indexer.add_documents(
            [InputDocument("3", article("dog")), InputDocument("1", article("snow"))]
        )
    assert (report.indexed, report.updated, report.chunks, report.reused) == (1, 1, 1, 1)


@pytest.mark.usefixtures("small_batches")
def test_rows_of_a_file_are_treated_alike(docs: Path, encoder: Any) -> None:
    rows = [
        f'{{"id": "{i}", "text": "the {"cat" if i % 2 else "dog"} of {i // 4 % 50}"}}' for i in range(400)
    ]
    write(docs / "a.jsonl", "\n".join(rows))
    report = index(docs, encoder)
    assert (report.indexed, report.chunks, report.reused) == (400, 100, 300)
    assert len(encoder.texts) == len(set(encoder.texts))
    write(docs / "a.jsonl", "\n".join([*rows[:-1], '{"id": "399", "text": "the price"}', *rows[:3]]))
    report = index(docs, encoder)
    assert (report.updated, report.chunks) == (1, 1)
    assert report.unchanged >= 399
    assert verify(docs.parent / "index").documents == report.unchanged + report.updated + report.indexed


def test_what_is_damaged_is_not_used_again(docs: Path, encoder: Any) -> None:
    write(docs / "a.md", article("cat", "dog"))
    index(docs, encoder)
    database = sqlite3.connect(docs.parent / "index" / "index.sqlite")
    with database:
        database.execute("UPDATE chunks SET vector = zeroblob(length(vector)) WHERE id = 1")
    database.close()
    write(docs / "b.md", article("cat", "dog"))
    report = index(docs, encoder)
    assert (report.chunks, report.reused) == (1, 1)


def test_an_index_that_knew_no_inputs_learns_them(docs: Path, encoder: Any) -> None:
    write(docs / "a.md", article("cat", "dog"))
    index(docs, encoder)
    database = sqlite3.connect(docs.parent / "index" / "index.sqlite")
    before = database.execute("SELECT id, input FROM chunks ORDER BY id").fetchall()
    database.executescript(
        "DROP INDEX chunks_input; ALTER TABLE chunks DROP COLUMN input;"
        "DELETE FROM _sqlite_migrations WHERE name = 'm004_inputs'"
    )
    database.close()
    with Retriever.open(docs.parent / "index", encoder=encoder) as retriever:
        assert retriever.search("cat", 1), "who only reads needs no such column"
    write(docs / "b.md", article("cat", "dog"))
    report = index(docs, encoder)
    assert (report.chunks, report.reused) == (0, 2)
    database = sqlite3.connect(docs.parent / "index" / "index.sqlite")
    assert database.execute("SELECT id, input FROM chunks ORDER BY id").fetchall()[:2] == before
    database.close()


# What is handed over to whom


def test_the_encoder_is_given_much_at_once_and_something_soon(
    docs: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.batches._FIRST_TOKENS", 100)
    monkeypatch.setattr("indexer.batches.BATCH_TOKENS", 1000)
    for number in range(300):
        write(docs / f"{number:03d}.md", article(f"w{number}"))
    index(docs, encoder)
    tokens = [sum(len(encoder.token_spans(passage.text)) for passage in call) for call in encoder.calls]
    assert 100 <= tokens[0] < 150
    assert 1000 <= max(tokens) < 1050
    assert tokens.count(max(tokens)) >= 1
    assert len(encoder.texts) == 300
    for call in encoder.calls:
        lengths = [len(encoder.token_spans(passage.text)) for passage in call]
        assert lengths == sorted(lengths, reverse=True)


@pytest.mark.usefixtures("small_batches")
def test_the_next_files_are_read_and_the_last_ones_written_while_a_batch_is_embedded(
    docs: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    written, read = threading.Event(), threading.Event()
    write_batch, read_file = IndexWriter.write, Indexer.__init__.__globals__["ReadingProcess"].read

    def noted_write(*args: Any, **options: Any) -> int:
        removed = write_batch(*args, **options)
        events.append("written")
        written.set()
        return removed

    def noted_read(self: Any, path: Path) -> Iterator[Any]:
        events.append(f"read {path.stem}")
        if path.stem == "03":
            read.set()
        return read_file(self, path)

    def wait() -> None:
        if len(encoder.calls) == 1:  # the second batch: meanwhile the first is written, and the third is read
            assert written.wait(10)
            assert read.wait(10)
            events.append("embedded")

    monkeypatch.setattr(IndexWriter, "write", noted_write)
    monkeypatch.setattr("indexer.api.ReadingProcess.read", noted_read)
    encoder.before = wait
    for number in range(6):
        write(docs / f"{number:02d}.md", article(*(f"p{number}{part}" for part in range(4))))
    assert index(docs, encoder).indexed == 6
    assert events.index("written") < events.index("embedded")
    assert events.index("read 03") < events.index("embedded")
    assert verify(docs.parent / "index").documents == 6


@pytest.mark.usefixtures("small_batches")
def test_progress_is_told_where_the_run_was_called_and_never_goes_back(docs: Path, encoder: Any) -> None:
    for number in range(12):
        write(docs / f"{number:02d}.md", article(f"p{number}", f"q{number}"))
    told: list[Progress] = []
    threads = set()

    def tell(progress: Progress) -> None:
        threads.add(threading.get_ident())
        told.append(progress)

    encoder.before = lambda: time.sleep(0.02)
    index(docs, encoder, progress=tell)
    assert threads == {threading.get_ident()}
    assert [step.files for step in told] == sorted(step.files for step in told)
    assert [step.chunks for step in told] == sorted(step.chunks for step in told)
    assert len({step.chunks for step in told}) >= 5
    last = told[-1]
    assert (last.files, last.files_total, last.chunks, last.size) == (12, 12, 24, last.size_total)


def test_documents_from_memory_are_taken_where_the_run_was_called(tmp_path: Path, encoder: Any) -> None:
    database = sqlite3.connect(":memory:")  # may be used in the thread that made it only
    rows = database.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n LIMIT 300) SELECT i FROM n"
    )
    with Indexer.open(tmp_path / "index", encoder=encoder) as indexer:
        report = indexer.add_documents(InputDocument(str(i), f"the cat number {i}") for (i,) in rows)
    database.close()
    assert report.indexed == 300


# What goes wrong


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_what_was_embedded_before_an_interruption_is_kept(
    docs: Path, encoder: Any, kind: type[BaseException]
) -> None:
    for number in range(20):
        write(docs / f"{number:02d}.md", article(*(f"p{number}{part}" for part in range(4))))

    def interrupt() -> None:
        if len(encoder.calls) == 5:
            raise kind

    encoder.before = interrupt
    with pytest.raises(kind):
        index(docs, encoder)
    found = verify(docs.parent / "index")
    assert (found.documents, found.damage) == (5, ())
    encoder.before = lambda: None
    report = index(docs, encoder)
    assert (report.indexed, report.unchanged, report.chunks) == (15, 5, 60)
    assert verify(docs.parent / "index").documents == 20


@pytest.mark.usefixtures("small_batches")
def test_a_commit_that_fails_ends_the_run(docs: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        write(docs / f"{number:02d}.md", article(*(f"p{number}{part}" for part in range(4))))
    commits: list[int] = []
    write_batch = IndexWriter.write

    def full(*args: Any, **options: Any) -> int:
        commits.append(1)
        if len(commits) == 3:
            raise IndexAccessError("the disk is full")
        return write_batch(*args, **options)

    monkeypatch.setattr(IndexWriter, "write", full)
    with pytest.raises(IndexAccessError, match="the disk is full"):
        index(docs, encoder)
    assert len(commits) == 3, "nothing is written after a commit that failed"
    assert verify(docs.parent / "index").documents == 2


def test_an_interruption_does_not_wait_for_a_file_that_takes_long(
    docs: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(docs / "a.md", article("cat"))
    write(docs / "b.jsonl", '{"text": "the cat"}\n')
    asked = threading.Event()
    poll = __import__("select").poll

    class Deaf:
        """The reading process never answers."""

        def register(self, *_: object) -> None: ...

        def poll(self, milliseconds: float) -> list[object]:
            asked.set()
            time.sleep(milliseconds / 1000)
            return []

    def progress(_: Progress) -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    with Indexer.open(docs.parent / "index", encoder=encoder) as indexer:
        indexer.add_paths([docs / "a.md"])  # the process is there by now
        monkeypatch.setattr("indexer.readers.process.select.poll", Deaf)
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            indexer.add_paths([docs], progress=progress)
        assert time.monotonic() - begun < 5
        monkeypatch.setattr("indexer.readers.process.select.poll", poll)
        assert indexer.add_paths([docs]).indexed == 1, "and goes on with the same indexer"


def test_an_error_of_who_gives_documents_is_theirs(tmp_path: Path, encoder: Any) -> None:
    def documents() -> Iterator[InputDocument]:
        yield InputDocument("1", "the cat")
        raise LookupError("no more")

    with Indexer.open(tmp_path / "index", encoder=encoder) as indexer:
        with pytest.raises(LookupError, match="no more"):
            indexer.add_documents(documents())
        assert indexer.add_documents([InputDocument("1", "the cat")]).indexed == 1


def test_an_edit_moves_few_cuts(docs: Path, encoder: Any) -> None:
    """A section of many paragraphs under no heading: cuts after an edit fall where they fell before."""
    rng = np.random.default_rng(0)
    paragraphs = [
        " ".join(f"The sensor of {i} fell on monday." for _ in range(rng.integers(1, 9))) for i in range(400)
    ]
    write(docs / "a.txt", "\n\n".join(paragraphs))
    before = index(docs, encoder)
    paragraphs[0] = f"In winter snow covers the mountain. {paragraphs[0]}"
    write(docs / "a.txt", "\n\n".join(paragraphs))
    after = index(docs, encoder)
    assert before.chunks > 100
    assert after.chunks + after.reused == pytest.approx(before.chunks, abs=1)
    assert after.chunks < 0.1 * before.chunks
