"""`spanseek mcp`: what it says is wrong, and the SDK's own client by standard input and output and over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from cli.main import main
from indexer import Indexer
from retriever import SpanseekError
from retriever.access import check_access
from tests.assisted import DEADLINE, asking, call, failure, make_index, verify

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

ROOT = Path(__file__).resolve().parents[1]
HANDBOOK = ROOT / "data" / "sample" / "documents" / "handbook"
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
COMMAND = ["-c", "from cli.main import main; main()", "mcp"]
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
_Result = TypeVar("_Result")


@pytest.fixture
def root(tmp_path: Path, tiny_encoder: TextEncoder, sentences: dict[str, str]) -> Path:
    return make_index(tmp_path, tiny_encoder, sentences)


def spanseek(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["spanseek", "mcp", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--index", "nothing"],
            "spanseek: there is no index at nothing: make one with 'spanseek index PATH'\n",
        ),
        (
            ["--http", "here"],
            "spanseek: --http takes HOST:PORT, such as 127.0.0.1:8766, not 'here'\n",
        ),
        (
            ["--http", "0.0.0.0:0"],
            "spanseek: 0.0.0.0 can be reached from other machines: give a token, in a file with --token-file or as "
            "SPANSEEK_TOKEN\n",
        ),
        (
            ["--http", "127.0.0.1:0", "--token-file", "nothing"],
            "spanseek: the token can't be read from nothing: No such file or directory\n",
        ),
    ],
)
def test_the_command_says_what_is_wrong(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("SPANSEEK_INDEX", "index")
    monkeypatch.delenv("SPANSEEK_TOKEN", raising=False)
    assert spanseek(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", expected)


def test_without_the_sdk_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "retriever.assistant.server")
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    assert spanseek(monkeypatch) == 2
    assert capsys.readouterr().err == "spanseek: MCP needs more packages: pip install 'spanseek[mcp]'\n"


@pytest.mark.parametrize("token", ["short", "a token with some blanks", "a-tökén-beyond-ascii"])
def test_a_token_must_be_one(token: str) -> None:
    with pytest.raises(SpanseekError, match="the token"):
        check_access("127.0.0.1", token)
    check_access("0.0.0.0", TOKEN)  # noqa: S104 - nothing listens
    check_access("::1", None)


@contextmanager
def served(
    root: Path, *arguments: str, token: str | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command, serving over HTTP on a port that is free; and its URL."""
    environment = {**os.environ, **ENVIRONMENT}
    environment.pop("SPANSEEK_TOKEN", None)
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--index", str(root), "--http", "127.0.0.1:0", *arguments],
        env=environment if token is None else {**environment, "SPANSEEK_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert " to assistants at http://127.0.0.1:" in line, line + process.stderr.read()
        yield line.split(" at ")[1].split()[0], process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def over_http(url: str, work: Callable[[Client], Awaitable[_Result]], **headers: str) -> _Result:
    async def run() -> _Result:
        with anyio.fail_after(DEADLINE):
            async with (
                httpx2.AsyncClient(headers=headers, timeout=DEADLINE) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                return await work(client)

    return anyio.run(run)


def post(url: str, body: dict[str, object] | None = None, **headers: str) -> httpx2.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"} if body is None else body
    headers = {"Accept": "application/json, text/event-stream", **headers}
    return httpx2.post(url, json=message, headers=headers, timeout=DEADLINE)


@pytest.mark.integration
def test_over_http_on_this_machine(root: Path, tiny_reader_folder: Path) -> None:
    async def work(client: Client) -> None:
        assert len((await client.list_tools()).tools) == 4
        asked = await call(client, "ask", question="who approves a release?", min_confidence=0)
        for answer in asked["answers"]:
            await verify(client, answer, answer["document"])
        assert (await call(client, "status"))["documents"] == 7
        assert await failure(client, "get_document", document="none") != ""

    with served(root, "--reader", str(tiny_reader_folder)) as (url, process):
        over_http(url, work)
        assert post(url, Host="evil.example:80").status_code == 421
        assert post(url, Origin="http://evil.example").status_code == 403
        assert post(url, {"question": "x" * 10**6}).status_code == 413
        assert httpx2.get(url.removesuffix("/mcp"), timeout=DEADLINE).status_code == 404
        over_http(url, work)  # and none of that did it any harm
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.integration
def test_over_http_with_a_token(root: Path) -> None:
    with served(root, token=TOKEN) as (url, process):
        assert post(url).status_code == 401
        assert post(url, Authorization="Bearer wrong").status_code == 401
        assert post(url, Authorization=f"Bearer {TOKEN}", Host="evil.example").status_code == 421
        tools = over_http(url, lambda client: client.list_tools(), Authorization=f"Bearer {TOKEN}").tools
        assert len(tools) == 4
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert (out, TOKEN in err, "Traceback" in err) == ("", False, False)


@pytest.mark.integration
def test_over_standard_input_and_output_with_the_models_that_come_along(tmp_path: Path) -> None:
    shutil.copytree(HANDBOOK, tmp_path / "handbook")
    with Indexer.open(tmp_path / ".spanseek") as indexer:
        indexer.add_paths([tmp_path / "handbook"])

    async def work(client: Client) -> None:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert tools == ["ask", "search", "get_document", "status"]
        asked = await call(client, "ask", question="who prepares your laptop?")
        answer = asked["answers"][0]
        assert answer["text"] == "Desmond Farr"
        assert answer["document"] == "handbook/onboarding-first-month.md"
        assert answer["line"] == 7
        assert 0.5 < answer["confidence"] <= 1
        await verify(client, answer, answer["document"])
        await verify(client, answer["passage"], answer["document"])
        nothing = await call(client, "ask", question="what is the boiling point of mercury?")
        assert nothing["answers"] == []
        assert nothing["passages"]
        assert await failure(client, "nothing") != ""

    parameters = StdioServerParameters(command=sys.executable, args=COMMAND, env=ENVIRONMENT, cwd=tmp_path)
    asking(parameters, work)


@pytest.mark.integration
@pytest.mark.parametrize("end", ["eof", "term", "int"])
def test_it_ends_cleanly_and_prints_nothing_but_the_protocol(root: Path, end: str) -> None:
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--index", str(root)],
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    client = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in (
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        ):
            process.stdin.write(json.dumps(message) + "\n")
        process.stdin.write("this is no JSON\n")
        process.stdin.flush()
        replies = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert replies[0]["result"]["serverInfo"]["name"] == "spanseek"
        assert len(replies[1]["result"]["tools"]) == 4
        if end == "eof":
            process.stdin.close()
            process.stdin = None
        else:
            process.send_signal(signal.SIGTERM if end == "term" else signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in out.splitlines())
    assert "Traceback" not in err
