"""A small served index for tests: tiny encoder, and a stand-in that knows the answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from fastapi.testclient import TestClient

from indexer import Indexer, InputDocument
from retriever.config import RerankConfig
from retriever.serving.app import create_app
from retriever.serving.desk import Desk
from retriever.serving.security import Gate
from retriever.serving.settings import ServingConfig
from tests.stand_ins import Reading

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

ADDRESS = "http://127.0.0.1:8765"
ROOT = Path(__file__).resolve().parents[1]
PDF = ROOT / "data" / "sample" / "documents" / "policies" / "lab-safety.pdf"
EVIL = "<!doctype html><title>Evil</title><p>The red cat.</p><script>document.title='run'</script>"


def make_index(folder: Path, encoder: TextEncoder) -> Path:
    """Documents of several kinds below a folder, indexed in `.spanseek` beside them."""
    docs = folder / "docs"
    (docs / "sub folder").mkdir(parents=True)
    (docs / "release.md").write_text(
        "# Release\n\nA release is approved by the team manager.\n\n## Where\n\nIn Paris, at the café 😀 on the mat.\n"
    )
    (docs / "sub folder" / "50% #1 ü?.txt").write_text("In winter snow covers the wind speed sensor.\n")
    (docs / "evil.html").write_text(EVIL)
    (docs / "rows.jsonl").write_text(
        '{"id": "r1", "text": "the cat sat", "year": 2024}\n{"id": "a/b#c", "text": "a red dog", "year": 2025}\n'
    )
    (docs / "lab-safety.pdf").write_bytes(PDF.read_bytes())
    root = folder / ".spanseek"
    with Indexer.open(root, encoder=encoder) as indexer:
        indexer.add_paths([docs])
        indexer.add_documents([InputDocument("memo", "The price fell on Monday.", metadata={"year": 2026})])
    return root


def reading() -> Reading:
    """Knows who approves a release, and little else."""
    return Reading({"the team manager": 8.0, "Monday": 6.0})


@contextmanager
def client_of(
    root: Path,
    encoder: TextEncoder,
    *,
    gate: Gate | None = None,
    config: ServingConfig | None = None,
    reader: Reading | None = None,
) -> Iterator[TestClient]:
    """What asks a server, without one."""
    desk = Desk.open(root, encoder=encoder, scorer=reader or reading(), config=config)  # type: ignore[arg-type]
    app = create_app(desk, gate or Gate())
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        yield client


class Served:
    """A server in a thread, on a free port, with what the sample's own models say."""

    def __init__(self, root: Path, gate: Gate) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        desk = Desk.open(root, rerank=RerankConfig(depth=6))
        config = uvicorn.Config(create_app(desk, gate), log_level="warning", access_log=False, ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> str:
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self.address

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()
