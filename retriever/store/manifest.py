"""What an index says of itself, and whether this program can use it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from retriever.config import ChunkingConfig
from retriever.errors import IndexFormatError
from retriever.store.layout import FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class Manifest:
    """The settings that an index was made with, and where it stands.

    Attributes:
        encoder: Name to load the encoder by.
        fingerprint: The encoder's; vectors of another one can't be compared with those stored.
        dimension: Length of a vector.
        language: Whose stemmer the lexical side uses, by its English name; `none` for no stemming.
        generation: Number of the current FAISS file; 0 for none yet.
        generation_end: Chunks with greater ids came after the generation.
        recall: Of the generation's search against exact search, recall@10 measured when it was built.
        revision: Counts commits; two readers that see the same number see the same index.
    """

    encoder: str
    fingerprint: str
    dimension: int
    chunking: ChunkingConfig
    language: str = "english"
    generation: int = 0
    generation_end: int = 0
    recall: float = 1.0
    revision: int = 0

    def check(self, *, fingerprint: str, dimension: int) -> None:
        """Raises IndexFormatError unless vectors of this encoder can be compared with those stored."""
        if (fingerprint, dimension) != (self.fingerprint, self.dimension):
            raise IndexFormatError(
                f"this index was made with another encoder ({self.encoder!r}, {self.dimension} dimensions, "
                f"fingerprint {self.fingerprint[:12]}; this one has {dimension} and {fingerprint[:12]}): "
                "use that encoder, or index again into a new folder"
            )


def read_manifest(connection: sqlite3.Connection) -> Manifest:
    """Reads and checks the manifest.

    Raises:
        IndexFormatError: It is of another format version, or isn't there.
    """
    try:
        rows = dict(connection.execute("SELECT key, value FROM manifest"))
        version = int(rows["format_version"])
        if version != FORMAT_VERSION:
            raise IndexFormatError(
                f"this index has format version {version}, this spanseek reads version {FORMAT_VERSION}: "
                + ("upgrade spanseek" if version > FORMAT_VERSION else "index again into a new folder")
            )
        return Manifest(
            encoder=rows["encoder"],
            fingerprint=rows["fingerprint"],
            dimension=int(rows["dimension"]),
            chunking=ChunkingConfig.from_json(rows["chunking"]),
            language=rows["language"],
            generation=int(rows["generation"]),
            generation_end=int(rows["generation_end"]),
            recall=float(rows["recall"]),
            revision=int(rows["revision"]),
        )
    except (sqlite3.DatabaseError, KeyError, ValueError) as error:
        raise IndexFormatError(
            f"the index's manifest can't be read ({error}): index into a new folder"
        ) from error


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
        "recall": manifest.recall,
        "revision": manifest.revision,
    }
    connection.executemany(
        "INSERT INTO manifest (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [(key, str(value)) for key, value in values.items()],
    )
