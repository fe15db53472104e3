"""The index follows its files: new, changed, touched, moved, unreadable, vanished; nothing stored is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from indexer import Indexer, IndexReport, InputDocument, Selection
from indexer.discover import discover
from indexer.prepare import storable
from retriever import Retriever, SpanseekError
from retriever.encoder import TextEncoder
from retriever.store.verify import verify
from retriever.types import Extract

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in {"a.txt": "red cat", "b.txt": "blue dog", "c.md": "# Snow\n\nsnow in winter\n"}.items():
        write(folder / name, text)
    return folder


def write(path: Path, text: str, age: float = 60.0) -> None:
    """A file that was last changed `age` seconds ago."""
    path.write_text(text, encoding="utf-8")
    then = time.time() - age
    os.utime(path, (then, then))


def index(docs: Path, encoder: TextEncoder, **options: bool) -> IndexReport:
    with Indexer.open(docs.parent / "index", encoder=encoder) as indexer:
        return indexer.add_paths([docs], **options)


def numbers(report: IndexReport) -> tuple[int, int, int, int, int]:
    return report.indexed, report.updated, report.unchanged, report.removed, len(report.skipped)


def texts(docs: Path, encoder: TextEncoder) -> dict[str, str]:
    with Retriever.open(docs.parent / "index", encoder=encoder) as retriever:
        return {id_: retriever.document(id_).text for id_ in retriever.document_ids()}


def test_unchanged_files_are_not_even_read(docs: Path, tiny_encoder: TextEncoder, monkeypatch) -> None:
    assert numbers(index(docs, tiny_encoder)) == (3, 0, 0, 0, 0)

    def refuse(path: Path, _: object) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("indexer.batches.file_hash", refuse)
    assert numbers(index(docs, tiny_encoder)) == (0, 0, 3, 0, 0)


def test_the_encoder_is_not_loaded_when_nothing_changed(
    docs: Path, tiny_encoder: TextEncoder, monkeypatch
) -> None:
    index(docs, tiny_encoder)

    def refuse(*_: object) -> TextEncoder:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr("indexer.api._load", refuse)
    with Indexer.open(docs.parent / "index") as indexer:
        assert indexer.add_paths([docs]).unchanged == 3


def test_changed_touched_and_new_files(docs: Path, tiny_encoder: TextEncoder) -> None:
    index(docs, tiny_encoder)
    write(docs / "a.txt", "green cat")
    (docs / "b.txt").touch()
    write(docs / "d.txt", "a new one")
    report = index(docs, tiny_encoder)
    assert numbers(report) == (1, 1, 2, 0, 0)
    assert report.chunks == 2
    assert texts(docs, tiny_encoder)["docs/a.txt"] == "green cat"


def test_a_change_that_size_and_time_hide_is_found_with_checksum(
    docs: Path, tiny_encoder: TextEncoder
) -> None:
    index(docs, tiny_encoder)
    before = (docs / "a.txt").stat()
    (docs / "a.txt").write_text("RED CAT")
    os.utime(docs / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert numbers(index(docs, tiny_encoder)) == (0, 0, 3, 0, 0)
    assert numbers(index(docs, tiny_encoder, checksum=True)) == (0, 1, 2, 0, 0)


def test_a_file_changed_right_after_it_was_read_is_read_again(docs: Path, tiny_encoder: TextEncoder) -> None:
    write(docs / "a.txt", "red cat", age=0)
    index(docs, tiny_encoder)
    before = (docs / "a.txt").stat()
    (docs / "a.txt").write_text("RED CAT")
    os.utime(docs / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert numbers(index(docs, tiny_encoder)) == (0, 1, 2, 0, 0)


def test_a_file_that_became_unreadable_keeps_what_was_read(docs: Path, tiny_encoder: TextEncoder) -> None:
    index(docs, tiny_encoder)
    (docs / "a.txt").write_bytes(b"")
    report = index(docs, tiny_encoder)
    assert [(Path(skip.path).name, skip.reason) for skip in report.skipped] == [("a.txt", "empty file")]
    assert texts(docs, tiny_encoder)["docs/a.txt"] == "red cat"
    write(docs / "a.txt", "readable again")
    assert numbers(index(docs, tiny_encoder)) == (0, 1, 2, 0, 0)


def test_vanished_files_go_with_prune_only_and_only_below_the_given_paths(
    docs: Path, tiny_encoder: TextEncoder
) -> None:
    other = docs.parent / "other"
    other.mkdir()
    write(other / "x.txt", "elsewhere")
    with Indexer.open(docs.parent / "index", encoder=tiny_encoder) as indexer:
        indexer.add_paths([docs, other])
    (docs / "a.txt").unlink()
    (other / "x.txt").unlink()
    report = index(docs, tiny_encoder)
    assert (report.vanished, report.removed) == (1, 0)
    report = index(docs, tiny_encoder, prune=True)
    assert (report.vanished, report.removed) == (0, 1)
    assert sorted(texts(docs, tiny_encoder)) == ["docs/b.txt", "docs/c.md", "other/x.txt"]


def test_the_index_moves_with_its_folder(docs: Path, tiny_encoder: TextEncoder) -> None:
    index(docs, tiny_encoder)
    moved = docs.parent.parent / (docs.parent.name + "-moved")
    docs.parent.rename(moved)
    assert verify(moved / "index").missing == ()
    assert numbers(index(moved / "docs", tiny_encoder)) == (0, 0, 3, 0, 0)
    with Retriever.open(moved / "index", encoder=tiny_encoder) as retriever:
        assert retriever.search("cat", 1)[0].path == str(moved / "docs" / "a.txt")


def test_documents_from_memory(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        report = indexer.add_documents(
            [
                InputDocument("1", "red\x00cat \ud800", "T"),
                InputDocument("2", " \n"),
                InputDocument("3", "dog"),
            ]
        )
        assert numbers(report) == (2, 0, 0, 0, 1)
        assert numbers(indexer.add_documents([InputDocument("3", "dog"), InputDocument("1", "cat")])) == (
            0,
            1,
            1,
            0,
            0,
        )
        assert indexer.add_documents(iter([])).chunks == 0


def test_of_two_documents_with_one_id_the_later_one_counts(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents([InputDocument("a", "the cat sat")])
        indexer.add_documents([InputDocument("a", "a red dog"), InputDocument("a", "the cat sat")])
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder) as retriever:
        assert retriever.document("a").text == "the cat sat"


def test_what_cannot_be_stored_is_replaced_one_for_one() -> None:
    extract = storable(Extract("a\x00b\ud800c\U0001f600", "text"))
    assert extract.text == "a\ufffdb\ufffdc\U0001f600"


def test_other_settings_for_an_index_that_exists_are_refused(
    tmp_path: Path, tiny_encoder: TextEncoder
) -> None:
    Indexer.open(tmp_path / "index", encoder=tiny_encoder, language="german").close()
    Indexer.open(tmp_path / "index", language="german").close()
    with pytest.raises(SpanseekError, match="made with language german, not english"):
        Indexer.open(tmp_path / "index", language="english")
    with pytest.raises(SpanseekError, match="unknown language"):
        Indexer.open(tmp_path / "index", language="latin")


def test_discovery(tmp_path: Path) -> None:
    for name in ("a.txt", "sub/b.md", "sub/.hidden.txt", ".git/config", "node/deep/c.txt", "ix/index.sqlite"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "ix" / "writer.lock").touch()
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop1").symlink_to(tmp_path / "loop2")
    (tmp_path / "loop2").symlink_to(tmp_path / "loop1")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")

    def names(*, selection: Selection | None = None, paths: tuple[str, ...] = ("",)) -> dict[str, str | None]:
        found = discover([tmp_path / path for path in paths], selection or Selection(), tmp_path / "none")
        return {str(item.path.relative_to(tmp_path)): item.problem for item in found}

    assert names() == {
        "a.txt": None,
        "gone.txt": "link to a file that isn't there",
        "link.txt": None,
        "loop1": "loop of links",
        "loop2": "loop of links",
        "node/deep/c.txt": None,
        "sub/b.md": None,
        "up": "link to a folder: name the folder itself to index it",
    }
    assert ".git/config" in names(selection=Selection(hidden=True))
    assert sorted(names(selection=Selection(include=("*.md", "deep/*")))) == [
        "node/deep/c.txt",
        "sub/b.md",
        "up",
    ]
    assert "node/deep/c.txt" not in names(selection=Selection(exclude=("node/",)))
    assert "sub/b.md" not in names(selection=Selection(exclude=("**/b.md",)))
    assert names(paths=("a.txt", "sub", "a.txt")) == {"a.txt": None, "sub/b.md": None}
    assert names(paths=("sub/.hidden.txt",)) == {"sub/.hidden.txt": None}


@pytest.mark.integration
def test_a_killed_run_loses_at_most_its_batch(
    tmp_path: Path, tiny_encoder_folder: Path, tiny_encoder: TextEncoder
) -> None:
    """Killed at some point while it indexes, again and again: what is there is whole, and the last run finishes."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for i in range(1500):
        write(docs / f"{i:04d}.txt", f"snow {i} and wind {i % 13}")
    code = (
        "import sys; from indexer import Indexer\n"
        "with Indexer.open(sys.argv[2], encoder=sys.argv[3]) as indexer: indexer.add_paths([sys.argv[1]])"
    )
    command = [sys.executable, "-c", code, str(docs), str(tmp_path / "index"), str(tiny_encoder_folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = 0
    for pause in (0.15, 0.4, 0.8):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        database = tmp_path / "index" / "index.sqlite"
        deadline = time.monotonic() + 30
        while not database.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        Indexer.open(tmp_path / "index", encoder=tiny_encoder).close()
        result = verify(tmp_path / "index")
        assert result.damage == ()
        assert result.documents >= before
        before = result.documents
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    result = verify(tmp_path / "index")
    assert (result.documents, result.damage) == (1500, ())


def test_an_index_inside_a_folder_that_is_given(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    """Files beside the index are stored relative to it, the others aren't; both are below the folder."""
    inner = tmp_path / "docs" / "sub"
    inner.mkdir(parents=True)
    for name in ("sub/beside.txt", "sub/gone.txt", "above.txt", "gone.txt"):
        (tmp_path / "docs" / name).write_text(f"The cat of {name} sat on the mat.")
    with Indexer.open(inner / ".spanseek", encoder=tiny_encoder) as indexer:
        assert indexer.add_paths([tmp_path / "docs"]).indexed == 4
        for name in ("sub/gone.txt", "gone.txt"):
            (tmp_path / "docs" / name).unlink()
        assert indexer.add_paths([tmp_path / "docs"]).vanished == 2
        assert indexer.add_paths([tmp_path / "docs"], prune=True).removed == 2
        with pytest.raises(SpanseekError, match="a target is empty"):
            indexer.remove([""])
        assert indexer.remove([tmp_path / "docs"]) == 2
