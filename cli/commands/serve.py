"""`spanseek serve`: an index in the browser, and for programs."""

from __future__ import annotations

import threading
import webbrowser
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from cli.options import FOLDER, IndexOption, existing_index, find_index
from cli.terminal import notice, shown_path
from cli.threads import one_thread_for_products
from cli.token_option import VARIABLE, read_token
from retriever.access import check_access
from retriever.errors import SpanseekError

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
            help=f"A file with the token that whoever asks must know. Default: ${VARIABLE}, or none.",
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
    watch: Annotated[
        list[str],
        typer.Option(
            metavar="PATH", help="Follow this file or folder meanwhile, as 'spanseek watch'. May be repeated."
        ),
    ] = [],  # noqa: B006
    reader: Annotated[
        str, typer.Option(metavar="NAME", help="What reads the passages, as for 'spanseek search'.")
    ] = "default",
) -> None:
    """Serve the index: a page to ask it in the browser, and the same over HTTP for programs.

    Nothing is loaded from elsewhere. Ctrl-C ends it; requests under way are finished.

    Example: [bold]spanseek serve --open[/bold]
    """
    one_thread_for_products()
    try:
        from retriever.serving.server import serve as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRA:
            raise
        raise SpanseekError("serving needs more packages: pip install 'spanseek[serve]'") from error
    from retriever.config import RerankConfig

    token = read_token(token_file)
    check_access(host, token)
    # One that is followed is made in its place where there is none, once it is sure that it can be.
    root = (find_index(index_dir) or Path(FOLDER)) if watch else existing_index(index_dir)

    def ready(address: str) -> None:
        notice(f"serving {shown_path(root)} at {address} (Ctrl-C ends it)")
        if open_browser:
            page = address if token is None else f"{address}#token={token}"
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

    names = frozenset(name.lower() for name in allow_host)
    rerank = RerankConfig(reader=reader)
    beside = _following(watch, root) if watch else None
    run(root, host=host, port=port, token=token, names=names, rerank=rerank, ready=ready, beside=beside)


def _following(paths: list[str], root: Path) -> AbstractContextManager[object]:
    """What keeps the index up to date with files and folders while it is served."""
    from cli.commands.watch import print_report
    from cli.terminal import error_console
    from indexer.watch import watching

    out = error_console()
    return watching(paths, root, report=lambda report: print_report(out, report, root))
