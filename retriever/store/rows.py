"""How files, documents and chunks become rows, with their checksums; each function within the caller's transaction."""

from __future__ import annotations

import json
import sqlite3

from retriever.context import context_line, lexical_text
from retriever.store.checksums import (
    CHUNK_COLUMNS,
    DOCUMENT_COLUMNS,
    DOCUMENTS,
    ChunkRow,
    DocumentRow,
    chunk_checksum,
    document_checksum,
    whole_chunks,
    whole_documents,
)
from retriever.store.inputs import input_key
from retriever.store.lexical import LexicalWriter
from retriever.store.records import FileRecord, PreparedDocument
from retriever.types import Anchor, number_at

_NUMBER_BYTES = 2
"""Of a number in a stored vector: float16."""


def put_file(db: sqlite3.Connection, file: FileRecord) -> None:
    """Records what is known of a file."""
    db.execute(
        "INSERT INTO files (path, size, mtime_ns, sha256, seen_ns, skipped) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,"
        " sha256 = excluded.sha256, seen_ns = excluded.seen_ns, skipped = excluded.skipped",
        [file.path, file.size, file.mtime_ns, file.sha256, file.seen_ns, file.skipped],
    )


def put_document(
    db: sqlite3.Connection, lexical: LexicalWriter, run: int, document: PreparedDocument
) -> None:
    """Adds a document and its chunks, to tantivy too; there is none with its id."""
    extract = document.extract
    file = None
    if document.file is not None:
        file = db.execute("SELECT id FROM files WHERE path = ?", [document.file]).fetchone()[0]
    key = next_id(db, "documents")
    columns = (
        key,
        document.id,
        document.file,
        extract.format,
        extract.title,
        extract.language,
        json.dumps(extract.metadata, ensure_ascii=False, default=str),
        extract.text,
        document.sha256,
        _as_json(extract.pages),
        None if extract.lines is None else _as_json(extract.lines),
    )
    db.execute(
        "INSERT INTO documents (key, id, file, format, title, language, metadata, text, sha256, pages, lines,"
        " checksum, run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [key, document.id, file, *columns[3:], document_checksum(*columns), run],
    )
    rows = []
    first = next_id(db, "chunks")
    for number, (chunk, vector) in enumerate(zip(document.chunks, document.vectors, strict=True)):
        chunk_id = first + number
        headings = json.dumps(chunk.headings, ensure_ascii=False)
        place = (key, chunk.start, chunk.end, chunk.page, chunk.line, headings, vector.tobytes())
        text = extract.text[chunk.start : chunk.end]
        key_of_input = input_key(context_line(extract.title, chunk.headings), text)
        rows.append((chunk_id, *place, chunk_checksum(chunk_id, *place), key_of_input))
        lexical.add(chunk_id, key, lexical_text(extract.title, chunk.headings, text))
    db.executemany(
        'INSERT INTO chunks (id, document, start, "end", page, line, headings, vector, checksum, input)'
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def put_lines(db: sqlite3.Connection, document_id: str, lines: tuple[Anchor, ...]) -> None:
    """Gives a document, and its chunks, new lines if it has others."""
    text = _as_json(lines)
    query = f"SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENTS} WHERE d.id = ? AND d.lines IS NOT ?"  # noqa: S608
    for document in whole_documents(db.execute(query, [document_id, text])):
        changed = document._replace(lines=text)
        db.execute(
            "UPDATE documents SET lines = ?, checksum = ? WHERE key = ?",
            [text, document_checksum(*changed[:-1]), document.key],
        )
        query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.document = ?"  # noqa: S608
        moved = [
            chunk._replace(line=number_at(lines, chunk.start))
            for chunk in whole_chunks(db.execute(query, [document.key]))
        ]
        db.executemany(
            "UPDATE chunks SET line = ?, checksum = ? WHERE id = ?",
            [(chunk.line, chunk_checksum(*chunk[:-1]), chunk.id) for chunk in moved],
        )


def has_whole_chunks(db: sqlite3.Connection, document: DocumentRow, dimension: int) -> bool:
    """Whether a document's chunks are what was written, and cover its text."""
    query = f"SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.document = ? ORDER BY c.start"  # noqa: S608
    covered = 0
    for row in db.execute(query, [document.key]):
        chunk = ChunkRow(*row)
        is_right = chunk.is_whole() and len(chunk.vector) == _NUMBER_BYTES * dimension
        if not is_right or document.text[covered : chunk.start].strip():
            return False
        covered = max(covered, chunk.end)
    return not document.text[covered:].strip()


def next_id(db: sqlite3.Connection, table: str) -> int:
    """The id that the next row of a table gets."""
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [table]).fetchone()
    return int(last[0]) + 1 if last else 1


def _as_json(anchors: tuple[Anchor, ...]) -> str:
    return json.dumps([(anchor.start, anchor.number) for anchor in anchors])
