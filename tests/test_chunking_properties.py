"""What holds for the chunks of any text, with any headings and rows."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.chunking import chunk_document
from indexer.chunking.measure import CHARACTERS_PER_TOKEN, Measure
from retriever.config import ChunkingConfig
from retriever.graphemes import is_inside_grapheme
from retriever.types import Extract, Heading, Span

_TOKEN = re.compile(r"[^\W_]{1,100}|[^\w\s\0]")  # some characters have no token

_FRAGMENTS = st.one_of(
    st.sampled_from(
        [
            "word",
            "Word.",
            "e.g.",
            "3.5",
            "No. 5",
            "¿Qué?",
            " ",
            "\n",
            "\n\n",
            "\r\n",
            "\r",
            "\r\n\r\n",
            "\t",
            "- ",
        ]
    ),
    st.sampled_from(
        [
            "漢字かな",
            "。",
            "！",
            "e\u0301",
            "\u0301",
            "\U0001f468\u200d\U0001f469",
            "\U0001f1e9\U0001f1ea",
            "\0",
        ]
    ),
    st.sampled_from(["x" * 150, "=" * 40, "| a | b |\n", "a, " * 12, " " * 200, "Sentence one. " * 5]),
    st.text(max_size=8),
)


@st.composite
def _extracts(draw: st.DrawFn) -> Extract:
    text = "".join(draw(st.lists(_FRAGMENTS, max_size=60)))
    headings = [Heading(span.start, span.end, draw(st.integers(1, 4))) for span in draw(_spans(len(text)))]
    rows = draw(_spans(len(text)))
    return Extract(text=text, format="txt", headings=tuple(headings), rows=tuple(rows))


def _spans(length: int) -> st.SearchStrategy[list[Span]]:
    """Spans in order that don't overlap."""
    edges = st.lists(st.integers(0, length), max_size=8, unique=True).map(sorted)
    return edges.map(lambda e: [Span(*pair) for pair in zip(e[::2], e[1::2], strict=False)])


_CONFIGS = st.integers(8, 40).flatmap(
    lambda limit: st.integers(0, limit // 2).map(lambda overlap: ChunkingConfig(limit, overlap))
)


def _token_spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _TOKEN.finditer(text)]


@settings(max_examples=300, deadline=None)
@given(_extracts(), _CONFIGS)
def test_chunks(extract: Extract, config: ChunkingConfig) -> None:
    text = extract.text
    tokens = _token_spans(text)
    chunks = chunk_document(extract, _token_spans, config)
    covered = bytearray(len(text))
    for chunk in chunks:
        piece = text[chunk.start : chunk.end]
        assert piece
        assert piece == piece.strip()
        assert sum(s < chunk.end and e > chunk.start for s, e in tokens) <= config.max_tokens
        assert len(piece) <= config.max_tokens * CHARACTERS_PER_TOKEN
        assert chunk.line == 1 + len(re.findall(r"\r\n|\r|\n", text[: chunk.start]))
        covered[chunk.start : chunk.end] = b"\1" * len(piece)
    assert all(covered[i] or character.isspace() for i, character in enumerate(text))

    measure = Measure(tokens)
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end
        assert measure.size(after.start, before.end) <= config.overlap_tokens

    for row in extract.rows:
        inside = [c for c in chunks if c.start < row.end and c.end > row.start]
        assert all(c.end <= row.end for c in inside)  # a heading may stand before it, nothing behind it


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab e\u0301\u200d\U0001f468\U0001f3fd\U0001f1e9\u1112\u1161", max_size=400))
def test_cuts_leave_graphemes_whole(text: str) -> None:
    chunks = chunk_document(Extract(text=text, format="txt"), _token_spans, ChunkingConfig(8, 0))
    for before, after in pairwise(chunks):
        one_long_grapheme = all(is_inside_grapheme(text, i) for i in range(before.start + 1, after.start))
        assert one_long_grapheme or not is_inside_grapheme(text, after.start, before.start)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 200), max_size=60).map(sorted),
    st.integers(0, 200),
    st.integers(0, 200),
    st.integers(1, 12),
)
def test_measure_is_its_definition(edges: list[int], start: int, end: int, size: int) -> None:
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    measure = Measure(spans)
    by_hand = sum(s < e and s < end and e > start for s, e in spans) if start < end else 0
    assert measure.tokens(start, end) == by_hand
    furthest = measure.furthest(start, size)
    assert measure.size(start, furthest) <= size < measure.size(start, furthest + 1)
    earliest = measure.earliest(end, size)
    assert measure.size(earliest, end) <= size < measure.size(earliest - 1, end)
