"""What one part of the store does while another is half-way: commits taken back, merges under readers, lost cells."""

from __future__ import annotations

import errno
import itertools
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retriever.config import ChunkingConfig, SearchConfig
from retriever.errors import IndexAccessError, IndexDamagedError
from retriever.filters import Filter
from retriever.search import candidates
from retriever.store.manifest import Manifest
from retriever.store.reader import IndexReader
from retriever.store.records import PreparedDocument
from retriever.store.repair import repair
from retriever.store.verify import verify
from retriever.store.writer import IndexWriter
from retriever.types import Chunk, Extract
from tests.old_index import unpack_old_index

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = Manifest(encoder="none", fingerprint="f", dimension=16, chunking=ChunkingConfig())


def document(id_: str, chunks: int, word: str = "word") -> PreparedDocument:
    """A document of so many chunks, each with a word of its own, and vectors of length 1."""
    parts = [f"{word}{i} {id_} " for i in range(chunks)]
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    vectors = np.random.default_rng(chunks).normal(size=(chunks, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return PreparedDocument(
        id_,
        None,
        Extract("".join(parts), "text"),
        f"hash of {id_} {word}",
        [Chunk(start, end, None, 1, ()) for start, end in itertools.pairwise(starts)],
        vectors.astype(np.float16),
    )


def make(root: Path, *documents: PreparedDocument) -> Path:
    with IndexWriter.open(root, SETTINGS) as writer:
        for item in documents:
            writer.write(1, [item])
    return root


def found(root: Path, words: str) -> set[int]:
    with IndexReader(root) as reader, reader.snapshot() as snapshot:
        vector = np.ones(16, dtype=np.float32) / 4
        return {c.document for c in candidates(snapshot, words, vector, 10, SearchConfig())}


def test_a_commit_that_fails_forgets_no_deletion_of_the_one_before(tmp_path: Path) -> None:
    root = make(tmp_path / "index", document("a", 5, "alpha"), document("b", 5, "beta"))
    with IndexWriter.open(root) as writer:
        writer.write(2, [document("a", 5, "gamma")])  # tantivy hears of it with the next commit
        with pytest.raises(Exception, match="NOT NULL"):
            writer.write(2, [replace(document("c", 2), sha256=None)])  # type: ignore[arg-type]
    with IndexWriter.open(root) as writer:
        writer.merge(force=True)
        assert writer._lexical.held().chunks == writer.manifest.chunks == 10
    assert len(found(root, "alpha0 alpha1 gamma0")) == 2
    assert verify(root).damage == ()


def test_an_old_file_that_cannot_be_deleted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "index", document("a", 3))
    with IndexWriter.open(tmp_path / "index") as writer:
        writer.merge(force=True)
        unlink, old = Path.unlink, {path.name for path in writer.paths.vectors.iterdir()}

        def read_only(path: Path, *, missing_ok: bool = False) -> None:
            if path.name in old:
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            unlink(path, missing_ok=missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", read_only)
            writer.write(2, [document("b", 3)])
            with pytest.raises(IndexAccessError, match="Read-only file system"):
                writer.merge(force=True)
    assert len(found(tmp_path / "index", "word0 word1")) == 2
    assert verify(tmp_path / "index").damage == (), "the merge itself was done"


def test_a_reader_goes_along_with_a_merge_that_drops_the_newest(tmp_path: Path) -> None:
    root = make(tmp_path / "index", document("a", 5), document("newest", 3))
    with IndexReader(root) as reader:
        with reader.snapshot() as snapshot:
            assert snapshot.manifest.chunks == 8
        with IndexWriter.open(root) as writer:
            writer.remove_documents(["newest"])
            writer.compact()
        with reader.snapshot() as snapshot:
            assert snapshot.manifest.chunks == 5
        with IndexWriter.open(root) as writer:
            writer.write(3, [document("later", 2)])
        with reader.snapshot() as snapshot:
            assert snapshot.document_ids() == ["a", "later"]
            assert len(snapshot.dense(np.ones(16, dtype=np.float32) / 4, 100, None)) == 7


def page_of(root: Path, name: str) -> tuple[Path, int, int]:
    """The database, and where the first page of a table or index begins and ends in it."""
    path = root / "index.sqlite"
    connection = sqlite3.connect(path)
    (number,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [name]).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    return path, (number - 1) * size, number * size


@pytest.mark.parametrize("index", ["chunks_document", "documents_format", "sqlite_autoindex_documents_1"])
def test_a_cell_that_an_index_has_lost_is_damage(tmp_path: Path, index: str) -> None:
    root = make(tmp_path / "index", document("a", 5), document("b", 5))
    path, begin, _ = page_of(root, index)
    raw = bytearray(path.read_bytes())
    cells = int.from_bytes(raw[begin + 3 : begin + 5], "big")
    raw[begin + 3 : begin + 5] = (cells - 1).to_bytes(2, "big")
    path.write_bytes(raw)
    with (
        pytest.raises(IndexDamagedError),
        IndexReader(root) as reader,
        reader.snapshot() as snapshot,
    ):
        snapshot.allowed([Filter.parse("id=b")])


def test_a_damaged_index_of_inputs_gives_no_other_passages_vector(tmp_path: Path) -> None:
    root = make(tmp_path / "index", document("a", 2, "alpha"))
    connection = sqlite3.connect(root / "index.sqlite")
    rows = connection.execute("SELECT id, input FROM chunks ORDER BY id").fetchall()
    connection.close()
    key = rows[1][1]
    path, begin, end = page_of(root, "chunks_input")
    raw = bytearray(path.read_bytes())
    place = raw.find(key.to_bytes(8, "big", signed=True), begin, end) + 8
    assert raw[place] == 2
    raw[place] = 1  # now it leads to the other row
    damaged = bytes(raw)
    raw[place] = 2
    path.write_bytes(raw)
    with IndexWriter.open(root) as writer:
        assert set(writer.known_vectors([key])) == {key}
    path.write_bytes(damaged)
    with IndexWriter.open(root) as writer:
        assert writer.known_vectors([key]) == {}


def test_one_text_that_is_no_text_any_more_is_all_that_an_old_index_loses(tmp_path: Path) -> None:
    root = unpack_old_index(2, tmp_path)
    connection = sqlite3.connect(root / "index.sqlite")
    connection.text_factory = bytes
    (total,) = connection.execute("SELECT count(*) FROM documents").fetchone()
    key, text = connection.execute("SELECT key, text FROM documents LIMIT 1").fetchone()
    broken = text[:3] + b"\xff" + text[4:]
    connection.execute("UPDATE documents SET text = CAST(? AS TEXT) WHERE key = ?", [broken, key])
    connection.commit()
    connection.close()
    repair(root)
    assert verify(root).damage == ()
    with IndexReader(root) as reader, reader.snapshot() as snapshot:
        assert len(snapshot.document_ids()) == total - 1


def test_filters_of_many_threads_dont_take_each_others_away(tmp_path: Path) -> None:
    """In a process of its own: threads change turns far more often than they usually do."""
    root = make(tmp_path / "index", *(document(f"d{i}", 2) for i in range(12)))
    code = """
import sys, threading
from pathlib import Path
from retriever.filters import Filter
from retriever.store.reader import IndexReader
sys.setswitchinterval(1e-6)
errors = []
with IndexReader(Path(sys.argv[1])) as reader:
    def ask(first):
        try:
            with reader.snapshot() as snapshot:
                for n in range(600):
                    assert len(snapshot.allowed([Filter.parse(f"id=d{(first + n) % 12}")]).chunks) == 2
        except Exception as error:
            errors.append(repr(error))
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
sys.exit(str(errors[0]) if errors else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
