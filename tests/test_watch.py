"""An index that follows folders: real events of a real file system, deadlines that are generous, and no fixed waits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexer import Indexer, Selection
from indexer.watch import Watcher, WatchReport, watching
from indexer.watch.places import Places
from retriever.errors import SpanseekError
from retriever.store.known import known_below, known_files

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder
from tests.followed import DEADLINE, Follow


def test_files_are_followed_from_their_making_to_their_end(follow: Follow) -> None:
    followed = follow()
    assert followed.names() == {"cat.txt"}
    note = followed.folder / "note.md"
    note.write_text("a red dog\n")
    followed.wait_for("indexed", "note.md")
    note.write_text("a red dog in the snow\n")
    followed.wait_for("updated", "note.md")
    note.rename(followed.folder / "moved.md")
    followed.wait_for("indexed", "moved.md")
    followed.wait_for("removed", "note.md")
    (followed.folder / "moved.md").unlink()
    followed.wait_for("removed", "moved.md")
    assert followed.names() == {"cat.txt"}
    report = next(report for report in followed.reports if report.kind == "indexed")
    assert report.passages == 1
    assert report.seconds is not None


def test_what_changed_while_nobody_watched_is_caught_up_with(
    follow: Follow, tmp_path: Path, tiny_encoder: TextEncoder
) -> None:
    folder, index = tmp_path / "docs", tmp_path / "index"
    (folder / "old.txt").write_text("the price fell")
    with Indexer.open(index, encoder=tiny_encoder) as indexer:
        indexer.add_paths([folder])
    (folder / "old.txt").unlink()
    (folder / "new.txt").write_text("open in berlin")
    (folder / "empty.txt").write_text("")
    followed = follow()
    assert followed.names() == {"cat.txt", "new.txt"}
    run = followed.reports[-1].run
    assert run is not None
    assert (run.indexed, run.unchanged, run.removed, run.vanished) == (1, 1, 1, 0)
    assert followed.said()[0] == ("skipped", f"{folder / 'empty.txt'} empty file")


def test_an_atomic_save_is_one_update_and_temporary_files_are_none(follow: Follow) -> None:
    followed = follow()
    cat = followed.folder / "cat.txt"
    # as vim does it: a name to see whether it can write, a swap file, the old file aside, a new one in its place
    (followed.folder / ".cat.txt.swp").write_bytes(b"b0VIM 9.0")
    (followed.folder / "4913").touch()
    (followed.folder / "4913").unlink()
    cat.rename(followed.folder / "cat.txt~")
    cat.write_text("the cat sat on the red mat")
    followed.wait_for("updated", "cat.txt")
    # as others do: everything into a file aside, which takes the place of the old one
    aside = followed.folder / "cat.txt.tmp"
    aside.write_text("the dog sat on the red mat")
    aside.replace(cat)
    followed.wait_for("updated", "cat.txt", times=2)
    (followed.folder / "~$report.docx").write_text("owner")
    (followed.folder / "film.crdownload").write_text("half of it")
    (followed.folder / "last.txt").write_text("in winter")
    followed.wait_for("indexed", "last.txt")
    assert followed.names() == {"cat.txt", "last.txt"}
    assert {kind for kind, _ in followed.said()} == {"ready", "indexed", "updated"}


def test_a_burst_is_one_batch(follow: Follow) -> None:
    followed = follow()
    before = followed.revision()
    for i in range(200):
        (followed.folder / f"{i:03}.txt").write_text(f"sensor {i}")
    followed.wait(lambda: len(followed.names()) == 201)
    followed.wait_for("notice", "files, ")
    assert followed.revision() - before <= 4
    assert sum(kind == "indexed" for kind, _ in followed.said()) == 200
    for path in followed.folder.glob("0*.txt"):
        path.unlink()
    followed.wait_for("removed", times=100)
    assert len(followed.names()) == 101


def test_folders_are_followed_too(follow: Follow, tmp_path: Path) -> None:
    followed = follow()
    deep = followed.folder / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "one.txt").write_text("red")
    followed.wait_for("indexed", "a/b/one.txt")
    (deep / "two.txt").write_text("blue")
    followed.wait_for("indexed", "a/b/two.txt")
    (followed.folder / "a").rename(followed.folder / "c")
    followed.wait_for("indexed", "c/b/two.txt")
    followed.wait_for("removed", "a/b/two.txt")
    (followed.folder / "c" / "b" / "two.txt").write_text("blue snow")
    followed.wait_for("updated", "c/b/two.txt")
    (followed.folder / "c").rename(tmp_path / "elsewhere")
    followed.wait_for("removed", "c/b/one.txt")
    (tmp_path / "elsewhere").rename(followed.folder / "back")
    followed.wait_for("indexed", "back/b/one.txt")
    # one that is deleted and made again at once is another folder of the same name
    shutil.rmtree(followed.folder / "back")
    (followed.folder / "back").mkdir()
    (followed.folder / "back" / "three.txt").write_text("open")
    followed.wait_for("indexed", "back/three.txt")
    followed.wait(lambda: followed.names() == {"cat.txt", "back/three.txt"})
    (followed.folder / "back" / "three.txt").write_text("open on monday")
    followed.wait_for("updated", "back/three.txt")


def test_what_index_leaves_out_is_left_out(follow: Follow, tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    other = tmp_path / "docs" / "other-index"
    with Indexer.open(other, encoder=tiny_encoder):
        pass
    (tmp_path / "away").mkdir()
    (tmp_path / "docs" / "link").symlink_to(tmp_path / "away")
    followed = follow(selection=Selection(exclude=("drafts/", "*.log")))
    (tmp_path / "away" / "far.txt").write_text("far")
    (other / "stray.txt").write_text("stray")
    for name in (".git", "drafts"):
        (followed.folder / name).mkdir()
        (followed.folder / name / "x.txt").write_text("x")
    (followed.folder / "run.log").write_text("x")
    (followed.folder / "kept.txt").write_text("the team")
    followed.wait_for("indexed", "kept.txt")
    assert followed.names() == {"cat.txt", "kept.txt"}
    (followed.folder / "drafts" / "x.txt").rename(followed.folder / "final.txt")
    followed.wait_for("indexed", "final.txt")
    (followed.folder / "kept.txt").rename(followed.folder / ".kept.txt")
    followed.wait_for("removed", "kept.txt")
    assert followed.names() == {"cat.txt", "final.txt"}


def test_links_to_folders_are_not_followed_when_a_folder_comes(follow: Follow, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "far.txt").write_text("far")
    coming = tmp_path / "coming"
    coming.mkdir()
    (coming / "link").symlink_to(tmp_path / "away")
    (coming / "nowhere.txt").symlink_to(tmp_path / "nothing")
    (coming / "near.txt").write_text("snow")
    followed = follow()
    coming.rename(followed.folder / "come")
    followed.wait_for("indexed", "near.txt")
    followed.wait_for("skipped", "come/link link to a folder: name the folder itself to index it")
    followed.wait_for("skipped", "come/nowhere.txt link to a file that isn't there")
    (tmp_path / "nothing").write_text("something now")
    followed.wait_for("indexed", "nowhere.txt")
    assert followed.names() == {"cat.txt", "come/near.txt", "come/nowhere.txt"}
    assert sum(kind == "skipped" for kind, _ in followed.said()) == 2


def test_an_index_within_the_folder_sets_nothing_off(follow: Follow, tmp_path: Path) -> None:
    followed = follow(index=tmp_path / "docs" / "index")
    (followed.folder / "one.txt").write_text("snow")
    followed.wait_for("indexed", "one.txt")
    before = followed.revision()
    (followed.folder / "two.txt").write_text("wind")
    followed.wait_for("indexed", "two.txt")
    # what is committed for one file, and nothing for the files of the index
    assert followed.revision() - before <= 2
    assert followed.names() == {"cat.txt", "one.txt", "two.txt"}
    places = Places([followed.folder], Selection(hidden=True), followed.index)
    assert not places.counts(followed.index / "index.sqlite-wal")
    assert not places.counts(followed.index)
    assert places.counts(followed.folder / "three.txt")


def test_a_file_that_is_still_written_to_is_waited_for(follow: Follow) -> None:
    followed = follow(settle=2.0)
    growing = followed.folder / "growing.txt"
    with growing.open("w") as file:
        for _ in range(12):
            file.write("red snow ")
            file.flush()
            os.fsync(file.fileno())
            time.sleep(0.2)  # the writer's pace; nothing is waited for here
        assert ("indexed", str(growing)) not in followed.said()
    followed.wait_for("indexed", "growing.txt")
    assert not any(kind == "updated" for kind, _ in followed.said())


def test_links_and_files_by_name_are_looked_at(follow: Follow, tmp_path: Path) -> None:
    target, alone = tmp_path / "target.txt", tmp_path / "alone.txt"
    target.write_text("wind")
    alone.write_text("snow")
    (tmp_path / "docs" / "link.txt").symlink_to(target)
    followed = follow(tmp_path / "docs", alone, tmp_path / "docs" / "cat.txt")
    target.write_text("wind speed")
    followed.wait_for("updated", "link.txt")
    aside = tmp_path / "aside"
    aside.write_text("snow covers")
    aside.replace(alone)
    followed.wait_for("updated", "alone.txt")
    (followed.folder / "link.txt").unlink()
    followed.wait_for("removed", "link.txt")
    alone.unlink()
    followed.wait_for("notice", f"{alone} is gone")
    assert alone in known_below(followed.index, alone)


def test_an_index_knows_its_files_from_wherever_it_lies(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    (tmp_path / "docs" / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt", "sub-c.txt"):
        (tmp_path / "docs" / name).write_text("snow")
    index = tmp_path / "docs" / "sub" / "index"
    assert known_below(index, tmp_path) == {}
    with Indexer.open(index, encoder=tiny_encoder) as indexer:
        indexer.add_paths([tmp_path / "docs"])
    below = {
        folder: {path.name for path in known_below(index, folder)}
        for folder in (tmp_path, tmp_path / "docs", tmp_path / "docs" / "sub", tmp_path / "docs" / "a.txt")
    }
    assert list(below.values()) == [{"a.txt", "b.txt", "sub-c.txt"}] * 2 + [{"b.txt"}, {"a.txt"}]
    known = known_files(index, [tmp_path / "docs" / "a.txt", tmp_path / "docs" / "nothing.txt"])
    assert [(path.name, file.documents, file.passages) for path, file in known.items()] == [("a.txt", 1, 1)]


def test_overlapping_paths_are_one(follow: Follow, tmp_path: Path) -> None:
    sub = tmp_path / "docs" / "sub"
    sub.mkdir()
    followed = follow(tmp_path / "docs", sub, tmp_path / "docs" / "." / "sub")
    (sub / "new.txt").write_text("snow")
    followed.wait_for("indexed", "new.txt")
    shutil.rmtree(sub)  # it was given by its own name: it is waited for
    followed.wait_for("notice", f"{sub} is gone")
    assert followed.names() == {"cat.txt", "sub/new.txt"}
    assert sum("new.txt" in text for _, text in followed.said()) == 1


def test_it_ends_when_it_is_told_to(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    (tmp_path / "docs").mkdir()
    for i in range(300):
        (tmp_path / "docs" / f"{i}.txt").write_text(f"price {i}")
    stop = threading.Event()
    reports: list[WatchReport] = []
    watcher = Watcher(
        [tmp_path / "docs"],
        tmp_path / "index",
        encoder=tiny_encoder,
        report=reports.append,
        progress=lambda progress: stop.set() if progress.files >= 20 else None,
    )
    thread = threading.Thread(target=watcher.run, args=(stop,), daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert [report.kind for report in reports] == ["stopped"]
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:  # whole, and nobody holds it
        assert indexer.add_paths([tmp_path / "docs"]).unchanged < 300


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpanseekError, match=r"nothing: no such file or folder$"):
        Watcher([tmp_path / "nothing"], tmp_path / "index")


def test_without_watchfiles_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with (
        pytest.raises(SpanseekError, match=r"pip install 'spanseek\[watch\]'"),
        watching([tmp_path], tmp_path / "index"),
    ):
        pass


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_logs_a_line_per_change_and_ends_cleanly(
    tmp_path: Path, tiny_encoder_folder: Path, number: int
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "cat.txt").write_text("the cat sat")
    with Indexer.open(tmp_path / ".spanseek", encoder=str(tiny_encoder_folder)) as indexer:
        indexer.add_paths([docs])
    command = [sys.executable, "-c", "from cli.main import main; main()", "watch", "docs"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    json_output = number == signal.SIGTERM
    process = subprocess.Popen(
        [*command, "--json"] if json_output else command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        stream = process.stdout if json_output else process.stderr
        assert stream is not None
        ready = stream.readline()
        (docs / "dog.md").write_text("a red dog")
        indexed = stream.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    if json_output:
        assert err == ""
        assert json.loads(ready)["event"] == "ready"
        assert json.loads(ready)["unchanged"] == 1
        change = json.loads(indexed)
        assert (change["event"], change["path"], change["passages"]) == ("indexed", "docs/dog.md", 1)
        assert json.loads(out)["event"] == "stopped"
    else:
        assert out == ""
        assert ready[8:] == "  ready    indexed 0, updated 0, unchanged 1, removed 0, skipped 0 · .spanseek\n"
        assert indexed[8:].startswith("  indexed  docs/dog.md  (1 passage, ")
        assert err[8:] == "  stopped\n"
