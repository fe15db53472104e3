"""How a server is reached: by the program that started it, or over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import anyio
import uvicorn
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl

from retriever.access import check_access
from retriever.assistant.server import Assistant
from retriever.errors import SpanseekError

PATH = "/mcp"
_MOST_BYTES = 256 << 10
"""Of a request: no tool needs more."""
_MOST_SESSIONS = 200
_LAST_SECONDS = 5
"""That requests under way have when the server ends."""
_BLOCK = 64 << 10


def run_stdio(server: Assistant) -> None:
    """Answers on standard output what comes on standard input, until that ends or a signal comes.

    Nothing else is written to standard output: what would be goes to standard error.
    """
    anyio.run(_stdio, server)


async def _stdio(server: Assistant) -> None:
    loop = asyncio.get_running_loop()
    lines = _Lines(loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lines.end, number)
    await server.serve_lines(cast("anyio.AsyncFile[str]", lines))


class _Lines:
    """Lines of standard input, read by a thread that nobody need wait for: a signal can't end a read."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def end(self, number: int) -> None:
        """Ends them as if the other side had; a second signal ends the process."""
        self._loop.remove_signal_handler(number)
        self._queue.put_nowait(None)

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> str:
        line = await self._queue.get()
        if line is None:
            raise StopAsyncIteration
        return line

    def _read(self) -> None:
        rest = b""
        with suppress(OSError):  # it may be closed
            while block := os.read(0, _BLOCK):
                *whole, rest = (rest + block).split(b"\n")
                for line in whole:
                    self._put(line.decode("utf-8", "replace"))
        if rest:
            self._put(rest.decode("utf-8", "replace"))
        self._put(None)

    def _put(self, line: str | None) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._queue.put_nowait, line)


def run_http(
    make: Callable[..., Assistant],
    host: str,
    port: int,
    *,
    token: str | None,
    names: Iterable[str] = (),
    ready: Callable[[str], None],
) -> None:
    """Answers over HTTP until a signal comes.

    Args:
        make: Makes the server; given keyword arguments for one that asks for a token.
        host: Where to listen.
        port: Likewise; 0 for one that is free.
        token: What must come as `Authorization: Bearer TOKEN`; `None` for nothing, on this machine only.
        names: Hosts that the server is called by, besides `host`, its own name and `localhost`.
        ready: Called with the URL once it listens.

    Raises:
        SpanseekError: It can't listen there, or needs a token for it.
    """
    check_access(host, token)
    server = make(**_authorization(token))
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    known = [host, "127.0.0.1", "localhost", "[::1]", *names]
    if token is not None:
        known.append(socket.gethostname())
    hosts = [f"[{name}]" if ":" in name and not name.startswith("[") else name for name in known]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        host=host,
        max_request_body_size=_MOST_BYTES,
        max_sessions=_MOST_SESSIONS,
        transport_security=TransportSecuritySettings(
            allowed_hosts=[allowed for name in hosts for allowed in (name, f"{name}:*")],
            allowed_origins=[
                f"{scheme}://{name}{end}"
                for scheme in ("http", "https")
                for name in hosts
                for end in ("", ":*")
            ],
        ),
    )
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    ready(f"http://{hosts[0]}:{port}{PATH}")
    with listener:
        _HttpServer(config).run(sockets=[listener])


class _HttpServer(uvicorn.Server):
    """Ends by a signal as one who was asked to, not as one who was killed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _OneToken:
    """The SDK's way to ask whether a token is right."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token):
            return None
        return AccessToken(token=token, client_id="owner", scopes=[])


def _authorization(token: str | None) -> dict[str, Any]:
    if token is None:
        return {}
    # nobody issues tokens here: the URL is only there because the SDK wants one
    settings = AuthSettings(issuer_url=AnyHttpUrl("http://localhost"), resource_server_url=None)
    return {"auth": settings, "token_verifier": _OneToken(token)}


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()  # before anybody is told of it
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise SpanseekError(f"can't listen at {host}:{port}: {error.strerror or error}") from error
    return listener
