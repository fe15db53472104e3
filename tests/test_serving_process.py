"""The server as a process: what its start says, how it ends, and what is left when it is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi", reason="what [serve] needs isn't installed")

from cli.main import main
from indexer import Indexer
from indexer.watch import watching
from retriever import Retriever
from retriever.serving.server import _SWITCH_INTERVAL, _prompt_threads, _socket

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

ROOT = Path(__file__).resolve().parents[1]
SPANSEEK = "from cli.main import main; main()"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path) -> Path:
    from retriever.encoder import TextEncoder

    folder = tmp_path_factory.mktemp("process")
    (folder / "docs").mkdir()
    (folder / "docs" / "release.md").write_text("# Release\n\nA release is approved by the team manager.\n")
    encoder = TextEncoder.load(str(tiny_encoder_folder))
    with Indexer.open(folder / ".spanseek", encoder=encoder) as indexer:
        indexer.add_paths([folder / "docs"])
    return folder / ".spanseek"


@contextmanager
def serving(
    root: Path, reader: Path, *options: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`spanseek serve` on a free port, and its address."""
    command = [
        sys.executable,
        "-c",
        SPANSEEK,
        "serve",
        "--index",
        str(root),
        "--port",
        "0",
        "--reader",
        str(reader),
        *options,
    ]
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}
    )
    try:
        assert started.stderr is not None
        for line in started.stderr:
            found = re.search(r"at (http://\S+) ", line)
            if found:
                break
        else:
            raise AssertionError("it ended before it served")
        yield started, found[1]
    finally:
        if started.poll() is None:
            started.kill()
        started.wait(20)
        if started.stderr is not None:
            started.stderr.close()


def get(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as got:  # noqa: S310
            return got.status, got.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.integration
def test_it_serves_and_ends_when_what_runs_is_done(root: Path, tiny_reader_folder: Path) -> None:
    with serving(root, tiny_reader_folder) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        status, body = get(f"{address}api/ask?q=who+approves+a+release&min_confidence=0")
        assert status == 200
        assert json.loads(body)["passages"][0]["text"].endswith("the team manager.")
        replies: list[int] = []
        asking = [
            threading.Thread(target=lambda n=n: replies.append(get(f"{address}api/ask?q=question+{n}")[0]))
            for n in range(8)
        ]
        for thread in asking:
            thread.start()
        while b'spanseek_questions_waiting{lane="ask"} 0.0' in get(f"{address}metrics")[1] and not replies:
            pass
        process.send_signal(signal.SIGTERM)
        for thread in asking:
            thread.join(60)
        assert process.wait(60) == 0
    finished = [status for status in replies if status == 200]
    assert finished, "what was under way is answered"


def test_replies_go_out_at_once() -> None:
    """Else each waits for the client to acknowledge its first packet, which takes clients 40 ms."""

    async def delays() -> bool:
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            told.set_result(not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = _socket("127.0.0.1", 0)
        async with await asyncio.start_server(reply, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            delayed = await told
            writer.close()
        return delayed

    assert not asyncio.run(delays())


@pytest.mark.integration
def test_a_server_that_is_killed_loses_nothing(
    root: Path, tiny_reader_folder: Path, tiny_encoder: TextEncoder
) -> None:
    before = {
        path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "-" not in path.suffix
    }
    with serving(root, tiny_reader_folder) as (process, address):
        asking = [threading.Thread(target=lambda: _until_gone(address)) for _ in range(4)]
        for thread in asking:
            thread.start()
        process.kill()
        process.wait(20)
        for thread in asking:
            thread.join(60)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "-" not in path.suffix}
    assert after == before
    with Retriever.open(root, encoder=tiny_encoder) as retriever:
        assert retriever.status().documents == 1


def _until_gone(address: str) -> None:
    try:
        while True:
            get(f"{address}api/search?q=release")
    except OSError:
        return


@pytest.mark.integration
def test_threads_go_on_soon_while_it_runs() -> None:
    before = sys.getswitchinterval()
    with _prompt_threads():
        assert sys.getswitchinterval() == pytest.approx(_SWITCH_INTERVAL)
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_what_runs_beside_it_begins_before_and_ends_after_it(
    root: Path, tiny_reader_folder: Path, how: str
) -> None:
    code = f"""
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from retriever import RerankConfig
from retriever.serving.server import serve

@contextmanager
def beside():
    print("begun")
    yield
    print("ended")

def ready(address):
    print("ready")
    os.kill(os.getpid(), signal.{how})

serve(Path(sys.argv[1]), port=0, rerank=RerankConfig(reader=sys.argv[2]), ready=ready, beside=beside())
print("over")
"""
    command = [sys.executable, "-c", code, str(root), str(tiny_reader_folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split() == ["begun", "ready", "ended", "over"]


@pytest.mark.integration
def test_with_a_token_it_lets_in_who_knows_it(root: Path, tiny_reader_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-secret-of-some-length\n")
    with serving(root, tiny_reader_folder, "--token-file", str(file)) as (_, address):
        assert get(f"{address}api/status")[0] == 401
        assert get(f"{address}api/status", Authorization="Bearer a-secret-of-some-length")[0] == 200


@pytest.mark.parametrize(
    ("options", "variable", "reason"),
    [
        (["--host", "0.0.0.0"], "", "0.0.0.0 can be reached from other machines: give a token"),  # noqa: S104
        (["--host", "0.0.0.0"], "short", "the token is too short to be a secret"),  # noqa: S104
        (["--token-file", "nowhere"], "", "the token can't be read from nowhere"),
        (["--host", "203.0.113.1"], "a-secret-of-some-length", "203.0.113.1, port 8765 can't be used"),
        (["--index", "nowhere"], "", "there is no index at nowhere"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    root: Path,
    options: list[str],
    variable: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPANSEEK_INDEX", str(root))
    monkeypatch.setenv("SPANSEEK_TOKEN", variable)
    monkeypatch.setattr(sys, "argv", ["spanseek", "serve", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"spanseek: {reason}")


@pytest.mark.integration
@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "prometheus_client"])
def test_without_what_it_needs_it_says_what_to_install(root: Path, missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; {SPANSEEK}"
    command = [sys.executable, "-c", code, "serve", "--index", str(root), "--port", "0"]
    ended = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert (ended.returncode, ended.stderr) == (
        2,
        "spanseek: serving needs more packages: pip install 'spanseek[serve]'\n",
    )


@pytest.mark.integration
def test_help_loads_no_server() -> None:
    code = (
        "import sys\nsys.argv = ['spanseek', 'serve', '--help']\nfrom cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'fastapi', 'uvicorn', 'torch', 'faiss', 'prometheus_client'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.mark.integration
def test_it_follows_a_folder_while_it_serves(
    root: Path, tiny_reader_folder: Path, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("watchfiles", reason="what [watch] needs isn't installed")
    from retriever.encoder import TextEncoder

    docs = tmp_path / "docs"
    docs.mkdir()
    index = tmp_path / ".spanseek"
    with Indexer.open(index, encoder=TextEncoder.load(str(tiny_encoder_folder))):
        pass  # empty until it is followed
    with serving(index, tiny_reader_folder, "--watch", str(docs)) as (process, address):
        threading.Thread(target=process.stderr.read, daemon=True).start()  # type: ignore[union-attr]
        (docs / "snow.txt").write_text("In winter snow covers the mountain.")
        deadline = time.monotonic() + 60
        while True:
            found = json.loads(get(f"{address}api/search?q=snow")[1])["passages"]
            if found or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert [passage["document"] for passage in found] == ["docs/snow.txt"]
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    with Retriever.open(index) as retriever:
        assert retriever.document_ids() == ["docs/snow.txt"]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("path", "{folder}/nowhere: no such file or folder"),
        ("port", "127.0.0.1, port {port} can't be used (Address already in use): choose another with --port"),
        ("extra", "watching needs watchfiles: pip install 'spanseek[watch]'"),
    ],
)
def test_what_cannot_be_followed_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: str,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPANSEEK_INDEX", raising=False)
    monkeypatch.delenv("SPANSEEK_TOKEN", raising=False)
    (tmp_path / "docs").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] if trouble == "port" else 0
        if trouble == "extra":
            monkeypatch.setitem(sys.modules, "watchfiles", None)
        watched = "nowhere" if trouble == "path" else "docs"
        monkeypatch.setattr(sys, "argv", ["spanseek", "serve", "--port", str(port), "--watch", watched])
        with pytest.raises(SystemExit) as ended:
            main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err == f"spanseek: {reason.format(port=port, folder=tmp_path)}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]


@pytest.mark.integration
def test_where_there_is_no_index_one_is_made_for_what_is_followed(
    tmp_path: Path, tiny_encoder_folder: Path
) -> None:
    pytest.importorskip("watchfiles", reason="what [watch] needs isn't installed")
    (tmp_path / "docs").mkdir()
    index = tmp_path / "index"
    with (
        watching([tmp_path / "docs"], index, encoder=str(tiny_encoder_folder)),
        Retriever.open(index) as opened,
    ):
        assert opened.status().documents == 0
