"""What a bench measures, in which order: parts of the program in this process, the whole of it in fresh ones."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import FOLDER
from retriever.errors import SpanseekError

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder
    from retriever.evaluation.machine import Machine
    from retriever.evaluation.processes import Ran
    from retriever.evaluation.speed import Asking, Encoding, Reading

_RUNS = 3
_AFFORDABLE = 1 / 5
"""Share of the time that one cold search may take, where it is to be run three times."""
_NOTHING_FOUND = 1
_CHECKOUT = Path(__file__).resolve().parents[2]
_PROGRAM = (
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(_CHECKOUT)!r}); from cli.main import main; main()",
)
"""This program, as another process starts it."""
_GROUP = 8
_INDEXED = (40, 4000)
_SAMPLE = 2000
_QUESTIONS = 200


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is measured on.

    Attributes:
        index: The user's index; `None` for one of made-up text that is gone afterwards.
        documents: That are searched.
        passages: Likewise.
        encoder: Its name.
    """

    index: str | None
    documents: int
    passages: int
    encoder: str


@dataclass(frozen=True, slots=True)
class Starts:
    """Milliseconds from the start of a process to its first output, medians.

    Attributes:
        runs: How often each was run: three times, or once where that alone takes long.
        help_ms: `spanseek --help`.
        search_ms: `spanseek search --no-rerank`: model and index are loaded, one question is asked.
        answer_ms: `spanseek search`: passages are read for an answer, too.
    """

    runs: int
    help_ms: float
    search_ms: float
    answer_ms: float


@dataclass(frozen=True, slots=True)
class Indexing:
    """Making an index, in a process of its own.

    Attributes:
        passages: How many were cut, embedded, and committed.
        seconds: How long it took, without the start of the program and its models.
        passages_per_s: Passages a second.
    """

    passages: int
    seconds: float
    passages_per_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process held in main memory at most, in 10^6 bytes: a search, one that reads for answers, indexing."""

    search_mb: float
    answer_mb: float
    indexing_mb: float


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured; `as_json` of it is what `spanseek bench --json` prints."""

    machine: Machine
    corpus: Corpus
    start: Starts
    encode: Encoding
    index: Indexing
    search: Asking
    answer: Asking
    rerank: Reading
    memory: Memory
    took_s: float

    def as_json(self) -> dict[str, object]:
        """Numbers with four significant digits."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def run_bench(
    root: Path | None,
    questions: Sequence[str],
    encoder_name: str,
    seconds: float,
    report: Callable[[str], None],
) -> Bench:
    """Measures everything.

    Args:
        root: An index, which is only read; `None`: one of made-up text.
        questions: What is asked; if there are none, they are made of the passages.
        encoder_name: What embeds made-up text.
        seconds: About how long it may take; loading models and starting processes takes what it takes.
        report: Called with what is being measured.

    Raises:
        SpanseekError: The index, or a model, can't be used, or the index is empty.
    """
    from retriever.evaluation.machine import this_machine

    machine = this_machine()  # before torch is loaded, which may change which cores a process runs on
    from retriever import Retriever
    from retriever.encoder import SpanScorer, TextEncoder
    from retriever.evaluation.speed import (
        measure_asking,
        measure_encoding,
        measure_reading,
        questions_of,
        sample_passages,
    )
    from retriever.store.reader import IndexReader

    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="spanseek-bench-") as scratch:
        report("models")
        manifest = None
        if root is not None:
            with IndexReader(root) as reader:
                manifest = reader.manifest
        encoder = TextEncoder.load(manifest.encoder if manifest else encoder_name, fetch=False)
        if manifest is not None:
            manifest.check(fingerprint=encoder.fingerprint, dimension=encoder.dimension)
        report("indexing")
        own = sample_passages(root, _SAMPLE) if root is not None else []
        if root is not None and not own:
            raise SpanseekError(f"the index at {root} holds nothing yet: there is nothing to measure")
        made, indexing, indexed = _index(Path(scratch), own, encoder, seconds / 5)
        root_searched = root or made
        report("encoding")
        texts = sample_passages(root_searched, _SAMPLE)
        encode = measure_encoding(encoder, texts, seconds / 4)
        asked = list(questions) or questions_of(sample_passages(root_searched, _QUESTIONS))
        report("search")
        scorer = SpanScorer.load()
        with Retriever.open(root_searched, encoder=encoder, scorer=scorer) as retriever:
            search = measure_asking(retriever, asked, seconds / 10, rerank=False)
            report("answers")
            answers = measure_asking(retriever, asked, seconds / 10, rerank=True)
        report("reading")
        rerank = measure_reading(root_searched, encoder, scorer, asked, seconds / 10)
        report("start")
        where = ("search", asked[0], "--index", str(root_searched), "--json")
        full = [_spanseek(*where)]
        runs = _RUNS if full[0].seconds < _AFFORDABLE * seconds else 1
        full += [_spanseek(*where) for _ in range(1, runs)]
        searches = [_spanseek(*where, "--no-rerank") for _ in range(runs)]
        helps = [_spanseek("--help") for _ in range(runs)]
        corpus = _corpus(root_searched, None if root is None else str(root))
    return Bench(
        machine=machine,
        corpus=corpus,
        start=Starts(runs, *(1000 * _median(run.first_s for run in ran) for ran in (helps, searches, full))),
        encode=encode,
        index=indexing,
        search=search,
        answer=answers,
        rerank=rerank,
        memory=Memory(
            search_mb=_median(run.peak / 1e6 for run in searches),
            answer_mb=_median(run.peak / 1e6 for run in full),
            indexing_mb=indexed.peak / 1e6,
        ),
        took_s=time.perf_counter() - begun,
    )


def _index(
    scratch: Path, own: Sequence[str], encoder: TextEncoder, seconds: float
) -> tuple[Path, Indexing, Ran]:
    """An index made by a process of its own, of the user's passages or of made-up text, in about so long."""
    from retriever.encoder import Passage
    from retriever.evaluation.prose import Prose
    from retriever.evaluation.speed import passages_per_second

    prose = Prose()
    probe = own[:16] or [prose.paragraph() for _ in range(16)]
    least, most = _INDEXED
    count = min(most, max(least, int(seconds * passages_per_second(encoder, [Passage(x) for x in probe]))))
    rows: Iterable[dict[str, str]] = (
        ({"id": str(i), "text": "\n\n".join(own[i : i + _GROUP])} for i in range(0, len(own[:count]), _GROUP))
        if own
        else (asdict(document) for document in prose.documents(max(5, count // _GROUP)))
    )
    source, made = scratch / "passages.jsonl", scratch / FOLDER
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ran = _spanseek("index", str(source), "--index", str(made), "--encoder", encoder.files.name, "--json")
    said = json.loads(ran.output)
    indexing = Indexing(said["chunks"], said["seconds"], said["chunks"] / max(1e-9, said["seconds"]))
    return made, indexing, ran


def _spanseek(*arguments: str) -> Ran:
    from retriever.evaluation.processes import run_fresh

    return run_fresh((*_PROGRAM, *arguments), allowed=(0, _NOTHING_FOUND))


def _corpus(root: Path, shown: str | None) -> Corpus:
    from retriever.store.reader import IndexReader

    with IndexReader(root) as reader, reader.snapshot() as snapshot:
        status = snapshot.status()
    return Corpus(shown, status.documents, status.chunks, status.encoder)


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
