"""`Indexer`: an index opened for adding, updating and removing documents."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from indexer.discover import Found, Selection, discover
from indexer.files import file_hash, look_at
from indexer.prepare import CutDocument, content_hash, cut, storable
from indexer.readers import ReadLimits
from indexer.readers.process import ReadingProcess
from indexer.report import IndexReport, Progress, Skipped, Tally
from retriever.config import ChunkingConfig
from retriever.errors import SpanseekError, UnreadableError
from retriever.storable import is_storable, storable_text
from retriever.store.manifest import Manifest
from retriever.store.records import FileRecord, PreparedDocument
from retriever.store.sources import is_same
from retriever.store.writer import IndexWriter
from retriever.types import Anchor, Extract, Metadata

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

_BATCH_CHUNKS = 256
"""Passages embedded and committed together: what a kill can lose, and enough for batches of one length."""
_BATCH_DOCUMENTS = 2000


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


@dataclass(slots=True)
class _Batch:
    """What goes into the next commit."""

    documents: list[CutDocument] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    lines: dict[str, tuple[Anchor, ...]] = field(default_factory=dict)
    files: list[FileRecord] = field(default_factory=list)
    complete: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    """Of documents from memory: those of files are each there once."""

    @property
    def chunks(self) -> int:
        return sum(len(document.chunks) for document in self.documents)

    @property
    def is_full(self) -> bool:
        entries = len(self.documents) + len(self.unchanged) + len(self.files)
        return self.chunks >= _BATCH_CHUNKS or entries >= _BATCH_DOCUMENTS


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
        from retriever.store.writer import has_index

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
        tally, run = Tally(), self._writer.next_run()
        found = list(discover(roots, selection or Selection(), self._writer.paths.root))
        total, done = sum(item.size for item in found), 0
        batch = _Batch()
        for i, item in enumerate(found):
            if progress is not None:
                progress(Progress(i, len(found), done, total, tally.chunks, item.path))
            batch = self._add_file(item, run, batch, tally, checksum=checksum)
            done += item.size
        self._flush(run, batch, tally)
        self._settle_vanished(roots, prune, tally)
        self._writer.merge()
        if progress is not None:
            progress(Progress(len(found), len(found), done, done, tally.chunks))
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
        tally, run = Tally(), self._writer.next_run()
        batch = _Batch()
        for count, document in enumerate(documents, start=1):
            if not document.text.strip():
                tally.skipped.append(Skipped(document.id, "no text in it"))
                continue
            if not is_storable(document.id):
                reason = "its id has a NUL or half a surrogate pair in it"
                tally.skipped.append(Skipped(storable_text(document.id), reason))
                continue
            extract = Extract(document.text, "text", title=document.title, metadata=document.metadata)
            if document.id in batch.ids:
                # What comes later counts, and is compared with what is stored by then.
                batch = self._flush(run, batch, tally)
            batch.ids.add(document.id)
            self._add_extract(document.id, None, extract, batch, tally)
            if batch.is_full:
                batch = self._flush(run, batch, tally)
                if progress is not None:
                    progress(count)
        self._flush(run, batch, tally)
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
            stored = self._writer.paths.stored_path(Path(target))
            files = [
                file.path
                for file in self._writer.files()
                if file.path == stored or file.path.startswith(f"{stored}/") or fnmatchcase(file.path, target)
            ]
            removed += self._writer.remove_files(files) if files else 0
            ids = [id_ for id_ in self._writer.document_ids() if id_ == target or fnmatchcase(id_, target)]
            removed += self._writer.remove_documents(ids) if ids else 0
        self._writer.merge()
        return removed

    def compact(self) -> None:
        """Rebuilds what is derived, and gives the space of what was deleted back to the file system."""
        self._writer.compact()

    def _add_file(self, item: Found, run: int, batch: _Batch, tally: Tally, *, checksum: bool) -> _Batch:
        """Puts a file's documents into the batch; returns the batch to go on with."""
        stored = self._writer.paths.stored_path(item.path)
        if item.problem is not None:
            tally.skipped.append(Skipped(str(item.path), item.problem))
            return batch
        known = self._writer.file(stored)
        try:
            seen = look_at(item.path, stored)
            if known is not None and not checksum and is_same(known, seen):
                tally.unchanged += self._writer.count_documents(stored)
                return batch
            sha256 = file_hash(item.path)
            if known is not None and known.sha256 == sha256:
                tally.unchanged += self._writer.count_documents(stored)
                batch.files.append(replace(seen, sha256=sha256))
                return batch
            batch.files.append(seen)
            for extract in self._files.read(item.path):
                if batch.is_full:
                    batch = self._flush(run, batch, tally)
                document_id = f"{stored}#{extract.key}" if extract.key else stored
                self._add_extract(document_id, stored, extract, batch, tally)
            batch.files.append(replace(seen, sha256=sha256))
            batch.complete.append(stored)
        except UnreadableError as error:
            tally.skipped.append(Skipped(str(item.path), str(error)))
            if known is None:
                batch.files.append(FileRecord(stored, 0, 0, None, 0, skipped=str(error)))
            else:
                batch.files.append(replace(known, sha256=None, skipped=str(error)))
        return self._flush(run, batch, tally) if batch.is_full else batch

    def _add_extract(
        self, document_id: str, file: str | None, extract: Extract, batch: _Batch, tally: Tally
    ) -> None:
        """Puts a document into the batch, or notes that it is there already."""
        extract = storable(extract)
        sha256 = content_hash(extract)
        stored = self._writer.document_hash(document_id)
        if stored == sha256:
            tally.unchanged += 1
            batch.unchanged.append(document_id)
            if extract.lines:
                batch.lines[document_id] = extract.lines
            return
        config = self._writer.manifest.chunking
        document = cut(document_id, file, extract, sha256, self.encoder.token_spans, config)
        batch.documents.append(document)
        if stored is None:
            tally.indexed += 1
        else:
            tally.updated += 1

    def _flush(self, run: int, batch: _Batch, tally: Tally) -> _Batch:
        """Embeds and commits a batch; returns an empty one."""
        passages = [passage for document in batch.documents for passage in document.passages()]
        prepared: list[PreparedDocument] = []
        if passages:
            context_tokens = self._writer.manifest.chunking.context_tokens
            vectors = self.encoder.encode_passages(passages, context_tokens=context_tokens).astype(np.float16)
            ends = np.cumsum([len(document.chunks) for document in batch.documents])
            prepared = [
                PreparedDocument(
                    document.id, document.file, document.extract, document.sha256, document.chunks, part
                )
                for document, part in zip(batch.documents, np.split(vectors, ends[:-1]), strict=True)
            ]
        if prepared or batch.unchanged or batch.files:
            tally.removed += self._writer.write(
                run,
                prepared,
                unchanged=batch.unchanged,
                lines=batch.lines,
                files=batch.files,
                complete=batch.complete,
            )
        tally.chunks += len(passages)
        return _Batch()

    def _settle_vanished(self, roots: list[Path], prune: bool, tally: Tally) -> None:
        """Removes, or counts, documents below `roots` whose file is gone."""
        below = [self._writer.paths.stored_path(root) for root in roots]
        vanished = [
            file.path
            for file in self._writer.files()
            if any(root == "." or file.path == root or file.path.startswith(f"{root}/") for root in below)
            and not os.path.lexists(self._writer.paths.actual_path(file.path))
        ]
        if prune and vanished:
            tally.removed += self._writer.remove_files(vanished)
        else:
            tally.vanished = sum(self._writer.count_documents(path) for path in vanished)


def _load(encoder: str | TextEncoder, *, fetch: bool = True) -> TextEncoder:
    if not isinstance(encoder, str):
        return encoder
    from retriever.encoder import TextEncoder as Encoder

    return Encoder.load(encoder, fetch=fetch)
