"""`spanseek status`, `remove`, `verify`, `compact`: look after an index."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import IndexOption, JsonOption, existing_index
from cli.terminal import console, counter, notice, print_json, shown_path

_NOTHING = 1
_DAMAGED = 2


def status(index_dir: IndexOption = None, json_output: JsonOption = False) -> None:
    """Show what the index holds and how it was made.

    Example: [bold]spanseek status --index ~/notes/.spanseek[/bold]
    """
    from dataclasses import asdict

    from retriever import Retriever

    root = existing_index(index_dir)
    with Retriever.open(root) as retriever:
        state = retriever.status()
    if json_output:
        print_json({"index": shown_path(root), **asdict(state)})
        return
    formats = ", ".join(f"{count:,} {name}" for name, count in state.formats.items())
    rows = {
        "index": f"{shown_path(root)} ({state.size / 1e6:,.1f} MB)",
        "documents": f"{state.documents:,}" + (f" ({formats})" if formats else ""),
        "passages": f"{state.chunks:,}"
        + (f", {state.pending:,} since the last merge" if state.pending else ""),
        "files": f"{state.files:,}" + (f", and {state.skipped:,} skipped" if state.skipped else ""),
        "encoder": f"{state.encoder} ({state.dimension} dimensions)",
        "stemmer": state.language,
        "vectors": (
            "compared one by one"
            if state.search == "exact"
            else f"in {state.lists:,} lists, of which a search looks through {state.probes:,}"
        ),
        "recall@10": f"{state.recall:.3f} of exact vector search"
        + (f", recall@200 {state.wide_recall:.3f}" if state.search != "exact" else ""),
    }
    for name, value in rows.items():
        console().print(f"[dim]{name:<10}[/dim] {value}", markup=True)


def remove(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET...", help="Ids, files, folders, or globs.")],
    index_dir: IndexOption = None,
    json_output: JsonOption = False,
) -> None:
    """Remove documents from the index. Files themselves are never touched.

    Exit code 1 if nothing matched. The space is given back by 'compact'.

    Example: [bold]spanseek remove old-notes/ 'drafts/*.md'[/bold]
    """
    from indexer import Indexer

    with Indexer.open(existing_index(index_dir)) as indexer:
        removed = indexer.remove(targets)
    if json_output:
        print_json({"removed": removed})
    else:
        console().print(f"removed {counter(removed, 'document')}")
    if not removed:
        raise typer.Exit(_NOTHING)


def verify(
    index_dir: IndexOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is damaged.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Check the index against itself, and against the files that it was made from.

    With --repair, what can be made anew is, and documents that are damaged are taken out; 'spanseek index' then reads
    their files again.

    Exit code 0: all is well; 1: files have changed or are gone since, or documents were taken out; 2: damaged.

    Example: [bold]spanseek verify --json[/bold]
    """
    from dataclasses import asdict

    from retriever.store.repair import Repair
    from retriever.store.repair import repair as repair_index
    from retriever.store.verify import verify as verify_index

    root = existing_index(index_dir)
    done = repair_index(root) if repair else Repair((), (), verify_index(root))
    found = done.after
    if json_output:
        shown = asdict(found) | {
            "missing": [shown_path(path) for path in found.missing],
            "stale": [shown_path(path) for path in found.stale],
        }
        print_json(shown | ({"repaired": done.before, "lost": done.lost} if repair else {}))
    else:
        for line in (line for line in done.before if line not in found.damage):
            notice(f"repaired: {line}")
        for id_ in done.lost:
            notice(f"taken out, since it was damaged: {id_}")
        for line in found.damage:
            notice(f"damaged: {line}")
        for path in found.stale:
            notice(f"changed since it was indexed: {shown_path(path)}")
        for path in found.missing:
            notice(f"gone since it was indexed: {shown_path(path)}")
        console().print(
            f"{counter(found.documents, 'document')}, {counter(found.chunks, 'passage')}: "
            f"{len(found.damage)} damaged, {len(found.stale)} changed, {len(found.missing)} gone"
        )
        if done.lost:
            notice("run 'spanseek index' to read again what was taken out")
        elif found.damage and not repair:
            notice("run 'spanseek verify --repair' to mend it")
    if found.damage:
        raise typer.Exit(_DAMAGED)
    if found.stale or found.missing or done.lost:
        raise typer.Exit(_NOTHING)


def compact(index_dir: IndexOption = None, json_output: JsonOption = False) -> None:
    """Rebuild everything that can be rebuilt, and free the space of what was removed.

    Example: [bold]spanseek compact[/bold]
    """
    from indexer import Indexer
    from retriever.store.layout import IndexPaths

    root = existing_index(index_dir)
    before = IndexPaths(root).size()
    with Indexer.open(root) as indexer:
        indexer.compact()
    after = IndexPaths(root).size()
    if json_output:
        print_json({"bytes_before": before, "bytes_after": after})
    else:
        console().print(f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB after")
