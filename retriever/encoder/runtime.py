"""What computes the models: one interface, torch and ONNX Runtime behind it.

Torch is the reference, and what reads any backbone, trains, and uses a GPU. ONNX Runtime, where it is installed and
the backbone is built as BERT is, starts in a third of the time and needs neither torch nor transformers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from retriever.encoder.backbone import EncoderFiles
from retriever.encoder.reader_files import StoredReader
from retriever.encoder.reading import Window
from retriever.errors import EncoderError

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Scores = NDArray[np.float32]
Precision = Literal["auto", "float32", "bfloat16", "int8"]
RuntimeName = Literal["auto", "torch", "onnx"]


class Embeds(Protocol):
    """Token ids to vectors. Safe to share by threads."""

    @property
    def description(self) -> Description:
        """What computes, and in which numbers."""

    def embed(self, rows: Sequence[Ids], *, bulk: bool = False, narrow: bool = False) -> Vectors:
        """Token ids of each of `B` texts, special tokens included, to vectors of length 1, `(B, C)`.

        Args:
            rows: Of each text.
            bulk: They are passages, of which there may be thousands; else questions.
            narrow: On one processor only, beside others.
        """


class Reads(Protocol):
    """Question and passage to scores of start and end. Safe to share by threads."""

    @property
    def description(self) -> Description:
        """What computes, and in which numbers."""

    def logits(self, windows: Sequence[Window]) -> list[Scores]:
        """Of each window's tokens, `(T, 2)`; `T` may be more than it has."""


@dataclass(frozen=True, slots=True)
class Description:
    """What computes a model.

    Attributes:
        runtime: `torch` or `onnx`.
        precision: `float32`, `bfloat16` or `int8`: what products are computed in; an encoder's, for passages.
        device: `cpu`, or a GPU's name.
        dimension: Length of a token's vector.
        side_by_side: How many threads it is worth reading with at once.
    """

    runtime: str
    precision: str
    device: str
    dimension: int
    side_by_side: int = 1


def embedder(
    files: EncoderFiles,
    *,
    precision: Precision = "auto",
    device: str | None = None,
    runtime: RuntimeName = "auto",
) -> Embeds:
    """What embeds with an encoder.

    Args:
        files: From `find_encoder`.
        precision: As for `TextEncoder`.
        device: Likewise.
        runtime: Likewise.

    Raises:
        EncoderError: It can't be loaded, or not by the runtime that is asked for.
    """
    if _asks_for_onnx(runtime, precision, device):
        from retriever.encoder.onnx_runtime import OnnxEmbedder
        from retriever.encoder.onnx_weights import encoder_weights

        weights = encoder_weights(files, whole=True)
        if weights is not None:
            return OnnxEmbedder(files, weights, whole=precision == "float32")
        _refuse(runtime, files)
    from retriever.encoder.torch_runtime import TorchEmbedder

    return TorchEmbedder(files, precision=precision, device=device)


def reader(
    stored: StoredReader,
    *,
    precision: str = "auto",
    device: str | None = None,
    runtime: RuntimeName = "auto",
) -> Reads:
    """What reads with a trained span scorer.

    Args:
        stored: From `read_reader`.
        precision: As for `SpanScorer`.
        device: Likewise.
        runtime: Likewise.

    Raises:
        EncoderError: As for `embedder`.
    """
    if _asks_for_onnx(runtime, precision, device):
        from retriever.encoder.onnx_runtime import OnnxReader
        from retriever.encoder.onnx_weights import reader_weights

        weights = reader_weights(stored, whole=precision == "float32")
        if weights is not None:
            return OnnxReader(stored, weights)
        _refuse(runtime, stored.files)
    from retriever.encoder.torch_runtime import TorchReader

    return TorchReader(stored, precision=precision, device=device)


def _asks_for_onnx(runtime: RuntimeName, precision: str, device: str | None) -> bool:
    """Whether ONNX Runtime is to compute, if it can read the backbone."""
    if runtime not in ("auto", "torch", "onnx"):
        raise EncoderError(f"there is no runtime {runtime!r}: one of auto, torch, onnx")
    if runtime == "onnx":
        if not has_onnx():
            raise EncoderError("ONNX Runtime isn't installed: pip install 'spanseek[fast]'")
        if device not in (None, "cpu") or precision == "bfloat16":
            raise EncoderError("ONNX Runtime computes on the processor here, in float32")
        return True
    plain = precision != "bfloat16" and (device == "cpu" or (device is None and not has_gpu()))
    return runtime == "auto" and plain and has_onnx()


def _refuse(runtime: RuntimeName, files: EncoderFiles) -> None:
    if runtime == "onnx":
        raise EncoderError(f"ONNX Runtime can't compute {files.name!r}: it isn't built as BERT is")


@cache
def has_onnx() -> bool:
    """Whether the fast runtime is installed."""
    return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def has_gpu() -> bool:
    """Whether there may be a GPU that torch computes on; asking torch itself would take seconds."""
    return any(Path(path).exists() for path in ("/dev/nvidia0", "/dev/dxg", "/dev/kfd"))


def threads() -> int:
    """Threads to compute with: as many as there are processors for this process, or as `OMP_NUM_THREADS` says."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
