"""Where an answer stands in its file: line and page, in every kind of line break, from the anchors of its reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer
from retriever import Retriever
from retriever.config import ChunkingConfig
from retriever.encoder import TextEncoder
from retriever.types import Anchor, Extract
from tests.stand_ins import Reading


@pytest.fixture
def found_in(tmp_path: Path, tiny_encoder: TextEncoder) -> Callable[..., Any]:
    """The one answer from the one file that holds the given bytes, and its document's text."""

    def answer_of(name: str, content: bytes, words: str, chunking: ChunkingConfig | None = None) -> Any:
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_bytes(content)
        with Indexer.open(tmp_path / "index", encoder=tiny_encoder, chunking=chunking) as indexer:
            indexer.add_paths([tmp_path / "files"])
        scorer: Any = Reading({words: 5.0})
        with Retriever.open(tmp_path / "index", encoder=tiny_encoder, scorer=scorer) as retriever:
            (answer,) = retriever.ask("what?")
            text = retriever.document(answer.document_id).text
        assert text[answer.start : answer.end] == answer.text == words
        assert text[answer.passage.start : answer.passage.end] == answer.passage.text
        assert answer.path == str(tmp_path / "files" / name)
        return answer

    return answer_of


NEWLINES = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}


@pytest.mark.parametrize("newline", NEWLINES.values(), ids=NEWLINES)
@pytest.mark.parametrize(
    "chunking", [None, ChunkingConfig(max_tokens=8, overlap_tokens=0)], ids=["one chunk", "many"]
)
def test_lines_of_text(found_in: Callable[..., Any], newline: str, chunking: ChunkingConfig | None) -> None:
    lines = [
        "",
        "The café e\u0301 is open.",
        "",
        "The cat sat",
        "on the mat.",
        "",
        "",
        "Snow fell; the price",
        "of the \U0001f469\u200d\U0001f680 fell.",
        "",
    ]
    answer = found_in("text.txt", newline.join(lines).encode(), "\U0001f469\u200d\U0001f680 fell", chunking)
    assert answer.line == 9
    assert answer.page is None
    assert answer.start == len(newline.join(lines[:8]) + newline) + 7


def test_an_answer_over_several_lines_is_where_it_starts(found_in: Callable[..., Any]) -> None:
    assert (
        found_in("text.txt", b"One.\r\nThe cat\r\nsat on\r\nthe mat.\r\n", "cat\r\nsat on\r\nthe").line == 2
    )


def test_the_line_of_a_row(found_in: Callable[..., Any]) -> None:
    """Of JSON Lines the line is the row's, whatever lines its text has."""
    rows = [
        b'{"id": "a", "text": "The cat sat."}',
        b"",
        b'{"id": "b", "text": "Snow.\\n\\nIt fell\\non Monday."}',
        b"",
    ]
    answer = found_in("rows.jsonl", b"\n".join(rows), "Monday")
    assert (answer.line, answer.document_id.endswith("#b")) == (3, True)


def test_lines_and_pages_by_their_anchors(
    found_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Title page\n\nThe cat sat.\nThe price fell\non Monday."
    extract = Extract(
        text,
        "text",
        pages=(Anchor(0, 1), Anchor(text.index("The price"), 7)),
        lines=(Anchor(0, 3), Anchor(text.index("The cat"), 10), Anchor(text.index("on Monday"), 40)),
    )
    monkeypatch.setattr("indexer.api.ReadingProcess.read", lambda _, path: [extract])
    answer = found_in("any.txt", b"x", "Monday")
    assert answer.passage.text == text, "all on one chunk, which begins on page 1 and line 3"
    assert (answer.page, answer.line) == (7, 40)


@pytest.mark.parametrize(("words", "expected"), [("cat", (1, 10)), ("Title", (None, None))])
def test_the_anchor_before_the_answer_counts(
    found_in: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    expected: tuple[int | None, int | None],
) -> None:
    text = "Title page\n\nThe cat sat.\nThe price fell."
    place = text.index("The cat")
    extract = Extract(
        text, "text", pages=(Anchor(place, 1),), lines=(Anchor(place, 10), Anchor(place + 13, 11))
    )
    monkeypatch.setattr("indexer.api.ReadingProcess.read", lambda _, path: [extract])
    answer = found_in("any.txt", b"x", words)
    assert (answer.page, answer.line) == expected


def test_a_format_without_lines_has_none(
    found_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "indexer.api.ReadingProcess.read", lambda _, path: [Extract("a\nb\ncat", "text", lines=())]
    )
    assert found_in("any.txt", b"x", "cat").line is None
