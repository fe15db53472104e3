"""The server's answers: the command line's JSON, documents, files, pages, and what is said of errors."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi", reason="what [serve] needs isn't installed")

from fastapi.testclient import TestClient
from PIL import Image

from indexer import Indexer
from retriever import Retriever
from retriever.as_json import response_as_json
from retriever.serving import schemas
from retriever.serving.desk import Asked, Desk, Told
from retriever.store import generations
from retriever.store.dense import Generation
from tests.served import EVIL, PDF, ROOT, client_of, make_index, reading

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder
    from retriever.store.vectors import Ids, Vectors

SAMPLE = ROOT / "data" / "sample"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: TextEncoder) -> Path:
    return make_index(tmp_path_factory.mktemp("served"), tiny_encoder)


@pytest.fixture(scope="module")
def client(root: Path, tiny_encoder: TextEncoder) -> Iterator[TestClient]:
    with client_of(root, tiny_encoder) as client:
        yield client


def named(client: TestClient, end: str) -> str:
    """The path of a document by the end of its id, as a program would make it."""
    listed = client.get("/api/documents").json()["documents"]
    (found,) = [item["document"] for item in listed if item["document"].endswith(end)]
    return f"/api/documents/{quote(found, safe='')}"


@pytest.mark.parametrize(("path", "rerank"), [("/api/ask", True), ("/api/search", False)])
def test_the_json_is_the_command_lines(
    client: TestClient, root: Path, tiny_encoder: TextEncoder, path: str, rerank: bool
) -> None:
    question = "who approves a release?"
    got = client.get(path, params={"q": question, "k": 3}).json()
    with Retriever.open(root, encoder=tiny_encoder, scorer=reading()) as retriever:  # type: ignore[arg-type]
        wanted = response_as_json(retriever.respond(question, 3, rerank=rerank), got["took_ms"])
    assert got == json.loads(json.dumps(wanted))
    assert got["passages"]
    assert bool(got["answers"]) is rerank


def test_an_answer_stands_at_its_place(client: TestClient) -> None:
    answer = client.get("/api/ask", params={"q": "who approves a release?"}).json()["answers"][0]
    assert answer["text"] == "the team manager"
    document = client.get(f"/api/documents/{quote(answer['document'], safe='')}").json()
    assert document["text"][answer["start"] : answer["end"]] == answer["text"]
    assert document["text"].splitlines()[answer["line"] - 1] == "A release is approved by the team manager."


def test_explaining_adds_shades_whose_places_are_in_the_passage(client: TestClient) -> None:
    found = client.get("/api/ask", params={"q": "who approves?", "explain": "true"}).json()
    answer = found["answers"][0]
    shades = {answer["passage"]["text"][start:end]: share for start, end, share in answer["shades"]}
    assert shades["manager"] > 0.9
    assert all("shades" in passage for passage in found["passages"])
    assert "shades" not in client.get("/api/ask", params={"q": "who approves?"}).json()["answers"][0]


@pytest.mark.integration
def test_answers_are_those_of_one_who_asks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the models that come along: questions that are embedded and compared together, and read side by side."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(generations, "_AT_LEAST", 10)
    root = tmp_path / "index"
    with Indexer.open(root) as indexer:
        indexer.add_paths([SAMPLE / "documents" / folder for folder in ("handbook", "policies")])
    rows = map(json.loads, (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines())
    here = [
        row["question"]
        for row in rows
        if any(path.startswith(("handbook/", "policies/")) for path in row["documents"])
    ]
    questions = here[:16]
    with Retriever.open(root) as retriever:
        alone = [retriever.respond(question, 3) for question in questions]
        unread = [retriever.respond(question, 3, rerank=False) for question in questions]
    assert sum(bool(response.answers) for response in alone) >= 4
    with closing(Desk.open(root)) as desk:

        async def ask(rerank: bool) -> list[Told]:
            asked = [Asked(question, 3, rerank=rerank) for question in questions]
            return await asyncio.gather(*map(desk.ask, asked))

        together = [told.response for told in asyncio.run(ask(True))]
        compared: list[int] = []
        real = Generation.search_many

        def counting(self: Generation, vectors: Vectors, limit: int, without: Ids) -> object:
            compared.append(len(vectors))
            return real(self, vectors, limit, without)

        monkeypatch.setattr(Generation, "search_many", counting)
        passages = [told.response.hits for told in asyncio.run(ask(False))]
    assert sum(compared) >= len(questions) - 1, "the first may have been taken alone"
    for one, hits in zip(unread, passages, strict=True):
        assert [(hit.document_id, hit.start, hit.score) for hit in one.hits] == [
            (hit.document_id, hit.start, pytest.approx(hit.score, abs=1e-5)) for hit in hits
        ]
    for one, other in zip(alone, together, strict=True):
        assert [answer.text for answer in one.answers] == [answer.text for answer in other.answers]
        assert [(hit.document_id, hit.start) for hit in one.hits] == [
            (hit.document_id, hit.start) for hit in other.hits
        ]
        assert one.read == other.read
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)


def test_the_time_of_embedding_is_told_though_it_was_done_before(
    root: Path, tiny_encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = tiny_encoder.encode_questions

    def slowly(questions: Sequence[str], *, narrow: bool = False) -> object:
        time.sleep(0.05)
        return compute(questions, narrow=narrow)

    monkeypatch.setattr(tiny_encoder, "encode_questions", slowly)
    with client_of(root, tiny_encoder) as client:
        question = {"q": "who approves a release slowly?", "explain": True}
        first, again = (client.get("/api/ask", params=question).json()["timings_ms"] for _ in range(2))
    assert 50 <= first["encode"] < first["total"]
    assert again["encode"] < 50, "it was known"
    assert "share" in str(schemas.Found.model_fields["timings_ms"].description)


def test_filters_are_those_of_the_command_line(client: TestClient) -> None:
    got = client.get("/api/search", params={"q": "the cat", "where": ["year>=2025", "format=jsonl"]}).json()
    assert [passage["document"].rpartition("#")[2] for passage in got["passages"]] == ["c"]


def test_facets_give_filters_that_find_what_they_count(client: TestClient) -> None:
    facets = client.get("/api/facets").json()
    years = {choice["name"]: choice for choice in {k["key"]: k["values"] for k in facets["metadata"]}["year"]}
    assert set(years) == {"2024", "2025", "2026"}
    choices = [*facets["folders"], *facets["formats"], *years.values()]
    assert [choice["name"] for choice in facets["folders"]] == ["sub folder"], "all files are below docs"
    for choice in choices:
        listed = client.get("/api/documents", params={"where": choice["where"]}).json()
        assert listed["total"] == choice["documents"], choice


def test_documents_are_listed_page_by_page(client: TestClient) -> None:
    whole = client.get("/api/documents").json()
    ids = [item["document"] for item in whole["documents"]]
    assert whole["total"] == len(ids) == 7
    assert ids == sorted(ids)
    paged = [
        item["document"]
        for offset in range(0, 8, 2)
        for item in client.get("/api/documents", params={"offset": offset, "limit": 2}).json()["documents"]
    ]
    assert paged == ids


def test_every_id_goes_there_and_back(client: TestClient) -> None:
    for item in client.get("/api/documents").json()["documents"]:
        got = client.get(f"/api/documents/{quote(item['document'], safe='')}")
        assert got.status_code == 200, item
        assert got.json()["document"] == item["document"]
        assert got.json()["characters"] == item["characters"]
    literal = client.get("/api/documents/docs/release.md")  # as somebody types it
    assert literal.json()["title"] == "Release"


def test_a_part_of_a_text_is_counted_in_code_points(client: TestClient) -> None:
    path = named(client, "release.md")
    text = client.get(path).json()["text"]
    place = text.index("😀")
    part = client.get(path, params={"start": place, "end": place + 3}).json()
    assert (part["text"], part["start"], part["end"]) == ("😀 o", place, place + 3)
    beyond = client.get(path, params={"start": 10_000}).json()
    assert (beyond["text"], beyond["start"], beyond["end"]) == ("", len(text), len(text))


def test_the_original_is_the_file_and_inert(client: TestClient) -> None:
    got = client.get(named(client, "evil.html"), params={"original": "1"})
    assert got.text == EVIL
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''evil.html"
    assert "sandbox" in got.headers["content-security-policy"]
    assert got.headers["x-content-type-options"] == "nosniff"
    odd = client.get(named(client, "ü?.txt"), params={"original": "1"})
    assert odd.headers["content-disposition"] == "attachment; filename*=UTF-8''50%25%20%231%20%C3%BC%3F.txt"


def test_a_document_from_memory_has_no_original(client: TestClient) -> None:
    got = client.get("/api/documents/memo", params={"original": "1"})
    assert (got.status_code, got.json()) == (404, {"error": "this document has no file"})


@pytest.mark.parametrize("change", ["content", "size", "gone", "folder", "link"])
def test_only_what_was_indexed_is_ever_read(tmp_path: Path, tiny_encoder: TextEncoder, change: str) -> None:
    """A file that has taken the place of another is nobody's business, however much it looks like it."""
    root = make_index(tmp_path, tiny_encoder)
    file = tmp_path / "docs" / "evil.html"
    secret = tmp_path / "secret"
    secret.write_text(EVIL.replace("cat", "dog"))
    file.unlink()
    match change:
        case "content":
            file.write_text(EVIL.replace("cat", "dog"))
        case "size":
            file.write_text(f"{EVIL}!")
        case "folder":
            file.mkdir()
        case "link":
            file.symlink_to(secret)
    with client_of(root, tiny_encoder) as client:
        got = client.get(named(client, "evil.html"), params={"original": "1"})
    assert got.status_code == 409
    assert "dog" not in got.text


def test_a_page_is_a_picture_with_a_box_around_the_words(client: TestClient) -> None:
    path = named(client, "lab-safety.pdf")
    document = client.get(path).json()
    start = document["text"].index("Wear the blue gloves")
    page = 1
    got = client.get(f"{path}/page/{page}.png", params={"width": 800})
    picture = Image.open(io.BytesIO(got.content))
    assert (got.headers["content-type"], picture.width) == ("image/png", 800)
    words = "blue gloves"
    start = document["text"].index(words)
    boxes = client.get(
        f"{path}/page/{page}/boxes", params={"start": start, "end": start + len(words)}
    ).json()["boxes"]
    (box,) = boxes
    assert 0.1 < box["left"] < box["left"] + box["width"] < 0.9
    grey = picture.convert("L")
    size = picture.size

    def darkest(left: float, top: float, width: float, height: float) -> int:
        corners = (left * size[0], top * size[1], (left + width) * size[0], (top + height) * size[1])
        return int(grey.crop(tuple(round(c) for c in corners)).getextrema()[0])  # type: ignore[arg-type]

    assert darkest(**box) < 120, "there is ink in the box"


def test_what_is_no_page_is_one_line(client: TestClient) -> None:
    pdf = named(client, "lab-safety.pdf")
    assert client.get(f"{pdf}/page/9.png").json() == {"error": "there is no page 9: the document has 2"}
    got = client.get(f"{named(client, 'release.md')}/page/1.png")
    assert (got.status_code, got.json()) == (404, {"error": "only PDFs have pictures of their pages"})
    nowhere = client.get(f"{pdf}/page/1/boxes", params={"start": 5, "end": 5})
    assert nowhere.json()["boxes"] == []


def test_a_pdf_that_changed_is_not_drawn(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    root = make_index(tmp_path, tiny_encoder)
    (tmp_path / "docs" / "lab-safety.pdf").write_bytes(PDF.read_bytes() + b"\n")
    with client_of(root, tiny_encoder) as client:
        assert client.get(f"{named(client, 'lab-safety.pdf')}/page/1.png").status_code == 409


@pytest.mark.parametrize(
    ("path", "parameters", "status", "reason"),
    [
        ("/api/ask", {}, 422, "q: field required"),
        ("/api/ask", {"q": ""}, 422, "q: string should have at least 1 character"),
        ("/api/ask", {"q": "  "}, 422, "the question is empty"),
        ("/api/ask", {"q": "x" * 2001}, 422, "q: string should have at most 2000 characters"),
        ("/api/ask", {"q": "x", "k": "101"}, 422, "k: input should be less than or equal to 100"),
        ("/api/ask", {"q": "x", "where": "year"}, 422, "filter 'year' isn't understood"),
        ("/api/ask", {"q": "x", "where": ["a=b"] * 17}, 422, "where: list should have at most 16 items"),
        ("/api/ask", {"q": "x", "where": f"a={'b' * 500}"}, 422, "a filter has at most 500 characters"),
        ("/api/ask", {"q": "x", "min_confidence": "nan"}, 422, "min_confidence: "),
        ("/api/documents", {"limit": "0"}, 422, "limit: "),
        ("/api/documents/nothing", {}, 404, "there is no such document in the index"),
        ("/api/nothing", {}, 404, "not found"),
        ("/static/../app.py", {}, 404, "not found"),
        ("/static/%2e%2e/app.py", {}, 404, "not found"),
        ("/api/documents/..%2F..%2Fetc%2Fpasswd", {"original": "1"}, 404, "this document has no file"),
        ("/api/documents/%2Fetc%2Fpasswd", {"original": "1"}, 404, "this document has no file"),
    ],
)
def test_an_error_is_one_line_without_a_traceback(
    client: TestClient, path: str, parameters: dict[str, str], status: int, reason: str
) -> None:
    got = client.get(path, params=parameters)
    assert got.status_code == status, got.text
    error = got.json()["error"]
    assert error.startswith(reason)
    assert "\n" not in error
    assert "Traceback" not in got.text


def test_the_description_names_all_that_is_answered(client: TestClient) -> None:
    """Fields that aren't described would pass: what comes back is compared, not only what must be there."""
    found = client.get("/api/ask", params={"q": "who approves a release?", "explain": True}).json()
    assert set(found) <= set(schemas.Found.model_fields)
    assert {"read", "timings_ms"} <= set(found)
    assert set(found["answers"][0]) <= set(schemas.Answer.model_fields)
    assert set(found["passages"][0]) <= set(schemas.Passage.model_fields)
    assert set(client.get("/api/status").json()) == set(schemas.Status.model_fields)


def test_an_error_that_nobody_thought_of_tells_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Retriever, "respond", fails)
    got = client.get("/api/ask", params={"q": "anything"})
    assert got.status_code == 500
    assert got.json() == {"error": "something went wrong in the server; its terminal says more"}
    assert "RuntimeError: secret" in capsys.readouterr().err


def test_metrics_count_and_name_nothing_that_was_asked(client: TestClient) -> None:
    client.get("/api/ask", params={"q": "who approves a release secretly?"})
    text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['spanseek_requests_total{route="/api/ask",status="200"}']) >= 1
    assert lines["spanseek_documents"] == "7.0"
    assert lines['spanseek_questions_waiting{lane="ask"}'] == "0.0"
    assert "secretly" not in text


def test_the_page_and_its_description_load_nothing_from_elsewhere(client: TestClient) -> None:
    import re

    from retriever.serving.app import STATIC

    for file in STATIC.iterdir():
        got = client.get(f"/static/{file.name}")
        assert got.status_code == 200
        outside = re.findall(
            r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"http://www\.w3\.org/2000/svg", "", got.text)
        )
        assert not outside, (file.name, outside)
        assert "innerHTML" not in got.text
        assert not re.search(r"\son\w+=|style=", got.text) or file.suffix == ".js", "what the policy forbids"
    for path in ("/", "/reference"):
        assert client.get(path).headers["content-type"].startswith("text/html")
    described = client.get("/openapi.json").json()
    assert {"/api/ask", "/api/search", "/api/documents/{id}"} <= set(described["paths"])
