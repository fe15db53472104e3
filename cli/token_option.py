"""The token of a server: from a file, or from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from retriever.errors import SpanseekError

VARIABLE = "SPANSEEK_TOKEN"


def read_token(file: Path | None) -> str | None:
    """The token that is meant, if any.

    Raises:
        SpanseekError: The file can't be read.
    """
    if file is None:
        return os.environ.get(VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpanseekError(f"the token can't be read from {file}: {reason}") from error
