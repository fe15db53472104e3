"""An index as an earlier version wrote it, for tests."""

from __future__ import annotations

import tarfile
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"


def unpack_old_index(version: int, folder: Path) -> Path:
    """Unpacks the index of a format into a folder; returns where it is."""
    with tarfile.open(FIXTURES / f"index-v{version}.tar.gz") as archive:
        # As an attribute: Python before 3.11.4 knows no filters, and takes none as an argument.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)  # noqa: S202 - our own file
    return folder / ".spanseek"
