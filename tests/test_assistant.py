"""The MCP server's tools, asked in this process by the SDK's own client."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import Client

from indexer import Indexer, InputDocument
from retriever import RerankConfig
from retriever.assistant.results import LONGEST_PASSAGE
from retriever.assistant.server import LONGEST_QUESTION, LONGEST_STRETCH, make_server
from retriever.followed import FollowedIndex
from tests.assisted import asking, call, failure, make_index, text_of, verify

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder


@pytest.fixture
def root(tmp_path: Path, tiny_encoder: TextEncoder, sentences: dict[str, str]) -> Path:
    return make_index(tmp_path, tiny_encoder, sentences)


@pytest.fixture
def index(root: Path, tiny_reader_folder: Path) -> Iterator[FollowedIndex]:
    followed = FollowedIndex(root, RerankConfig(reader=str(tiny_reader_folder)))
    yield followed
    followed.close()


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
