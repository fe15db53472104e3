"""Who may ask the server, how much, and what becomes of those that wait too long."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi", reason="what [serve] needs isn't installed")

from retriever.access import check_access, is_loopback
from retriever.errors import SpanseekError
from retriever.serving.limits import RateLimit
from retriever.serving.security import Gate
from retriever.serving.settings import ServingConfig
from tests.served import client_of, make_index
from tests.stand_ins import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retriever.encoder import Passage, TextEncoder
    from retriever.encoder.spans import SpanScores

TOKEN = "a-secret-of-some-length"  # noqa: S105


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: TextEncoder) -> Path:
    return make_index(tmp_path_factory.mktemp("served"), tiny_encoder)


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8765", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8765", True),
        ("192.168.1.7:8765", True),  # no name, so nobody made it point here
        ("notes.lan:8765", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8765", False),
        ("evil.example:8765@127.0.0.1", False),
        ("127.0.0.1, evil.example", False),
        ("", False),
    ],
)
def test_a_name_that_somebody_made_point_here_is_refused(host: str, known: bool) -> None:
    refused = Gate(names=frozenset({"notes.lan"})).refuse("/api/ask", {"host": host})
    assert (refused is None) is known
    assert refused is None or refused.status == 403


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:8765"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://127.0.0.1:8766"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False),
    ],
)
def test_pages_of_other_sites_are_refused(headers: dict[str, str], allowed: bool) -> None:
    refused = Gate().refuse("/api/ask", {"host": "127.0.0.1:8765", **headers})
    assert (refused is None) is allowed


def test_a_link_on_another_site_may_lead_to_the_page() -> None:
    headers = {"host": "127.0.0.1", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert Gate().refuse("/", headers) is None


def test_a_token_is_needed_where_there_is_one(root: Path, tiny_encoder: TextEncoder) -> None:
    with client_of(root, tiny_encoder, gate=Gate(TOKEN)) as client:
        for path in ("/api/ask?q=x", "/api/documents", "/api/documents/memo", "/metrics", "/api/status"):
            got = client.get(path)
            assert (got.status_code, got.headers["www-authenticate"]) == (401, "Bearer"), path
            assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
            assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        for path in ("/", "/static/main.js", "/healthz"):
            assert client.get(path).status_code == 200
        assert client.post("/api/session", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/api/status").status_code == 401
        letting = client.post("/api/session", headers={"Authorization": f"Bearer {TOKEN}"})
        cookie = letting.headers["set-cookie"]
        assert TOKEN not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert client.get("/api/status").status_code == 200, "the cookie lets the browser in"
        assert client.get("/api/status", headers={"Cookie": cookie.replace("=", "=0", 1)}).status_code == 401


def test_every_reply_carries_its_policies(root: Path, tiny_encoder: TextEncoder) -> None:
    with client_of(root, tiny_encoder) as client:
        replies = [client.get(path) for path in ("/", "/static/main.js", "/api/ask?q=x", "/api/none")]
        replies.append(client.get("/", headers={"Host": "evil.example"}))
    for got in replies:
        policy = got.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert got.headers["referrer-policy"] == "no-referrer"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in got.headers
    assert replies[-1].status_code == 403


def test_what_is_too_large_is_refused(root: Path, tiny_encoder: TextEncoder) -> None:
    with client_of(root, tiny_encoder) as client:
        assert client.request("GET", "/api/ask?q=x", content=b"x" * 5000).status_code == 413
        assert client.request("POST", "/api/session", content=iter([b"x"])).status_code == 413
        assert client.get(f"/api/documents/{'x' * 9000}").status_code == 413
        assert client.request("GET", "/healthz", headers={"Content-Length": "-1"}).status_code == 413
        assert client.post("/api/ask?q=x").status_code == 405


def test_a_client_that_asks_too_often_waits() -> None:
    now = 0.0
    limit = RateLimit(2.0, 3, clock=lambda: now)
    assert [limit.wait("a") for _ in range(5)] == [0, 0, 0, 1, 1]
    assert limit.wait("b") == 0, "another client isn't held up"
    now = 1.0
    assert [limit.wait("a") for _ in range(3)] == [0, 0, 1]
    assert RateLimit(0.0, 0).wait("a") == 0


def test_the_rate_is_told(root: Path, tiny_encoder: TextEncoder) -> None:
    with client_of(root, tiny_encoder, config=ServingConfig(rate=0.1, burst=2)) as client:
        replies = [client.get("/healthz") for _ in range(3)]
    assert [got.status_code for got in replies] == [200, 200, 429]
    assert int(replies[2].headers["retry-after"]) >= 1
    assert replies[2].json()["error"].startswith("too many requests")


class Slow(Reading):
    """Reads when it is let."""

    def __init__(self) -> None:
        super().__init__({"the team manager": 8.0})
        self.begun = threading.Event()
        self.go = threading.Event()
        self.read: list[str] = []

    def score(self, questions: Sequence[str], passages: Sequence[Passage]) -> list[SpanScores]:
        self.begun.set()
        assert self.go.wait(20)
        self.read.append(questions[0])
        return super().score(questions, passages)


def test_a_full_queue_is_told_with_when_to_come_again(root: Path, tiny_encoder: TextEncoder) -> None:
    reader = Slow()
    config = ServingConfig(most_waiting=2)
    with client_of(root, tiny_encoder, config=config, reader=reader) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(client.get, "/api/ask", params={"q": "first"})
        assert reader.begun.wait(10)
        second = pool.submit(client.get, "/api/ask", params={"q": "second"})
        deadline = time.monotonic() + 30
        while 'spanseek_questions_waiting{lane="ask"} 2.0' not in client.get("/metrics").text:
            assert time.monotonic() < deadline
        got = client.get("/api/ask", params={"q": "third"})
        assert got.status_code == 429
        assert int(got.headers["retry-after"]) >= 1
        assert got.json()["error"].startswith("too many questions are waiting")
        quick = client.get("/api/search", params={"q": "who looks only doesn't wait"})
        assert quick.status_code == 200
        reader.go.set()
        assert {first.result().status_code, second.result().status_code} <= {200}


def test_who_waits_too_long_is_told_and_costs_nothing_more(root: Path, tiny_encoder: TextEncoder) -> None:
    reader = Slow()
    config = ServingConfig(timeout=0.3)
    with client_of(root, tiny_encoder, config=config, reader=reader) as client:
        for number in range(reader.computes.side_by_side):  # one for each thread that reads
            late = client.get("/api/ask", params={"q": f"late {number}"})
            assert late.status_code == 504
            assert late.json()["error"].startswith("there was no answer within 0.3 s")
        assert client.get("/api/ask", params={"q": "given up while it waited"}).status_code == 504
        reader.go.set()
        for _ in range(100):
            if client.get("/api/ask", params={"q": "now"}).status_code == 200:
                break
        assert "given up while it waited" not in reader.read


def test_what_waits_is_answered_when_the_server_ends(root: Path, tiny_encoder: TextEncoder) -> None:
    from retriever.serving.desk import Asked, Desk

    reader = Slow()
    desk = Desk.open(root, encoder=tiny_encoder, scorer=reader)  # type: ignore[arg-type]
    waiting = [desk._ask.submit(Asked(f"question {n}", 1)) for n in range(3)]
    assert reader.begun.wait(10)
    threading.Timer(0.1, reader.go.set).start()
    desk.close()
    assert [future.result(0).response.question for future in waiting] == [f"question {n}" for n in range(3)]


@pytest.mark.parametrize(
    ("token", "wrong"),
    [("short", True), ("with spaces in the middle", True), ("ünicode-is-no-header", True), (TOKEN, False)],
)
def test_a_token_must_be_a_secret_that_a_header_can_hold(token: str, wrong: bool) -> None:
    with pytest.raises(SpanseekError, match="the token") if wrong else nullcontext():
        check_access("0.0.0.0", token)  # noqa: S104 - nothing listens


def test_what_only_this_machine_can_reach() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "example.org")))  # noqa: S104
