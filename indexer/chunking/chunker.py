"""From an extract to its chunks: sections, cut where they are too long, each with its place."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from indexer.chunking.measure import Measure
from indexer.chunking.sections import heading_paths, sections
from indexer.chunking.splitting import split
from retriever.config import ChunkingConfig
from retriever.types import Chunk, Extract, number_at

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


def chunk_document(
    extract: Extract,
    token_spans: Callable[[str], Sequence[tuple[int, int]]],
    config: ChunkingConfig,
) -> list[Chunk]:
    """Cuts a document into chunks.

    Every character that isn't white space is in at least one chunk. Chunks are sorted by `start`, begin and
    end with such a character, and overlap by whole sentences at most. Of the tokens of the whole text no more
    than `config.max_tokens` touch a chunk. A chunk holds one row, or text under one heading together with that
    heading; headings with no text of their own are in the chunk that follows them.

    Args:
        extract: Rows and headings in order and not overlapping each other's kind.
        token_spans: The half-open code-point span of each token of a text, without special tokens, in order.
        config: Sizes, in those tokens.

    Returns:
        The chunks; `page` and `line` are those of the first character, `headings` those that hold at the end.
    """
    text = extract.text
    measure = Measure(token_spans(text))
    line_at = _line_finder(extract)
    heading_starts = [heading.start for heading in extract.headings]
    paths = [(), *heading_paths(extract)]

    def fits(start: int, end: int) -> bool:
        return measure.size(start, end) <= config.max_tokens

    return [
        Chunk(
            start=piece.start,
            end=piece.end,
            page=number_at(extract.pages, piece.start),
            line=line_at(piece.start),
            headings=paths[bisect_left(heading_starts, piece.end)],
        )
        for section in sections(extract, fits)
        for piece in split(text, section, measure, config)
    ]


def _line_finder(extract: Extract) -> Callable[[int], int | None]:
    """A function that gives the line, from 1, of a position in the text."""
    lines = extract.lines
    if lines is not None:
        return lambda position: number_at(lines, position)
    line_starts = [0, *(match.end() for match in _LINE_BREAK.finditer(extract.text))]
    return lambda position: bisect_right(line_starts, position)
