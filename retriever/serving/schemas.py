"""What the server answers, described for OpenAPI. The objects themselves are made by `retriever/as_json.py`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Source = Literal["same", "changed", "gone", "unknown"]


class _Exact(BaseModel):
    model_config = ConfigDict(extra="allow")


class Failure(_Exact):
    """Why there is no answer."""

    error: str = Field(description="One line.")


class TextSpan(_Exact):
    """A stretch of a document's text; places are half-open, in Unicode code points."""

    text: str
    start: int
    end: int


class PassageScores(_Exact):
    """Where a passage's rank comes from."""

    fused: float | None
    dense: float | None = Field(description="Cosine of the question's vector and the passage's.")
    lexical: float | None = Field(description="BM25 of the question's words.")


class AnswerScores(PassageScores):
    """Where an answer's confidence comes from; log-probabilities."""

    start: float | None
    end: float | None
    no_answer: float | None


Shades = list[tuple[int, int, float]]
"""Places in a passage's own text, and how likely the answer covers them."""


class Passage(_Exact):
    """A passage that was found."""

    rank: int
    score: float | None
    document: str
    path: str | None
    source: Source = Field(description="Whether the file is still what was indexed.")
    title: str
    headings: list[str]
    page: int | None
    line: int | None
    start: int
    end: int
    text: str
    scores: PassageScores
    shades: Shades | None = Field(default=None, description="With explain=true.")


class Answer(_Exact):
    """The exact words that answer: the document's text from `start` to `end`."""

    text: str
    confidence: float | None = Field(description="Probability that it is right.")
    document: str
    path: str | None
    source: Source
    page: int | None
    line: int | None
    start: int
    end: int
    passage: TextSpan
    scores: AnswerScores
    shades: Shades | None = Field(default=None, description="With explain=true.")


class Found(_Exact):
    """What a question brought, as `spanseek search --json` prints it."""

    question: str
    answers: list[Answer] = Field(description="Best first; empty: no answer.")
    confidence: float | None = Field(description="Of the best span, whether or not it is an answer.")
    passages: list[Passage]
    took_ms: float
    read: int | None = Field(default=None, description="With explain=true: how many passages were read.")
    timings_ms: dict[str, float] | None = Field(
        default=None,
        description="With explain=true: how long each stage took, without waiting in the queue. `encode` is the "
        "question's share of the pass that embedded it together with others.",
    )


class DocumentEntry(_Exact):
    """A document without its text."""

    document: str = Field(description="Its id. In a URL it is one segment: percent-encode slashes, too.")
    path: str | None
    title: str
    format: str
    language: str
    metadata: dict[str, Any]
    characters: int


class ListedDocument(DocumentEntry):
    """A document of the list."""

    pages: int = Field(description="0: it has none.")


class DocumentList(_Exact):
    """Some documents, by their ids."""

    total: int
    offset: int
    documents: list[ListedDocument]


class PageStart(_Exact):
    """Where a page begins in the text."""

    page: int
    start: int


class DocumentText(DocumentEntry):
    """A document with its text, or as much of it as was asked for."""

    pages: list[PageStart]
    start: int
    end: int
    text: str


class Box(_Exact):
    """A rectangle on a page, in parts of its width and height."""

    left: float
    top: float
    width: float
    height: float


class PageBoxes(_Exact):
    """Where some words stand on a page."""

    width: float = Field(description="Of the page, in points.")
    height: float
    boxes: list[Box] = Field(description="One a line; none where the words aren't found.")


class Choice(_Exact):
    """Something to filter by."""

    name: str
    documents: int
    where: str = Field(description="What to send as `where`.")


class KeyChoices(_Exact):
    """Values of one key of the documents' metadata."""

    key: str
    values: list[Choice]


class Facets(_Exact):
    """What documents can be filtered by."""

    folders: list[Choice]
    formats: list[Choice]
    metadata: list[KeyChoices]


class Status(_Exact):
    """What the index holds, as `spanseek status --json` prints it."""

    index: str
    files: int
    skipped: int
    documents: int
    chunks: int
    formats: dict[str, int]
    encoder: str
    dimension: int
    language: str
    pending: int = Field(description="Passages that are searched beside the files of vectors.")
    search: Literal["exact", "lists"] = Field(description="How vectors are searched.")
    lists: int
    probes: int = Field(description="How many of the lists a search looks through.")
    recall: float = Field(description="Recall@10 against exact search, measured.")
    wide_recall: float = Field(description="Recall@200, likewise.")
    size: int


class Health(_Exact):
    """That the server is there."""

    status: Literal["ok"]
