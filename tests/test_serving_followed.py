"""A server goes along with its index: commits, an index that is made anew or mended, one that is gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi", reason="what [serve] needs isn't installed")

from indexer import Indexer, InputDocument
from retriever.store.repair import repair
from tests.served import client_of, make_index

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder


def test_what_is_committed_is_found_without_a_restart(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    root = make_index(tmp_path, tiny_encoder)
    with client_of(root, tiny_encoder) as client:
        assert client.get("/api/status").json()["documents"] == 7
        with Indexer.open(root, encoder=tiny_encoder) as indexer:
            indexer.add_documents([InputDocument("new", "A mountain in Berlin.", metadata={"colour": "red"})])
            indexer.compact()
        assert client.get("/api/status").json()["documents"] == 8
        got = client.get("/api/search", params={"q": "mountain in Berlin", "k": 1}).json()
        assert got["passages"][0]["document"] == "new"
        assert "colour" in {entry["key"] for entry in client.get("/api/facets").json()["metadata"]}
        assert client.get("/api/documents/new").json()["text"] == "A mountain in Berlin."


def test_an_index_that_is_made_anew_is_found_without_a_restart(
    tmp_path: Path, tiny_encoder: TextEncoder
) -> None:
    root = make_index(tmp_path, tiny_encoder)
    with client_of(root, tiny_encoder) as client:
        for remade in range(3):
            question = {"q": f"who approves a release of {remade}?", "min_confidence": 0}
            assert client.get("/api/ask", params=question).json()["answers"][0]["text"] == "the team manager"
            before = client.get("/api/facets").json()
            shutil.rmtree(root)
            with Indexer.open(root, encoder=tiny_encoder) as indexer:  # as many commits as the one before
                (tmp_path / "docs" / "release.md").write_text(f"# Release\n\nBy the team manager {remade}.\n")
                indexer.add_paths([tmp_path / "docs"])
                indexer.add_documents(
                    [InputDocument(f"new {remade}", "Snow.", metadata={"colour": f"c{remade}"})]
                )
            found = client.get("/api/search", params={"q": "snow", "k": 20}).json()["passages"]
            assert [hit["document"] for hit in found if hit["text"] == "Snow."] == [f"new {remade}"]
            answers = client.get("/api/ask", params=question).json()["answers"]
            assert answers[0]["passage"]["text"].endswith(f"By the team manager {remade}.")
            colours = [
                entry for entry in client.get("/api/facets").json()["metadata"] if entry["key"] == "colour"
            ]
            assert [value["name"] for value in colours[0]["values"]] == [f"c{remade}"]
            assert colours[0] not in before["metadata"]
            assert client.get(f"/api/documents/new {remade}").json()["text"] == "Snow."
            assert client.get("/api/status").json()["documents"] == 7


def test_a_database_that_was_mended_into_a_new_file_is_followed(
    tmp_path: Path, tiny_encoder: TextEncoder
) -> None:
    root, many = tmp_path / "index", 40
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_documents([InputDocument(f"d{i}", f"Snow {i}. " + "wind " * 200) for i in range(many)])
        indexer.compact()
    with client_of(root, tiny_encoder) as client:
        question = {"q": "who approves a release?", "k": 5}
        assert client.get("/api/search", params=question).status_code == 200
        content = bytearray((root / "index.sqlite").read_bytes())
        place = content.rindex(b"Snow 30.") // 4096 * 4096
        content[place : place + 8] = b"\xff" * 8  # the head of a page of texts
        (root / "index.sqlite").write_bytes(content)
        before = (root / "index.sqlite").stat().st_ino
        assert repair(root).after.documents < many
        assert (root / "index.sqlite").stat().st_ino != before
        with Indexer.open(root, encoder=tiny_encoder) as indexer:
            indexer.add_documents([InputDocument("new", "A release is approved by the team manager.")])
        assert client.get("/api/search", params=question).json()["passages"][0]["document"] == "new"
        assert client.get("/api/ask", params=question).json()["answers"][0]["text"] == "the team manager"


def test_an_index_that_is_gone_is_one_line(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    root = make_index(tmp_path, tiny_encoder)
    with client_of(root, tiny_encoder) as client:
        shutil.rmtree(root)
        got = client.get("/api/documents")
        assert got.status_code == 503, got.text
        assert got.json()["error"]
        assert client.get("/healthz").json() == {"status": "ok"}
