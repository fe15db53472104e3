"""`Indexer`: an index opened for adding, updating and removing documents."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from indexer.batches import Batch, Gatherer, Position
from indexer.discover import Selection, discover
from indexer.embed import Embedder, prepared
from indexer.pipeline import Ahead, Background, Handed
from indexer.readers import ReadLimits
from indexer.readers.process import ReadingProcess
from indexer.report import IndexReport, Progress, Skipped, Tally
from retriever.config import ChunkingConfig
from retriever.errors import SpanseekError
from retriever.storable import is_storable, storable_text
from retriever.store.manifest import Manifest
from retriever.store.writer import IndexWriter
from retriever.types import Extract, Metadata

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

_ROOM, _DOCUMENT = 1 << 20, 200
"""Characters of documents from memory that are taken at once, each with so many more for what isn't its text: some
batches."""


@dataclass(frozen=True, slots=True)
class InputDocument:
    """A document given from memory.

    Attributes:
        id: Yours; adding another with the same id replaces this one.
        text: What is searched, and what offsets count in.
        title: Goes before each passage when it is embedded.
        metadata: Anything JSON can hold, for filters.
    """

    id: str
    text: str
    title: str = ""
    metadata: Metadata = field(default_factory=dict)


class Indexer:
    """The one writer of an index. Open one with `Indexer.open`; not for use by several threads."""

    def __init__(
        self, writer: IndexWriter, encoder: TextEncoder | None, limits: ReadLimits | None = None
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._files = ReadingProcess(limits or ReadLimits())

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        encoder: str | TextEncoder | None = None,
        chunking: ChunkingConfig | None = None,
        language: str | None = None,
        limits: ReadLimits | None = None,
    ) -> Self:
        """Opens an index for writing, or makes one.

        Args:
            path: The index folder.
            encoder: A loaded encoder, or the name to load one by: `default`, a model folder, a name on the hub.
                An index keeps the one that it was made with.
            chunking: How documents are cut. An index keeps what it was made with.
            language: Whose stemmer the lexical side uses, by its English name, or `none`. An index keeps it.
            limits: What reading one file may cost.

        Raises:
            IndexLockedError: Another process is writing to it.
            IndexFormatError: It is of another format version, damaged, or was made with other settings.
            EncoderError: The encoder can't be loaded.
        """
        from retriever.store.analysis import LANGUAGES
        from retriever.store.known import has_index

        if language is not None and language not in LANGUAGES:
            raise SpanseekError(f"unknown language {language!r}: one of {', '.join(LANGUAGES)}")
        root = Path(path)
        if has_index(root):
            return cls._open_existing(root, encoder, chunking, language, limits)
        loaded = _load(encoder if encoder is not None else "default")
        settings = Manifest(
            encoder=loaded.files.name,
            fingerprint=loaded.fingerprint,
            dimension=loaded.dimension,
            chunking=chunking or ChunkingConfig(),
            language=language or "english",
        )
        return cls(IndexWriter.open(root, settings), loaded, limits)

    @classmethod
    def _open_existing(
        cls,
        root: Path,
        encoder: str | TextEncoder | None,
        chunking: ChunkingConfig | None,
        language: str | None,
        limits: ReadLimits | None,
    ) -> Self:
        writer = IndexWriter.open(root)
        try:
            manifest = writer.manifest
            loaded = _load(encoder) if encoder is not None else None
            if loaded is not None:
                manifest.check(fingerprint=loaded.fingerprint, dimension=loaded.dimension)
            for name, asked, kept in (
                ("chunking", chunking, manifest.chunking),
                ("language", language, manifest.language),
            ):
                if asked is not None and asked != kept:
                    raise SpanseekError(
                        f"this index was made with {name} {kept}, not {asked}: leave it out, or index into a new folder"
                    )
        except BaseException:
            writer.close()
            raise
        return cls(writer, loaded, limits)

    def close(self) -> None:
        """Finishes what is pending and lets the next writer in."""
        try:
            self._files.close()
        finally:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def encoder(self) -> TextEncoder:
        """The index's encoder, loaded when something must be embedded.

        Raises:
            EncoderError: It can't be loaded.
            IndexFormatError: It isn't the one that the index was made with any more.
        """
        if self._encoder is None:
            manifest = self._writer.manifest
            encoder = _load(manifest.encoder, fetch=False)
            manifest.check(fingerprint=encoder.fingerprint, dimension=encoder.dimension)
            self._encoder = encoder
        return self._encoder

    def add_paths(
        self,
        paths: Iterable[str | Path],
        *,
        selection: Selection | None = None,
        prune: bool = False,
        checksum: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Adds files and folders, and brings those that are there already up to date.

        A file is left as it is if its size and time are those of last time, or its content is. What can't be read
        is skipped with its reason; if it had been read before, what was read then stays in the index.

        Args:
            paths: Files and folders.
            selection: Which files of the folders count.
            prune: Whether to remove documents whose file is gone, below the given paths.
            checksum: Whether to compare contents even where size and time are the same.
            progress: Called now and then.
        """
        begun = time.monotonic()
        roots = [Path(path) for path in paths]
        tally = Tally()
        found = list(discover(roots, selection or Selection(), self._writer.paths.root))
        total = sum(item.size for item in found)
        furthest = Position()

        def report(position: Position) -> None:
            nonlocal furthest
            if position.count >= furthest.count:  # what is read may be ahead of what is embedded
                furthest = position
            if progress is not None:
                position = furthest
                path = Path(position.name) if position.name is not None else None
                progress(Progress(position.count, len(found), position.size, total, tally.chunks, path))

        with Background() as background:
            gatherer = Gatherer(self._writer, background, self._files, lambda: self.encoder, tally)
            self._files.resume()
            with Ahead(gatherer.files(found, checksum=checksum), gatherer.stop) as ahead:
                # While nothing is there to be embedded, all that was read so far is.
                batches = ahead.take(lambda: report(gatherer.position))
                self._write(batches, background, tally, report)
        self._settle_vanished(roots, {item.name for item in found if item.problem is None}, prune, tally)
        self._writer.merge()
        report(Position(len(found), total))
        return tally.report(time.monotonic() - begun)

    def add_documents(
        self, documents: Iterable[InputDocument], *, progress: Callable[[int], None] | None = None
    ) -> IndexReport:
        """Adds documents from memory, replacing those with the same ids.

        Args:
            documents: Any number; they are taken one by one and needn't fit into memory.
            progress: Called now and then with the number of documents taken.
        """
        begun = time.monotonic()
        tally = Tally()

        def report(position: Position) -> None:
            if progress is not None:
                progress(position.count)

        handed = Handed(_usable(documents, tally), lambda document: _DOCUMENT + len(document[1].text), _ROOM)

        def filled(batches: Iterator[Batch]) -> Iterator[Batch]:
            for batch in batches:
                handed.fill()
                yield batch

        with Background() as background:
            gatherer = Gatherer(self._writer, background, self._files, lambda: self.encoder, tally)
            ahead = Ahead(gatherer.documents(handed), handed.stop)
            handed.when_empty = ahead.nudge
            with ahead:
                self._write(filled(ahead.take(handed.fill)), background, tally, report)
        self._writer.merge()
        return tally.report(time.monotonic() - begun)

    def remove(self, targets: Iterable[str | Path]) -> int:
        """Removes documents.

        Args:
            targets: Ids, paths of files or folders, or globs over ids.

        Returns:
            How many documents were removed.
        """
        removed = 0
        for target in map(str, targets):
            if not target.strip():  # else it would mean the working directory
                raise SpanseekError("a target is empty: name a document, a file, a folder or a glob")
            named = set(self._writer.paths_below([Path(target)]))
            files = [path for path in self._writer.file_paths() if path in named or fnmatchcase(path, target)]
            removed += self._writer.remove_files(files) if files else 0
            ids = [id_ for id_ in self._writer.document_ids() if id_ == target or fnmatchcase(id_, target)]
            removed += self._writer.remove_documents(ids) if ids else 0
        self._writer.merge()
        return removed

    def compact(self) -> None:
        """Rebuilds what is derived, and gives the space of what was deleted back to the file system."""
        self._writer.compact()

    def _write(
        self,
        batches: Iterable[Batch],
        background: Background,
        tally: Tally,
        report: Callable[[Position], None],
    ) -> None:
        """Embeds batches, and has each written while the next one is embedded."""
        run = background.ask(self._writer.next_run)
        embedder = Embedder(lambda: self.encoder, self._writer.manifest.chunking.context_tokens, tally)

        def commit(batch: Batch) -> None:
            tally.removed += self._writer.write(
                run,
                prepared(batch),
                unchanged=batch.unchanged,
                lines=batch.lines,
                files=batch.files,
                complete=batch.complete,
            )

        for batch in batches:
            for position in embedder.embed(batch):
                report(position)
            background.hand_over(commit, batch)
            report(batch.position)
        background.settle()

    def _settle_vanished(self, roots: list[Path], there: set[str], prune: bool, tally: Tally) -> None:
        """Removes, or counts, documents below `roots` whose file is gone; the files `there` aren't looked for again."""
        stored = set(self._writer.paths.stored_names(there))
        vanished = [
            path
            for path in self._writer.paths_below(roots)
            if path not in stored and not os.path.lexists(self._writer.paths.actual_path(path))
        ]
        if prune and vanished:
            tally.removed += self._writer.remove_files(vanished)
        elif vanished:
            tally.vanished = sum(known.documents for known in self._writer.seen_files(vanished).values())


def _usable(documents: Iterable[InputDocument], tally: Tally) -> Iterator[tuple[str, Extract]]:
    """Documents with their ids, without those that can't be stored or found."""
    for document in documents:
        if not document.text.strip():
            tally.skipped.append(Skipped(document.id, "no text in it"))
        elif not is_storable(document.id):
            reason = "its id has a NUL or half a surrogate pair in it"
            tally.skipped.append(Skipped(storable_text(document.id), reason))
        else:
            yield (
                document.id,
                Extract(document.text, "text", title=document.title, metadata=document.metadata),
            )


def _load(encoder: str | TextEncoder, *, fetch: bool = True) -> TextEncoder:
    if not isinstance(encoder, str):
        return encoder
    from retriever.encoder import TextEncoder as Encoder

    return Encoder.load(encoder, fetch=fetch)
