"""Options that several commands share, and which index they mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from retriever.errors import IndexNotFoundError

FOLDER = ".spanseek"
VARIABLE = "SPANSEEK_INDEX"

IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="DIR",
        help=f"The index folder. Default: ${VARIABLE}, or {FOLDER}/ here or in the nearest folder above.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def find_index(given: Path | None) -> Path | None:
    """The index that is meant, if any: as given, as the environment says, or the nearest above."""
    if given is not None:
        return given
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    here = Path.cwd()
    return next((folder / FOLDER for folder in (here, *here.parents) if (folder / FOLDER).is_dir()), None)


def existing_index(given: Path | None) -> Path:
    """The index that is meant.

    Raises:
        IndexNotFoundError: There is none here or above.
    """
    found = find_index(given)
    if found is None:
        raise IndexNotFoundError(
            "there is no index here or in a folder above: make one with 'spanseek index PATH', or name it with --index"
        )
    return found
