"""A small served index for tests: tiny encoder, and a stand-in that knows the answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.testclient import TestClient

from indexer import Indexer, InputDocument
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
