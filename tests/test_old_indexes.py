"""Indexes that earlier versions wrote still open, and find what they should.

`fixtures/index-v1.tar.gz` was written by the code of commit ebd9184 with the encoder of that day: four files indexed,
`compact`, one file deleted and another added, so that it has a generation, a tombstone and a passage newer than both.
`index-v2.tar.gz` is the same, by the code of commit 91ce3c6.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlite_utils import Database, Migrations

from indexer import Indexer, InputDocument
from retriever import Filter, Retriever
from retriever.encoder import Passage
from retriever.store.layout import FORMAT_VERSION
from retriever.store.schema import _MIGRATIONS, connect, migrate
from retriever.store.verify import verify
from tests.old_index import FIXTURES, unpack_old_index

VERSIONS = (1, 2)
TEXTS = {
    "docs/cafe.txt": "The cafe\u0301 in Paris is open; the one in Berlin is not.\n",
    "docs/prices.csv": "article: battery; price: 12\narticle: wind sensor; price: 40",
    "docs/release.md": (
        "# Releases\n\nA release is approved by the team manager.\n\n## When\n\n"
        "Releases are built every second Tuesday.\n"
    ),
    "docs/winter.txt": "In winter snow covers\nthe wind speed sensor\non the mountain.\n",
}


class AsThen:
    """Stands in for the encoder that an index was made with: its question means what the stored passages mean."""

    def __init__(self, root: Path, starts_with: str) -> None:
        database = sqlite3.connect(root / "index.sqlite")
        manifest = dict(database.execute("SELECT key, value FROM manifest"))
        query = "SELECT c.vector FROM chunks c JOIN documents d ON d.key = c.document WHERE substr(d.text, c.start + 1) LIKE ?"
        ((vector,),) = database.execute(query, [f"{starts_with}%"]).fetchall()
        database.close()
        self.fingerprint, self.dimension = manifest["fingerprint"], int(manifest["dimension"])
        self._vector = np.frombuffer(vector, dtype=np.float16).astype(np.float32)

    def encode_questions(self, questions: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(self._vector, (len(questions), 1))

    def encode_passages(self, passages: Sequence[Passage], **_: object) -> NDArray[np.float32]:
        return np.tile(self._vector, (len(passages), 1))

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpack_old_index(request.param, tmp_path)


def asked(root: Path, starts_with: str) -> Any:
    return AsThen(root, starts_with)


def test_every_earlier_version_is_here() -> None:
    assert set(VERSIONS) >= set(range(1, FORMAT_VERSION))


@pytest.mark.parametrize(
    ("starts_with", "question", "best"),
    [
        ("# Releases", "who approves a release?", ("docs/release.md", 1, 0, 54)),
        ("## When", "when are releases built", ("docs/release.md", 5, 56, 105)),
        ("article: wind", "price of the wind sensor", ("docs/prices.csv", 3, 28, 59)),
        ("In winter", "snow on the mountain", ("docs/winter.txt", 1, 0, 60)),
        ("The cafe", "is it open in Paris?", ("docs/cafe.txt", 1, 0, 53)),
    ],
)
def test_it_finds_what_it_held(
    old: Path, starts_with: str, question: str, best: tuple[str, int, int, int]
) -> None:
    with Retriever.open(old, encoder=asked(old, starts_with)) as retriever:
        hits = retriever.search(question, 20)
        assert retriever.document_ids() == list(TEXTS)
        assert {id_: retriever.document(id_).text for id_ in TEXTS} == TEXTS
        assert retriever.search(question, where=[Filter("id", "=", "docs/recall.txt")]) == []
    first = hits[0]
    assert (first.document_id, first.line, first.start, first.end) == best
    assert first.scores.dense == pytest.approx(1, abs=1e-3)
    assert first.scores.lexical
    assert {hit.document_id for hit in hits} == set(TEXTS), "what was deleted then stays deleted"
    for hit in hits:
        assert TEXTS[hit.document_id][hit.start : hit.end] == hit.text
        assert hit.source == "gone"


def test_it_goes_on_and_is_whole(old: Path) -> None:
    encoder = asked(old, "In winter")
    (old.parent / "docs").mkdir()
    (old.parent / "docs" / "winter.txt").write_text(TEXTS["docs/winter.txt"], newline="")
    with Indexer.open(old, encoder=encoder) as indexer:
        report = indexer.add_paths([old.parent / "docs" / "winter.txt"])
        assert (report.unchanged, report.indexed, report.updated) == (1, 0, 0), "known by its hash"
        indexer.add_documents([InputDocument("new", "The new battery arrived in April.")])
        assert indexer.remove(["docs/cafe.txt"]) == 1
        indexer.compact()
    found = verify(old)
    assert (found.documents, found.damage) == (4, ())
    with Retriever.open(old, encoder=encoder) as retriever:
        assert retriever.document_ids() == ["docs/prices.csv", "docs/release.md", "docs/winter.txt", "new"]
        assert "new" in {hit.document_id for hit in retriever.search("battery April", 20)}


def test_the_list_of_migrations_is_the_one_that_sqlite_utils_keeps(old: Path) -> None:
    Indexer.open(old, encoder=asked(old, "In winter")).close()
    connection = connect(old / "index.sqlite", write=True)
    kept = Migrations("spanseek").applied(Database(connection, execute_plugins=False))
    assert [migration.name for migration in kept] == [migration.__name__ for migration in _MIGRATIONS]
    migrate(connection)  # again changes nothing
    assert len(Migrations("spanseek").applied(Database(connection, execute_plugins=False))) == len(kept)
    connection.close()


def test_an_index_that_is_up_to_date_opens_without_sqlite_utils(old: Path) -> None:
    Indexer.open(old, encoder=asked(old, "In winter")).close()
    code = (
        "import sys; from pathlib import Path; from retriever.store.writer import IndexWriter\n"
        "IndexWriter.open(Path(sys.argv[1])).close(); print(sorted({'sqlite_utils', 'torch'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(FIXTURES.parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(old)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "[]\n"
