"""`spanseek eval`: how good is the search, on sets with known answers?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption
from cli.terminal import console, notice, print_json

eval_app = typer.Typer(
    help="Measure quality on sets with known answers.", no_args_is_help=True, rich_markup_mode="rich"
)


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
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N queries.")
    ] = None,
    index_dir: Annotated[
        Path | None,
        typer.Option(
            "--index", metavar="DIR", help="Keep the index here, and use it again. Default: a temporary one."
        ),
    ] = None,
    dense_weight: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Weight of the dense side in the fused score: 1 dense only, 0 words only."
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Index a corpus, ask its queries, and compare what is found with what should be.

    Example: [bold]spanseek eval retrieval scifact/ --json[/bold]
    """
    from indexer import Indexer, InputDocument
    from retriever import Retriever, SearchConfig
    from retriever.evaluation.datasets import load_retrieval
    from retriever.evaluation.retrieval import evaluate_retrieval

    loaded = load_retrieval(dataset, limit=limit)
    default = SearchConfig()
    config = SearchConfig(dense_weight=default.dense_weight if dense_weight is None else dense_weight)
    with tempfile.TemporaryDirectory(prefix="spanseek-eval-") as scratch:
        root = index_dir or Path(scratch, "index")
        documents = (
            InputDocument(document.id, document.text, "" if passages else document.title)
            for document in loaded.documents
        )
        with Indexer.open(root) as indexer:
            report = indexer.add_documents(documents)
            encoder = indexer.encoder
        notice(
            f"{loaded.name}: {report.indexed + report.unchanged:,} documents, {report.chunks:,} passages embedded"
        )
        with Retriever.open(root, encoder=encoder, config=config) as retriever:

            def search(query: str, depth: int) -> list[tuple[str, float]]:
                hits = retriever.search(query, depth, per_document=1)
                best: dict[str, float] = {}
                for hit in hits:
                    best.setdefault(hit.document_id, hit.score)
                return list(best.items())

            scores = evaluate_retrieval(loaded, search, index_bytes=retriever.status().size)
    if json_output:
        print_json(scores.to_dict())
        return
    for name, value in scores.to_dict().items():
        console().print(f"{name:<14} {round(value, 4):,}")
