"""`spanseek watch`: an index that follows folders."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.one_line import printable
from cli.options import FOLDER, IndexOption, JsonOption, find_index
from cli.terminal import counter, error_console, has_colour, index_bar, notice, print_json, shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from indexer.watch import WatchReport

_STYLES = {"indexed": "green", "updated": "cyan", "removed": "magenta", "skipped": "yellow", "failed": "red"}
_KIND_WIDTH = max(map(len, _STYLES))


def watch(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and folders to follow.")],
    index_dir: IndexOption = None,
    include: Annotated[
        list[str], typer.Option(metavar="GLOB", help="Only files of folders that match. May be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    exclude: Annotated[
        list[str], typer.Option(metavar="GLOB", help="Not files and folders that match. May be repeated.")
    ] = [],  # noqa: B006
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Also files and folders that start with a dot.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Bring the index up to date with files and folders, and keep it so until Ctrl-C.

    Files that are gone are removed from the index. A folder that is gone itself, such as a disk that isn't mounted, is
    waited for, and nothing of it is removed. With --json, each change is an object on a line of its own.

    Example: [bold]spanseek watch ~/notes --exclude 'drafts/*'[/bold]
    """
    from indexer import Selection
    from indexer.watch import Watcher

    root = find_index(index_dir) or Path(FOLDER)
    stop = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # who asks twice doesn't want to wait

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    out = error_console()
    with ExitStack() as stack:
        bar = None if json_output else stack.enter_context(index_bar())

        def show(report: WatchReport) -> None:
            stack.close()  # the bar is for the first look, and lines don't go well with it
            if json_output:
                _print_json(report)
            else:
                print_report(out, report, root)

        selection = Selection(include, exclude, hidden)
        Watcher(paths, root, selection=selection, report=show, progress=bar.update if bar else None).run(stop)


def print_report(out: Console, report: WatchReport, root: Path) -> None:
    """A line of what happened, with the time."""
    kind, text = report.kind, printable(_text(report, root))
    now = time.strftime("%H:%M:%S")
    if not has_colour(out):
        notice(f"{now}  {kind:<{_KIND_WIDTH}}  {text}".rstrip())
        return
    from rich.text import Text

    style = _STYLES.get(kind, "")
    out.print(Text.assemble((now, "dim"), "  ", (f"{kind:<{_KIND_WIDTH}}", style), "  ", text))


def _text(report: WatchReport, root: Path) -> str:
    run = report.run
    if run is not None:
        kept = f", {run.vanished:,} kept of what isn't there" if run.vanished else ""
        passages = f" ({counter(run.chunks, 'passage')}, {run.seconds:.1f} s)" if run.chunks else ""
        return (
            f"indexed {run.indexed:,}, updated {run.updated:,}, unchanged {run.unchanged:,}, removed {run.removed:,}, "
            f"skipped {len(run.skipped):,}{kept}{passages} · {shown_path(root)}"
        )
    if report.path is None:
        return report.message
    path = shown_path(report.path)
    if report.message:
        return f"{path}: {report.message}"
    if report.kind == "removed":
        return path
    seconds = "" if report.seconds is None else f", {report.seconds:.1f} s"
    return f"{path}  ({counter(report.passages, 'passage')}{seconds})"


def _print_json(report: WatchReport) -> None:
    shown: dict[str, object] = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": report.kind}
    if report.path is not None:
        shown["path"] = shown_path(report.path)
    if report.kind in ("indexed", "updated"):
        shown["passages"] = report.passages
        shown["seconds"] = None if report.seconds is None else round(report.seconds, 3)
    if report.message:
        shown["message"] = report.message
    if (run := report.run) is not None:
        shown |= {
            "indexed": run.indexed,
            "updated": run.updated,
            "unchanged": run.unchanged,
            "removed": run.removed,
            "vanished": run.vanished,
            "skipped": len(run.skipped),
            "passages": run.chunks,
            "seconds": round(run.seconds, 3),
        }
    print_json(shown)
