"""What is embedded and committed together, and how documents are gathered until there is enough of it.

A batch is full when what of it must be embedded comes to so many tokens: enough for the encoder to put passages of one
length together, few enough for a commit every few seconds. The first ones are smaller, so that there soon is something
to be found.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from indexer.discover import Found
from indexer.files import file_hash, look_at
from indexer.pipeline import WAITING, Background, StoppedError
from indexer.prepare import CutDocument, content_hash, cut, storable
from indexer.readers.process import ReadingProcess
from indexer.report import Skipped, Tally
from retriever.errors import UnreadableError
from retriever.store.inputs import SeenFile, Vector
from retriever.store.records import FileRecord
from retriever.store.sources import is_same
from retriever.store.writer import IndexWriter
from retriever.types import Anchor, Extract, Passage

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

T = TypeVar("T")

BATCH_TOKENS = 65_536
"""To be embedded and committed together: from 350 full passages to a few thousand rows of a table."""
_FIRST_TOKENS = 8_192
_MOST_CHUNKS = 4096
"""In a batch, though they needn't be embedded: what is held in memory, and what a kill can lose."""
_MOST_ENTRIES = 2000
"""Documents and files in a batch, though they needn't be written."""
_GROUP_DOCUMENTS = 64
_GROUP_CHARACTERS = 1 << 15
"""Documents that the index is asked about at once: rows of a file are many and short. They stay in one batch, so that
what was asked about them holds."""
_BLOCK_FILES = 500
"""Files that the index is asked about at once; a question has to wait for a commit that is under way."""
IN_FLIGHT = WAITING + 1
"""Batches before one that is being gathered that the index, when it is asked, may not hold yet: those that wait, and
the one that is being embedded. What is written is asked for, and handed over, in order."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the reading is: files, or documents from memory, and bytes that are done, and what comes next."""

    count: int = 0
    size: int = 0
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A passage that must be embedded, and about how many tokens it has."""

    passage: Passage
    tokens: int


@dataclass(slots=True)
class Batch:
    """What goes into one commit.

    Attributes:
        documents: New and changed ones.
        unchanged: Ids of those that are as they were.
        lines: For some of those, by id, where they stand in their file now.
        files: What becomes known of files, in order.
        complete: Stored paths of files that were read to their end.
        wanted: What must be embedded, by the number of its input.
        vectors: Of all other passages, likewise; of all of them, once it is embedded.
        chunks: Passages of all documents.
        tokens: Of what must be embedded.
        position: How far the reading was when it was full.
    """

    documents: list[CutDocument] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    lines: dict[str, tuple[Anchor, ...]] = field(default_factory=dict)
    files: list[FileRecord] = field(default_factory=list)
    complete: list[str] = field(default_factory=list)
    wanted: dict[int, Wanted] = field(default_factory=dict)
    vectors: dict[int, Vector] = field(default_factory=dict)
    chunks: int = 0
    tokens: int = 0
    position: Position = Position()

    @property
    def entries(self) -> int:
        """Files and documents."""
        return len(self.documents) + len(self.unchanged) + len(self.files)

    def add(self, document: CutDocument, known: Mapping[int, Vector]) -> None:
        """Adds a document, of whose passages these are embedded already."""
        self.documents.append(document)
        self.chunks += len(document.chunks)
        for place, (key, tokens) in enumerate(zip(document.inputs, document.tokens, strict=True)):
            if key in known:
                self.vectors[key] = known[key]
            elif key not in self.wanted:
                self.wanted[key] = Wanted(document.passage(place), tokens)
                self.tokens += tokens


class Gatherer:
    """Reads files and documents, leaves out what hasn't changed, and gathers the rest in batches.

    Its generators may be iterated in a thread of their own. The index is asked in the background's.

    Args:
        writer: Of the index; used in the background only.
        background: Where it is used.
        files: What reads files.
        encoder: Gives the index's encoder, when the first document must be cut.
        tally: What became of documents is counted here.
    """

    def __init__(
        self,
        writer: IndexWriter,
        background: Background,
        files: ReadingProcess,
        encoder: Callable[[], TextEncoder],
        tally: Tally,
    ) -> None:
        self.position = Position()
        self._writer = writer
        self._background = background
        self._files = files
        self._encoder = encoder
        self._tally = tally
        self._stopped = threading.Event()
        self._batch = Batch()
        self._most_tokens = min(_FIRST_TOKENS, BATCH_TOKENS)
        self._hashes: deque[dict[str, str]] = deque([{}], maxlen=IN_FLIGHT + 1)

    def stop(self) -> None:
        """Ends the generators as soon as they look up, with a `StoppedError`. May be called from any thread."""
        self._stopped.set()
        self._files.stop()

    def files(self, found: Sequence[Found], *, checksum: bool = False) -> Generator[Batch, None, None]:
        """Batches of what is new in files.

        Args:
            found: The files.
            checksum: Whether to compare contents even where size and time are the same.
        """
        done = size = 0
        for block in _blocks(found):
            paths = self._writer.paths.stored_names(item.name for item in block)
            askable = [path for item, path in zip(block, paths, strict=True) if item.problem is None]
            known = self._background.ask(self._writer.seen_files, askable)
            for item, path in zip(block, paths, strict=True):
                if not self._is_as_it_was(item, known.get(path), checksum=checksum):
                    self.position = Position(done, size, item.name)
                    self._look_up()
                    yield from self._file(item, path, known.get(path))
                done += 1
                size += item.size
            self.position = Position(done, size)
        yield from self._rest()

    def documents(self, documents: Iterable[tuple[str, Extract]]) -> Generator[Batch, None, None]:
        """Batches of documents that have no file, given with their ids."""
        done = 0
        for group in _groups(documents, lambda document: document[1]):
            yield from self._documents(None, group)
            done += len(group)
            self.position = Position(done)
        yield from self._rest()

    def _is_as_it_was(self, item: Found, known: SeenFile | None, *, checksum: bool) -> bool:
        if item.problem is not None:
            self._tally.skipped.append(Skipped(item.name, item.problem))
            return True
        seen = FileRecord(item.name, item.size, item.mtime_ns, None, item.seen_ns)
        if known is None or checksum or not is_same(known.record, seen):
            return False
        self._tally.unchanged += known.documents
        return True

    def _file(self, item: Found, path: str, known: SeenFile | None) -> Generator[Batch, None, None]:
        """Gathers a file's documents."""
        file = Path(item.name)
        try:
            seen = look_at(file, path)
            sha256 = file_hash(file, self._look_up)
            if known is not None and known.record.sha256 == sha256:
                self._tally.unchanged += known.documents
                self._batch.files.append(replace(seen, sha256=sha256))
            else:
                self._batch.files.append(seen)
                for group in _groups(self._files.read(file), lambda extract: extract):
                    named = [(f"{path}#{extract.key}" if extract.key else path, extract) for extract in group]
                    yield from self._documents(path, named)
                self._batch.files.append(replace(seen, sha256=sha256))
                self._batch.complete.append(path)
        except UnreadableError as error:
            self._tally.skipped.append(Skipped(item.name, str(error)))
            record = known.record if known is not None else FileRecord(path, 0, 0, None, 0)
            self._batch.files.append(replace(record, sha256=None, skipped=str(error)))
        yield from self._full()

    def _documents(
        self, file: str | None, group: Sequence[tuple[str, Extract]]
    ) -> Generator[Batch, None, None]:
        """Gathers documents, or notes that they are there already."""
        self._look_up()
        hashes = self._background.ask(self._writer.document_hashes, [id_ for id_, _ in group])
        new: dict[int, CutDocument] = {}
        for place, (document_id, extract) in enumerate(group):
            extract = storable(extract)
            sha256 = content_hash(extract)
            before = self._hash_in_flight(document_id) or hashes.get(document_id)
            if before == sha256:
                self._tally.unchanged += 1
                continue
            chunking = self._writer.manifest.chunking
            new[place] = cut(document_id, file, extract, sha256, self._encoder().token_spans, chunking)
            self._hashes[-1][document_id] = sha256
            if before is None:
                self._tally.indexed += 1
            else:
                self._tally.updated += 1
        inputs = list({key for document in new.values() for key in document.inputs})
        known = self._background.ask(self._writer.known_vectors, inputs) if inputs else {}
        for place, (document_id, extract) in enumerate(group):
            if place in new:
                self._batch.add(new[place], known)
            else:
                self._batch.unchanged.append(document_id)
                if extract.lines:
                    self._batch.lines[document_id] = extract.lines
        yield from self._full()

    def _hash_in_flight(self, document_id: str) -> str | None:
        """Of a document that was given shortly before, and that the index may not have yet."""
        return next((hashes[document_id] for hashes in reversed(self._hashes) if document_id in hashes), None)

    def _full(self) -> Iterator[Batch]:
        batch = self._batch
        if (
            batch.tokens >= self._most_tokens
            or batch.chunks >= _MOST_CHUNKS
            or batch.entries >= _MOST_ENTRIES
        ):
            self._most_tokens = min(2 * self._most_tokens, BATCH_TOKENS)
            yield from self._rest()

    def _rest(self) -> Iterator[Batch]:
        batch, self._batch = self._batch, Batch()
        self._hashes.append({})
        if batch.entries:
            batch.position = self.position
            yield batch

    def _look_up(self) -> None:
        if self._stopped.is_set():
            raise StoppedError


def _blocks(found: Sequence[Found]) -> Iterator[list[Found]]:
    items = iter(found)
    while block := list(islice(items, _BLOCK_FILES)):
        yield block


def _groups(items: Iterable[T], extract_of: Callable[[T], Extract]) -> Iterator[list[T]]:
    """Items in lists of some; an error comes after what came before it."""
    group: list[T] = []
    characters = 0
    try:
        for item in items:
            group.append(item)
            characters += len(extract_of(item).text)
            if len(group) >= _GROUP_DOCUMENTS or characters >= _GROUP_CHARACTERS:
                yield group
                group, characters = [], 0
    except UnreadableError:
        if group:
            yield group
        raise
    if group:
        yield group
