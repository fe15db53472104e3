"""Before and after every request: who may ask, how much, and what every reply carries."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from retriever.serving.failures import refusal
from retriever.serving.limits import RateLimit, has_long_body
from retriever.serving.security import HEADERS, Gate, decoded

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DOCUMENTS = b"/api/documents/"
_LONGEST_PATH = 8_192


class Guard:
    """Lets requests through that may pass, and answers every other one itself.

    Args:
        app: What is behind it.
        gate: Who is let in.
        limit: How often.
        most_bytes: How long a body may be.
        observe: Told route, status and seconds of each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        limit: RateLimit,
        most_bytes: int,
        observe: Callable[[str, int, float], object],
    ) -> None:
        self._app = app
        self._gate = gate
        self._limit = limit
        self._most_bytes = most_bytes
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 500
        started = False

        async def told(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                _add_headers(MutableHeaders(scope=message))
            await send(message)

        try:
            refused = self._refused(scope)
            await (refused or self._app)(_as_sent(scope), receive, told)
        except Exception as error:
            sys.stderr.write(f"spanseek: {type(error).__name__}: {error}\n")
            if started:
                raise
            await refusal(500, "something went wrong in the server; its terminal says more")(
                scope, receive, told
            )
        finally:
            self._observe(_route(scope), status, time.perf_counter() - begun)

    def _refused(self, scope: Scope) -> Response | None:
        path, raw = scope["path"], dict(scope["headers"])
        refused = self._gate.refuse(path, decoded(scope["headers"]))
        if refused is not None:
            headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
            return refusal(refused.status, refused.reason, headers)
        if has_long_body(raw, self._most_bytes) or len(scope.get("raw_path") or b"") > _LONGEST_PATH:
            return refusal(413, "the request is too large")
        wait = self._limit.wait((scope.get("client") or ("", 0))[0])
        if wait:
            return refusal(429, f"too many requests: come again in {wait} s", {"Retry-After": str(wait)})
        return None


def _as_sent(scope: Scope) -> Scope:
    """Where a document is named, the path as it was sent: in its id a slash is encoded, one that isn't ends it."""
    raw: bytes = scope.get("raw_path") or b""
    if raw.startswith(_DOCUMENTS):
        return {**scope, "path": raw.partition(b"?")[0].decode("latin-1")}
    return scope


def _route(scope: Scope) -> str:
    """A route's pattern: few, and without what was asked."""
    path = scope["path"]
    if path.startswith("/api/documents/"):
        return "/api/documents/{id}"
    known = {
        "/",
        "/api/search",
        "/api/ask",
        "/api/documents",
        "/api/facets",
        "/api/status",
        "/healthz",
        "/metrics",
    }
    return path if path in known else "/static" if path.startswith("/static/") else "other"


def _add_headers(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-store")
