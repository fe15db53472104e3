"""`spanseek bench`: how fast is it on this machine?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption
from cli.terminal import console, print_json, stages
from retriever.errors import SpanseekError


def bench(
    index_dir: Annotated[
        Path | None,
        typer.Option(
            "--index",
            metavar="DIR",
            help="An index to measure; it is only read. Default: made-up text, in an index that is gone afterwards.",
            show_default=False,
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What to ask: one question a line, or JSON Lines with 'question'. Default: parts of the passages' own "
            "sentences.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="N",
            min=1.0,
            help="About how long to measure, beside loading models and starting processes; longer is more exact.",
        ),
    ] = 30.0,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="What embeds made-up text: a name or a folder.")
    ] = "default",
    json_output: JsonOption = False,
) -> None:
    """Measure speed and memory here: start-up, encoding, indexing, search, reading for answers.

    Nothing that is there is changed, and nothing is kept.

    Example: [bold]spanseek bench --index .spanseek --json[/bold]
    """
    from cli.commands.bench_run import run_bench

    asked = _questions(questions) if questions is not None else []
    with stages() as report:
        found = run_bench(index_dir, asked, encoder, seconds, report)
    if json_output:
        print_json(found.as_json())
        return
    from cli.bench_table import print_bench

    print_bench(console(), found)


def _questions(path: Path) -> list[str]:
    """Questions of a file."""
    from retriever.evaluation.lines import numbered_lines

    questions = []
    for number, line in numbered_lines(path, "questions"):
        question: object = line.strip()
        if path.suffix in {".jsonl", ".gz"} and line.lstrip().startswith("{"):
            try:
                question = json.loads(line).get("question")
            except ValueError as error:
                raise SpanseekError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(question, str) or not question.strip():
            raise SpanseekError(f"{path}, line {number}: there is no 'question' in it")
        questions.append(question.strip())
    if not questions:
        raise SpanseekError(f"{path}: there are no questions in it")
    return questions
