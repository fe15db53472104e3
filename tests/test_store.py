"""The index folder: what is committed is found, what was replaced or removed is not, and a kill loses no more."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from indexer import Indexer, InputDocument
from retriever import Retriever
from retriever.config import ChunkingConfig
from retriever.encoder import TextEncoder
from retriever.errors import (
    IndexAccessError,
    IndexFormatError,
    IndexLockedError,
    IndexNotFoundError,
)
from retriever.store.analysis import fold
from retriever.store.layout import IndexPaths
from retriever.store.lexical import LexicalReader, LexicalWriter
from retriever.store.lock import WriterLock
from retriever.store.manifest import Manifest
from retriever.store.schema import connect, migrate
from retriever.store.verify import verify
from tests.stored import Texts, add, found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_everything_is_found_and_verifies(root: Path, tiny_encoder: TextEncoder, sentences: Texts) -> None:
    add(root, tiny_encoder, sentences)
    assert sorted(found(root, tiny_encoder, "release")) == sorted(sentences)
    assert found(root, tiny_encoder, "release approves")[0] == "release"
    result = verify(root)
    assert (result.documents, result.chunks, result.damage) == (5, 5, ())


def test_replaced_and_removed_documents_are_gone(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts
) -> None:
    add(root, tiny_encoder, sentences)
    add(root, tiny_encoder, {"cat": "Nothing of the old text."})
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        assert indexer.remove(["price", "no such id"]) == 1
    with Retriever.open(root, encoder=tiny_encoder) as retriever:
        hits = retriever.search("red mat price monday", 20)
        assert {hit.document_id for hit in hits} == {"cat", "release", "winter", "cafe"}
        assert {hit.text for hit in hits if hit.document_id == "cat"} == {"Nothing of the old text."}
        with pytest.raises(KeyError):
            retriever.document("price")
    assert verify(root).damage == ()


@pytest.mark.parametrize("compacted", [False, True])
def test_generation_and_delta_and_tombstones_give_what_exact_search_gives(
    root: Path, tiny_encoder: TextEncoder, compacted: bool
) -> None:
    texts = {str(i): f"wind speed {i} snow {i % 7} sensor {i % 11}" for i in range(60)}
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_documents(InputDocument(id_, text) for id_, text in texts.items())
        indexer.compact()
        indexer.remove([str(i) for i in range(0, 60, 9)])
        more = {str(i): f"price of battery {i} fell" for i in range(100, 130)}
        indexer.add_documents(InputDocument(id_, text) for id_, text in more.items())
        if compacted:
            indexer.compact()
    kept = {id_: text for id_, text in {**texts, **more}.items() if id_ not in map(str, range(0, 60, 9))}
    matrix = tiny_encoder.encode_questions(list(kept.values())).astype(np.float16).astype(np.float32)
    with Retriever.open(root, encoder=tiny_encoder) as retriever, retriever._reader.snapshot() as snapshot:
        question = tiny_encoder.encode_questions(["snow and wind"])[0]
        ids = dict(
            snapshot._db.execute("SELECT c.id, d.id FROM chunks c JOIN documents d ON d.key = c.document")
        )
        hits = snapshot.dense(question, 20, None)
        expected = sorted((matrix @ question).tolist(), reverse=True)[:20]
        np.testing.assert_allclose([hit.score for hit in hits], expected, atol=2e-3)
        assert {ids[hit.chunk] for hit in hits} <= set(kept)
    assert verify(root).damage == ()


def test_a_second_writer_is_told_who_the_first_is(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts
) -> None:
    add(root, tiny_encoder, sentences)
    with (
        Indexer.open(root, encoder=tiny_encoder),
        pytest.raises(IndexLockedError, match=f"process {os.getpid()} on .* is writing"),
    ):
        Indexer.open(root)
    Indexer.open(root).close()


def test_a_dead_writers_lock_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from retriever.store.lock import WriterLock;"
        "lock = WriterLock(Path(sys.argv[1])); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    assert done.returncode == 9
    WriterLock(tmp_path / "lock").release()


def test_a_kill_between_the_two_commits_leaves_no_trace(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts
) -> None:
    """tantivy had committed, SQLite had not: the next writer drops what SQLite doesn't know."""
    add(root, tiny_encoder, sentences)
    lexical = LexicalWriter(IndexPaths(root).lexical, "english")
    lexical.add(6, 99, "a passage that was never committed")
    lexical.commit()
    lexical.close()
    assert sorted(found(root, tiny_encoder, "passage never committed")) == sorted(sentences)
    assert verify(root).damage == ()
    add(root, tiny_encoder, {"new": "the dog is blue"})
    assert verify(root).damage == ()
    assert found(root, tiny_encoder, "blue dog")[0] == "new"


def test_a_failed_commit_changes_nothing(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_documents(InputDocument(id_, text) for id_, text in sentences.items())

        def fail(*_: object) -> None:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        with monkeypatch.context() as patched:
            patched.setattr("retriever.store.writer.write_manifest", fail)
            with pytest.raises(IndexAccessError, match="make room and run this again"):
                indexer.add_documents([InputDocument("cat", "a blue dog")])
        assert found(root, tiny_encoder, "cat mat")[0] == "cat"
        indexer.add_documents([InputDocument("dog", "a red dog in snow")])
    assert found(root, tiny_encoder, "dog")[0] == "dog"
    assert verify(root).damage == ()


def test_a_reader_sees_each_commit_whole(root: Path, tiny_encoder: TextEncoder) -> None:
    """While a writer replaces two documents together again and again, nobody ever sees one old and one new."""
    add(root, tiny_encoder, {"a": "state 0 snow", "b": "state 0 wind"})
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        with Retriever.open(root, encoder=tiny_encoder) as retriever:
            while not stop.is_set():
                texts = {
                    hit.document_id: hit.text.split()[1] for hit in retriever.search("state snow wind", 10)
                }
                if len(texts) != 2 or texts["a"] != texts["b"]:
                    wrong.append(texts)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        for i in range(1, 25):
            indexer.add_documents(
                [InputDocument("a", f"state {i} snow"), InputDocument("b", f"state {i} wind")]
            )
            if i % 8 == 0:
                indexer.compact()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert verify(root).damage == ()


def test_other_versions_and_encoders_are_refused(
    root: Path, tmp_path: Path, tiny_encoder: TextEncoder, sentences: Texts, write_encoder
) -> None:
    add(root, tiny_encoder, sentences)
    other = TextEncoder.load(str(write_encoder(tmp_path / "other", seed=1)))
    for opened in (Retriever, Indexer):
        with pytest.raises(IndexFormatError, match="another encoder"):
            opened.open(root, encoder=other)
    connection = sqlite3.connect(root / "index.sqlite")
    connection.execute("UPDATE manifest SET value = '99' WHERE key = 'format_version'")
    connection.commit()
    connection.close()
    for opened in (Retriever, Indexer):
        with pytest.raises(IndexFormatError, match=r"format version 99.*upgrade"):
            opened.open(root)


def test_what_is_no_index_is_left_alone(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    with pytest.raises(IndexNotFoundError, match="make one"):
        Retriever.open(tmp_path)
    (tmp_path / "precious.txt").write_text("do not touch")
    with pytest.raises(IndexFormatError, match="is no index"):
        Indexer.open(tmp_path, encoder=tiny_encoder)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "index.sqlite").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(IndexFormatError, match="file is not a database"):
        Retriever.open(broken)


@pytest.mark.parametrize(
    ("text", "query", "matches"),
    [
        ("Der Müller geht über die Straße", "muller", True),
        ("CAFÉ Ångström", "café angstrom", True),
        ("running quickly", "RUN", True),
        ("東京都に住んでいます", "東京", True),
        ("東京都に住んでいます", "京都", True),
        ("東京都に住んでいます", "大阪", False),
        ("我们在北京大学学习", "大学", True),
        ("대한민국의 수도는 서울이다", "서울", True),
        ("データセンター", "センター", True),
        ("ｆｕｌｌｗｉｄｔｈ", "fullwidth", True),
        ("Ελλάδα", "ελλαδα", True),
        ("काम करना", "काम", True),
    ],
)
def test_words_are_found_in_any_script(tmp_path: Path, text: str, query: str, matches: bool) -> None:
    writer = LexicalWriter(tmp_path, "english")
    writer.add(1, 1, text)
    writer.commit()
    writer.close()
    reader = LexicalReader(tmp_path, "english")
    assert bool(reader.search(reader.searcher(), query, 10)) is matches


def test_fold_leaves_ascii_alone() -> None:
    assert fold("Plain ASCII text, as it is.") == "Plain ASCII text, as it is."


def test_manifest_settings_of_another_version_are_an_error() -> None:
    with pytest.raises(IndexFormatError, match="unknown setting 'later'"):
        ChunkingConfig.from_json('{"max_tokens": 200, "later": 1}')
    manifest = Manifest("default", "f" * 64, 384, ChunkingConfig())
    with pytest.raises(IndexFormatError, match="another encoder"):
        manifest.check(fingerprint="e" * 64, dimension=384)


def test_only_their_owner_can_read_the_files(
    tmp_path: Path, tiny_encoder: TextEncoder, sentences: Texts
) -> None:
    root = tmp_path / "new" / "index"
    add(root, tiny_encoder, sentences)
    with Indexer.open(root) as indexer:
        indexer.compact()
    (tmp_path / "kept").mkdir(mode=0o755)
    add(tmp_path / "kept", tiny_encoder, sentences)
    for folder in (root, root.parent, root / "lexical", root / "vectors", tmp_path / "kept" / "lexical"):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    for index in (root, tmp_path / "kept"):
        for path in (index / "index.sqlite", index / "writer.lock"):
            assert path.stat().st_mode & 0o777 == 0o600, path


def test_an_index_whose_making_was_stopped_at_once_is_begun_again(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts
) -> None:
    root.mkdir()
    for content in (b"", None):
        path = root / "index.sqlite"
        if content is not None:
            path.write_bytes(content)
        else:
            path.unlink()
            migrate(connection := connect(path, write=True))
            connection.close()
        with pytest.raises(IndexNotFoundError, match="run 'spanseek index PATH' again"):
            Retriever.open(root)
    add(root, tiny_encoder, sentences)
    assert found(root, tiny_encoder, "cat mat", 1) == ["cat"]


def test_words_are_found_where_nothing_can_be_written(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(root, tiny_encoder, sentences)
    with monkeypatch.context() as patched:
        patched.setattr("retriever.store.lexical.is_needed", lambda _: True)
        reader = LexicalReader(IndexPaths(root).lexical, "english")
    assert reader._mirror is not None
    place = reader._mirror.path
    assert sorted(reader.chunks(reader.searcher())) == [1, 2, 3, 4, 5]
    add(root, tiny_encoder, {"cat": "another text", "new": "the dog is blue"})
    held = reader.searcher()
    assert {2, 3, 4, 5, 7} <= set(reader.chunks(held))
    assert [hit.chunk for hit in reader.search(held, "blue", 5)] == [7]
    reader.close()
    assert not place.exists()


def test_one_snapshot_within_another(root: Path, tiny_encoder: TextEncoder, sentences: Texts) -> None:
    add(root, tiny_encoder, sentences)
    with Retriever.open(root, encoder=tiny_encoder) as retriever:
        for hits in retriever.search_many(["cat mat", "snow"], 1):
            assert retriever.document(hits[0].document_id).text == hits[0].text
        retriever.passages()  # begun and left


def test_threads_leave_no_connections_behind(root: Path, tiny_encoder: TextEncoder, sentences: Texts) -> None:
    add(root, tiny_encoder, sentences)
    with Retriever.open(root, encoder=tiny_encoder) as retriever:
        for _ in range(20):
            thread = threading.Thread(target=retriever.document, args=("cat",))
            thread.start()
            thread.join()
        assert len(retriever._reader._connections) == 1


def test_an_interrupted_compaction_publishes_no_half_of_the_words(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(root, tiny_encoder, sentences)
    indexer = Indexer.open(root, encoder=tiny_encoder)
    indexer.remove(["cafe"])
    real = LexicalWriter.add

    def add_some(self: LexicalWriter, chunk: int, document: int, text: str) -> None:
        if chunk == 3:
            raise KeyboardInterrupt
        real(self, chunk, document, text)

    monkeypatch.setattr(LexicalWriter, "add", add_some)
    with pytest.raises(KeyboardInterrupt):
        indexer.compact()
    indexer.close()
    assert sorted(found(root, tiny_encoder, "the")) == sorted(set(sentences) - {"cafe"})
    assert verify(root).damage == ()


def test_a_generation_whose_commit_failed_is_built_again(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_documents(InputDocument(id_, text) for id_, text in sentences.items())
        with monkeypatch.context() as patched:
            patched.setattr("retriever.store.writer.write_manifest", fail)
            with pytest.raises(IndexAccessError, match="make room"):
                indexer._writer.merge(force=True)
        indexer._writer.merge(force=True)
    assert verify(root).damage == ()


def test_an_unknown_failure_of_the_disk_costs_nothing(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(root, tiny_encoder, sentences)

    def stale(_: object) -> bytes:
        raise OSError(116, "Stale file handle")

    before = sorted(path.name for path in (root / "lexical").iterdir())
    with monkeypatch.context() as patched:
        patched.setattr("retriever.store.segments.SegmentCheck.published", stale)
        with pytest.raises(IndexAccessError, match="try again"):
            Indexer.open(root, encoder=tiny_encoder)
    assert sorted(path.name for path in (root / "lexical").iterdir()) == before
