"""`spanseek index`: add documents and keep them up to date."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import FOLDER, IndexOption, JsonOption, find_index
from cli.terminal import console, counter, index_bar, input_lines, notice, print_json, shown_path
from retriever.errors import SpanseekError

if TYPE_CHECKING:
    from indexer import IndexReport

_SHOWN_SKIPS = 20


def index(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Files and folders; - reads paths from standard input."),
    ],
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
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents whose files are gone.")] = False,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare contents even where size and time are the same.")
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="For a new index: a model folder, or a name on the hub.", show_default=False
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="For a new index: whose word stems count (english, german, ..., none)."
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Add documents to the index, and bring those that are in it up to date.

    Files that haven't changed are left alone. What can't be read is skipped, with the reason.

    Example: [bold]spanseek index ~/notes report.pdf --exclude 'drafts/*'[/bold]
    """
    from indexer import Indexer, Selection

    roots = list(input_lines()) if paths == ["-"] else paths
    roots = [root for root in roots if root]
    missing = next((root for root in roots if paths != ["-"] and not os.path.lexists(root)), None)
    if missing is not None:
        raise SpanseekError(f"{missing}: no such file or folder")
    root = find_index(index_dir) or Path(FOLDER)
    selection = Selection(include, exclude, hidden)
    with Indexer.open(root, encoder=encoder, language=language) as indexer, index_bar() as bar:
        report = indexer.add_paths(
            roots,
            selection=selection,
            prune=prune,
            checksum=checksum,
            progress=bar.update if bar is not None and not json_output else None,
        )
    if json_output:
        print_json(_as_json(report))
        return
    _print_skipped(report)
    console().print(_summary(report, root))


def _as_json(report: IndexReport) -> dict[str, object]:
    return {
        "indexed": report.indexed,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "vanished": report.vanished,
        "skipped": [{"path": shown_path(skip.path), "reason": skip.reason} for skip in report.skipped],
        "chunks": report.chunks,
        "reused": report.reused,
        "seconds": round(report.seconds, 3),
    }


def _summary(report: IndexReport, root: Path) -> str:
    line = (
        f"indexed {report.indexed:,}, updated {report.updated:,}, unchanged {report.unchanged:,}, "
        f"removed {report.removed:,}, skipped {len(report.skipped):,}"
    )
    passages = ""
    if report.reused:
        embedded = f"{counter(report.chunks, 'passage')} embedded, {report.reused:,} known"
        passages = f" ({embedded}, in {report.seconds:.1f} s)"
    elif report.chunks:
        passages = f" ({counter(report.chunks, 'passage')} in {report.seconds:.1f} s)"
    vanished = ""
    if report.vanished:
        vanished = f"\n{counter(report.vanished, 'document')} of vanished files kept; --prune removes them"
    return f"{line}{passages} · {shown_path(root)}{vanished}"


def _print_skipped(report: IndexReport) -> None:
    """Every reason with its files; long lists cut, since --json has them whole."""
    by_reason = Counter(skip.reason for skip in report.skipped)
    for reason, count in by_reason.most_common():
        paths = [shown_path(skip.path) for skip in report.skipped if skip.reason == reason]
        if count == 1:
            notice(f"skipped {paths[0]}: {reason}")
            continue
        notice(f"skipped {counter(count, 'file')}: {reason}")
        for path in paths[:_SHOWN_SKIPS]:
            notice(f"    {path}")
        if count > _SHOWN_SKIPS:
            notice(f"    and {count - _SHOWN_SKIPS:,} more (--json names all)")
