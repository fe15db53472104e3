"""Writing an index: files, documents, chunks; generations; what a kill left behind.

The order of a commit makes every state that a reader can meet, or that a kill can leave, a whole one:
tantivy's additions, then SQLite's transaction, then (with the next commit) tantivy's deletions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from retriever.errors import (
    IndexAccessError,
    IndexDamagedError,
    IndexFormatError,
    IndexNotFoundError,
    IndexOutdatedError,
)
from retriever.store.checksums import (
    DOCUMENT_COLUMNS,
    DOCUMENTS,
    DocumentRow,
)
from retriever.store.failures import sqlite_told, told
from retriever.store.generations import drop_old_files, names_of, needs_generation, write_generation
from retriever.store.inputs import (
    FreedVectors,
    SeenFile,
    Vector,
    file_paths,
    known_vectors,
    paths_below,
    seen_files,
)
from retriever.store.layout import IndexPaths, make_folder, size_of
from retriever.store.lock import WriterLock
from retriever.store.manifest import Manifest, is_begun, read_manifest, write_manifest
from retriever.store.records import FileRecord, PreparedDocument
from retriever.store.refill import fill_words, open_words, settle_words
from retriever.store.rows import has_whole_chunks, next_id, put_document, put_file, put_lines
from retriever.store.schema import connect, migrate, transaction
from retriever.types import Anchor


class IndexWriter:
    """The one writer of an index. Every method that changes something is one atomic commit."""

    def __init__(
        self, paths: IndexPaths, lock: WriterLock, connection: sqlite3.Connection, *, recover: bool = True
    ) -> None:
        self.paths = paths
        self._lock = lock
        self._db = connection
        self._manifest = read_manifest(connection)
        self._lexical = open_words(paths, self._manifest.language)
        self._broken = False
        self._obsolete: list[int] = []
        self._freed = FreedVectors()
        self._pending_deletes = False
        self._in_step = False
        self._documents = self._manifest.documents
        self._chunks = self._manifest.chunks
        if recover:
            self._recover()

    @classmethod
    def open(cls, root: Path, settings: Manifest | None = None, *, recover: bool = True) -> IndexWriter:
        """Opens an index for writing; makes one if `settings` are given and there is none.

        Args:
            root: The index folder.
            settings: Of a new index.
            recover: Whether to put right what a kill left; not for one that is about to be repaired.

        Raises:
            IndexNotFoundError: There is none and no settings to make one with.
            IndexLockedError: Somebody else is writing to it.
            IndexAccessError: The disk is full, or it may not be written to.
            IndexFormatError: It can't be used by this program.
        """
        paths = IndexPaths(root)
        if settings is None and not paths.database.exists():
            raise IndexNotFoundError(f"there is no index at {root}: make one with 'spanseek index PATH'")
        if root.exists() and not paths.database.exists() and (not root.is_dir() or any(_foreign(root))):
            raise IndexFormatError(f"{root} exists and is no index: name another place with --index")
        with told(root):
            make_folder(root)
            lock = WriterLock(paths.lock)
        connection = None
        try:
            with told(root):
                connection = connect(paths.database, write=True)
                migrate(connection)
                if settings is not None and not is_begun(connection):
                    open_words(paths, settings.language).close()  # a manifest promises that there is one
                    with transaction(connection):
                        write_manifest(connection, settings)
                return cls(paths, lock, connection, recover=recover)
        except BaseException:
            if connection is not None:
                connection.close()
            lock.release()
            raise

    @classmethod
    def upgrade(cls, root: Path) -> None:
        """Brings an index of an earlier format version up to date; one of this version is left alone.

        Raises:
            IndexLockedError: Somebody else is writing to it.
            IndexFormatError: It is damaged, or of a later format version.
        """
        connection = connect(IndexPaths(root).database)
        try:
            with sqlite_told(root):
                read_manifest(connection)
        except IndexOutdatedError:
            with cls.open(root) as writer:
                writer.merge()
        finally:
            connection.close()

    @property
    def manifest(self) -> Manifest:
        """As of the last commit."""
        return self._manifest

    def close(self) -> None:
        """Finishes what is pending and lets the next writer in."""
        try:
            if not self._broken:
                with told(self.paths.root):
                    self._flush_deletes()
                    self._lexical.close(self._manifest.revision if self._in_step else None)
                    self._db.execute("PRAGMA optimize")
            else:
                with suppress(IndexAccessError, IndexDamagedError):
                    self._lexical.close()
        finally:
            self._db.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What is there

    def seen_files(self, paths: Sequence[str]) -> dict[str, SeenFile]:
        """What is known of files, by their stored paths; those that aren't known are left out."""
        return seen_files(self._db, paths)

    def file_paths(self) -> Iterator[str]:
        """Stored paths of all files that are known."""
        return file_paths(self._db)

    def paths_below(self, folders: Iterable[Path]) -> list[str]:
        """Stored paths of all files that are known at or below some paths."""
        return paths_below(self._db, self.paths, folders)

    def known_vectors(self, inputs: Sequence[int]) -> dict[int, Vector]:
        """Vectors `(C,)` of passages that are stored, or were until lately, by the numbers of `inputs.input_key`."""
        found = self._freed.find(inputs)
        missing = [key for key in inputs if key not in found]
        return found | known_vectors(self._db, missing, self._manifest.dimension)

    def document_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """SHA-256 of stored documents by their ids; those that aren't there are left out."""
        query = "SELECT id, sha256 FROM documents WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._db.execute(query, [json.dumps(ids)]))

    def document_ids(self) -> list[str]:
        """Ids of all documents."""
        return [row[0] for row in self._db.execute("SELECT id FROM documents ORDER BY id")]

    def next_run(self) -> int:
        """A number for a run: greater than that of any earlier one."""
        return int(self._db.execute("SELECT coalesce(max(run), 0) + 1 FROM documents").fetchone()[0])

    # What changes it

    def write(
        self,
        run: int,
        documents: Sequence[PreparedDocument] = (),
        *,
        unchanged: Sequence[str] = (),
        lines: Mapping[str, tuple[Anchor, ...]] | None = None,
        files: Sequence[FileRecord] = (),
        complete: Sequence[str] = (),
    ) -> int:
        """One commit, and a merge if one is due.

        Args:
            run: Number of this run.
            documents: Added, or put in the place of those with the same ids.
            unchanged: Ids of documents that are as they were, marked as seen in this run.
            lines: For some of those, by id, where they stand in their file now.
            files: Recorded.
            complete: Paths of files that were read to their end: their documents not seen in this run are deleted.

        Returns:
            How many documents were deleted.
        """
        removed = 0
        with self._commit():
            for file in files:
                put_file(self._db, file)
            for document in documents:
                old = self._db.execute("SELECT key FROM documents WHERE id = ?", [document.id]).fetchone()
                if old:
                    self._delete([old[0]])
                put_document(self._db, self._lexical, run, document)
                self._documents += 1
                self._chunks += len(document.chunks)
            self._db.executemany(
                "UPDATE documents SET run = ? WHERE id = ?", [(run, id_) for id_ in unchanged]
            )
            for id_, anchors in (lines or {}).items():
                put_lines(self._db, id_, anchors)
            for path in complete:
                query = "SELECT d.key FROM documents d JOIN files f ON f.id = d.file WHERE f.path = ? AND d.run <> ?"
                keys = [row[0] for row in self._db.execute(query, [path, run]).fetchall()]
                self._delete(keys)
                removed += len(keys)
        self.merge()
        return removed

    def remove_documents(self, ids: Iterable[str]) -> int:
        """Deletes documents by id; returns how many there were."""
        with self._commit():
            keys = [
                row[0]
                for id_ in ids
                for row in self._db.execute("SELECT key FROM documents WHERE id = ?", [id_]).fetchall()
            ]
            self._delete(keys)
        return len(keys)

    def remove_files(self, paths: Iterable[str]) -> int:
        """Deletes files and their documents; returns how many documents there were."""
        removed = 0
        with self._commit():
            for path in paths:
                query = "SELECT d.key FROM documents d JOIN files f ON f.id = d.file WHERE f.path = ?"
                keys = [row[0] for row in self._db.execute(query, [path]).fetchall()]
                self._delete(keys)
                self._db.execute("DELETE FROM files WHERE path = ?", [path])
                removed += len(keys)
        return removed

    def merge(self, *, force: bool = False) -> bool:
        """Builds the next generation if enough came or went since the current one; says whether it did.

        Args:
            force: Build all of its files anew, due or not.
        """
        if not force and not needs_generation(self._db, self._manifest):
            return False
        with told(self.paths.root):
            self._flush_deletes()
            generation = write_generation(self._db, self.paths, self._manifest, anew=force)
        kept = [shard.last for shard in generation.shards if shard in self._manifest.shards]
        with self._commit():
            # Files that were written now hold none of these.
            self._db.execute("DELETE FROM tombstones WHERE chunk > ?", [max(kept, default=0)])
            self._manifest = generation
        with told(self.paths.root):
            drop_old_files(self.paths, self._manifest)
        return True

    def drop_damaged(self) -> list[str]:
        """Deletes documents that aren't what was written, so that their files are read anew; returns their ids."""
        keys, ids = [], []
        query = f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS} ORDER BY d.key"  # noqa: S608
        for row in self._db.execute(query):
            document = DocumentRow(*row)
            if not document.is_whole() or not has_whole_chunks(self._db, document, self._manifest.dimension):
                keys.append(document.key)
                ids.append(document.id)
        if keys:
            with self._commit():
                for key in keys:
                    self._db.execute(
                        "UPDATE files SET sha256 = NULL WHERE id = (SELECT file FROM documents WHERE key = ?)",
                        [key],
                    )
                self._delete(keys)
        return ids

    def compact(self) -> None:
        """Rebuilds what is derived, and gives the space of what was deleted back to the file system."""
        with told(self.paths.root):
            self._flush_deletes()
            fill_words(self._db, self._lexical)
            self.merge(force=True)
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # How

    def _delete(self, keys: Sequence[int]) -> None:
        """Deletes documents; their chunks become tombstones, and leave tantivy once this is committed."""
        for key in keys:
            self._freed.keep(self._db, key, self._manifest.dimension)
            chunks = [row[0] for row in self._db.execute("SELECT id FROM chunks WHERE document = ?", [key])]
            self._obsolete.extend(chunks)
            self._db.executemany(
                "INSERT OR IGNORE INTO tombstones (chunk) VALUES (?)", [(id_,) for id_ in chunks]
            )
            self._chunks -= self._db.execute("DELETE FROM chunks WHERE document = ?", [key]).rowcount
            self._documents -= self._db.execute("DELETE FROM documents WHERE key = ?", [key]).rowcount

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """One commit: what the body did to SQLite and tantivy, and a new revision; or, if it raises, nothing."""
        before = self._manifest
        if self._broken:
            raise IndexAccessError(f"the index at {self.paths.root} couldn't be written to: open it again")
        try:
            with told(self.paths.root), transaction(self._db):
                yield
                self._manifest = replace(
                    self._manifest,
                    documents=self._documents,
                    chunks=self._chunks,
                    revision=self._manifest.revision + 1,
                )
                write_manifest(self._db, self._manifest)
                self._lexical.commit()
        except BaseException:
            self._manifest = before
            self._documents, self._chunks = before.documents, before.chunks
            self._obsolete = []
            self._take_back()
            raise
        # From here on nobody can ask for these; the next commit carries it out.
        self._lexical.delete(self._obsolete)
        self._pending_deletes |= bool(self._obsolete)
        self._obsolete = []

    def _take_back(self) -> None:
        """Takes out of tantivy what SQLite didn't commit: it carries ids that SQLite will give again.

        What earlier commits let go goes with it: taking back forgets deletions that no commit has carried out yet.
        """
        try:
            with told(self.paths.root):
                self._lexical.rollback()
                self._lexical.delete_from(next_id(self._db, "chunks"))
                self._lexical.delete(row[0] for row in self._db.execute("SELECT chunk FROM tombstones"))
            self._pending_deletes = True
        except (IndexAccessError, IndexDamagedError):  # then the next writer does, when it opens
            self._broken = True
            self._in_step = False

    def _flush_deletes(self) -> None:
        if self._pending_deletes:
            self._lexical.commit()
            self._pending_deletes = False

    def _recover(self) -> None:
        """Puts right what a kill left: files aside, passages in tantivy that SQLite never committed or let go."""
        with told(self.paths.root):
            drop_old_files(self.paths, self._manifest)
        files = names_of(self._manifest).items()
        if any(size_of(self.paths.vectors / name) != size for name, size in files):
            self.merge(force=True)
        if not self._lexical.is_in_step(self._manifest.revision):
            settle_words(self._db, self._lexical)
        self._in_step = True


def _foreign(root: Path) -> Iterator[Path]:
    """What lies in a folder that isn't of an index: only an empty folder, or a started index, becomes one."""
    own = IndexPaths(root)
    return (path for path in root.iterdir() if path not in {own.lock, own.vectors, own.lexical, own.seen})
