"""Files and rows of an index that are damaged or lost: each is one line, and repaired as far as can be."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from indexer import Indexer, InputDocument
from retriever import Retriever
from retriever.encoder import TextEncoder
from retriever.errors import (
    IndexDamagedError,
)
from retriever.store.layout import IndexPaths
from retriever.store.lexical import LexicalWriter
from retriever.store.repair import repair
from retriever.store.verify import verify
from tests.stored import Texts, add, found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_a_damaged_faiss_file_is_one_clear_line(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts
) -> None:
    add(root, tiny_encoder, sentences)
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.compact()
    path = next(IndexPaths(root).vectors.iterdir())
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(IndexDamagedError, match="verify --repair"):
        found(root, tiny_encoder, "cat")
    assert any("damaged" in line for line in verify(root).damage)
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.compact()
    assert found(root, tiny_encoder, "cat mat")[0] == "cat"
    assert verify(root).damage == ()


@pytest.mark.parametrize("lost", ["vectors", "lexical"])
def test_what_is_derived_is_rebuilt(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts, lost: str
) -> None:
    add(root, tiny_encoder, sentences)
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.compact()
    shutil.rmtree(root / lost)
    with pytest.raises(IndexDamagedError, match="verify --repair"):
        found(root, tiny_encoder, "cat")
    Indexer.open(root, encoder=tiny_encoder).close()
    assert found(root, tiny_encoder, "cat mat")[0] == "cat"
    assert verify(root).damage == ()


def test_words_that_tantivy_lost_are_missed_though_the_number_is_right(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts
) -> None:
    add(root, tiny_encoder, sentences)
    lexical = LexicalWriter(IndexPaths(root).lexical, "english")
    lexical.delete([1])
    lexical.add(999, 999, "something that was never stored")
    lexical.commit()
    lexical.close()
    assert verify(root).damage == ("words: 1 of 5 passages missing",)
    with Indexer.open(root, encoder=tiny_encoder):
        pass
    assert verify(root).damage == ()
    assert found(root, tiny_encoder, "cat mat", 1) == ["cat"]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE documents SET text = replace(text, 'red', 'rod') WHERE id = 'cat'",
        "UPDATE documents SET title = 'Another title' WHERE id = 'cat'",
        'UPDATE chunks SET start = 1 WHERE "end" = 27',
        "UPDATE chunks SET vector = x'3c00' || substr(vector, 3) WHERE id = 1",
        "DELETE FROM chunks WHERE id = 1",
        "UPDATE manifest SET value = 3 WHERE key = 'dimension'",
        "INSERT INTO tombstones VALUES (1)",
    ],
)
def test_a_row_that_is_not_what_was_written_is_one_clear_line(
    root: Path, tiny_encoder: TextEncoder, sentences: Texts, sql: str
) -> None:
    add(root, tiny_encoder, sentences)
    connection = sqlite3.connect(root / "index.sqlite")
    assert connection.execute(sql).rowcount == 1
    connection.commit()
    connection.close()
    with pytest.raises(IndexDamagedError, match=r"damaged|can't be read|passages are stored"):
        found(root, tiny_encoder, "cat mat red")


def test_repair_rebuilds_what_is_derived_and_takes_out_what_is_damaged(
    tmp_path: Path, tiny_encoder: TextEncoder, sentences: Texts
) -> None:
    folder, root = tmp_path / "docs", tmp_path / "index"
    folder.mkdir()
    for name, text in sentences.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_paths([folder])
        indexer.compact()
    shutil.rmtree(root / "vectors")
    path = next((root / "lexical").glob("*.term"))
    path.write_bytes(path.read_bytes()[:-30])
    connection = sqlite3.connect(root / "index.sqlite")
    connection.execute("UPDATE chunks SET line = 9 WHERE document = 2")
    connection.commit()
    (damaged,) = connection.execute("SELECT id FROM documents WHERE key = 2").fetchone()
    connection.close()
    done = repair(root)
    assert len(done.before) == 3
    assert (done.lost, done.after.damage, done.after.documents) == ((damaged,), (), 4)
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        assert indexer.add_paths([folder]).indexed == 1
    assert verify(root).damage == ()
    assert sorted(found(root, tiny_encoder, "the")) == sorted(f"docs/{name}.txt" for name in sentences)
    assert repair(root).before == ()


def test_what_sqlite_can_still_read_is_saved(root: Path, tiny_encoder: TextEncoder, sentences: Texts) -> None:
    add(root, tiny_encoder, {f"{name}-{i}": text for i in range(40) for name, text in sentences.items()})
    path = root / "index.sqlite"
    content = bytearray(path.read_bytes())
    connection = sqlite3.connect(path)
    query = "SELECT rootpage FROM sqlite_schema WHERE name = 'documents'"
    (page,) = connection.execute(query).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    # A pointer of the tree of documents leads to a page that isn't one of it.
    content[page * size - 2 : page * size] = b"\xff\xff"
    path.write_bytes(content)
    with pytest.raises(IndexDamagedError):
        found(root, tiny_encoder, "cat", 200)
    done = repair(root)
    assert done.after.damage == ()
    assert 0 < done.after.documents < 200
    add(root, tiny_encoder, {f"{name}-{i}": text for i in range(40) for name, text in sentences.items()})
    assert len(found(root, tiny_encoder, "the", 300)) == 200


def test_what_is_beyond_repair_says_so(root: Path, tiny_encoder: TextEncoder, sentences: Texts) -> None:
    add(root, tiny_encoder, sentences)
    path = root / "index.sqlite"
    path.write_bytes(b"not what it was " + path.read_bytes()[16:])
    with pytest.raises(
        IndexDamagedError, match=r"file is not a database\), beyond repair: index into a new folder"
    ):
        repair(root)


@pytest.mark.parametrize("compactions", [1, 2])
def test_what_a_repair_cannot_save_is_said_and_read_again(
    tmp_path: Path, tiny_encoder: TextEncoder, compactions: int
) -> None:
    """Also of a file that holds many documents, only some of which are lost."""
    root, path = tmp_path / "index", tmp_path / "rows.jsonl"
    lines = [
        f'{{"id": "r{i}", "text": "the price of sensor {i} fell. {"snow and wind " * 20}"}}'
        for i in range(60)
    ]
    path.write_text("\n".join(lines))
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_paths([path])
        indexer.add_documents([InputDocument("memo", "a red dog")])
        for _ in range(compactions):
            indexer.compact()
    content = bytearray((root / "index.sqlite").read_bytes())
    place = content.rindex(b"the price of sensor 30 fell")
    size = 4096
    content[place // size * size : place // size * size + 8] = b"\xff" * 8  # the head of a page of texts
    (root / "index.sqlite").write_bytes(content)
    done = repair(root)
    assert done.after.damage == ()
    assert done.after.documents < 61
    named = [id_ for id_ in done.lost if "whose names" not in id_]
    assert len(named) == 61 - done.after.documents
    assert "rows.jsonl#r30" in named
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        report = indexer.add_paths([path])
        assert report.indexed == len([id_ for id_ in named if id_ != "memo"])
    with Retriever.open(root, encoder=tiny_encoder) as retriever:
        assert set(retriever.document_ids()) >= {f"rows.jsonl#r{i}" for i in range(60)}
