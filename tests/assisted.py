"""An index for assistants, and what the tests of them ask by the SDK's own client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from indexer import Indexer, InputDocument
from retriever.assistant.server import Assistant

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

DEADLINE = 240
_Result = TypeVar("_Result")


def make_index(folder: Path, encoder: TextEncoder, sentences: dict[str, str]) -> Path:
    """An index of the five sentences, a file, and a document that is one long section."""
    (folder / "notes.md").write_text(
        "# Release\n\nA release is approved by the team manager.\n\nIn Paris. 🧗🏽\n"
    )
    documents = [
        InputDocument(name, text, title=name, metadata={"year": 2026}) for name, text in sentences.items()
    ]
    long = " ".join(f"The price of sensor {i} fell on monday in winter." for i in range(400))
    with Indexer.open(folder / "index", encoder=encoder) as indexer:
        indexer.add_documents([*documents, InputDocument("long", long)])
        indexer.add_paths([folder / "notes.md"])
    return folder / "index"


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
