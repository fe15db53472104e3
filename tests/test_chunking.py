"""Chunks of small documents, by hand."""

from __future__ import annotations

import re

import pytest

from indexer.chunking import chunk_document
from retriever.config import ChunkingConfig
from retriever.types import Anchor, Chunk, Extract, Heading, Span

_TOKEN = re.compile(r"\w+|[^\w\s]")


def token_spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _TOKEN.finditer(text)]


def extract(text: str, *titles: tuple[str, int], rows: tuple[str, ...] = (), **other: object) -> Extract:
    """An extract whose headings and rows are where these strings first occur."""
    headings = tuple(Heading(text.index(t), text.index(t) + len(t), level) for t, level in titles)
    spans = tuple(Span(text.index(row), text.index(row) + len(row)) for row in rows)
    return Extract(text=text, format="txt", headings=headings, rows=spans, **other)  # type: ignore[arg-type]


def chunks_of(document: Extract, max_tokens: int = 20, overlap: int = 0) -> list[Chunk]:
    return chunk_document(document, token_spans, ChunkingConfig(max_tokens, overlap))


def texts_of(document: Extract, max_tokens: int = 20, overlap: int = 0) -> list[str]:
    return [document.text[c.start : c.end] for c in chunks_of(document, max_tokens, overlap)]


def words(count: int, end: str = ".") -> str:
    """A sentence of `count` tokens."""
    return "Word" + " word" * (count - 2) + end


@pytest.mark.parametrize("text", ["", " \n\t\r\n "])
def test_nothing_gives_nothing(text: str) -> None:
    assert texts_of(extract(text)) == []


def test_short_text_is_one_chunk() -> None:
    assert chunks_of(extract("\n  One. Two.\n\nThree.\n")) == [Chunk(3, 20, None, 2)]


def test_a_heading_starts_a_section_and_is_in_it() -> None:
    document = extract("Intro.\n# Birds\nThey fly.\n## Dunlin\nIt wades.\n# Fish\nThey swim.\n",
                       ("Birds", 1), ("Dunlin", 2), ("Fish", 1))  # fmt: skip
    assert texts_of(document) == [
        "Intro.",
        "# Birds\nThey fly.",
        "## Dunlin\nIt wades.",
        "# Fish\nThey swim.",
    ]
    assert [c.headings for c in chunks_of(document)] == [(), ("Birds",), ("Birds", "Dunlin"), ("Fish",)]
    assert [c.line for c in chunks_of(document)] == [1, 2, 4, 6]


def test_a_bare_heading_goes_with_what_follows() -> None:
    document = extract("# Title\n## Part\ntext\n# End\n", ("Title", 1), ("Part", 2), ("End", 1))
    assert texts_of(document) == ["# Title\n## Part\ntext", "# End"]
    assert [c.headings for c in chunks_of(document)] == [("Title", "Part"), ("End",)]


def test_ruled_headings_keep_their_rules() -> None:
    document = extract(
        "====\nMain\n====\n\nSub\n---\nText.\n\nNext\n----\nMore.", ("Main", 1), ("Sub", 2), ("Next", 2)
    )
    assert texts_of(document) == ["====\nMain\n====\n\nSub\n---\nText.", "Next\n----\nMore."]


def test_whole_paragraphs_are_packed() -> None:
    paragraphs = [words(8), words(8), words(12), words(20)]
    assert texts_of(extract("\n\n".join(paragraphs))) == [
        f"{paragraphs[0]}\n\n{paragraphs[1]}",
        paragraphs[2],
        paragraphs[3],
    ]


@pytest.mark.parametrize("opening", ["A title", "Ruled\n-----", "Two of them:"])
def test_what_opens_a_paragraph_stays_with_it(opening: str) -> None:
    document = extract("\n\n".join([words(12), opening, words(12)]))
    assert texts_of(document) == [words(12), f"{opening}\n\n{words(12)}"]


def test_no_tiny_tail() -> None:
    text = " ".join([words(3)] * 7)  # 21 tokens
    assert texts_of(extract(text)) == [" ".join([words(3)] * 4), " ".join([words(3)] * 3)]


def test_a_long_sentence_is_cut_at_a_clause_else_at_words() -> None:
    assert texts_of(extract(f"{words(12, ',')} {words(14)}")) == [words(12, ","), words(14)]
    assert texts_of(extract("word " * 30)) == [("word " * 15).strip()] * 2


def test_a_long_sentence_does_not_tear_the_short_one_before_it() -> None:
    assert texts_of(extract(f"{words(6)} {words(20)}\n\n{words(20)}")) == [words(6), words(20), words(20)]


def test_a_giant_word_is_cut_by_characters() -> None:
    pieces = texts_of(extract("QUJD" * 500))
    assert "".join(pieces) == "QUJD" * 500
    assert {len(piece) for piece in pieces[:-2]} == {240}


def test_graphemes_stay_whole() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3fd"
    for grapheme in ("e\u0301\u0323", family, "\U0001f1e9\U0001f1ea", "\u1112\u1161\u11ab", "❤\ufe0f"):
        for piece in texts_of(extract(grapheme * 200), max_tokens=10):
            assert len(piece) % len(grapheme) == 0, (grapheme, piece)
            assert piece.startswith(grapheme)


def test_overlap_repeats_whole_sentences() -> None:
    sentences = [f"S{i} is here now." for i in range(9)]  # 5 tokens each
    document = extract(" ".join(sentences))
    assert texts_of(document, overlap=6) == [
        " ".join(sentences[0:4]),
        " ".join(sentences[3:6]),
        " ".join(sentences[5:9]),
    ]
    assert texts_of(document, overlap=4) == [
        " ".join(sentences[0:4]),
        " ".join(sentences[4:7]),
        " ".join(sentences[7:9]),
    ]


def test_rows_are_passages() -> None:
    document = extract(
        "Prices\nPetrel 3\nDunlin 4\nin euros\nRook 5", ("Prices", 1), rows=("Petrel 3", "Dunlin 4", "Rook 5")
    )
    assert texts_of(document) == ["Prices\nPetrel 3", "Dunlin 4", "in euros", "Rook 5"]
    assert {c.headings for c in chunks_of(document)} == {("Prices",)}


def test_a_heading_does_not_cause_a_row_to_be_cut() -> None:
    row = "r" + " r" * 18
    assert texts_of(extract(f"Sheet One\n{row}", ("Sheet One", 1), rows=(row,))) == ["Sheet One", row]
    row = "r" + " r" * 27
    first, second = texts_of(extract(f"Sheet One\n{row}", ("Sheet One", 1), rows=(row,)))
    assert first.startswith("Sheet One\nr r")
    assert len(second.split()) == 15


def test_pages_and_lines() -> None:
    text = "One.\r\nTwo.\rThree.\n\nFour."
    titles = (("Two", 1), ("Four", 1))
    assert [c.line for c in chunks_of(extract(text, *titles))] == [1, 2, 5]
    assert [c.line for c in chunks_of(extract(text, *titles, lines=()))] == [None] * 3
    document = extract(text, *titles, lines=(Anchor(6, 40),), pages=(Anchor(0, 1), Anchor(11, 2)))
    assert [(c.page, c.line) for c in chunks_of(document)] == [(1, None), (1, 40), (2, 40)]
