"""What the server allows, in one place: sizes, which its description names, and what may be set."""

from __future__ import annotations

from dataclasses import dataclass

QUESTION_CHARACTERS = 2_000
FILTERS = 16
FILTER_CHARACTERS = 500
PASSAGES = 100
ANSWERS = 20
LISTED = 200
"""Documents of the list in one reply."""
DOCUMENT_CHARACTERS = 2_000_000
"""Of a document's text in one reply."""
BODY_BYTES = 4_096
"""No request needs a body."""
PICTURE_PIXELS = (200, 2_400)
"""How wide a picture of a page may be."""


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """How much is allowed.

    Attributes:
        most_waiting: Questions that may wait for an answer; one more is told to come again later.
        most_together: Questions that are embedded in one pass.
        timeout: Seconds until a question that waits or is being answered is given up.
        rate: Requests a second of one client, on average; 0: no limit.
        burst: So many at once before the rate counts.
        picture_seconds: Seconds until the drawing of a page is given up.
        shutdown: Seconds that requests under way have to end when the server is stopped.
    """

    most_waiting: int = 64
    most_together: int = 8
    timeout: float = 30.0
    rate: float = 1000.0
    burst: int = 2000
    picture_seconds: float = 20.0
    shutdown: float = 30.0
