"""The `spanseek` command: its commands, and what becomes of an error."""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import Annotated

import typer

from cli.commands.bench import bench
from cli.commands.evaluate import eval_app
from cli.commands.index import index
from cli.commands.manage import compact, remove, status, verify
from cli.commands.mcp import mcp
from cli.commands.search import search
from cli.commands.serve import serve
from cli.commands.train import train_app
from cli.commands.watch import watch
from retriever.errors import SpanseekError

EXIT_ERROR = 2
_INTERRUPTED = 130

app = typer.Typer(
    name="spanseek",
    help="Semantic search over your own documents. Local, offline, with the place of every word.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # takes as long as all the rest of the start

        typer.echo(f"spanseek {version('spanseek')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command()(index)
app.command()(search)
app.command()(serve)
app.command()(status)
app.command()(remove)
app.command()(verify)
app.command()(compact)
app.command()(watch)
app.command()(mcp)
app.command()(bench)
app.add_typer(eval_app, name="eval")
app.add_typer(train_app, name="train")


def main() -> None:
    """Runs the command line; an error that the user can act on is one line, and exit code 2."""
    # Nothing is fetched behind a user's back, and no thread pool of a tokenizer fights with torch's.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        app()
    except BrokenPipeError:
        # Whoever read our output has enough of it; say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)
    except SystemExit as error:
        if error.code == _INTERRUPTED:  # typer has made this of Ctrl-C
            kept = "" if sys.argv[1:2] == ["bench"] else "; what was indexed by then is kept"
            typer.echo(f"interrupted{kept}", err=True)
        raise
    except SpanseekError as error:
        _fail(str(error))
    except (OSError, sqlite3.Error) as error:
        _fail(str(error) or type(error).__name__)


def _fail(message: str) -> None:
    typer.echo(f"spanseek: {' '.join(message.split())}", err=True)
    sys.exit(EXIT_ERROR)
