"""How much one client may ask for: a rate of requests, and no bodies."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

_CLIENTS = 4096
"""So many are remembered; the one that was longest away is forgotten first."""


class RateLimit:
    """A bucket for each client, that fills at a steady rate; every request takes one from it.

    Args:
        rate: Requests a second; 0: no limit.
        burst: What a bucket holds.
        clock: Seconds.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> int:
        """Takes one from a client's bucket: 0, or the seconds after which it is worth asking again."""
        if not self._rate:
            return 0
        now = self._clock()
        level, then = self._buckets.pop(client, (float(self._burst), now))
        level = min(float(self._burst), level + (now - then) * self._rate)
        allowed = level >= 1
        self._buckets[client] = (level - 1 if allowed else level, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1 - level) / self._rate))


def has_long_body(headers: dict[bytes, bytes], most: int) -> bool:
    """Whether a request brings more than `most` bytes, or doesn't say how much."""
    if b"transfer-encoding" in headers:
        return True
    length = headers.get(b"content-length", b"0")
    return not length.isdigit() or len(length) > 18 or int(length) > most
