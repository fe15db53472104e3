"""A small library of documents that grows, changes and shrinks, and what must be true of its index at each moment."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from indexer import Indexer
    from retriever.encoder import TextEncoder

Texts = dict[str, str]
"""Documents by the name of their file."""


def load_encoder(folder: Path) -> TextEncoder:
    """The tests' tiny encoder, loaded and warm before processes are forked."""
    from conftest import write_tiny_encoder

    from retriever.encoder import TextEncoder

    encoder = TextEncoder.load(str(write_tiny_encoder(folder / "encoder")), precision="float32", device="cpu")
    encoder.encode_questions(["warm up"])
    return encoder


def text_of(name: str, version: int) -> str:
    """A document of three passages; each holds a word that no other document, and no other version, has."""
    word = unique_word(name, version)
    return "\n\n".join(
        f"# Part {part} of {name}\n\nThe sensor {word}{part} fell on monday in winter. The manager approves the cat."
        for part in "abc"
    )


def unique_word(name: str, version: int) -> str:
    """In letters alone, so that no analyser takes it apart."""
    return "q" + "".join(chr(ord("a") + int(digit)) for digit in f"{int(name[1:4]):03d}{version:02d}")


def make_texts(numbers: range, version: int = 0) -> Texts:
    """Documents of one version."""
    return {f"d{number:03d}.md": text_of(f"d{number:03d}.md", version) for number in numbers}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a user does, and the documents that are there once it is reported as done."""

    act: Callable[[Path, TextEncoder], None]
    after: Texts


@dataclass(frozen=True, slots=True)
class Scenario:
    """Steps from a state, of an index of this format version or of the one before; a kill comes somewhere in them."""

    name: str
    before: Texts | None
    steps: tuple[Step, ...]
    outdated: bool = False

    def states(self) -> list[Texts]:
        """The documents before the first step, and after each."""
        return [self.before or {}, *(step.after for step in self.steps)]


@contextmanager
def open_index(area: Path, encoder: TextEncoder) -> Iterator[Indexer]:
    """The index of an area, opened for writing with small batches and frequent generations, so that little work
    goes through every part."""
    import indexer.batches
    from indexer import Indexer
    from retriever.config import ChunkingConfig
    from retriever.store import generations

    indexer.batches._MOST_CHUNKS = 9
    generations._AT_LEAST = 12
    generations.APPROXIMATE_FROM = 32
    new = not (area / "index" / "index.sqlite").exists()
    chunking = ChunkingConfig(max_tokens=40, overlap_tokens=0, context_tokens=10) if new else None
    with Indexer.open(area / "index", encoder=encoder, chunking=chunking) as opened:
        yield opened


def write_files(area: Path, texts: Texts) -> None:
    """Makes the folder of documents hold exactly these."""
    folder = area / "docs"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            os.utime(path, ns=(0, 10**18 + hash(text) % 10**9))


def index_files(texts: Texts) -> Step:
    """The user changes the files, and indexes the folder, with what is gone."""

    def act(area: Path, encoder: TextEncoder) -> None:
        write_files(area, texts)
        with open_index(area, encoder) as index:
            report = index.add_paths([area / "docs"], prune=True)
            assert not report.skipped, report.skipped

    return Step(act, texts)


def remove_files(before: Texts, names: list[str], pattern: str) -> Step:
    """The user takes documents out of the index, by a pattern that means these names."""

    def act(area: Path, encoder: TextEncoder) -> None:
        write_files(area, before)
        with open_index(area, encoder) as index:
            index.remove([f"docs/{pattern}"])

    return Step(act, {name: text for name, text in before.items() if name not in names})


def compact_index(before: Texts) -> Step:
    """The user compacts the index."""

    def act(area: Path, encoder: TextEncoder) -> None:
        with open_index(area, encoder) as index:
            index.compact()

    return Step(act, before)


def upgrade_index(before: Texts) -> Step:
    """The user searches, with a newer spanseek than the one that made the index."""

    def act(area: Path, encoder: TextEncoder) -> None:
        from retriever import Retriever

        Retriever.open(area / "index", encoder=encoder).close()

    return Step(act, before)


def make_outdated(area: Path) -> None:
    """Makes of an index one of format version 1: it had no checksums."""
    connection = sqlite3.connect(area / "index" / "index.sqlite")
    connection.executescript(
        "ALTER TABLE documents DROP COLUMN checksum; ALTER TABLE chunks DROP COLUMN checksum;"
        "DROP INDEX chunks_input; ALTER TABLE chunks DROP COLUMN input;"
        "DROP INDEX documents_run; DROP INDEX documents_format;"
        "DELETE FROM manifest WHERE key IN ('checksum', 'shards', 'documents', 'chunks', 'trained', 'trained_on',"
        " 'probes', 'wide_recall', 'measured_on');"
        "UPDATE manifest SET value = '1' WHERE key = 'format_version';"
        "DELETE FROM _sqlite_migrations WHERE name IN ('m002_checksums', 'm003_files_of_lists', 'm004_inputs');"
    )
    connection.close()


def _open_and_close(area: Path, encoder: TextEncoder) -> None:
    with open_index(area, encoder):
        pass


IDLE = Step(_open_and_close, {})
"""The user opens the index for writing, and does nothing."""


def scenarios() -> list[Scenario]:
    """What a user does with an index, from the first day on."""
    first, second, many = make_texts(range(5)), make_texts(range(10)), make_texts(range(12))
    changed = {**make_texts(range(3, 12)), **make_texts(range(4, 8), version=1), **make_texts(range(12, 15))}
    return [
        Scenario("first", None, (index_files(first), index_files(second))),
        Scenario("update", many, (index_files(changed), index_files(many))),
        Scenario(
            "remove",
            many,
            (
                remove_files(many, ["d001.md", "d002.md"], "d00[12].md"),
                remove_files(_without(many, 1, 2), [f"d00{i}.md" for i in range(5, 10)], "d00[5-9].md"),
            ),
        ),
        Scenario("migrate", many, (upgrade_index(many),), outdated=True),
        Scenario(
            "compact", many, (remove_files(many, ["d003.md"], "d003.md"), compact_index(_without(many, 3)))
        ),
    ]


def _without(texts: Texts, *numbers: int) -> Texts:
    gone = make_texts(range(20))
    return {name: text for name, text in texts.items() if list(gone).index(name) not in numbers}


def problems(area: Path, encoder: TextEncoder, states: list[Texts], done: int) -> list[str]:
    """What is wrong with an index of which `done` steps were reported as done and the next one may have begun."""
    from retriever import Retriever
    from retriever.store.known import has_index
    from retriever.store.verify import verify

    now, then = states[done], states[min(done + 1, len(states) - 1)]
    if not has_index(area / "index"):
        return ["the index is gone"] if now else []
    with Retriever.open(area / "index", encoder=encoder) as retriever:
        found = [f"verify: {line}" for line in verify(area / "index").damage]
        texts = _texts(area)
        for name in sorted({name for state in states for name in state}):
            text = texts.get(f"docs/{name}")
            if text not in (now.get(name), then.get(name)):
                found.append(f"{name}: neither as it was nor as it will be: {text and text[:40]!r}")
            for version in (0, 1):
                found += _word_problems(retriever, name, version, text)
        for hit in retriever.search("which sensor fell in winter?", 10):
            if texts[hit.document_id][hit.start : hit.end] != hit.text:
                found.append(f"{hit.document_id}: a hit isn't in its text")
    found += _vector_problems(area)
    return found


def _texts(area: Path) -> Texts:
    """All that is stored, read past the program."""
    from retriever.store.schema import connect

    connection = connect(area / "index" / "index.sqlite")
    try:
        return dict(connection.execute("SELECT id, text FROM documents"))
    finally:
        connection.close()


def _word_problems(retriever: object, name: str, version: int, text: str | None) -> Iterator[str]:
    """A document's own words find its three passages if it is there in this version, and nothing if not."""
    expected = 3 if text == text_of(name, version) else 0
    word = unique_word(name, version)
    with retriever._reader.snapshot() as snapshot:  # type: ignore[attr-defined]
        hits = [hit for part in "abc" for hit in snapshot.lexical(f"{word}{part}", 10, None)]
        if len(hits) != expected:
            yield f"{name}: its word of version {version} finds {len(hits)} passages, not {expected}"


def _vector_problems(area: Path) -> Iterator[str]:
    """Every stored passage is the nearest one to its own vector."""
    from retriever.store.reader import IndexReader
    from retriever.store.schema import connect

    connection = connect(area / "index" / "index.sqlite")
    rows = connection.execute("SELECT id, vector FROM chunks").fetchall()
    connection.close()
    with IndexReader(area / "index") as reader, reader.snapshot() as snapshot:
        for chunk, blob in rows:
            vector = np.frombuffer(blob, dtype=np.float16).astype(np.float32)
            hits = snapshot.dense(vector / np.linalg.norm(vector), 3, None)
            if chunk not in [hit.chunk for hit in hits]:
                yield f"passage {chunk} isn't found by its own vector"
