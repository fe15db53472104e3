"""What an index says of itself, and whether this program can use it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import astuple, dataclass
from functools import lru_cache

from retriever.config import ChunkingConfig
from retriever.errors import (
    REPAIR,
    IndexDamagedError,
    IndexFormatError,
    IndexNotFoundError,
    IndexOutdatedError,
)
from retriever.store.checksums import manifest_checksum
from retriever.store.layout import FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of vectors.

    Attributes:
        name: In the folder of vectors; never used twice.
        kind: `exact`, `lists`, or `trained` for what all files of lists share.
        count: How many chunks it holds.
        last: The greatest of their ids.
        size: Bytes.
        checksum: CRC-32, for `lists` of all but the lists, which have their own.
    """

    name: str
    kind: str
    count: int
    last: int
    size: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The settings that an index was made with, and where it stands.

    Attributes:
        encoder: Name to load the encoder by.
        fingerprint: The encoder's; vectors of another one can't be compared with those stored.
        dimension: Length of a vector.
        language: Whose stemmer the lexical side uses, by its English name; `none` for no stemming.
        generation: Number of the current generation of FAISS files; 0 for none yet.
        generation_end: Chunks with greater ids came after the generation.
        shards: The generation's files, by ascending ids.
        trained: What its lists share; `None` for a generation that is searched exactly.
        trained_on: How many chunks there were when that was made.
        probes: How many lists a search looks through.
        recall: Of the generation's search against exact search, recall@10, measured on its own vectors.
        wide_recall: The same, recall@200: of all that a search takes into account.
        measured_on: How many chunks there were when that was measured.
        documents: How many there are.
        chunks: How many there are.
        revision: Counts commits; two readers that see the same number see the same index.
    """

    encoder: str
    fingerprint: str
    dimension: int
    chunking: ChunkingConfig
    language: str = "english"
    generation: int = 0
    generation_end: int = 0
    shards: tuple[Shard, ...] = ()
    trained: Shard | None = None
    trained_on: int = 0
    probes: int = 0
    recall: float = 1.0
    wide_recall: float = 1.0
    measured_on: int = 0
    documents: int = 0
    chunks: int = 0
    revision: int = 0

    @property
    def files(self) -> tuple[Shard, ...]:
        """All files of the generation."""
        return self.shards if self.trained is None else (self.trained, *self.shards)

    def check(self, *, fingerprint: str, dimension: int) -> None:
        """Raises IndexFormatError unless vectors of this encoder can be compared with those stored."""
        if (fingerprint, dimension) != (self.fingerprint, self.dimension):
            raise IndexFormatError(
                f"this index was made with another encoder ({self.encoder!r}, {self.dimension} dimensions, "
                f"fingerprint {self.fingerprint[:12]}; this one has {dimension} and {fingerprint[:12]}): "
                "use that encoder, or index again into a new folder"
            )


def is_begun(connection: sqlite3.Connection) -> bool:
    """Whether a database is an index, and not one whose making was stopped before there was anything in it."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    parts = [
        f"EXISTS (SELECT 1 FROM {table})"  # noqa: S608
        for table in ("manifest", "files", "documents")
        if table in tables
    ]
    return bool(parts) and bool(connection.execute(f"SELECT {' OR '.join(parts)}").fetchone()[0])


def read_manifest(connection: sqlite3.Connection) -> Manifest:
    """Reads and checks the manifest.

    Raises:
        IndexNotFoundError: The making of the index was stopped before it had one.
        IndexOutdatedError: It is of an earlier format version.
        IndexDamagedError: It isn't what was written.
        IndexFormatError: It is of a later format version, or of settings that this version doesn't know.
    """
    if not is_begun(connection):
        raise IndexNotFoundError(
            "there is no index yet, its making was stopped: run 'spanseek index PATH' again"
        )
    try:
        return _parsed(tuple(connection.execute("SELECT key, value FROM manifest")))
    except (KeyError, TypeError, ValueError) as error:
        raise IndexDamagedError(f"the index's manifest can't be read ({error}){REPAIR}") from error


@lru_cache(maxsize=8)
def _parsed(stored: tuple[tuple[str, str], ...]) -> Manifest:
    """What a manifest's rows say. Every search reads them, and they are mostly those of the last one."""
    rows = dict(stored)
    version = int(rows["format_version"])
    if version < FORMAT_VERSION:
        raise IndexOutdatedError(
            f"this index was written by an earlier spanseek, in format version {version}; this one reads version "
            f"{FORMAT_VERSION}: 'spanseek verify --repair' brings it up to date"
        )
    if version > FORMAT_VERSION:
        raise IndexFormatError(
            f"this index has format version {version}, this spanseek reads version {FORMAT_VERSION}: upgrade spanseek"
        )
    if int(rows["checksum"]) != manifest_checksum(rows):
        raise ValueError("its checksum is wrong")
    return Manifest(
        encoder=rows["encoder"],
        fingerprint=rows["fingerprint"],
        dimension=int(rows["dimension"]),
        chunking=ChunkingConfig.from_json(rows["chunking"]),
        language=rows["language"],
        generation=int(rows["generation"]),
        generation_end=int(rows["generation_end"]),
        shards=tuple(Shard(*shard) for shard in json.loads(rows["shards"])),
        trained=Shard(*trained) if (trained := json.loads(rows["trained"])) else None,
        trained_on=int(rows["trained_on"]),
        probes=int(rows["probes"]),
        recall=float(rows["recall"]),
        wide_recall=float(rows["wide_recall"]),
        measured_on=int(rows["measured_on"]),
        documents=int(rows["documents"]),
        chunks=int(rows["chunks"]),
        revision=int(rows["revision"]),
    )


def write_manifest(connection: sqlite3.Connection, manifest: Manifest) -> None:
    """Stores the manifest, inside the caller's transaction."""
    values = {
        "format_version": FORMAT_VERSION,
        "encoder": manifest.encoder,
        "fingerprint": manifest.fingerprint,
        "dimension": manifest.dimension,
        "chunking": manifest.chunking.to_json(),
        "language": manifest.language,
        "generation": manifest.generation,
        "generation_end": manifest.generation_end,
        "shards": json.dumps([astuple(shard) for shard in manifest.shards]),
        "trained": json.dumps(manifest.trained and astuple(manifest.trained)),
        "trained_on": manifest.trained_on,
        "probes": manifest.probes,
        "recall": manifest.recall,
        "wide_recall": manifest.wide_recall,
        "measured_on": manifest.measured_on,
        "documents": manifest.documents,
        "chunks": manifest.chunks,
        "revision": manifest.revision,
    }
    rows = {key: str(value) for key, value in values.items()}
    rows["checksum"] = str(manifest_checksum(rows))
    connection.executemany(
        "INSERT INTO manifest (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        list(rows.items()),
    )
