"""What ONNX Runtime computes, and with which weights: read from the files of models, put into a graph's terms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from retriever.encoder.backbone import (
    DEFAULT_ENCODER,
    SPAN_WEIGHTS,
    WEIGHTS,
    EncoderFiles,
    first_line,
    read_json,
    refuse_kernels,
)
from retriever.encoder.graph import WORDS, Architecture, Graph, Weights, build, in_8_bits, scale_of
from retriever.encoder.packs import first_position
from retriever.encoder.reader_files import StoredReader
from retriever.encoder.shipped import shipped_tensors
from retriever.errors import EncoderError

Array = NDArray[Any]

_PREFIXES = ("", "bert.", "roberta.", "electra.")
"""Before the names of a backbone's weights, where it was published inside a larger model."""
_BACKBONE = "encoder.backbone."
_EMBEDDINGS = "embeddings."
_ROWS = 64
"""Of a matrix, put into 8 bits at a time: what is in between stays in the processor's caches."""


def encoder_weights(files: EncoderFiles, *, whole: bool = False) -> Weights | None:
    """An encoder's weights by the names of `graph.py`; `None` where its backbone isn't built as BERT is.

    Args:
        files: From `find_encoder`.
        whole: In the precision of the files; else matrices are in 8 bits, each with its `scale_of`.

    Raises:
        EncoderError: A file is damaged.
    """
    shape = _shape(files)
    weights = _backbone(files, "") if shape is not None else {}
    if shape is None or not weights:
        return None
    if (files.folder / SPAN_WEIGHTS).is_file():
        weights |= _read_span_layer(files.folder / SPAN_WEIGHTS)
    if not all(name in weights and weights[name].shape == size for name, size in shape.weights().items()):
        return None
    if not whole:
        for name in _that_stand_8_bits(weights, shape):
            matrix = weights[name]
            weights[name], weights[scale_of(name.removesuffix(".weight"))] = _small(
                len(matrix), matrix.__getitem__
            )
    return weights


def reader_weights(stored: StoredReader, *, whole: bool = False) -> Weights | None:
    """A span scorer's weights, likewise: its encoder's embeddings, and its own for the rest.

    Args:
        stored: The trained span scorer.
        whole: In float32; else matrices but the head's are in 8 bits, each with its `scale_of`.

    Raises:
        EncoderError: They aren't those of a span scorer on this encoder.
    """
    shape = _shape(stored.files)
    embeddings = _backbone(stored.files, _EMBEDDINGS) if shape is not None else {}
    if shape is None or not embeddings:
        return None
    stored_as = {
        name.removeprefix(_BACKBONE if name.startswith(_BACKBONE) else "encoder."): name
        for name in stored.names
    }
    expected = {
        name: size
        for name, size in (shape.weights() | shape.span_layer(stored.span) | shape.head()).items()
        if not name.startswith(_EMBEDDINGS)
    }
    for name in sorted(expected.keys() ^ stored_as.keys()):
        raise EncoderError(f"the span scorer at {stored.name!r} doesn't fit: {name}")
    for name, size in expected.items():
        found = stored.saved[stored_as[name]].shape
        if found != size:
            raise EncoderError(
                f"the span scorer at {stored.name!r} doesn't load: {name} is {found}, not {size}"
            )
    weights = dict(embeddings)
    small = _that_stand_8_bits({name: stored.saved[key] for name, key in stored_as.items()}, shape)
    for name, key in stored_as.items():
        if whole or name not in small:
            weights[name] = stored.weight(key)
        else:
            rows, scale = expected[name][0], scale_of(name.removesuffix(".weight"))
            weights[name], weights[scale] = _small(rows, partial(stored.weight, key))
    return weights


def _that_stand_8_bits(weights: Weights, shape: Architecture) -> list[str]:
    """Those matrices that lose little in 8 bits: all but embeddings, heads, and what is said here.

    What the second product of a feed-forward part multiplies has a few numbers that are far greater than all others, in
    the lower layers most of all: their range leaves too little for the others. Half of what 8 bits change comes from
    there.
    """
    lower = tuple(f"encoder.layer.{i}.output.dense." for i in range(shape.layers // 2))
    left_out = (_EMBEDDINGS, "head.", *lower)
    return [name for name, value in weights.items() if value.ndim == 2 and not name.startswith(left_out)]


def _small(rows: int, take: Callable[[slice], Array]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """`in_8_bits` of a matrix of so many rows, of which `take` gives any."""
    parts = [in_8_bits(take(slice(first, first + _ROWS))) for first in range(0, rows, _ROWS)]
    return np.concatenate([whole for whole, _ in parts]), np.concatenate([scale for _, scale in parts])


def encoder_graph(files: EncoderFiles, weights: Weights, *, alone: bool = False) -> Graph:
    """What computes an encoder's tokens; the span layer is left out where it wasn't trained, since it adds nothing.

    Args:
        files: From `find_encoder`.
        weights: From `encoder_weights`.
        alone: As in `build`.
    """
    trained = "projection.weight" in weights and bool(
        weights["projection.weight"].any() or weights["projection.bias"].any()
    )
    return build(weights, _known_shape(files), files.config, span_layer=trained, segments=False, alone=alone)


def reader_graph(stored: StoredReader, weights: Weights) -> Graph:
    """What computes a span scorer's scores, for a window alone.

    Args:
        stored: The trained span scorer.
        weights: From `reader_weights`.
    """
    shape = _known_shape(stored.files)
    return build(weights, shape, stored.span, span_layer=True, segments=stored.segments, alone=True)


def _known_shape(files: EncoderFiles) -> Architecture:
    shape = _shape(files)
    assert shape is not None  # noqa: S101 - there are no weights for such
    return shape


def _shape(files: EncoderFiles) -> Architecture | None:
    """The backbone's sizes; `None` where it can't be computed here."""
    settings = read_json(files.folder / "config.json")
    refuse_kernels(files.folder, settings)
    can = first_position(settings) is not None and (files.folder / WEIGHTS).is_file()
    return Architecture.of(settings) if can else None


def _backbone(files: EncoderFiles, wanted: str) -> Weights:
    """Those of a backbone's weights whose name begins with `wanted`, by today's names; none, if it has other ones."""
    if files.name == DEFAULT_ENCODER:
        return {name: value for name, value in shipped_tensors(WEIGHTS).items() if name.startswith(wanted)}
    weights: Weights = {}
    try:
        with safe_open(files.folder / WEIGHTS, "numpy") as saved:
            names = set(saved.keys())
            prefix = next((p for p in _PREFIXES if f"{p}{WORDS}" in names), None)
            for name in names if prefix is not None else ():
                if name.startswith(f"{prefix}{wanted}"):
                    weights[_named(name.removeprefix(prefix or ""))] = saved.get_tensor(name)
    except (OSError, ValueError, SafetensorError) as error:
        raise EncoderError(f"the encoder in {files.folder} doesn't load: {first_line(error)}") from error
    return weights


def _read_span_layer(path: Path) -> Weights:
    try:
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise EncoderError(
            f"the span layer in {path.parent} doesn't fit or is damaged: {first_line(error)}"
        ) from error


def _named(name: str) -> str:
    """By today's name: BERT's own files call the parts of a normalisation gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
