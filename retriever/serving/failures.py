"""How an error is told: its status, and one line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from retriever.errors import (
    EncoderError,
    FilterError,
    IndexAccessError,
    IndexFormatError,
    IndexNotFoundError,
    SpanseekError,
)
from retriever.serving import schemas
from retriever.serving.batching import QueueFullError
from retriever.serving.documents import NoOriginalError
from retriever.serving.pictures import PictureError

_REASONS = {
    401: "The token is missing.",
    403: "The request comes from another site, or to another name.",
    404: "There is none.",
    409: "The file isn't what was indexed any more.",
    413: "The request has a body, which none needs.",
    422: "A parameter isn't understood.",
    429: "Too much at once: come again after Retry-After seconds.",
    503: "The index can't be used as things are.",
    504: "It took too long.",
}
_STATUS: Mapping[type[Exception], int] = {
    PictureError: 404,
    FilterError: 422,
    EncoderError: 503,  # of an index that took the place of the one before
    IndexFormatError: 503,
    IndexAccessError: 503,
    IndexNotFoundError: 503,
    SpanseekError: 422,
    TimeoutError: 504,
}


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Failures for OpenAPI."""
    return {status: {"model": schemas.Failure, "description": _REASONS[status]} for status in statuses}


def refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as JSON: one line."""
    content = json.dumps({"error": " ".join(reason.split())}, ensure_ascii=False)
    body = content.encode("utf-8", "backslashreplace")
    return Response(body, status, dict(headers or {}), media_type="application/json")


def add_handlers(app: FastAPI) -> None:
    """Makes every error that is raised on purpose such a line; the others are `guard.py`'s."""
    for kind, status in _STATUS.items():
        app.add_exception_handler(kind, _told(status))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(QueueFullError, _busy)
    app.add_exception_handler(NoOriginalError, _original)


def _told(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(_: Request, error: Exception) -> Response:
        return refusal(status, str(error))

    return handler


async def _invalid(_: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ["?"], "msg": "?"}
    names = [part for part in first["loc"] if isinstance(part, str)]
    return refusal(422, f"{names[-1]}: {_lower(str(first['msg']))}")


async def _http(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    reason = str(error.detail)
    is_phrase = reason == HTTPStatus(error.status_code).phrase
    return refusal(error.status_code, reason.lower() if is_phrase else reason, error.headers)


async def _busy(_: Request, error: Exception) -> Response:
    seconds = error.seconds if isinstance(error, QueueFullError) else 1
    return refusal(429, str(error), {"Retry-After": str(seconds)})


async def _original(_: Request, error: Exception) -> Response:
    return refusal(404 if isinstance(error, NoOriginalError) and error.gone else 409, str(error))


def _lower(text: str) -> str:
    """Without a capital at its beginning: it goes on after a name."""
    return text[:1].lower() + text[1:]
