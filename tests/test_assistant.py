"""The MCP server, asked by the SDK's own client: in this process, by standard input and output, and over HTTP."""

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
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from cli.main import main
from indexer import Indexer, InputDocument
from retriever import RerankConfig, SpanseekError
from retriever.access import check_access
from retriever.assistant.results import LONGEST_PASSAGE
from retriever.assistant.server import LONGEST_QUESTION, LONGEST_STRETCH, Assistant, make_server
from retriever.followed import FollowedIndex

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

ROOT = Path(__file__).resolve().parents[1]
HANDBOOK = ROOT / "data" / "sample" / "documents" / "handbook"
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
COMMAND = ["-c", "from cli.main import main; main()", "mcp"]
DEADLINE = 240
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
_Result = TypeVar("_Result")


@pytest.fixture
def root(tmp_path: Path, tiny_encoder: TextEncoder, sentences: dict[str, str]) -> Path:
    """An index of the five sentences, a file, and a document that is one long section."""
    (tmp_path / "notes.md").write_text(
        "# Release\n\nA release is approved by the team manager.\n\nIn Paris. 🧗🏽\n"
    )
    documents = [
        InputDocument(name, text, title=name, metadata={"year": 2026}) for name, text in sentences.items()
    ]
    long = " ".join(f"The price of sensor {i} fell on monday in winter." for i in range(400))
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents([*documents, InputDocument("long", long)])
        indexer.add_paths([tmp_path / "notes.md"])
    return tmp_path / "index"


@pytest.fixture
def index(root: Path, tiny_reader_folder: Path) -> Iterator[FollowedIndex]:
    followed = FollowedIndex(root, RerankConfig(reader=str(tiny_reader_folder)))
    yield followed
    followed.close()


def asking(
    server: Assistant | StdioServerParameters, work: Callable[[Client], Awaitable[_Result]]
) -> _Result:
    """What some work with a client brings."""

    async def run() -> _Result:
        with anyio.fail_after(DEADLINE):
            async with Client(server, mode="legacy") as client:
                return await work(client)

    return anyio.run(run)


def text_of(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def call(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    """A tool's structured result, which must not be an error."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    assert text_of(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def failure(client: Client, tool: str, **arguments: object) -> str:
    """What a tool says is wrong: one line."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert result.structured_content is None
    line = text_of(result)
    assert "\n" not in line
    assert "Traceback" not in line
    return line


async def verify(client: Client, found: dict[str, Any], document: str) -> None:
    """That a quotation stands in the document where it says."""
    length = found["end"] - found["start"]
    read = await call(client, "get_document", document=document, offset=found["start"], length=length)
    assert read["text"] == found["text"]


def test_the_tools_are_described(index: FollowedIndex) -> None:
    async def work(client: Client) -> None:
        assert client.instructions is not None
        assert "verbatim" in client.instructions
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["ask", "search", "get_document", "status"]
        for tool in tools.values():
            assert tool.output_schema is not None
            assert tool.output_schema["type"] == "object"
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint
            for described in tool.input_schema.get("properties", {}).values():
                assert described["description"]
        description = tools["ask"].description
        assert description is not None
        assert "Quote the answer verbatim and cite document and page or line" in description
        assert "valid result" in description
        assert tools["ask"].input_schema["required"] == ["question"]

    asking(make_server(index), work)


def test_answers_and_passages_can_be_verified(index: FollowedIndex) -> None:
    async def work(client: Client) -> None:
        asked = await call(client, "ask", question="who approves a release?", min_confidence=0, max_answers=5)
        assert 1 <= len(asked["answers"]) <= 5
        assert asked["passages"] == []
        for answer in asked["answers"]:
            await verify(client, answer, answer["document"])
            await verify(client, answer["passage"], answer["document"])
            assert answer["passage"]["start"] <= answer["start"] < answer["end"] <= answer["passage"]["end"]
        found = await call(client, "search", question="price of the sensor", k=20)
        assert {"long", "price"} <= {passage["document"] for passage in found["passages"]}
        for passage in found["passages"]:
            await verify(client, passage, passage["document"])
            assert len(passage["text"]) <= LONGEST_PASSAGE + 8
        assert max(len(passage["text"]) for passage in found["passages"]) >= LONGEST_PASSAGE
        only = await call(client, "search", question="price", where=["path=*.md"])
        assert [passage["document"] for passage in only["passages"]] == ["notes.md"]
        assert (only["passages"][0]["line"], only["passages"][0]["source"]) == (1, "same")

    asking(make_server(index), work)


def test_no_answer_is_a_result(index: FollowedIndex) -> None:
    async def work(client: Client) -> None:
        result = await client.call_tool("ask", {"question": "who?", "min_confidence": 1})
        asked = result.structured_content
        assert asked is not None
        assert not result.is_error
        assert asked["answers"] == []
        assert len(asked["passages"]) == 3
        assert text_of(result).startswith("No answer: nothing in these documents is likely enough")
        nothing = await client.call_tool("search", {"question": "cat", "where": ["year<1900"]})
        assert text_of(nothing) == "Nothing found."

    asking(make_server(index), work)


def test_a_document_is_read_in_parts(index: FollowedIndex) -> None:
    async def work(client: Client) -> None:
        whole, offset = "", 0
        while True:
            part = await call(client, "get_document", document="long", offset=offset, length=5_000)
            whole += part["text"]
            if part["next_offset"] is None:
                break
            assert part["end"] == part["next_offset"] == offset + 5_000
            offset = part["next_offset"]
        assert len(whole) == part["total_length"] == part["end"]
        past = await call(client, "get_document", document="long", offset=10**9)
        assert (past["text"], past["next_offset"], past["start"]) == ("", None, part["total_length"])
        cat = await call(client, "get_document", document="cat")
        assert (cat["text"], cat["title"], cat["metadata"]) == (
            "The cat sat on the red mat.",
            "cat",
            {"year": 2026},
        )

    asking(make_server(index), work)


def test_the_status_is_told(index: FollowedIndex) -> None:
    async def work(client: Client) -> None:
        result = await client.call_tool("status", {})
        assert result.structured_content is not None
        assert (result.structured_content["documents"], result.structured_content["files"]) == (7, 1)
        assert text_of(result).startswith("7 documents (6 text, 1 markdown) in ")

    asking(make_server(index), work)


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("ask", {}, "question: field required"),
        ("ask", {"question": ""}, "question: string should have at least 1 character"),
        ("ask", {"question": "  "}, "the question is empty: ask something"),
        ("ask", {"question": 7}, "question: input should be a valid string"),
        (
            "ask",
            {"question": "x" * 100_000},
            f"question: string should have at most {LONGEST_QUESTION} characters",
        ),
        ("ask", {"question": "x", "max_answers": 99}, "max_answers: input should be less than or equal to 5"),
        (
            "ask",
            {"question": "x", "k": 3},
            "ask has no argument 'k': question, where, max_answers, min_confidence",
        ),
        (
            "search",
            {"question": "x", "where": ["nonsense"]},
            "filter 'nonsense' isn't understood: write KEY=VALUE, or one of != < <= > >= instead of =",
        ),
        (
            "search",
            {"question": "x", "where": ["a=b"] * 1000},
            "where: list should have at most 16 items after validation, not 1000",
        ),
        (
            "get_document",
            {"document": "../../etc/passwd"},
            "there is no document '../../etc/passwd' in the index: take the id from a result",
        ),
        (
            "get_document",
            {"document": "cat", "offset": -1},
            "offset: input should be greater than or equal to 0",
        ),
        (
            "get_document",
            {"document": "cat", "length": 10**7},
            f"length: input should be less than or equal to {LONGEST_STRETCH}",
        ),
        ("status", {"x": 1}, "status has no argument 'x': it has none"),
        ("rm", {"path": "/"}, "there is no tool 'rm': ask, search, get_document, status"),
    ],
)
def test_what_is_wrong_is_one_line(
    index: FollowedIndex, tool: str, arguments: dict[str, object], expected: str
) -> None:
    assert asking(make_server(index), lambda client: failure(client, tool, **arguments)) == expected


def test_a_bug_shows_nothing_of_itself(index: FollowedIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retriever.assistant.results.state", lambda _: {}["a secret"])
    assert (
        asking(make_server(index), lambda client: failure(client, "status")) == "Error executing tool status"
    )


def test_too_many_are_told_to_come_again(index: FollowedIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retriever.assistant.server._MOST_WAITING", 0)
    line = asking(make_server(index), lambda client: failure(client, "ask", question="who?"))
    assert line == "0 questions are waiting already: ask again in a moment"


def test_many_may_ask_at_once(index: FollowedIndex) -> None:
    async def work(client: Client) -> None:
        results: dict[int, dict[str, Any]] = {}

        async def one(number: int) -> None:
            if number % 3 == 0:
                results[number] = await call(client, "ask", question=f"price {number}", min_confidence=0)
            elif number % 3 == 1:
                results[number] = await call(client, "search", question=f"price {number}")
            else:
                results[number] = await call(client, "get_document", document="long", offset=number, length=9)

        async with anyio.create_task_group() as group:
            for number in range(24):
                group.start_soon(one, number)
        for number, result in results.items():
            if number % 3 == 2:
                assert result["start"] == number
            else:
                assert result["question"] == f"price {number}"
                assert result.get("answers") or result["passages"]
        assert len(results) == 24

    asking(make_server(index), work)


def test_the_index_is_followed(index: FollowedIndex, root: Path, tiny_encoder: TextEncoder) -> None:
    async def work(client: Client) -> None:
        await call(client, "ask", question="the cat")
        with Indexer.open(root, encoder=tiny_encoder) as indexer:
            indexer.add_documents([InputDocument("new", "Berlin cafe open.")])
        assert (await call(client, "get_document", document="new"))["text"] == "Berlin cafe open."
        found = await call(client, "search", question="berlin cafe open", k=1)
        assert found["passages"][0]["document"] == "new"
        shutil.rmtree(root)
        assert await failure(client, "status") == f"the index at {root} is gone"
        with Indexer.open(root, encoder=tiny_encoder) as indexer:
            indexer.add_documents([InputDocument("other", "Snow on the mountain.")])
        assert (await call(client, "status"))["documents"] == 1
        found = await call(client, "search", question="snow")
        assert [passage["document"] for passage in found["passages"]] == ["other"]

    asking(make_server(index), work)


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
