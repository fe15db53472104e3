"""What a monitor asks for, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TOGETHER = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one server. No label holds what somebody asked.

    Args:
        counts: Gives documents and passages of the index.
        waiting: Gives questions without an answer yet, by lane.
    """

    def __init__(self, counts: Callable[[], tuple[int, int]], waiting: Callable[[], dict[str, int]]) -> None:
        self._registry = CollectorRegistry()
        self._counts = counts
        self._waiting_now = waiting
        ProcessCollector(registry=self._registry)
        registry = self._registry
        self._requests = Counter("spanseek_requests", "Requests.", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "spanseek_request_seconds",
            "How long requests took.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._answers = Counter(
            "spanseek_answers", "Questions that were read for answers.", ["found"], registry=registry
        )
        self._together = Histogram(
            "spanseek_questions_together",
            "Questions taken at once.",
            ["lane"],
            buckets=_TOGETHER,
            registry=registry,
        )
        self._waiting = Gauge(
            "spanseek_questions_waiting", "Questions without an answer yet.", ["lane"], registry=registry
        )
        self._documents = Gauge("spanseek_documents", "Documents of the index.", registry=registry)
        self._passages = Gauge("spanseek_passages", "Passages of the index.", registry=registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def answered(self, found: bool) -> None:
        """A question was read for."""
        self._answers.labels("yes" if found else "no").inc()

    def together(self, lane: str, count: int) -> None:
        """So many questions were taken at once."""
        self._together.labels(lane).observe(count)

    def text(self) -> bytes:
        """All of it."""
        documents, passages = self._counts()
        self._documents.set(documents)
        self._passages.set(passages)
        for lane, count in self._waiting_now().items():
            self._waiting.labels(lane).set(count)
        return generate_latest(self._registry)
