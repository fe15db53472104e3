"""What can be asked of an index: questions, documents, pages."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from retriever.as_json import response_as_json, shown_path
from retriever.errors import FilterError
from retriever.filters import Filter
from retriever.serving import schemas, settings
from retriever.serving.desk import Asked, Desk, Told
from retriever.serving.documents import (
    document_as_json,
    entry_as_json,
    facets_as_json,
    open_original,
    page_span,
)
from retriever.serving.failures import described
from retriever.serving.pictures import Words
from retriever.serving.security import INERT_POLICY
from retriever.types import Document

_CLIENT_CLOSED = 499
_FURTHEST = 1 << 40

Question = Annotated[
    str,
    Query(
        description="Any text.",
        min_length=1,
        max_length=settings.QUESTION_CHARACTERS,
        examples=["who approves a release?"],
    ),
]
Count = Annotated[int, Query(ge=1, le=settings.PASSAGES, description="How many passages.")]
Answers = Annotated[int, Query(ge=1, le=settings.ANSWERS, description="How many answers at most.")]
Likely = Annotated[
    float | None,
    Query(ge=0, le=1, description="Only answers that are at least this likely to be right; 0 shows every guess."),
]  # fmt: skip
Explain = Annotated[
    bool, Query(description="Say how likely each word of a passage is part of the answer, too.")
]
Where = Annotated[
    list[str],
    Query(
        description="Only documents for which this holds: KEY=VALUE, also != < <= > >=. Keys: path, id, format, "
        "title, language, or any metadata. path takes globs. May be repeated.",
        max_length=settings.FILTERS,
        examples=[["path=handbook/*"]],
    ),
]
Id = Annotated[
    str, Path(description="As `document` says; one segment: percent-encode slashes, too.", min_length=1)
]
Number = Annotated[int, Path(ge=1, le=100_000)]
Place = Annotated[int, Query(ge=0, le=_FURTHEST, description="In code points.")]
Width = Annotated[int, Query(ge=settings.PICTURE_PIXELS[0], le=settings.PICTURE_PIXELS[1], description="Pixels.")]  # fmt: skip


class Json(JSONResponse):
    """JSON as the command line prints it: readable, and with a form for bytes in paths that are no text."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def question_routes(desk: Desk) -> APIRouter:
    """Answers and passages."""
    router = APIRouter(prefix="/api", tags=["questions"], responses=described(503, 504))

    async def answer(request: Request, asked: Asked) -> Response:
        _understood(asked.where)
        begun = time.perf_counter()
        told = await _in_time(request, desk.ask(asked), desk.config.timeout)
        if told is None:
            return Response(status_code=_CLIENT_CLOSED)
        return Json(_shown(told, (time.perf_counter() - begun) * 1000, explain=asked.explain))

    @router.get("/search", response_model=schemas.Found)
    async def search(request: Request, q: Question, k: Count = 10, where: Where = []) -> Response:  # noqa: B006
        """Passages, by meaning and words, in milliseconds; nothing is read for answers."""
        return await answer(request, Asked(q, k, tuple(where), rerank=False))

    @router.get("/ask", response_model=schemas.Found)
    async def ask(
        request: Request,
        q: Question,
        k: Count = 5,
        answers: Answers = 3,
        min_confidence: Likely = None,
        where: Where = [],  # noqa: B006
        explain: Explain = False,
    ) -> Response:
        """Answers in the documents' own words, and passages."""
        asked = Asked(q, k, tuple(where), answers, min_confidence, rerank=True, explain=explain)
        return await answer(request, asked)

    return router


def index_routes(desk: Desk) -> APIRouter:
    """What the index holds."""
    router = APIRouter(prefix="/api", tags=["index"], responses=described(503))

    @router.get("/status", response_model=schemas.Status)
    def status() -> Response:
        """What the index holds, and how it was made."""
        with desk.index.using() as retriever:
            return Json({"index": shown_path(desk.root), **asdict(retriever.status())})

    @router.get("/facets", response_model=schemas.Facets)
    def facets() -> Response:
        """What documents can be filtered by: folders, formats, metadata."""
        return Json(facets_as_json(desk.catalogue.facets()))

    @router.get("/documents", response_model=schemas.DocumentList)
    def documents(
        offset: Annotated[int, Query(ge=0, le=_FURTHEST)] = 0,
        limit: Annotated[int, Query(ge=1, le=settings.LISTED)] = 50,
        where: Where = [],  # noqa: B006
    ) -> Response:
        """The documents of the index, by their ids."""
        total, entries = desk.catalogue.page(offset, limit, _understood(where))
        shown = [entry_as_json(entry) for entry in entries]
        return Json({"total": total, "offset": offset, "documents": shown})

    return router


def document_routes(desk: Desk) -> APIRouter:
    """One document: text, file, pictures of its pages. Ids come as they were sent, see `guard.py`."""
    router = APIRouter(prefix="/api/documents", tags=["documents"], responses=described(404, 409, 503))

    @router.get(
        "/{id}/page/{number}.png",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}, "description": "The picture."}},
    )
    async def picture(id: Id, number: Number, width: Width = 1200) -> Response:
        """A page of a PDF as it looks."""
        content = await desk.pictures.page(unquote(id), number, width)
        headers = {"Cache-Control": "private, max-age=60", "Content-Security-Policy": INERT_POLICY}
        return Response(content, media_type="image/png", headers=headers)

    @router.get("/{id}/page/{number}/boxes", response_model=schemas.PageBoxes)
    async def boxes(id: Id, number: Number, start: Place, end: Place) -> Response:
        """Where the document's text from `start` to `end` stands on a page of a PDF."""
        document = await asyncio.to_thread(_document, desk, unquote(id))
        first, last = page_span(document, number) or (0, 0)
        text = document.text[first:last]
        words = Words.of(text, max(0, min(start, last) - first), max(0, min(end, last) - first))
        return Json(await desk.pictures.boxes(document.id, number, words))

    @router.get(
        "/{id:path}",
        response_model=schemas.DocumentText,
        responses={
            200: {
                "content": {"application/octet-stream": {}},
                "description": "The text, or with original=1 the file.",
            }
        },
    )
    async def document(
        id: Id,
        start: Place = 0,
        end: Place = _FURTHEST,
        original: Annotated[bool, Query(description="The file itself.")] = False,
    ) -> Response:
        """A document's text from `start` to `end`, or the file that it was read from."""
        if original:
            return await asyncio.to_thread(_original, desk, unquote(id))
        found = await asyncio.to_thread(_document, desk, unquote(id))
        start = min(start, len(found.text))
        last = min(max(start, end), start + settings.DOCUMENT_CHARACTERS, len(found.text))
        return Json(document_as_json(found, start, last))

    return router


def _shown(told: Told, took_ms: float, *, explain: bool) -> dict[str, Any]:
    shown: dict[str, Any] = response_as_json(told.response, took_ms, explain=explain)
    if explain:
        for name, shades in (("answers", told.answer_shades), ("passages", told.hit_shades)):
            for item, words in zip(shown[name], shades, strict=True):
                item["shades"] = [[start, end, round(p, 4)] for start, end, p in words]
    return shown


def _understood(where: Sequence[str]) -> list[Filter]:
    """Filters, before anything is done for them.

    Raises:
        FilterError: One is too long, or isn't understood.
    """
    if any(len(expression) > settings.FILTER_CHARACTERS for expression in where):
        raise FilterError(f"a filter has at most {settings.FILTER_CHARACTERS} characters")
    return [Filter.parse(expression) for expression in where]


def _document(desk: Desk, document_id: str) -> Document:
    try:
        with desk.index.using() as retriever:
            return retriever.document(document_id)
    except KeyError:
        raise HTTPException(404, "there is no such document in the index") from None


def _original(desk: Desk, document_id: str) -> Response:
    file = open_original(desk.catalogue, document_id)
    headers = {
        # it is somebody else's: kept, never shown as one of our pages
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='', errors='replace')}",
        "Content-Length": str(file.size),
        "Content-Security-Policy": INERT_POLICY,
    }
    return StreamingResponse(file.blocks(), media_type="application/octet-stream", headers=headers)


async def _in_time(request: Request, work: Awaitable[Told], seconds: float) -> Told | None:
    """What work gives; `None` if whoever asked has gone, which cancels it, as being late does.

    Raises:
        TimeoutError: It took longer.
    """
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({answer, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if gone.done():
            return None
        raise TimeoutError(f"there was no answer within {seconds:g} s: ask again, or ask for less")
    finally:
        answer.cancel()
        gone.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
