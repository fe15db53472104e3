"""`spanseek search`: ask an index."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import IndexOption, JsonOption, existing_index
from cli.terminal import console, has_colour, input_lines, notice, print_json
from cli.threads import one_thread_for_products
from retriever.errors import SpanseekError

if TYPE_CHECKING:
    from retriever.types import Response

EXIT_NOTHING_FOUND = 1


def search(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What you want to know; - reads one question a line.")
    ],
    index_dir: IndexOption = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many passages.")] = 5,
    answers: Annotated[int, typer.Option(metavar="N", min=1, help="How many answers at most.")] = 3,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Only answers that are at least this likely to be right, from 0 to 1; 0 shows every guess. "
            "Default: the model's own.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE",
            help="Only documents for which this holds; also != < <= > >=. Keys: path, id, format, title, language, "
            "or any metadata. path takes globs. May be repeated.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    passages: Annotated[bool, typer.Option("--passages", help="Show passages only, no answers.")] = False,
    no_rerank: Annotated[
        bool,
        typer.Option("--no-rerank", help="Don't look for answers: passages as meaning and words rank them."),
    ] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Show passages whole, not their best part.")] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Show where each score and the time come from; in a colour terminal, the greener a word, the "
            "likelier it is the answer.",
        ),
    ] = False,
    reader: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What reads the passages: a folder that 'spanseek train reader' wrote, or the default.",
        ),
    ] = "default",
    json_output: JsonOption = False,
) -> None:
    """Answer a question with the exact words of your documents, and show the passages, each with its place.

    Exit code 0: found; 1: nothing found; 2: error.

    Example: [bold]spanseek search "who approves a release?" --where 'path=handbook/*'[/bold]
    """
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise SpanseekError(f"--min-confidence is a probability from 0 to 1, not {min_confidence:g}")
    one_thread_for_products()
    from retriever import RerankConfig, Retriever

    config = RerankConfig(reader=reader)
    with Retriever.open(existing_index(index_dir), rerank=config) as retriever:

        def ask(text: str) -> Response:
            response = retriever.respond(
                text, k, where=where, answers=answers, min_confidence=min_confidence, rerank=not no_rerank
            )
            return replace(response, answers=()) if passages else response

        if question == "-" or json_output:
            questions = filter(None, map(str.strip, input_lines())) if question == "-" else [question]
            found = [_print_line(ask, text, explain=explain) for text in questions]
            raise typer.Exit(0 if any(found) else EXIT_NOTHING_FOUND)
        response = ask(question)
        out = console()
        shaded = explain and not no_rerank and has_colour(out)
        shades = retriever.shades(question, response.hits) if shaded else ()
    if not response.answers and not response.hits:
        notice(
            "nothing found" + (": no document matches the filter, or none has these words" if where else "")
        )
        raise typer.Exit(EXIT_NOTHING_FOUND)
    from cli.render import print_response

    looked = not (passages or no_rerank)
    print_response(out, response, answers=looked, whole=whole, explain=explain, shades=shades)


def _print_line(ask: Callable[[str], Response], question: str, *, explain: bool) -> bool:
    """One question, one JSON object on one line; says whether anything was found."""
    from retriever.as_json import response_as_json

    begun = time.perf_counter()
    response = ask(question)
    took = (time.perf_counter() - begun) * 1000
    # loading models isn't part of a question's time
    print_json(response_as_json(response, took - response.timings.load, explain=explain))
    return bool(response.answers or response.hits)
