"""`spanseek mcp`: an index for AI assistants."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.options import IndexOption, existing_index
from cli.terminal import notice, shown_path
from cli.threads import one_thread_for_products
from cli.token_option import VARIABLE, read_token
from retriever.errors import SpanseekError

_EXTRA = ("mcp", "mcp_types", "anyio", "pydantic", "starlette", "uvicorn")


def mcp(
    index_dir: IndexOption = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve over HTTP instead, at http://HOST:PORT/mcp. Others than this machine need a token.",
            show_default=False,
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"With --http: a file with the token that whoever asks must know. Default: ${VARIABLE}, or none.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str],
        typer.Option(
            metavar="NAME", help="With --http: a name that the server is called by. May be repeated."
        ),
    ] = [],  # noqa: B006 - typer copies it
    reader: Annotated[
        str, typer.Option(metavar="NAME", help="What reads the passages, as for 'spanseek search'.")
    ] = "default",
) -> None:
    """Let an AI assistant ask the index, by the Model Context Protocol (MCP).

    The assistant starts this itself and speaks to it over standard input and output; see the README for how to tell it
    to. It can search, ask, and read documents of the index, and nothing else.

    Example: [bold]spanseek mcp --index ~/notes/.spanseek[/bold]
    """
    one_thread_for_products()
    try:
        from retriever.assistant.server import make_server
        from retriever.assistant.transports import run_http, run_stdio
        from retriever.followed import FollowedIndex
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRA:
            raise
        raise SpanseekError("MCP needs more packages: pip install 'spanseek[mcp]'") from error
    from retriever.config import RerankConfig

    root = existing_index(index_dir)
    index = FollowedIndex(root, RerankConfig(reader=reader))
    try:
        if http is None:
            run_stdio(make_server(index))
            return
        host, port = _address(http)
        run_http(
            partial(make_server, index),
            host,
            port,
            token=read_token(token_file),
            names=allow_host,
            ready=lambda url: notice(f"serving {shown_path(root)} to assistants at {url} (Ctrl-C ends it)"),
        )
    finally:
        index.close()


def _address(given: str) -> tuple[str, int]:
    host, _, port = given.rpartition(":")
    if not port.isdecimal() or not port.isascii() or int(port) > 65535:
        raise SpanseekError(f"--http takes HOST:PORT, such as 127.0.0.1:8766, not {given!r}")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)
