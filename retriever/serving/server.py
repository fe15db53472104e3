"""Runs the server: a socket, a loop, and an end that lets what runs finish."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from retriever.access import check_access
from retriever.errors import SpanseekError
from retriever.serving.app import create_app
from retriever.serving.desk import Desk
from retriever.serving.security import Gate
from retriever.serving.settings import ServingConfig

if TYPE_CHECKING:
    from retriever.config import RerankConfig

_BACKLOG = 512
_SWITCH_INTERVAL = 0.0002
"""Seconds; Python's own is 5 ms, of which a question would wait for a part each time."""


def serve(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str | None = None,
    names: frozenset[str] = frozenset(),
    config: ServingConfig | None = None,
    rerank: RerankConfig | None = None,
    ready: Callable[[str], object] = lambda _: None,
    beside: AbstractContextManager[object] | None = None,
) -> None:
    """Answers over HTTP until it is interrupted or terminated; requests under way are finished.

    Args:
        root: The index folder.
        host: An address of this machine; one that others can reach needs a token.
        port: 0: any that is free.
        token: What whoever asks must know.
        names: Names that the server is called by, besides addresses and `localhost`.
        config: How much is allowed.
        rerank: How candidates are read.
        ready: Called with the address once it can be asked.
        beside: Entered before the index is opened and left after the last request: what shall run along.

    Raises:
        SpanseekError: There is no index, it can't be used, or the address isn't free.
    """
    check_access(host, token)
    config = config or ServingConfig()
    with (
        closing(_socket(host, port)) as listening,
        beside or nullcontext(),
        _ending(),
        _prompt_threads(),
        suppress(KeyboardInterrupt),
    ):
        desk = Desk.open(root, config=config, rerank=rerank)
        app = create_app(desk, Gate(token, names))  # which closes the desk when it ends
        settings = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # questions are nobody's business
            server_header=False,
            proxy_headers=False,
            http="h11",
            ws="none",
            lifespan="on",
            backlog=_BACKLOG,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=int(config.shutdown),
        )
        server = _Server(settings, lambda: ready(_address(listening)))
        # it ends by itself at either signal, and then lets that have its usual effect
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says when it can be asked."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


@contextmanager
def _ending() -> Iterator[None]:
    """Makes termination an interrupt, so that what is open is closed; only the main thread has signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _prompt_threads() -> Iterator[None]:
    """Lets a thread that has computed go on soon, while another is in Python.

    Preparing and answering leave Python for a moment many times a question, and each time may wait for as long as this
    to come back.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _socket(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # with the protocol: asyncio lets small packets go at once (TCP_NODELAY) only where a socket names it, and
        # without that, each reply waits 40 ms for the client to acknowledge its first half
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpanseekError(
            f"{host}, port {port} can't be used ({reason}): choose another with --port"
        ) from error
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to be opened on this machine
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
