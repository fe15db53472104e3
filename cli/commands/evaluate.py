"""`spanseek eval`: how good is what is found, on sets with known answers?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.evaluate_corpus import indexed
from cli.options import JsonOption
from cli.terminal import console, print_json, question_bar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retriever.evaluation import GradedQuestion
    from retriever.types import Response

eval_app = typer.Typer(
    help="Measure quality on sets with known answers.", no_args_is_help=True, rich_markup_mode="rich"
)

_IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index", metavar="DIR", help="Keep the index here, and use it again. Default: a temporary one."
    ),
]
_LimitOption = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Only N questions, at even distances.")
]
_QuestionsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A .json file in SQuAD's layout (1.1 or 2.0), or .jsonl rows with question, context, answers; also .gz.",
    ),
]
_EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="What embeds: a folder that 'spanseek train encoder' wrote or any other model folder, or a name on the "
        "hub. Default: the kept index's own, or the one that comes with spanseek.",
    ),
]
_TitlesOption = Annotated[
    bool, typer.Option("--titles", help="Show titles too; published figures are without them.")
]


@eval_app.callback()
def _group() -> None:
    """Measure quality on sets with known answers."""


@eval_app.command()
def retrieval(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="A folder in the BEIR layout (corpus.jsonl, queries.jsonl, qrels/test.tsv, also .gz), "
            "or a file in SQuAD's layout, whose paragraphs are the corpus.",
        ),
    ],
    passages: Annotated[
        bool,
        typer.Option("--passages", help="Leave titles out: a document is its text alone."),
    ] = False,
    limit: _LimitOption = None,
    index_dir: _IndexOption = None,
    encoder: _EncoderOption = None,
    dense_weight: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Weight of the dense side in the fused score: 1 dense only, 0 words only."
        ),
    ] = None,
    rerank: Annotated[
        bool,
        typer.Option(
            "--rerank", help="Read the best candidates, and order them by whether they answer, too."
        ),
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Index a corpus, ask its queries, and compare what is found with what should be.

    Example: [bold]spanseek eval retrieval scifact/ --encoder my-encoder/ --rerank --json[/bold]
    """
    from retriever import SearchConfig
    from retriever.evaluation import evaluate_retrieval, load_retrieval

    loaded = load_retrieval(dataset, limit=limit)
    default = SearchConfig()
    config = SearchConfig(dense_weight=default.dense_weight if dense_weight is None else dense_weight)
    with (
        indexed(
            loaded.documents,
            index_dir,
            name=loaded.name,
            titles=not passages,
            encoder=encoder,
            config=config,
        ) as retriever,
        question_bar() as progress,
    ):

        def search(query: str, depth: int) -> list[tuple[str, float]]:
            hits = retriever.search(query, depth, per_document=1, rerank=rerank)
            best: dict[str, float] = {}
            for hit in hits:
                best.setdefault(hit.document_id, hit.score)
            return list(best.items())

        size = retriever.status().size
        scores = evaluate_retrieval(loaded, search, index_bytes=size, progress=progress)
    _print_scores(scores.to_dict(), json_output)


@eval_app.command()
def reader(
    file: _QuestionsArgument,
    limit: _LimitOption = None,
    titles: _TitlesOption = False,
    name: Annotated[
        str, typer.Option("--reader", metavar="NAME", help="The span scorer: a name or a folder.")
    ] = "default",
    json_output: JsonOption = False,
) -> None:
    """Read each question's own passage, and compare the words that are found with those that answer.

    A set without unanswerable questions is always answered with the best words.

    Example: [bold]spanseek eval reader squad/dev-v1.1.json --json[/bold]
    """
    from retriever.encoder import SpanScorer
    from retriever.evaluation import evaluate_reader, load_questions, spread

    questions = load_questions(file)
    may_abstain = not all(question.answers for question in questions)  # the whole set's, whatever the limit
    scorer = SpanScorer.load(name)

    def read_many(batch: Sequence[GradedQuestion]) -> list[tuple[str, float]]:
        readings = scorer.read_many(
            [(question.question, question.context, question.title if titles else "") for question in batch]
        )
        return [(reading.text, reading.margin) for reading in readings]

    with question_bar() as progress:
        scores = evaluate_reader(
            spread(questions, limit), read_many, may_abstain=may_abstain, progress=progress
        )
    _print_scores(scores.to_dict(), json_output)


@eval_app.command()
def answers(
    file: _QuestionsArgument,
    limit: _LimitOption = None,
    index_dir: _IndexOption = None,
    encoder: _EncoderOption = None,
    reader: Annotated[
        str, typer.Option("--reader", metavar="NAME", help="The span scorer: a name or a folder.")
    ] = "default",
    titles: _TitlesOption = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Draw what the confidences are worth: reliability, risk and coverage."
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Index all passages of a set, ask its questions of the whole, and score the best answer and its confidence.

    Example: [bold]spanseek eval answers squad/dev-v1.1.json --limit 1000 --reader my-reader/ --plot confidence.png[/bold]
    """
    from retriever import RerankConfig
    from retriever.evaluation import (
        check_plot,
        corpus_of,
        draw_calibration,
        evaluate_answers,
        load_questions,
        spread,
    )

    if plot is not None:
        check_plot(plot)
    questions = load_questions(file)
    documents = corpus_of(file, questions)
    ids = {document.text: document.id for document in documents}
    set_name = "/".join(file.resolve().parts[-2:])
    with (
        indexed(
            documents,
            index_dir,
            name=set_name,
            titles=titles,
            encoder=encoder,
            rerank=RerankConfig(reader=reader),
        ) as retriever,
        question_bar() as progress,
    ):

        def respond(question: str) -> Response:
            return retriever.respond(question, min_confidence=0.0)

        evaluation = evaluate_answers(
            spread(questions, limit),
            respond,
            lambda question: ids[question.context],
            documents=len(documents),
            index_bytes=retriever.status().size,
            progress=progress,
        )
    if plot is not None:
        draw_calibration(plot, evaluation.confidences, evaluation.correct, set_name)
    _print_scores(evaluation.to_dict(), json_output)


def _print_scores(scores: Mapping[str, float], json_output: bool) -> None:
    if json_output:
        print_json(scores)
        return
    for name, value in scores.items():
        console().print(f"{name:<14} {round(value, 4):,}")
