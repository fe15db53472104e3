"""`Retriever`: an index opened for questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from retriever.confidence import UNFITTED, ConfidenceModel
from retriever.config import RerankConfig, SearchConfig
from retriever.context import context_line
from retriever.encoder.spans import coverage
from retriever.encoder.structure import cuts
from retriever.errors import IndexFormatError, IndexOutdatedError, SpanseekError
from retriever.filters import Filter
from retriever.rerank import Evidence, choose, likeliest, reorder
from retriever.rounds import Shown, gather
from retriever.search import Candidate, candidates, present
from retriever.stopwatch import Stopwatch
from retriever.storable import storable_text
from retriever.store.reader import IndexReader
from retriever.store.snapshot import Snapshot
from retriever.types import Answer, Document, Hit, IndexStatus, Passage, Response

if TYPE_CHECKING:
    from retriever.encoder import SpanScorer, TextEncoder

_TOGETHER = 32  # questions whose vectors are compared in one go


class Retriever:
    """Finds answers and passages in an index. Open one with `Retriever.open`; safe to share by threads.

    A retriever follows the index: what a writer has committed is found by the next search.
    """

    def __init__(
        self,
        reader: IndexReader,
        encoder: TextEncoder | None,
        scorer: SpanScorer | None,
        config: SearchConfig,
        rerank: RerankConfig,
    ) -> None:
        self._reader = reader
        self._encoder = encoder
        self._scorer = scorer
        self._config = config
        self._rerank = rerank
        self._confidence: ConfidenceModel | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        encoder: TextEncoder | None = None,
        scorer: SpanScorer | None = None,
        config: SearchConfig | None = None,
        rerank: RerankConfig | None = None,
    ) -> Self:
        """Opens an index.

        Args:
            path: The index folder.
            encoder: One that is loaded already; by default the index's own is loaded by the first search.
            scorer: What reads passages, loaded already; by default the first question for which passages are read
                loads it.
            config: How to search.
            rerank: How candidates are read.

        Raises:
            IndexNotFoundError: There is no index.
            IndexFormatError: It is of a later format version, or of another encoder; one of an earlier version is
                brought up to date.
            IndexDamagedError: A file of it isn't what was written.
        """
        try:
            reader = IndexReader(Path(path))
        except IndexOutdatedError:
            from retriever.store.writer import IndexWriter

            IndexWriter.upgrade(Path(path))
            reader = IndexReader(Path(path))
        if encoder is not None:
            try:
                reader.manifest.check(fingerprint=encoder.fingerprint, dimension=encoder.dimension)
            except IndexFormatError:
                reader.close()
                raise
        return cls(reader, encoder, scorer, config or SearchConfig(), rerank or RerankConfig())

    def close(self) -> None:
        """Closes the index."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def encoder(self) -> TextEncoder:
        """The index's encoder, loaded when it is first asked for.

        Raises:
            EncoderError: It can't be loaded.
            IndexFormatError: It isn't the one that the index was made with any more.
        """
        if self._encoder is None:
            from retriever.encoder import TextEncoder

            manifest = self._reader.manifest
            encoder = TextEncoder.load(manifest.encoder, fetch=False)
            manifest.check(fingerprint=encoder.fingerprint, dimension=encoder.dimension)
            self._encoder = encoder
        return self._encoder

    @property
    def scorer(self) -> SpanScorer:
        """What reads passages, loaded when it is first asked for.

        Raises:
            EncoderError: It can't be loaded.
        """
        if self._scorer is None:
            from retriever.encoder import SpanScorer

            self._scorer = SpanScorer.load(self._rerank.reader)
        return self._scorer

    @property
    def loaded(self) -> tuple[TextEncoder | None, SpanScorer | None]:
        """Its models, as far as they are loaded, for another retriever."""
        return self._encoder, self._scorer

    @property
    def _model(self) -> ConfidenceModel:
        """What makes confidences of the scorer's scores; it lies beside the scorer."""
        if self._confidence is None:
            folder = self.scorer.folder
            self._confidence = UNFITTED if folder is None else ConfidenceModel.of(folder)
        return self._confidence

    def load(self, *, reading: bool = True) -> None:
        """Loads the models, side by side, that the first question would load.

        Args:
            reading: What reads passages, too.

        Raises:
            EncoderError: One can't be loaded.
            IndexFormatError: As for `encoder`.
        """
        if reading and self._encoder is None and self._scorer is None:
            with ThreadPoolExecutor(1) as beside:
                scorer = beside.submit(lambda: self.scorer)
                _ = self.encoder
                scorer.result()
        else:
            _ = self.encoder, self.scorer if reading else None

    def search(
        self,
        question: str,
        k: int = 10,
        *,
        where: Iterable[str | Filter] = (),
        per_document: int | None = None,
        rerank: bool = False,
    ) -> list[Hit]:
        """The best passages for a question, best first.

        Args:
            question: Any text: a question, a claim, keywords.
            k: At most this many.
            where: Filters like `"year>=2024"` or `"path=handbook/*"`; all must hold.
            per_document: At most this many passages of one document while others are left (default: the config's).
            rerank: Read the best candidates and order them by whether they answer, too; takes longer.

        Raises:
            FilterError: A filter isn't understood.
            SpanseekError: The question is blank, or `k` is less than 1.
        """
        config = self._with(per_document)
        with self._found(question, k, where, reading=rerank, config=config) as (snapshot, ranked):
            if rerank:
                shown = Shown(self._model, answers=0, least=1.0, passages=k, per_document=config.per_document)
                evidence = gather(snapshot, question, ranked, self.scorer, self._rerank, shown=shown).evidence
                _, best = choose(evidence, self._model, most=0, least=1.0)
                ranked = reorder(ranked, evidence, self._model, best)
            return present(snapshot, ranked, k, config)

    def search_many(
        self, questions: Sequence[str], k: int = 10, *, per_document: int | None = None
    ) -> Iterator[list[Hit]]:
        """As `search` for each of many questions: they are embedded together, and asked of one state of the index.

        Raises:
            SpanseekError: `k` is less than 1.
        """
        if k < 1:
            raise SpanseekError(f"k must be at least 1, not {k}")
        config = self._with(per_document)
        questions = [storable_text(question) for question in questions]
        vectors = self.encoder.encode_questions(questions)
        with self._reader.snapshot() as snapshot:
            for number, (question, vector) in enumerate(zip(questions, vectors, strict=True)):
                if number % _TOGETHER == 0:
                    snapshot.look_ahead(vectors[number : number + _TOGETHER], max(config.candidates, k))
                ranked = candidates(snapshot, question, vector, k, config, only_shown=True)
                yield present(snapshot, ranked, k, config)

    def _with(self, per_document: int | None) -> SearchConfig:
        return self._config if per_document is None else replace(self._config, per_document=per_document)

    def prepare(self, questions: Sequence[str]) -> None:
        """Does together what questions that are asked next, without filters, have in common: to find what is near.

        For a retriever whose encoder remembers vectors, as a server's does.
        """
        vectors = self.encoder.encode_questions([storable_text(question) for question in questions])
        with self._reader.snapshot() as snapshot:
            snapshot.look_ahead(vectors, self._config.candidates)

    def evidence(self, question: str, *, where: Iterable[str | Filter] = ()) -> list[Evidence]:
        """Every span that `respond` considers, before any is chosen: what confidences are fitted to."""
        with self._found(question, 1, where, reading=True) as (snapshot, ranked):
            return gather(snapshot, question, ranked, self.scorer, self._rerank).evidence

    def respond(
        self,
        question: str,
        k: int = 10,
        *,
        where: Iterable[str | Filter] = (),
        answers: int = 3,
        min_confidence: float | None = None,
        rerank: bool = True,
    ) -> Response:
        """Answers and passages at once, from one state of the index.

        Args:
            question: Any text.
            k: At most this many passages.
            where: As for `search`.
            answers: At most this many answers.
            min_confidence: Only answers that are at least this likely to be right; 0 gives every guess. `None`: as
                the model was fitted to tell answers from none.
            rerank: False doesn't read the passages: no answers, passages by their fused score.

        Raises:
            FilterError: A filter isn't understood.
            SpanseekError: The question is blank, `k` or `answers` is less than 1, or `min_confidence` isn't from
                0 to 1.
        """
        if answers < 1:
            raise SpanseekError(f"answers must be at least 1, not {answers}")
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise SpanseekError(f"min_confidence is a probability from 0 to 1, not {min_confidence:g}")
        watch = Stopwatch()
        with self._found(question, k, where, watch, reading=rerank) as (snapshot, ranked):
            found: list[Answer] = []
            confidence, read = 0.0, 0
            if rerank:
                with watch.stage("load"):
                    scorer, model = self.scorer, self._model
                shown = Shown(
                    model,
                    answers,
                    model.threshold if min_confidence is None else min_confidence,
                    k,
                    self._config.per_document,
                )
                gathered = gather(snapshot, question, ranked, scorer, self._rerank, shown=shown, watch=watch)
                evidence, read = gathered.evidence, gathered.read
                with watch.stage("rank"):
                    found, best = likeliest(snapshot, evidence, model, answers, shown.least)
                    confidence, ranked = best.confidence, reorder(ranked, evidence, model, best)
            with watch.stage("rank"):
                hits = present(snapshot, ranked, k, self._config)
            return Response(
                question=question,
                answers=tuple(found),
                hits=tuple(hits),
                confidence=confidence,
                read=read,
                timings=watch.timings(),
            )

    def ask(
        self,
        question: str,
        k: int = 3,
        *,
        where: Iterable[str | Filter] = (),
        min_confidence: float | None = None,
    ) -> list[Answer]:
        """The exact words that answer a question, best first; none where nothing is likely enough.

        Args:
            question: What you want to know.
            k: At most this many answers.
            where: As for `search`.
            min_confidence: As for `respond`.

        Raises:
            FilterError: A filter isn't understood.
            SpanseekError: The question is blank, or a number is out of its range.
        """
        if k < 1:
            raise SpanseekError(f"k must be at least 1, not {k}")
        response = self.respond(question, 1, where=where, answers=k, min_confidence=min_confidence)
        return list(response.answers)

    def shades(self, question: str, hits: Sequence[Hit]) -> list[list[tuple[int, int, float]]]:
        """How likely each word of some hits is part of the answer.

        Args:
            question: What the hits were found for.
            hits: Any.

        Returns:
            For each hit its tokens' places in the hit's text, half-open, in code points, and that probability.
        """
        passages = [Passage(hit.text, context_line(hit.title, hit.headings)) for hit in hits]
        shades = []
        for passage, scores in zip(
            passages, self.scorer.score([storable_text(question)] * len(hits), passages), strict=True
        ):
            shade = coverage(scores, cuts=cuts(passage.text, scores.offsets))
            shades.append([(*place, float(p)) for place, p in zip(scores.offsets, shade, strict=True)])
        return shades

    @contextmanager
    def _found(
        self,
        question: str,
        k: int,
        where: Iterable[str | Filter],
        watch: Stopwatch | None = None,
        *,
        reading: bool,
        config: SearchConfig | None = None,
    ) -> Iterator[tuple[Snapshot, list[Candidate]]]:
        """The candidates for a question, all that may be read or only what is shown; the state that they are of."""
        if not question.strip():
            raise SpanseekError("the question is empty: ask something")
        if k < 1:
            raise SpanseekError(f"k must be at least 1, not {k}")
        filters = [Filter.parse(item) if isinstance(item, str) else item for item in where]
        question = storable_text(question)  # else neither side could read it
        watch = watch or Stopwatch()
        with watch.stage("load"):
            self.load(reading=reading)
            encoder = self.encoder
        with watch.stage("encode"):
            vector = encoder.encode_questions([question])[0]
        with ExitStack() as opened:
            with watch.stage("fetch"):
                snapshot = opened.enter_context(self._reader.snapshot())
            ranked = candidates(
                snapshot, question, vector, k, config or self._config, filters, watch, only_shown=not reading
            )
            yield snapshot, ranked

    def document(self, document_id: str) -> Document:
        """A document by its id, as hits name it.

        Raises:
            KeyError: There is none with this id.
        """
        with self._reader.snapshot() as snapshot:
            document = snapshot.document(storable_text(document_id))
        if document is None:
            raise KeyError(document_id)
        return document

    def document_ids(self) -> Sequence[str]:
        """Ids of all documents, sorted."""
        with self._reader.snapshot() as snapshot:
            return snapshot.document_ids()

    def passages(self) -> Iterator[str]:
        """The text of every passage, in the order in which they were indexed."""
        with self._reader.snapshot() as snapshot:
            yield from snapshot.texts()

    def status(self) -> IndexStatus:
        """What the index holds and how it was made."""
        with self._reader.snapshot() as snapshot:
            return snapshot.status()
