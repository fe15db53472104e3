"""The short forms of the suites in `tests/torture`: a kill, a full disk, damage, many at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SUITES = Path(__file__).parent / "torture"


@pytest.mark.integration
@pytest.mark.parametrize(
    "suite",
    [
        ("kill.py", "--points", "16"),
        ("kill.py", "--points", "8", "--fault", "full"),
        ("kill.py", "--points", "8", "--fault", "readonly"),
        ("damage.py", "--count", "30"),
        ("together.py", "--seconds", "10"),
    ],
    ids=["kill", "full", "readonly", "damage", "together"],
)
def test_nothing_is_lost(suite: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, str(_SUITES / suite[0]), *suite[1:]], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "; 0 failures" in done.stdout
