"""What the tools return: typed, bounded, and as text that an assistant can quote from.

One law holds here too: the text of every passage and answer is the document's text from `start` to `end`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from retriever.graphemes import is_inside_grapheme
from retriever.types import Answer, Document, Hit, IndexStatus, Response, SourceState, number_at

LONGEST_PASSAGE = 2_000
"""Characters of a passage in a result; what was cut off is had by `get_document`."""
_LONGEST_METADATA = 2_000

Start = Annotated[
    int, Field(description="Where it starts in the document's text, in Unicode code points, from 0.")
]
End = Annotated[int, Field(description="Where it ends, exclusive.")]


class Place(BaseModel):
    """Where something stands."""

    document: str = Field(description="The document's id, for get_document.")
    path: str | None = Field(description="Its file; null for a document that has none.")
    title: str
    headings: list[str] = Field(description="The headings over it, outermost first.")
    page: int | None = Field(description="Page or slide in the file, where it has any.")
    line: int | None = Field(description="Line in the file, where it has any.")
    source: SourceState = Field(
        description="Whether the file is still what was indexed: same, changed, gone, or unknown."
    )


class PassageText(BaseModel):
    """A stretch of a document's text."""

    text: str
    start: Start
    end: End


class AnswerResult(Place):
    """Exact words of a document that answer the question."""

    text: str = Field(description="The answer, verbatim: quote it as it is.")
    start: Start
    end: End
    confidence: float = Field(description="Probability that these words answer the question, from 0 to 1.")
    passage: PassageText = Field(description="The passage around it, verbatim.")


class PassageResult(Place):
    """A passage that was found."""

    rank: int
    score: float = Field(description="What the ranking went by; only good to compare within one result.")
    text: str = Field(description="The passage, verbatim; cut if it is very long.")
    start: Start
    end: End


class AskResult(BaseModel):
    """The answers to a question; none is a result, too."""

    question: str
    answers: list[AnswerResult] = Field(description="Best first. Empty: the documents don't answer this.")
    confidence: float = Field(description="Probability that the best guess is right, even if it isn't shown.")
    passages: list[PassageResult] = Field(description="Where there is no answer: the nearest passages.")


class SearchResult(BaseModel):
    """The passages that fit best."""

    question: str
    passages: list[PassageResult] = Field(description="Best first.")


class DocumentResult(BaseModel):
    """A stretch of a document."""

    document: str
    path: str | None
    title: str
    format: str
    language: str
    metadata: dict[str, object] = Field(description="What the document says of itself.")
    total_length: int = Field(description="Of the whole text, in Unicode code points.")
    start: Start
    end: End
    page: int | None = Field(description="Page or slide on which the stretch starts, where there are any.")
    next_offset: int | None = Field(description="Where to go on reading; null at the end.")
    text: str


class StatusResult(BaseModel):
    """What the index holds."""

    documents: int
    passages: int
    files: int
    skipped: int = Field(description="Files that couldn't be read.")
    formats: dict[str, int] = Field(description="Documents by format.")
    language: str = Field(description="Whose word stems count.")
    encoder: str


def asked(response: Response) -> AskResult:
    """The answers of a response; its passages only where there are none."""
    return AskResult(
        question=response.question,
        answers=[_answer(answer) for answer in response.answers],
        confidence=round(response.confidence, 4),
        passages=[] if response.answers else [passage(hit) for hit in response.hits],
    )


def _answer(answer: Answer) -> AnswerResult:
    around = answer.passage
    first, last = _window(around.text, answer.start - around.start, answer.end - around.start)
    return AnswerResult(
        **_place(answer),
        text=answer.text,
        start=answer.start,
        end=answer.end,
        confidence=round(answer.confidence, 4),
        passage=PassageText(
            text=around.text[first:last], start=around.start + first, end=around.start + last
        ),
    )


def passage(hit: Hit) -> PassageResult:
    """A hit, cut if it is long."""
    _, last = _window(hit.text, 0, 0)
    return PassageResult(
        **_place(hit),
        rank=hit.rank,
        score=round(hit.score, 4),
        text=hit.text[:last],
        start=hit.start,
        end=hit.start + last,
    )


def stretch(document: Document, offset: int, length: int) -> DocumentResult:
    """`length` code points of a document from `offset` on, or what there is of them."""
    total = len(document.text)
    start, end = min(offset, total), min(offset + length, total)
    return DocumentResult(
        document=document.id,
        path=document.path,
        title=document.title,
        format=document.format,
        language=document.language,
        metadata=_bounded(document.metadata),
        total_length=total,
        start=start,
        end=end,
        page=number_at(document.pages, start),
        next_offset=end if end < total else None,
        text=document.text[start:end],
    )


def state(status: IndexStatus) -> StatusResult:
    """What the index holds."""
    return StatusResult(
        documents=status.documents,
        passages=status.chunks,
        files=status.files,
        skipped=status.skipped,
        formats=status.formats,
        language=status.language,
        encoder=status.encoder,
    )


def _place(found: Answer | Hit) -> dict[str, Any]:
    return {
        "document": found.document_id,
        "path": found.path,
        "title": found.title,
        "headings": list(found.headings),
        "page": found.page,
        "line": found.line,
        "source": found.source,
    }


def _window(text: str, start: int, end: int) -> tuple[int, int]:
    """What of a passage is shown: all of it, or about `LONGEST_PASSAGE` characters with `[start, end)` in their middle."""
    if len(text) <= LONGEST_PASSAGE:
        return 0, len(text)
    room = max(0, LONGEST_PASSAGE - (end - start))
    first = max(0, min(start - room // 2, len(text) - LONGEST_PASSAGE, start))
    last = min(len(text), max(first + LONGEST_PASSAGE, end))
    while first > 0 and is_inside_grapheme(text, first):
        first -= 1
    while last < len(text) and is_inside_grapheme(text, last):
        last += 1
    return first, last


def _bounded(metadata: Mapping[str, object]) -> dict[str, object]:
    """Metadata as far as it isn't too long."""
    kept: dict[str, object] = {}
    room = _LONGEST_METADATA
    for key, value in metadata.items():
        room -= len(key) + len(json.dumps(value, ensure_ascii=False, default=str))
        if room < 0:
            break
        kept[key] = value
    return kept


# As text


def ask_text(result: AskResult) -> str:
    """Answers with their places, or that there is none."""
    if not result.answers:
        lines = [
            "No answer: nothing in these documents is likely enough to answer this "
            f"(best guess {result.confidence:.0%}). Don't make one up."
        ]
        if result.passages:
            lines += [
                "",
                "The nearest passages, which needn't answer it:",
                "",
                _passages_text(result.passages),
            ]
        return "\n".join(lines)
    parts = []
    for number, answer in enumerate(result.answers, start=1):
        parts.append(
            f"{number}. “{answer.text}” ({answer.confidence:.0%} sure)\n"
            f"   {place_text(answer)}, characters {answer.start}-{answer.end}\n"
            f"   Passage (characters {answer.passage.start}-{answer.passage.end}):\n{answer.passage.text}"
        )
    return "\n\n".join(parts)


def search_text(result: SearchResult) -> str:
    """Passages with their places."""
    return _passages_text(result.passages) or "Nothing found."


def document_text(result: DocumentResult) -> str:
    """The stretch, after a line that says what it is."""
    more = "" if result.next_offset is None else f"; go on at offset {result.next_offset}"
    page = "" if result.page is None else f", page {result.page}"
    return (
        f"{result.document}{page}, characters {result.start}-{result.end} of {result.total_length}{more}\n\n"
        f"{result.text}"
    )


def status_text(result: StatusResult) -> str:
    """What the index holds, in two lines."""
    formats = ", ".join(f"{count} {name}" for name, count in result.formats.items())
    skipped = f", {result.skipped} more couldn't be read" if result.skipped else ""
    return (
        f"{result.documents} documents ({formats or 'none'}) in {result.passages} passages, "
        f"of {result.files} files{skipped}.\nWord stems: {result.language}. Encoder: {result.encoder}."
    )


def place_text(place: Place) -> str:
    """`handbook/releases.md, page 2, line 14`."""
    parts = [place.document]
    if place.page is not None:
        parts.append(f"page {place.page}")
    if place.line is not None:
        parts.append(f"line {place.line}")
    if place.headings:
        parts.append(f"under “{' › '.join(place.headings)}”")
    if place.source in ("changed", "gone"):
        parts.append(f"whose file is {place.source} since it was indexed")
    return ", ".join(parts)


def _passages_text(passages: list[PassageResult]) -> str:
    return "\n\n".join(
        f"{found.rank}. {place_text(found)}, characters {found.start}-{found.end}:\n{found.text}"
        for found in passages
    )
