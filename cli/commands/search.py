"""`spanseek search`: ask an index."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import IndexOption, JsonOption, existing_index
from cli.snippet import snippet
from cli.terminal import console, notice, print_json, shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from retriever import Hit, Retriever

EXIT_NOTHING_FOUND = 1


def search(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What you want to know; - reads one question a line.")
    ],
    index_dir: IndexOption = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many passages.")] = 5,
    where: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE",
            help="Only documents for which this holds; also != < <= > >=. Keys: path, id, format, title, language, "
            "or any metadata. path takes globs. May be repeated.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    passages: Annotated[bool, typer.Option("--passages", help="Show passages only, no answers.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Show passages whole, not their best part.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show where each score comes from.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Find the passages that answer a question, each with its place in the original.

    Exit code 0: found; 1: nothing found; 2: error.

    Example: [bold]spanseek search "who approves a release?" --where 'path=handbook/*'[/bold]
    """
    from retriever import Retriever

    with Retriever.open(existing_index(index_dir)) as retriever:
        if question == "-":
            found = [_answer_line(retriever, line.strip(), k, where) for line in sys.stdin if line.strip()]
            raise typer.Exit(0 if any(found) else EXIT_NOTHING_FOUND)
        if json_output:
            raise typer.Exit(0 if _answer_line(retriever, question, k, where) else EXIT_NOTHING_FOUND)
        hits = retriever.search(question, k, where=where)
    if not hits:
        notice(
            "nothing found" + (": no document matches the filter, or none has these words" if where else "")
        )
        raise typer.Exit(EXIT_NOTHING_FOUND)
    out = console()
    for hit in hits:
        _print_hit(out, hit, question, whole=whole, explain=explain)


def _answer_line(retriever: Retriever, question: str, k: int, where: list[str]) -> bool:
    """One question, one JSON object on one line; says whether anything was found."""
    retriever.encoder  # noqa: B018 - loading it isn't part of a question's time
    begun = time.perf_counter()
    hits = retriever.search(question, k, where=where)
    took_ms = round((time.perf_counter() - begun) * 1000, 1)
    print_json(
        {"question": question, "answers": [], "passages": [_as_json(hit) for hit in hits], "took_ms": took_ms}
    )
    return bool(hits)


def _as_json(hit: Hit) -> dict[str, object]:
    return {
        "rank": hit.rank,
        "score": round(hit.score, 6),
        "document": hit.document_id,
        "path": None if hit.path is None else shown_path(hit.path),
        "title": hit.title,
        "headings": list(hit.headings),
        "page": hit.page,
        "line": hit.line,
        "start": hit.start,
        "end": hit.end,
        "text": hit.text,
        "scores": {
            "fused": round(hit.scores.fused, 6),
            "dense": None if hit.scores.dense is None else round(hit.scores.dense, 6),
            "lexical": None if hit.scores.lexical is None else round(hit.scores.lexical, 6),
        },
    }


def _print_hit(out: Console, hit: Hit, question: str, *, whole: bool, explain: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    head = Text(f"{hit.rank:>2}  ", style="dim")
    head.append(_place(hit), style="bold cyan")
    context = " > ".join(dict.fromkeys(part for part in (hit.title, *hit.headings) if part))
    if context:
        head.append(f"  {context}", style="dim")
    out.print(head, no_wrap=True, overflow="ellipsis", crop=out.is_terminal)
    part = snippet(hit.text, question, whole=whole)
    body = Text(part.text)
    for start, end in part.marks:
        body.stylize("bold yellow", start, end)
    out.print(Padding(body, (0, 0, 0, 4)) if out.is_terminal else Text("    ").append_text(body))
    if explain:
        out.print(Text(f"    {_explained(hit)}", style="dim"))
    out.print()


def _place(hit: Hit) -> str:
    """`path:line`, and the page where there is one."""
    place = shown_path(hit.path) if hit.path is not None else hit.document_id
    if hit.path is not None and "#" in hit.document_id and not hit.document_id.endswith(place):
        place += "#" + hit.document_id.rsplit("#", 1)[1]
    if hit.page is not None:
        return f"{place} page {hit.page}"
    return f"{place}:{hit.line}" if hit.line is not None else place


def _explained(hit: Hit) -> str:
    dense = "not among the nearest" if hit.scores.dense is None else f"cosine {hit.scores.dense:.3f}"
    lexical = "none of its best" if hit.scores.lexical is None else f"BM25 {hit.scores.lexical:.2f}"
    return f"score {hit.score:.3f} · meaning: {dense} · words: {lexical} · characters {hit.start}-{hit.end}"
