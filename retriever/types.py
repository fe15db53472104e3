"""The vocabulary that every part shares: documents, chunks, hits.

One law holds for every offset here: half-open, in Unicode code points, into the document's text, so that
`document.text[hit.start:hit.end] == hit.text`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Metadata = Mapping[str, object]
"""User metadata: what JSON can hold, by name."""

SourceState = Literal["same", "changed", "gone", "unknown"]
"""How a result's file compares with what was indexed of it, when it was found:

    same     it is what was indexed; also a document from memory, which has no file
    changed  its content is another: the text shown, its line and its page are those of what was indexed
    gone     there is no such file any more, or no regular one
    unknown  it is there, but can't be compared: no permission, or it is too large to be read for this alone
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in a document's text, `text[start:end]`; `level` 1 is the outermost."""

    start: int
    end: int
    level: int


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of code points in a document's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """From code point `start` of the text on, the original is at `number` (a page, a slide, a line), from 1."""

    start: int
    number: int


@dataclass(frozen=True, slots=True)
class Extract:
    """What a reader makes of one document: its text, and where each part of it stands in the original.

    Attributes:
        text: The document's text. For formats that are text themselves it is the file's decoded text
            unchanged, so that offsets and lines are the file's own.
        format: Short name of the format: `pdf`, `markdown`, `docx`, ...
        key: Name of the document inside a file that holds many (a row of `.jsonl`); empty for a file that
            is one document.
        title: The document's own title, where it has one; empty otherwise.
        language: ISO 639-1 code where the document states it; empty otherwise.
        metadata: What the document says of itself (author, date, any key of a `.jsonl` row).
        headings: In order of `start`, not overlapping.
        rows: Spans that make a passage each (rows of a sheet or of a CSV file), in order, not overlapping.
        pages: In order of `start`. Empty where the format has no pages.
        lines: In order of `start`. `None`: the text is the file's own, count its newlines. Empty: the
            format has no lines.
    """

    text: str
    format: str
    key: str = ""
    title: str = ""
    language: str = ""
    metadata: Metadata = field(default_factory=dict)
    headings: tuple[Heading, ...] = ()
    rows: tuple[Span, ...] = ()
    pages: tuple[Anchor, ...] = ()
    lines: tuple[Anchor, ...] | None = None


def number_at(anchors: tuple[Anchor, ...], position: int) -> int | None:
    """The page or line that `position` is on, or None before the first anchor.

    >>> number_at((Anchor(0, 1), Anchor(10, 2)), 10)
    2
    """
    index = bisect_right(anchors, position, key=lambda anchor: anchor.start) - 1
    return anchors[index].number if index >= 0 else None


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to embed, and what stands over it (title and headings), which its vector should know of."""

    text: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document as the index holds it: `text[start:end]`, under the headings `headings`."""

    start: int
    end: int
    page: int | None = None
    line: int | None = None
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A document as the index holds it.

    Attributes:
        id: Stable: the path for a file that is one document, `path#key` for one of many in a file, and what the
            caller gave for a document from memory.
        path: Its file; `None` for a document from memory.
        text: What every offset counts in.
        pages: Where each page starts; empty where the format has none.
    """

    id: str
    path: str | None
    format: str
    title: str
    language: str
    metadata: Metadata
    text: str
    pages: tuple[Anchor, ...] = ()


@dataclass(frozen=True, slots=True)
class Scores:
    """Where a hit's rank comes from.

    Attributes:
        fused: From 0 to 1: the weighted sum of both sides' scores, each scaled to 0 ... 1 over its candidates.
        dense: Cosine of the question's vector and the passage's; `None` where it wasn't among the candidates.
        lexical: BM25 of the question's words; `None` likewise.
        span: Log of how much likelier its best span is than no answer; `None` where it wasn't read.
    """

    fused: float
    dense: float | None = None
    lexical: float | None = None
    span: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found: `document.text[start:end] == text`.

    Attributes:
        rank: From 1.
        score: What the ranking went by: the fused score, and what reading the passage added to it.
        document_id: Id of its document.
        path: The document's file; `None` for a document from memory.
        title: The document's title, maybe empty.
        headings: The headings over it, outermost first.
        page: Page or slide in the original, where it has any.
        line: Line in the original, where it has any.
        source: Whether the file is still what was indexed.
    """

    rank: int
    score: float
    document_id: str
    path: str | None
    title: str
    headings: tuple[str, ...]
    page: int | None
    line: int | None
    start: int
    end: int
    text: str
    scores: Scores
    source: SourceState = "same"


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A stretch of a document's text: `document.text[start:end] == text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Where an answer's confidence comes from.

    Attributes:
        fused: The passage's score before spans were looked at, from 0 to 1.
        dense: As in `Scores`.
        lexical: As in `Scores`.
        start: Log-probability that the answer starts at its first token, among the passage's tokens and no answer.
        end: Log-probability that it ends at its last token, likewise.
        no_answer: Log-probability, start's and end's together, that the passage doesn't answer.
    """

    fused: float
    dense: float | None
    lexical: float | None
    start: float
    end: float
    no_answer: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Exact words that answer: `document.text[start:end] == text`.

    Attributes:
        rank: From 1.
        confidence: Probability that these words answer the question, calibrated; from 0 to 1.
        document_id: Id of its document.
        path: The document's file; `None` for a document from memory.
        title: The document's title, maybe empty.
        headings: The headings over the passage, outermost first.
        page: Page or slide that the answer starts on, where there are any.
        line: Line that the answer starts on, where there are any.
        passage: What it was read in.
        scores: What the confidence was computed from.
        source: Whether the file is still what was indexed.
    """

    rank: int
    confidence: float
    document_id: str
    path: str | None
    title: str
    headings: tuple[str, ...]
    page: int | None
    line: int | None
    start: int
    end: int
    text: str
    passage: TextSpan
    scores: AnswerScores
    source: SourceState = "same"


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one question went, in milliseconds; a stage that wasn't needed took none.

    Attributes:
        load: Loading models, the first time that they are needed; never part of another stage.
        encode: From the question to its vector.
        dense: Which passages mean something near.
        lexical: Which hold its words.
        fetch: Opening the state of the index, filters, fusing both sides, and looking up what was found.
        read: Reading the best candidates for answers.
        rank: From what was read to answers and passages, each with its place.
        total: All of it, and the little between the stages.
    """

    load: float = 0.0
    encode: float = 0.0
    dense: float = 0.0
    lexical: float = 0.0
    fetch: float = 0.0
    read: float = 0.0
    rank: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Response:
    """All that one question brought.

    Attributes:
        question: As it was asked.
        answers: Best first, spans that don't overlap; empty where nothing is likely enough to be the answer.
        hits: The passages, best first.
        confidence: Probability that the best span is right, whether or not it was likely enough to be in `answers`;
            0 where no span was found or none was looked for.
        read: How many of the candidates were read for it.
        timings: Where the time went.
    """

    question: str
    answers: tuple[Answer, ...]
    hits: tuple[Hit, ...]
    confidence: float
    read: int = 0
    timings: Timings = field(default_factory=Timings, compare=False)


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index holds and how it was made.

    Attributes:
        files: Indexed files.
        skipped: Files that couldn't be read.
        formats: Documents by format.
        encoder: Name of the encoder.
        dimension: Length of a vector.
        language: Whose stemmer the lexical side uses.
        pending: Passages that are searched beside the FAISS files until the next one is built.
        search: How vectors are searched: `exact`, or by `lists` of those that are alike.
        lists: How many lists there are.
        probes: How many of them a search looks through.
        recall: Recall@10 of that search against exact search, measured on the index's own vectors.
        wide_recall: Recall@200: of all that a search takes into account.
        size: Bytes on disk.
    """

    files: int
    skipped: int
    documents: int
    chunks: int
    formats: dict[str, int]
    encoder: str
    dimension: int
    language: str
    pending: int
    search: str
    lists: int
    probes: int
    recall: float
    wide_recall: float
    size: int
