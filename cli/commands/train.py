"""`spanseek train`: teach the span scorer or the encoder, on public sets or on questions of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from cli.commands.train_corpus import passages_of, searching, searching_folders
from cli.commands.train_fitting import (
    Fitting,
    drawn,
    fit_confidence_of,
    fit_refusal_of,
    keep_confidence,
    report,
)
from cli.terminal import notice
from retriever.errors import SpanseekError

if TYPE_CHECKING:
    from retriever.evaluation import GradedQuestion

train_app = typer.Typer(
    help="Train the models, on public sets or on your own questions.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_DataOption = Annotated[
    list[Path],
    typer.Option(
        "--data",
        metavar="FILE",
        help="Questions to learn from: .json in SQuAD's layout, or .jsonl rows with question, context, answers; with "
        "--index also rows with question and answers alone. Also .gz; may be repeated.",
    ),
]
_OutOption = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Where the result and its checkpoints go; a run that was stopped goes on from there.",
    ),
]
_IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="DIR",
        help="An index: rows without context are about its documents, and its passages are hard negatives.",
    ),
]
_EncoderOption = Annotated[
    str, typer.Option("--encoder", metavar="NAME", help="What to begin with: a name or a folder.")
]
_EpochsOption = Annotated[
    float, typer.Option("--epochs", min=0.001, help="How often everything is read; may be a fraction.")
]
_RateOption = Annotated[
    float,
    typer.Option(
        "--learning-rate", min=0.0, help="Of the pretrained weights. From 'none', 1.5e-4 is better."
    ),
]
_SeedOption = Annotated[int, typer.Option("--seed", help="Everything random is drawn from it.")]
_NegativesOption = Annotated[
    bool,
    typer.Option(
        "--negatives/--no-negatives",
        help="Learn from passages, too, that the search ranks high but that don't answer.",
    ),
]
_FolderOption = Annotated[
    bool,
    typer.Option(
        "--by-folder",
        help="Rows without context make sense among the papers of their document's folder alone ('When does the "
        "fitter come?'): hard negatives and confidences come from there.",
    ),
]
_HeldBackOption = Annotated[
    float,
    typer.Option(
        "--held-back",
        min=0.0,
        max=0.5,
        help="Share of the documents whose questions are only measured with, the same ones each time.",
    ),
]
_ApartOption = Annotated[
    list[str] | None,
    typer.Option(
        "--apart",
        metavar="TITLE",
        help="A document whose questions are only measured with, as a part of the others is.",
    ),
]
_DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="cpu or cuda. Default: the GPU where there is one."),
]


@train_app.callback()
def _group() -> None:
    """Train the models, on public sets or on your own questions."""


@train_app.command()
def reader(
    data: _DataOption,
    out: _OutOption,
    index_dir: _IndexOption = None,
    extra: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="More questions to learn to read from, which make no sense without their passage: they are not asked "
            "of an index, for hard negatives or for confidences. May be repeated.",
        ),
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A trained span scorer to go on from; 'none' to begin with the encoder's weights alone.",
        ),
    ] = "default",
    encoder: _EncoderOption = "default",
    epochs: _EpochsOption = 3.0,
    learning_rate: _RateOption = 5e-5,
    seed: _SeedOption = 1,
    negatives: _NegativesOption = True,
    window: Annotated[int, typer.Option(min=1, help="Tokens that local attention sees on either side.")] = 8,
    local: Annotated[
        bool,
        typer.Option("--local/--no-local", help="Local attention; without it, to measure what it brings."),
    ] = True,
    concatenation: Annotated[
        bool,
        typer.Option(
            "--concatenation/--no-concatenation",
            help="Concatenation with the token representations, likewise.",
        ),
    ] = True,
    confidence_questions: Annotated[
        int,
        typer.Option(
            min=0, help="So many held-back questions are asked to fit confidences; 0: those of --start."
        ),
    ] = 1500,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="A larger span scorer to learn from, which this command trained with another --encoder.",
        ),
    ] = None,
    rehearse: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Questions that --start reads well and shall still: a part of them is read again beside --data, with "
            "--start for its teacher. May be repeated.",
        ),
    ] = None,
    rehearsed: Annotated[int, typer.Option(min=1, help="So many of them at most.")] = 2000,
    layers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="So many of the encoder's uppermost layers learn; the rest stays. Default: all. Fewer are faster.",
        ),
    ] = None,
    by_folder: _FolderOption = False,
    held_back: _HeldBackOption = 0.05,
    apart: _ApartOption = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            min=512, help="Tokens of one step. Default: 6144, in three passes; a GPU does well with 32768."
        ),
    ] = None,
    device: _DeviceOption = None,
) -> None:
    """Train the span scorer: it reads passages for the words that answer, or says that there are none.

    Example: [bold]spanseek train reader --data mine.jsonl --index .spanseek --out reader/[/bold]
    """
    from retriever.encoder.backbone import find_encoder
    from retriever.encoder.settings import SpanEncoderConfig
    from retriever.evaluation import load_questions
    from retriever.training.confidence import needed_to_fit
    from retriever.training.loop import TrainingConfig
    from retriever.training.reader import train_reader
    from retriever.training.rehearsal import Rehearsal

    if start != "none" and (window, local, concatenation) != (8, True, True):
        raise SpanseekError("the span layer of a trained span scorer is as it is: begin with --start none")
    if rehearse and start == "none":
        raise SpanseekError(
            "--rehearse is for what a span scorer has learned: give the one to go on from as --start"
        )
    questions, others = _questions(data, index_dir, by_folder=by_folder)
    heads = find_encoder(encoder).config.local_heads
    pace = {} if batch_tokens is None else {"batch_tokens": batch_tokens, "batches_per_step": 1}
    needed_to_fit()
    corpus = out / "passages.index"
    search = searching(corpus, encoder)
    if by_folder and index_dir:
        about = {question.document for question in questions if question.document}
        search = searching_folders(index_dir, about, search)
    rehearsal = None
    if rehearse:
        known = drawn([question for path in rehearse for question in load_questions(path)], rehearsed)
        rehearsal = Rehearsal(known, searching(out / "rehearsed.index", encoder) if negatives else None)
    train_reader(
        questions,
        out,
        extra=[question for path in extra or () for question in load_questions(path)],
        others=others,
        start=None if start == "none" else start,
        encoder=encoder,
        search=search if negatives else None,
        config=TrainingConfig(
            seed=seed,
            epochs=epochs,
            learning_rate=learning_rate,
            new_learning_rate=max(5e-4, learning_rate),
            **pace,
        ),
        held_back=held_back,
        apart=apart or (),
        teacher=teacher,
        rehearsal=rehearsal,
        layers=layers,
        span=SpanEncoderConfig(window=window, local_heads=heads, local=local, concatenation=concatenation),
        device=device,
        report=report,
    )
    fitting = Fitting(
        questions, others, index_dir, by_folder, encoder, corpus, held_back=held_back, apart=apart or ()
    )
    fit_refusal_of(out, fitting)
    if confidence_questions:
        fit_confidence_of(out, fitting, confidence_questions)
    keep_confidence(start, out)
    notice(f"done: spanseek search QUESTION --reader {out}")


@train_app.command()
def confidence(
    folder: Annotated[
        Path,
        typer.Argument(metavar="READER", help="A span scorer's folder; what is fitted is written there."),
    ],
    data: _DataOption,
    index_dir: _IndexOption = None,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="What embeds the passages of --data: a name or a folder.")
    ] = "default",
    by_folder: _FolderOption = False,
    confidence_questions: Annotated[
        int, typer.Option("--questions", min=1, help="So many held-back questions are asked at most.")
    ] = 1500,
    held_back: _HeldBackOption = 0.05,
    apart: _ApartOption = None,
) -> None:
    """Fit anew how sure a trained span scorer is, and how readily it finds no answer.

    For one that was averaged, or that is asked of other texts now. It is measured with questions that it wasn't
    trained on: give --held-back and --apart as they were for its training.

    Example: [bold]spanseek train confidence reader/ --data mine.jsonl --index .spanseek[/bold]
    """
    from retriever.encoder.reader_files import read_reader
    from retriever.training.confidence import needed_to_fit

    needed_to_fit()
    if not folder.is_dir():  # a name, such as 'default', is nothing to write into
        raise SpanseekError(
            f"there is no span scorer's folder at {str(folder)!r}: name what was trained or averaged"
        )
    read_reader(str(folder))  # before the work, not after it
    questions, others = _questions(data, index_dir, by_folder=by_folder)
    corpus = folder / "passages.index"
    fitting = Fitting(
        questions, others, index_dir, by_folder, encoder, corpus, held_back=held_back, apart=apart or ()
    )
    fit_refusal_of(folder, fitting)
    fit_confidence_of(folder, fitting, confidence_questions)
    notice(f"done: spanseek search QUESTION --reader {folder}")


@train_app.command()
def encoder(
    data: _DataOption,
    out: _OutOption,
    index_dir: _IndexOption = None,
    start: _EncoderOption = "default",
    part: Annotated[
        str,
        typer.Option(
            metavar="PART",
            help="'span layer': local attention and projection; 'backbone': all but embeddings.",
        ),
    ] = "span layer",
    keep: Annotated[
        float,
        typer.Option(
            min=0.0, help="How strongly vectors are held to what they were, so that other texts don't lose."
        ),
    ] = 1.0,
    epochs: _EpochsOption = 1.0,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", min=0.0, help="Default: what the part takes well.")
    ] = None,
    seed: _SeedOption = 1,
    negatives: _NegativesOption = True,
    device: _DeviceOption = None,
) -> None:
    """Train the passage encoder: questions near the passages that answer them, away from others.

    The result is an encoder: spanseek index --encoder DIR.

    Example: [bold]spanseek train encoder --data squad/train-v1.1.json --out encoder/[/bold]
    """
    from dataclasses import replace

    from retriever.training.encoder import ENCODER_TRAINING, train_encoder

    if part not in ("span layer", "backbone"):
        raise SpanseekError(f"--part is 'span layer' or 'backbone', not {part!r}")
    questions, others = _questions(data, index_dir)
    config = replace(ENCODER_TRAINING, seed=seed, epochs=epochs)
    if learning_rate is not None:
        config = replace(config, learning_rate=learning_rate, new_learning_rate=learning_rate)
    train_encoder(
        questions,
        out,
        others=others,
        encoder=start,
        search=searching(out / "passages.index", start) if negatives else None,
        config=config,
        part=cast("Literal['span layer', 'backbone']", part),
        keep=keep,
        device=device,
        report=report,
    )
    notice(f"done: spanseek index PATH --encoder {out}")


def _questions(
    files: list[Path], index_dir: Path | None, *, by_folder: bool = False
) -> tuple[list[GradedQuestion], list[str]]:
    """All questions, each once, and the other passages of the index that they may be about."""
    from retriever import Retriever
    from retriever.evaluation import load_questions
    from retriever.training.own import is_own, load_own, locate

    if by_folder and index_dir is None:
        raise SpanseekError("--by-folder is about the folders of an index: name it with --index")
    found: dict[tuple[str, str], GradedQuestion] = {}
    others: list[str] = []
    own = [path for path in files if is_own(path)]
    if own and index_dir is None:
        raise SpanseekError(
            f"{own[0]}: its rows have no context: name the index that they are about with --index"
        )
    for path in files:
        if path not in own:
            for question in load_questions(path):
                found.setdefault((question.question, question.context), question)
    if index_dir is not None:
        with Retriever.open(index_dir) as retriever:
            others = passages_of(retriever)
            for path in own:
                located, lost = locate(retriever, load_own(path))
                for question in located:
                    found.setdefault((question.question, question.context), question)
                if lost:
                    notice(
                        f"{path}: {len(lost)} questions left out: no passage that the search finds for them holds "
                        f"their answer, such as {lost[0].question!r}"
                    )
    if not found:
        raise SpanseekError("there are no questions to learn from: give --data with rows that have answers")
    return list(found.values()), others
