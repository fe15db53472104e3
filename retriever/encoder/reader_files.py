"""What a trained span scorer is on disk: `reader.json` and `reader.safetensors`.

It holds every weight but the embeddings, which stay those of the encoder it was trained on. Matrices are kept in
8 bits with a scale for every 64 numbers of a row: about the precision of the bfloat16 that they are multiplied in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from retriever.config import Saved
from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles, find_encoder
from retriever.encoder.reading import ReadingConfig
from retriever.encoder.settings import SpanEncoderConfig
from retriever.encoder.shipped import shipped_folder, shipped_tensors
from retriever.errors import EncoderError, IndexFormatError

READER_SETTINGS = "reader.json"
READER_WEIGHTS = "reader.safetensors"
Weights = NDArray[Any]

GROUP = 64
SCALE = ".scale"


@dataclass(frozen=True, slots=True)
class ReaderSettings(Saved):
    """What a trained span scorer is, beside its weights.

    Attributes:
        encoder: Whose embeddings it has, by the name that the encoder was found by.
        fingerprint: That encoder's.
        segments: Whether the backbone is told question from passage.
        span: `SpanEncoderConfig`, the span layer.
        reading: `ReadingConfig`, sizes of windows.
        no_answer: Added to the log-odds of no answer: what `retriever.training.refusal` fitted.
    """

    encoder: str
    fingerprint: str
    segments: bool
    span: dict[str, object] = field(default_factory=dict)
    reading: dict[str, object] = field(default_factory=dict)
    no_answer: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredReader:
    """A trained span scorer as it was read.

    Attributes:
        name: As it was asked for.
        folder: Where it lies.
        files: The encoder whose embeddings it has.
        segments: As in `ReaderSettings`.
        span: The span layer.
        reading: Sizes of windows.
        no_answer: As in `ReaderSettings`.
        saved: By the model's own names: matrices in int8, each with its `SCALE`; all else as it is.
        fingerprint: SHA-256 over all that decides what scores come out.
    """

    name: str
    folder: Path
    files: EncoderFiles
    segments: bool
    span: SpanEncoderConfig
    reading: ReadingConfig
    no_answer: float
    saved: dict[str, Weights]
    fingerprint: str

    @property
    def names(self) -> list[str]:
        """Of all weights."""
        return [name for name in self.saved if not name.endswith(SCALE)]

    def weight(self, name: str, rows: slice = slice(None)) -> Weights:
        """A weight, or some of its rows; matrices in float32."""
        value = self.saved[name][rows]
        scale = self.saved.get(name + SCALE)
        return value if scale is None else dequantise(value, scale[rows])


def read_reader(name: str, files: EncoderFiles | None = None) -> StoredReader:
    """Reads a trained span scorer.

    Args:
        name: `default`, or a folder.
        files: The encoder that it goes with, where that isn't found by the name that the scorer gives.

    Raises:
        EncoderError: There is none, it is damaged, or the encoder that it goes with is another.
    """
    folder = shipped_folder() if name == DEFAULT_ENCODER else Path(name)
    if not (folder / READER_SETTINGS).is_file() or not (folder / READER_WEIGHTS).is_file():
        raise EncoderError(
            f"there is no span scorer at {name!r}: give a folder that 'spanseek train reader' wrote"
        )
    text, settings, saved = _read(folder, name)
    files = files or find_encoder(settings.encoder, fetch=False)
    if files.fingerprint != settings.fingerprint:
        raise EncoderError(f"the span scorer at {name!r} was trained on another version of {files.name!r}")
    span, reading = _sizes(settings, name)
    for key, scale in saved.items():
        of = saved.get(key.removesuffix(SCALE))
        if key.endswith(SCALE) and (
            of is None or of.ndim != 2 or scale.shape != (len(of), of.shape[1] / GROUP)
        ):
            raise EncoderError(f"the span scorer at {name!r} doesn't load: {key} isn't what its name says")
    with (folder / READER_WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.sha256(text.encode())).hexdigest()
    return StoredReader(
        name, folder, files, settings.segments, span, reading, settings.no_answer, saved, digest
    )


def dequantise(matrix: Weights, scale: Weights) -> Weights:
    """What was quantised to int8 `(N, K)` with scales `(N, K / 64)`, to half a step of its scale: float32 `(N, K)`."""
    rows, columns = matrix.shape
    groups = matrix.reshape(rows, -1, GROUP).astype(np.float32) * scale[..., None]
    return groups.reshape(rows, columns)


def _read(folder: Path, name: str) -> tuple[str, ReaderSettings, dict[str, Weights]]:
    """The settings as they are written and as they are meant, and the tensors."""
    try:
        text = (folder / READER_SETTINGS).read_text(encoding="utf-8")
        settings = ReaderSettings.from_json(text)
        if name == DEFAULT_ENCODER:
            return text, settings, shipped_tensors(READER_WEIGHTS)
        return text, settings, load_file(folder / READER_WEIGHTS)
    except (OSError, ValueError, TypeError, SafetensorError, IndexFormatError) as error:
        raise _damaged(name, error) from error


def _sizes(settings: ReaderSettings, name: str) -> tuple[SpanEncoderConfig, ReadingConfig]:
    try:
        return SpanEncoderConfig(**settings.span), ReadingConfig(**settings.reading)  # type: ignore[arg-type]
    except TypeError as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> EncoderError:
    return EncoderError(
        f"the span scorer at {name!r} is damaged, or of another version of spanseek: {str(error).splitlines()[0]}"
    )
