"""The words' index made to hold what SQLite does: after a kill, a repair, or when its files are damaged."""

from __future__ import annotations

import json
import shutil
import sqlite3

from retriever.context import lexical_text
from retriever.errors import IndexDamagedError
from retriever.store.layout import IndexPaths
from retriever.store.lexical import Held, LexicalWriter
from retriever.store.rows import next_id


def open_words(paths: IndexPaths, language: str) -> LexicalWriter:
    """The words' index; a new one in the place of one that is damaged, since it is derived and is filled again."""
    try:
        return LexicalWriter(paths.lexical, language)
    except IndexDamagedError:
        shutil.rmtree(paths.lexical)
        return LexicalWriter(paths.lexical, language)


def settle_words(db: sqlite3.Connection, lexical: LexicalWriter) -> None:
    """Takes out of tantivy what SQLite never committed or has let go; fills it anew if that isn't all."""
    stored = Held(*db.execute("SELECT count(*), coalesce(sum(id), 0) FROM chunks").fetchone())
    if lexical.held() == stored:
        return
    lexical.delete_from(next_id(db, "chunks"))
    lexical.delete(row[0] for row in db.execute("SELECT chunk FROM tombstones"))
    lexical.commit()
    if lexical.held() != stored:
        fill_words(db, lexical)


def fill_words(db: sqlite3.Connection, lexical: LexicalWriter) -> None:
    """Fills tantivy from SQLite; who searches sees the old one until it is whole."""
    try:
        lexical.delete_all()
        rows = db.execute(
            'SELECT c.id, c.document, c.start, c."end", c.headings, d.title FROM chunks c'
            " JOIN documents d ON d.key = c.document ORDER BY c.document, c.id"
        )
        known, text = None, ""
        for chunk, document, start, end, headings, title in rows:
            if document != known:
                query = "SELECT text FROM documents WHERE key = ?"
                known, text = document, db.execute(query, [document]).fetchone()[0]
            lexical.add(chunk, document, lexical_text(title, json.loads(headings), text[start:end]))
        lexical.commit()
    except BaseException:  # nobody may commit a half of it
        lexical.rollback()
        raise
