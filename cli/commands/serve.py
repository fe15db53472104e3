"""`spanseek serve`: an index in the browser, and for programs."""

from __future__ import annotations

import os
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from cli.options import IndexOption, existing_index
from cli.terminal import notice, shown_path
from retriever.errors import SpanseekError

TOKEN = "SPANSEEK_TOKEN"  # noqa: S105 - the name of a variable
_EXTRA = ("fastapi", "uvicorn", "prometheus_client", "pydantic", "starlette", "PIL")


def serve(
    index_dir: IndexOption = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen. Others than this machine need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: any that is free.")] = 8765,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"A file with the token that whoever asks must know. Default: ${TOKEN}, or none.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="A name that the server is called by, such as its own in the network. May be repeated.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    reader: Annotated[
        str, typer.Option(metavar="NAME", help="What reads the passages, as for 'spanseek search'.")
    ] = "default",
) -> None:
    """Serve the index: a page to ask it in the browser, and the same over HTTP for programs.

    Nothing is loaded from elsewhere. Ctrl-C ends it; requests under way are finished.

    Example: [bold]spanseek serve --open[/bold]
    """
    try:
        from retriever.serving.security import token_problem
        from retriever.serving.server import serve as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRA:
            raise
        raise SpanseekError("serving needs more packages: pip install 'spanseek[serve]'") from error
    from retriever.config import RerankConfig

    token = _token(token_file)
    if token is not None and (problem := token_problem(token)):
        raise SpanseekError(problem)
    root = existing_index(index_dir)

    def ready(address: str) -> None:
        notice(f"serving {shown_path(root)} at {address} (Ctrl-C ends it)")
        if open_browser:
            page = address if token is None else f"{address}#token={token}"
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

    names = frozenset(name.lower() for name in allow_host)
    run(root, host=host, port=port, token=token, names=names, rerank=RerankConfig(reader=reader), ready=ready)


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SpanseekError(
            f"the token can't be read from {file}: {getattr(error, 'strerror', None) or error}"
        ) from error
