"""A watch that goes on: disks that are gone, batches that fail, a system that tells nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexer import Indexer, Selection
from indexer.watch.places import Places
from indexer.watch.signals import Signals
from retriever.errors import IndexAccessError

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder
from tests.followed import DEADLINE, Follow


def test_a_folder_that_vanishes_takes_nothing_with_it(follow: Follow, tmp_path: Path) -> None:
    followed = follow()
    (followed.folder / "sub").mkdir()
    (followed.folder / "sub" / "dog.txt").write_text("a red dog")
    followed.wait_for("indexed", "dog.txt")
    followed.folder.rename(tmp_path / "unmounted")
    followed.wait_for("notice", "is gone, or on another disk: nothing of it is removed")
    assert followed.names() == {"cat.txt", "sub/dog.txt"}
    (tmp_path / "unmounted" / "cat.txt").unlink()
    (tmp_path / "unmounted").rename(followed.folder)
    followed.wait_for("notice", "is there again")
    followed.wait_for("removed", "cat.txt")
    (followed.folder / "sub" / "dog.txt").write_text("a blue dog")
    followed.wait_for("updated", "dog.txt")
    assert followed.names() == {"sub/dog.txt"}


def test_a_folder_that_is_empty_from_the_beginning_takes_nothing_with_it(
    follow: Follow, tmp_path: Path, tiny_encoder: TextEncoder
) -> None:
    folder, index = tmp_path / "docs", tmp_path / "index"
    with Indexer.open(index, encoder=tiny_encoder) as indexer:
        indexer.add_paths([folder])
    (folder / "cat.txt").rename(tmp_path / "cat.txt")
    followed = follow()
    assert followed.names() == {"cat.txt"}
    followed.wait_for("notice", "what the index has of it is kept")
    run = next(report.run for report in followed.reports if report.kind == "ready")
    assert run is not None
    assert (run.removed, run.vanished) == (0, 1)


def test_a_disk_that_was_another_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk" / "sub").mkdir(parents=True)
    (tmp_path / "disk" / "a.txt").write_text("a")
    places = Places([tmp_path], Selection(), tmp_path / "index")
    places.scan()
    gone = tmp_path / "disk" / "sub" / "b.txt"
    assert places.may_be_removed(gone)
    monkeypatch.setattr(
        "indexer.watch.places._device", lambda path: 7 if path.is_relative_to(tmp_path / "disk") else 8
    )
    devices = places._devices
    devices.update(dict.fromkeys(devices, 8))
    assert not places.may_be_removed(gone)
    assert places.may_be_removed(tmp_path / "c.txt")
    assert not places.may_be_removed(tmp_path)
    assert not places.may_be_removed(tmp_path.parent / "elsewhere.txt")


def test_another_writer_is_waited_for(follow: Follow, tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    followed = follow()
    with Indexer.open(followed.index, encoder=tiny_encoder):  # nobody holds the lock between batches
        (followed.folder / "new.txt").write_text("snow")
        followed.wait_for("notice", "is writing to this index: waiting until it is done")
        (followed.folder / "newer.txt").write_text("wind")
        end = time.monotonic() + 5  # longer than a second try takes to come
        followed.wait(lambda: time.monotonic() > end)
    followed.wait_for("indexed", "newer.txt")
    assert followed.names() == {"cat.txt", "new.txt", "newer.txt"}
    assert sum("waiting" in text for _, text in followed.said()) == 1


def test_a_batch_that_fails_is_told_once_and_tried_again(
    follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = follow()
    opened = Indexer.open
    tries = []

    def full(*arguments: object, **options: object) -> Indexer:
        tries.append(1)
        if len(tries) < 3:
            raise IndexAccessError("the disk is full:\nmake room")
        return opened(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("indexer.watch.batch.Indexer.open", full)
    (followed.folder / "new.txt").write_text("snow")
    followed.wait_for("indexed", "new.txt")
    assert [text for kind, text in followed.said() if kind == "failed"] == ["the disk is full: make room"]


def test_a_bug_in_a_batch_is_a_line_and_not_the_end(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = follow()
    with monkeypatch.context() as patch:
        patch.setattr("indexer.watch.batch.Indexer.open", lambda *_, **__: 1 / 0)
        (followed.folder / "new.txt").write_text("snow")
        followed.wait_for("failed", "ZeroDivisionError: division by zero")
    followed.wait_for("indexed", "new.txt")


def test_an_index_that_is_deleted_is_made_again(follow: Follow) -> None:
    followed = follow()
    shutil.rmtree(followed.index)
    (followed.folder / "new.txt").write_text("snow")
    followed.wait_for("ready", times=2)
    assert followed.names() == {"cat.txt", "new.txt"}


def test_names_that_are_no_text_stop_nothing(follow: Follow) -> None:
    followed = follow()
    Path(os.fsdecode(os.fsencode(followed.folder) + b"/\xff.txt")).write_text("x")
    (followed.folder / "a\nb [x].txt").write_text("the team")
    followed.wait_for("indexed", "a\nb [x].txt")
    (followed.folder / "after.txt").write_text("the manager")
    followed.wait_for("indexed", "after.txt")
    (followed.folder / "a\nb [x].txt").unlink()
    followed.wait_for("removed", "a\nb [x].txt")
    assert followed.names() == {"cat.txt", "after.txt"}


def test_a_folder_that_goes_while_it_is_looked_at_is_no_limit(tmp_path: Path) -> None:
    signals = Signals(threading.Event())
    signals.listen([tmp_path, tmp_path / "nothing"])
    assert signals.folders == {tmp_path}
    (tmp_path / "new.txt").touch()
    end = time.monotonic() + DEADLINE
    while tmp_path / "new.txt" not in signals.wait():
        assert time.monotonic() < end
    signals.close()
    assert not signals.hears_of(tmp_path)


@pytest.mark.skipif(
    sys.platform != "linux" or not Path("/proc/sys/user/max_inotify_watches").exists(),
    reason="needs Linux's limit of watches",
)
def test_the_limit_of_the_system_is_noticed(tmp_path: Path) -> None:
    folders = [tmp_path / str(i) for i in range(20)]
    for folder in folders:
        folder.mkdir()
    code = (
        "import sys, threading\nfrom pathlib import Path\nfrom indexer.watch.signals import *\n"
        "try:\n    Signals(threading.Event()).listen(map(Path, sys.argv[1:]))\n"
        "except LostSignalsError as error:\n    print(error)"
    )
    # a name space of its own has a limit of its own
    limited = 'echo 5 > /proc/sys/user/max_inotify_watches && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", limited, "sh"]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [*command, sys.executable, "-c", code, *map(str, folders)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no name space of its own: {done.stderr}")
    assert done.stdout == "OS file watch limit reached.\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_skipped(follow: Follow) -> None:
    followed = follow()
    (followed.folder / "cat.txt").chmod(0)
    (followed.folder / "cat.txt").touch()
    followed.wait_for("skipped", "no permission to read it")
    assert followed.names() == {"cat.txt"}


def test_a_file_that_becomes_unreadable_keeps_what_was_read(follow: Follow) -> None:
    followed = follow()
    (followed.folder / "cat.txt").write_text("")
    followed.wait_for("skipped", "empty file")
    assert followed.names() == {"cat.txt"}
    (followed.folder / "cat.txt").write_text("the cat sat again")
    followed.wait_for("updated", "cat.txt")


def test_a_system_that_tells_nothing_is_done_without(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(*_: object, **__: object) -> Iterator[object]:
        raise OSError("OS file watch limit reached.")
        yield

    monkeypatch.setattr("watchfiles.watch", limited)
    monkeypatch.setattr("indexer.watch.watcher._LOOK_DEAF", 0.5)
    followed = follow()
    followed.wait_for("notice", "raise fs.inotify.max_user_watches")
    (followed.folder / "sub").mkdir()
    (followed.folder / "sub" / "new.txt").write_text("snow")
    followed.wait_for("indexed", "sub/new.txt")
    (followed.folder / "sub" / "new.txt").unlink()
    followed.wait_for("removed", "sub/new.txt")
    assert sum("looking every few seconds" in text for _, text in followed.said()) == 1
