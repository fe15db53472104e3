"""The model that comes with spanseek: where it is, and that it is whole.

One folder in the Hugging Face layout holds all that the default needs: the encoder's weights in half precision, its
tokenizer, and the trained span scorer. In a wheel it lies inside the package, in a checkout in `data/model`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.errors import EncoderError

SUMS = "sha256.json"
"""Names the files of the model and their SHA-256."""
SUMS_SHA256 = "498a62478cef536249f2f0870aba8abe2109090c6038d318c006eb14e7fe418b"
"""Of that file itself, so that the code says which model it goes with."""

_TYPES = {"F16": np.float16, "F32": np.float32, "I8": np.int8}
_PACKAGED = Path(__file__).resolve().parent.parent / "model"
_CHECKOUT = Path(__file__).resolve().parents[2] / "data" / "model"


def shipped_folder() -> Path:
    """The folder, after a look at every file in it.

    Raises:
        EncoderError: It isn't there, or a file is missing or damaged.
    """
    return _checked()[0]


def shipped_sums() -> dict[str, str]:
    """SHA-256 of its files, by name, as they were found; raises as `shipped_folder` does."""
    return _checked()[1]


def shipped_tensors(name: str) -> dict[str, NDArray[Any]]:
    """What is in a safetensors file of it, by name: views of the file, so that only what is used is read.

    The format is eight bytes with the length of a header, the header in JSON, and the tensors. What people train is
    copied from its files instead, since those may be written anew while they are open.

    Raises:
        EncoderError: As `shipped_folder`.
    """
    data = np.memmap(shipped_folder() / name, dtype=np.uint8, mode="r").view(np.ndarray)
    begin = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:begin].tobytes())
    tensors = {}
    for tensor, entry in header.items():
        if tensor != "__metadata__":
            first, last = entry["data_offsets"]
            values = data[begin + first : begin + last].view(_TYPES[entry["dtype"]])
            tensors[tensor] = values.reshape(entry["shape"])
    return tensors


@cache
def _checked() -> tuple[Path, dict[str, str]]:
    folder = next((place for place in (_PACKAGED, _CHECKOUT) if (place / SUMS).is_file()), None)
    if folder is None:
        raise EncoderError("the model that comes with spanseek isn't there: install spanseek again")
    if sha256(folder / SUMS) != SUMS_SHA256:
        raise _damaged(folder / SUMS)
    sums: dict[str, str] = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    for name, expected in sums.items():
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise _damaged(folder / name)
    return folder, sums


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path) -> EncoderError:
    return EncoderError(
        f"the model that comes with spanseek is damaged ({path.name}): install spanseek again"
    )
