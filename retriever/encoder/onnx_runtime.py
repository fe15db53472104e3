"""Computing with ONNX Runtime: for the processor, without torch, for backbones that are built as BERT is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles, first_line, read_json
from retriever.encoder.graph import WORDS, Graph, Weights, band
from retriever.encoder.onnx_file import ready, written
from retriever.encoder.onnx_weights import encoder_graph, encoder_weights, reader_graph
from retriever.encoder.packs import ascending, first_position, packs, rectangle
from retriever.encoder.reader_files import StoredReader
from retriever.encoder.reading import Window
from retriever.encoder.runtime import Description, Scores, Vectors, threads
from retriever.errors import EncoderError

Ids = NDArray[np.int64]

_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
_FEW = 8
"""After so many passes the weights of questions' model are packed, put into the runtime's own order. It takes as long as
about so many questions gain by it, and a process that answers one doesn't come that far."""


class _Model:
    """A graph with its weights, and how tokens go in.

    Args:
        graph: Of `files` or of a span scorer on them.
        files: The encoder's.
    """

    def __init__(self, graph: Graph, files: EncoderFiles) -> None:
        known = ready(graph.description) if files.name == DEFAULT_ENCODER else None
        self._graph = known or written(graph.description)
        self._folder = str(files.folder)
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
        # So it works on the weights as they lie here; add_external_initializers() would copy them.
        options.add_session_config_entry(_WEIGHTS_FOLDER, self._folder)
        for name, value in self._weights.items():
            options.add_initializer(name, value)
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
        }
        if "mask" in self._names:
            inputs |= {"mask": mask, "back": back}
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


class _Alone:
    """A model that takes each text in a pass of its own, as many at once as there are processors.

    So none waits for another within a pass; and what 8 bits are scaled by depends on nothing but the text. Weights are
    packed from the start: otherwise a sum is rounded otherwise in its last bit, and 8 bits make a step of that.
    """

    def __init__(self, model: _Model, window: int) -> None:
        self.processors = threads()
        self._model = model
        self._window = window
        self._session = model.open(1, packed=True)
        self._pool = ThreadPoolExecutor(self.processors, "passes")

    def run(self, rows: Sequence[Ids], segments: Sequence[Ids] | None = None) -> list[Vectors]:
        """What the graph gives for each text, `(T, width)`.

        Args:
            rows: Tokens of each text.
            segments: Of each token, where the model has them.
        """

        def alone(i: int) -> Vectors:
            of_it = None if segments is None else [segments[i]]
            spans: Vectors = self._session.run(None, self._model.inputs([rows[i]], self._window, of_it))[0]
            return spans

        # The longest first, so that at the end none is waited for alone.
        order = ascending([len(row) for row in rows])[::-1]
        found: list[Vectors] = [np.empty((0, 0), dtype=np.float32)] * len(rows)
        for i, out in zip(order, self._pool.map(alone, order), strict=True):
            found[i] = out
        return found


class OnnxEmbedder:
    """Embeds with ONNX Runtime: questions in float32, passages in 8 bits.

    Args:
        files: From `find_encoder`.
        weights: From `encoder_weights`, whole.
        whole: Passages in float32, too.
    """

    def __init__(self, files: EncoderFiles, weights: Weights, *, whole: bool = False) -> None:
        self._files = files
        self._words = weights[WORDS]
        self._whole = whole
        self._model = _Model(encoder_graph(files, weights), files)
        self._wide = _Session(self._model, threads())
        self._narrow: _Session | None = None
        self._bulk: _Alone | None = None
        # Its thread pool serves one pass at a time; two at once only slow each other down.
        self._one_pass = threading.Lock()
        self._opening = threading.Lock()
        self._config = files.config

    @property
    def description(self) -> Description:
        """What computes, and in which numbers."""
        return Description("onnx", "float32" if self._whole else "int8", "cpu", self._words.shape[1])

    def embed(self, rows: Sequence[Ids], *, bulk: bool = False, narrow: bool = False) -> Vectors:
        """As `runtime.Embeds` says."""
        vectors = np.empty((len(rows), self._words.shape[1]), dtype=np.float32)
        if bulk:
            for i, spans in enumerate(self._in_bulk().run(rows)):
                vectors[i] = self._pooled(spans, [0])[0]
            return vectors
        lengths = [len(row) for row in rows]
        order = ascending(lengths)
        for batch in packs(order, [lengths[i] for i in order]):
            inputs = self._model.inputs([rows[i] for i in batch], self._config.window)
            if narrow:
                spans = self._on_one_processor().run(inputs)  # (N, C)
            else:
                with self._one_pass:
                    spans = self._wide.run(inputs)
            vectors[batch] = self._pooled(spans, np.cumsum([0, *(lengths[i] for i in batch[:-1])]))
        return vectors

    def _pooled(self, spans: Vectors, firsts: Sequence[int] | Ids) -> Vectors:
        """Tokens of texts that stand end to end and begin at `firsts`, `(N, C)`, to vectors of length 1, `(B, C)`."""
        # A mean is a sum but for its length, and that is made 1 anyway.
        pooled = np.add.reduceat(spans, firsts) if self._config.pooling == "mean" else spans[firsts]
        vectors: Vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors

    def _on_one_processor(self) -> _Session:
        """Opened when it is first needed: most processes never do."""
        with self._opening:
            if self._narrow is None:
                self._narrow = _Session(self._model, 1)
            return self._narrow

    def _in_bulk(self) -> _Alone:
        """Likewise."""
        with self._opening:
            if self._bulk is None:
                self._bulk = _Alone(self._model if self._whole else self._small_model(), self._config.window)
            return self._bulk

    def _small_model(self) -> _Model:
        weights = encoder_weights(self._files)
        if weights is None:
            raise EncoderError(f"the encoder in {self._files.folder} was changed while it was in use")
        return _Model(encoder_graph(self._files, weights | {WORDS: self._words}, alone=True), self._files)


class OnnxReader:
    """Reads with ONNX Runtime, in 8 bits.

    Args:
        stored: The trained span scorer.
        weights: From `reader_weights`; in float32, if they are whole.
    """

    def __init__(self, stored: StoredReader, weights: Weights) -> None:
        self._alone = _Alone(_Model(reader_graph(stored, weights), stored.files), stored.span.window)
        self._precision = "int8" if any(value.dtype == np.int8 for value in weights.values()) else "float32"
        self._size = weights[WORDS].shape[1]

    @property
    def description(self) -> Description:
        """What computes, and in which numbers."""
        at_once = self._alone.processors
        return Description("onnx", self._precision, "cpu", self._size, side_by_side=at_once)

    def logits(self, windows: Sequence[Window]) -> list[Scores]:
        """Of each window's tokens, `(T, 2)`."""
        return self._alone.run([window.ids for window in windows], [window.segments for window in windows])
