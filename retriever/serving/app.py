"""The application: its routes, its page, and who is let in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from retriever.serving import schemas, settings
from retriever.serving.desk import Desk
from retriever.serving.failures import add_handlers, described, refusal
from retriever.serving.guard import Guard
from retriever.serving.limits import RateLimit
from retriever.serving.metrics import CONTENT_TYPE
from retriever.serving.routes import Json, document_routes, index_routes, question_routes
from retriever.serving.security import Gate

STATIC = Path(__file__).parent / "static"
_PAGES = {"/": "index.html", "/reference": "reference.html", "/favicon.ico": "icon.svg"}
_MONTH = 30 * 86_400


def create_app(desk: Desk, gate: Gate) -> FastAPI:
    """The application.

    Args:
        desk: What answers; closed when the application ends.
        gate: Who is let in.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(desk.close)

    app = FastAPI(
        title="spanseek",
        summary="Answers from documents, in their own words.",
        version=version("spanseek"),
        docs_url=None,  # theirs are fetched from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        default_response_class=Json,
        responses=described(401, 403, 413, 422, 429),
    )
    for routes in (question_routes, index_routes, document_routes):
        app.include_router(routes(desk))
    _service(app, desk, gate)
    add_handlers(app)
    for path, name in _PAGES.items():
        app.add_api_route(path, _file(STATIC / name), methods=["GET"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    limit = RateLimit(desk.config.rate, desk.config.burst)
    app.add_middleware(
        Guard, gate=gate, limit=limit, most_bytes=settings.BODY_BYTES, observe=desk.metrics.request
    )
    return app


def _service(app: FastAPI, desk: Desk, gate: Gate) -> None:
    @app.post("/api/session", status_code=204, response_class=Response, tags=["service"])
    async def session(request: Request) -> Response:
        """Lets a browser in that sends the token: it gets a cookie."""
        if gate.token is None:
            return Response(status_code=204)
        if not gate.knows_token(request.headers):
            return refusal(401, "this isn't the token")
        response = Response(status_code=204)
        name = gate.cookie_name(request.headers.get("host", ""))
        response.set_cookie(name, gate.session, httponly=True, samesite="strict", max_age=_MONTH)
        return response

    @app.get("/healthz", response_model=schemas.Health, tags=["service"])
    async def health() -> Response:
        """That the server is there."""
        return Json({"status": "ok"})

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}},
        tags=["service"],
    )
    def metrics() -> Response:
        """For Prometheus."""
        return Response(desk.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _file(path: Path) -> Callable[[], Awaitable[Response]]:
    async def file() -> Response:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return file
