"""Computing with ONNX Runtime: for the processor, without torch, for backbones that are built as BERT is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
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
from retriever.encoder.graph import WORDS, Architecture, Graph, Weights, band, build, in_8_bits, scale_of
from retriever.encoder.onnx_file import ready, written
from retriever.encoder.packs import (
    ascending,
    first_position,
    packs,
    rectangle,
)
from retriever.encoder.reader_files import StoredReader
from retriever.encoder.reading import Window
from retriever.encoder.runtime import Description, Scores, Vectors, threads
from retriever.errors import EncoderError

Ids = NDArray[np.int64]

_PREFIXES = ("", "bert.", "roberta.", "electra.")
"""Before the names of a backbone's weights, where it was published inside a larger model."""
_BACKBONE = "encoder.backbone."
_EMBEDDINGS = "embeddings."
_FEW = 8
"""After so many passes weights are packed, put into the runtime's own order. It takes as long as some twenty questions
gain by it, and a process that answers one doesn't come that far."""


def encoder_weights(files: EncoderFiles) -> Weights | None:
    """An encoder's weights by the names of `graph.py`; `None` where its backbone isn't built as BERT is.

    Raises:
        EncoderError: A file is damaged.
    """
    shape = _shape(files)
    weights = _backbone(files, "") if shape is not None else {}
    if shape is None or not weights:
        return None
    if (files.folder / SPAN_WEIGHTS).is_file():
        weights |= _read_span_layer(files.folder / SPAN_WEIGHTS)
    fits = all(name in weights and weights[name].shape == size for name, size in shape.weights().items())
    return weights if fits else None


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
    own = {
        name.removeprefix(_BACKBONE if name.startswith(_BACKBONE) else "encoder."): value
        for name, value in stored.weights.items()
    }
    expected = {
        name: size
        for name, size in (shape.weights() | shape.span_layer(stored.span) | shape.head()).items()
        if not name.startswith(_EMBEDDINGS)
    }
    for name in sorted(expected.keys() ^ own.keys()):
        raise EncoderError(f"the span scorer at {stored.name!r} doesn't fit: {name}")
    for name, size in expected.items():
        if own[name].shape != size:
            raise EncoderError(
                f"the span scorer at {stored.name!r} doesn't load: {name} is {own[name].shape}, not {size}"
            )
    if not whole:
        for name in [name for name in own if _stands_8_bits(name, own[name], shape)]:
            own[name], own[scale_of(name.removesuffix(".weight"))] = in_8_bits(own[name])
    return embeddings | own


def _stands_8_bits(name: str, value: Vectors, shape: Architecture) -> bool:
    """Whether a weight is a matrix that loses little in 8 bits.

    What the second product of a feed-forward part multiplies has a few numbers that are far greater than all others, in
    the lower layers most of all: their range leaves too little for the others. Half of what 8 bits change comes from
    there.
    """
    lower = tuple(f"encoder.layer.{i}.output.dense." for i in range(shape.layers // 2))
    return value.ndim == 2 and not name.startswith(("head.", *lower))


def encoder_graph(files: EncoderFiles, weights: Weights) -> Graph:
    """What computes an encoder's tokens; the span layer is left out where it wasn't trained, since it adds nothing.

    Args:
        files: From `find_encoder`.
        weights: From `encoder_weights`.
    """
    trained = "projection.weight" in weights and bool(
        weights["projection.weight"].any() or weights["projection.bias"].any()
    )
    return build(weights, _known_shape(files), files.config, span_layer=trained, segments=False)


def reader_graph(stored: StoredReader, weights: Weights) -> Graph:
    """What computes a span scorer's scores.

    Args:
        stored: The trained span scorer.
        weights: From `reader_weights`.
    """
    return build(weights, _known_shape(stored.files), stored.span, span_layer=True, segments=stored.segments)


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


class _Model:
    """A graph with its weights, and how tokens go in.

    Args:
        graph: Of `files` or of a span scorer on them.
        files: The encoder's.
    """

    def __init__(self, graph: Graph, files: EncoderFiles) -> None:
        known = ready(graph.description) if files.name == DEFAULT_ENCODER else None
        self._graph = known or written(graph.description)
        # The sessions work on these very arrays: they must live as long as those do.
        self._weights = {
            name: ort.OrtValue.ortvalue_from_numpy(value) for name, value in graph.weights.items()
        }
        self._names = {given.name for given in graph.description.inputs}
        self._first = first_position(read_json(files.folder / "config.json")) or 0

    def open(self, processors: int, *, packed: bool) -> Any:
        """A session; `packed`: with the weights in the runtime's own order as well."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = processors
        # Threads that spin while they wait are no faster here, and take the processor from whatever else there is to do.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The graph is made of the runtime's own operators: looking for what else could be joined takes longer than it saves.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        if not packed:
            options.add_session_config_entry("session.disable_prepacking", "1")
        options.log_severity_level = 3  # errors; warnings tell of things that nobody here can change
        options.add_external_initializers(list(self._weights), list(self._weights.values()))
        try:
            return ort.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # it raises types of its own that share no base
            raise EncoderError(f"ONNX Runtime can't load the model: {first_line(error)}") from error

    def inputs(
        self, rows: Sequence[Ids], window: int, segments: Sequence[Ids] | None = None
    ) -> dict[str, Any]:
        """What a pass over the tokens of texts end to end is given.

        Args:
            rows: Of each text.
            window: Of local attention.
            segments: Of each token, where the model has them.
        """
        lengths = [len(row) for row in rows]
        place, mask, back = rectangle(lengths)
        inputs: dict[str, Any] = {
            "ids": np.concatenate(rows),
            "positions": np.concatenate([np.arange(self._first, self._first + n) for n in lengths]),
            "place": place,
            "mask": mask,
            "back": back,
        }
        if "segments" in self._names and segments is not None:
            inputs["segments"] = np.concatenate(segments)
        if "band" in self._names:
            inputs["band"] = band(max(lengths), window)
        return inputs


class _Session:
    """A model opened with so many threads; its weights are packed once it is worth it. Safe to share by threads."""

    def __init__(self, model: _Model, processors: int) -> None:
        self._model = model
        self._processors = processors
        self._passes = 0
        self._lock = threading.Lock()
        self._session = model.open(processors, packed=False)

    def run(self, inputs: dict[str, Any]) -> Vectors:
        """What the graph gives for all tokens, `(N, width)`."""
        with self._lock:
            if self._passes == _FEW:
                self._session = self._model.open(self._processors, packed=True)
            self._passes += 1
            session = self._session
        out: Vectors = session.run(None, inputs)[0]
        return out


class OnnxEmbedder:
    """Embeds with ONNX Runtime.

    Args:
        files: From `find_encoder`.
        weights: From `encoder_weights`.
    """

    def __init__(self, files: EncoderFiles, weights: Weights) -> None:
        self._model = _Model(encoder_graph(files, weights), files)
        self._wide = _Session(self._model, threads())
        self._narrow: _Session | None = None
        # Its thread pool serves one pass at a time; two at once only slow each other down.
        self._one_pass = threading.Lock()
        self._opening = threading.Lock()
        self._config = files.config
        self._size = weights[WORDS].shape[1]

    @property
    def description(self) -> Description:
        """What computes, and in which numbers."""
        return Description("onnx", "float32", "cpu", self._size)

    def embed(self, rows: Sequence[Ids], *, narrow: bool = False) -> Vectors:
        """As `runtime.Embeds` says."""
        vectors = np.empty((len(rows), self._size), dtype=np.float32)
        lengths = [len(row) for row in rows]
        order = ascending(lengths)
        for batch in packs(order, [lengths[i] for i in order]):
            inputs = self._model.inputs([rows[i] for i in batch], self._config.window)
            if narrow:
                spans = self._on_one_processor().run(inputs)  # (N, C)
            else:
                with self._one_pass:
                    spans = self._wide.run(inputs)
            firsts = np.cumsum([0, *(lengths[i] for i in batch[:-1])])
            # A mean is a sum but for its length, and that is made 1 anyway.
            pooled = np.add.reduceat(spans, firsts) if self._config.pooling == "mean" else spans[firsts]
            vectors[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors

    def _on_one_processor(self) -> _Session:
        """Opened when it is first needed: most processes never do."""
        with self._opening:
            if self._narrow is None:
                self._narrow = _Session(self._model, 1)
            return self._narrow


class OnnxReader:
    """Reads with ONNX Runtime: each window in a pass of its own, as many at once as there are processors.

    So none waits for another within a pass; and what 8 bits are scaled by depends on nothing but the window.

    Args:
        stored: The trained span scorer.
        weights: From `reader_weights`.
    """

    def __init__(self, stored: StoredReader, weights: Weights) -> None:
        self._model = _Model(reader_graph(stored, weights), stored.files)
        self._session = _Session(self._model, 1)
        self._precision = "int8" if any(value.dtype == np.int8 for value in weights.values()) else "float32"
        self._window = stored.span.window
        self._size = weights[WORDS].shape[1]
        self._processors = threads()
        self._pool = ThreadPoolExecutor(self._processors, "reading")

    @property
    def description(self) -> Description:
        """What computes, and in which numbers."""
        return Description("onnx", self._precision, "cpu", self._size, side_by_side=self._processors)

    def logits(self, windows: Sequence[Window]) -> list[Scores]:
        """Of each window's tokens, `(T, 2)`."""
        # The longest first, so that at the end none is waited for alone.
        order = ascending([len(window.ids) for window in windows])[::-1]
        scores: list[Scores] = [np.empty((0, 2), dtype=np.float32)] * len(windows)
        for i, read in zip(order, self._pool.map(self._read, [windows[i] for i in order]), strict=True):
            scores[i] = read
        return scores

    def _read(self, window: Window) -> Scores:
        return self._session.run(self._model.inputs([window.ids], self._window, [window.segments]))
