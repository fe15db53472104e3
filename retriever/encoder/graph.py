"""The span encoder as an ONNX graph, for ONNX Runtime: the same formula as `model.py`, texts end to end in one row.

    E = token representations                        (N, C)
    H = global self-attention over E                 (N, C)   the backbone, BERT's layers
    L = local self-attention over H                  (N, C)   a mask of the window's shape over full attention
    Z = H + [L ; E] W_o                              (N, C)
    scores = Z W + b                                 (N, 2)   with a head

`N` tokens of all texts together, `B` texts, `T` tokens of the longest, `C` the hidden size. Only attention sees texts
as the rows of a rectangle: tokens are put there and back by their numbers, so that nothing else computes padding.

The graph holds no weights; they are handed to the runtime beside it, and stay where they were read to. Here it is only
described; `onnx_file.py` makes a file of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.encoder.onnx_file import GraphDescription, Input, Node
from retriever.encoder.settings import SpanEncoderConfig

Array = NDArray[Any]
Weights = dict[str, Array]

WORDS = "embeddings.word_embeddings.weight"
_CONTRIB = "com.microsoft"
"""ONNX Runtime's own operators: whole parts of a transformer's layer, each with a kernel of its own."""
_FLOAT = 1
"""float32 among ONNX's types."""
_MASKED = -1e9
_LARGEST = 63
_PIECE = 1 << 24
"""Bytes that are asked of the system at once for weights; what isn't touched of it costs nothing."""
_ALIGNED = 64
"""Bytes between places where a weight may begin."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The backbone's sizes, as its `config.json` gives them."""

    layers: int
    heads: int
    hidden_size: int
    inner_size: int
    epsilon: float

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Architecture | None:
        """`None` for a backbone that isn't built as BERT is."""
        plain = settings.get("position_embedding_type", "absolute") in {"absolute", None}
        same = settings.get("embedding_size", settings.get("hidden_size")) == settings.get("hidden_size")
        if not plain or not same or settings.get("hidden_act") != "gelu":
            return None
        return cls(
            layers=int(settings["num_hidden_layers"]),
            heads=int(settings["num_attention_heads"]),
            hidden_size=int(settings["hidden_size"]),
            inner_size=int(settings["intermediate_size"]),
            epsilon=float(settings.get("layer_norm_eps", 1e-12)),
        )

    def weights(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the layers' weights, by their names in a BERT."""
        size, inner = self.hidden_size, self.inner_size
        linear = {f"attention.self.{part}": (size, size) for part in ("query", "key", "value")}
        linear |= {"attention.output.dense": (size, size), "intermediate.dense": (inner, size)}
        linear |= {"output.dense": (size, inner)}
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in (f"encoder.layer.{i}." for i in range(self.layers)):
            for name, (out, into) in linear.items():
                shapes |= {f"{layer}{name}.weight": (out, into), f"{layer}{name}.bias": (out,)}
            for part in ("attention.output", "output"):
                shapes |= {f"{layer}{part}.LayerNorm.{kind}": (size,) for kind in ("weight", "bias")}
        return shapes

    def span_layer(self, config: SpanEncoderConfig) -> dict[str, tuple[int, ...]]:
        """Likewise, of the span layer."""
        size = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for part in ("query", "key", "value"):
            shapes |= {f"local.{part}.weight": (size, size), f"local.{part}.bias": (size,)}
        parts = int(config.local) + int(config.concatenation)
        return shapes | {"projection.weight": (size, parts * size), "projection.bias": (size,)}

    def head(self) -> dict[str, tuple[int, ...]]:
        """Likewise, of a span scorer's head."""
        return {"head.linear.weight": (2, self.hidden_size), "head.linear.bias": (2,)}


@dataclass(slots=True)
class Graph:
    """A graph, and the weights that it names."""

    description: GraphDescription
    weights: Weights


@dataclass(slots=True)
class _Builder:
    """Nodes and weights as they are added."""

    nodes: list[Node] = field(default_factory=list)
    weights: Weights = field(default_factory=dict)
    small: dict[str, list[int]] = field(default_factory=dict)
    _free: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: float) -> str:
        """A node; gives the name of what comes out."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(Node(kind, inputs, name, domain, attributes))
        return name

    def weight(self, name: str, value: Array) -> str:
        """A weight, which the runtime is given."""
        self.weights.setdefault(name, np.ascontiguousarray(value))
        return name

    def placed(self, matrix: Array, dtype: type[np.generic]) -> Array:
        """A matrix of this type, row by row: itself, or a copy in a large piece of memory.

        For those numpy asks for huge pages, and a page that is touched for the first time costs as much as many sums.
        """
        if matrix.dtype == dtype and matrix.flags.c_contiguous:
            return matrix
        size = matrix.size * np.dtype(dtype).itemsize
        if size > len(self._free):
            self._free = np.empty(max(size, _PIECE), dtype=np.uint8)
        copy = self._free[:size].view(dtype).reshape(matrix.shape)
        self._free = self._free[-(-size // _ALIGNED) * _ALIGNED :]
        copy[...] = matrix
        return copy

    def constant(self, name: str, *values: int) -> str:
        """A small constant, a number or several, which the graph holds itself."""
        self.small[name] = list(values)
        return name

    def finish(self, inputs: Sequence[Input], output: str, width: int) -> Graph:
        """The graph with these inputs, and `output (N, width)` as what comes out."""
        outside = {name: (str(value.dtype), value.shape) for name, value in self.weights.items()}
        return Graph(GraphDescription(self.nodes, inputs, outside, self.small, output, width), self.weights)


def build(
    weights: Weights,
    shape: Architecture,
    config: SpanEncoderConfig,
    *,
    span_layer: bool,
    segments: bool,
    alone: bool = False,
) -> Graph:
    """The graph of an encoder, `Z (N, C)`, or of a span scorer where the weights have a head, `(N, 2)`.

    Its inputs: `ids (N,)`, `positions (N,)`, `segments (N,)` if asked for; `place (B, T)`, which of the `N` tokens
    stands there (any, where `mask` is 0); `mask (B, T)` and `back (N,)`, where in `(B, T)` each token stands, but for
    a text alone; `band (1, 1, T, T)`, added to local attention's scores, if there is a span layer.

    Args:
        weights: By their names in a BERT, embeddings included; `local.`, `projection.` and `head.` beside them.
        shape: Of the backbone.
        config: Of the span layer.
        span_layer: Whether there is one.
        segments: Whether questions and passages are told apart.
        alone: For one text at a time: nothing has to be masked, and attention has a faster way where nothing is.
    """
    g = _Builder()
    layer = _Layers(g, weights, shape, alone=alone)
    embedded = _embeddings(g, weights, shape, segments=segments)  # E (N, C)
    hidden = embedded
    for number in range(shape.layers):
        hidden = layer.global_layer(f"encoder.layer.{number}.", hidden)  # H (N, C)
    out, width = hidden, shape.hidden_size
    if span_layer:
        parts = [layer.local(hidden, config.local_heads)] if config.local else []  # L (N, C)
        if config.concatenation:
            parts.append(embedded)
        joined = g.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]  # (N, 2C)
        out = g.add("Add", hidden, layer.linear("projection", joined))  # Z (N, C)
    if "head.linear.weight" in weights:
        out, width = layer.linear("head.linear", out), 2
    inputs = [
        *(Input(name, "int64", ("N",)) for name in ("ids", "positions")),
        *([Input("segments", "int64", ("N",))] if segments else []),
        Input("place", "int64", ("B", "T")),
        *([] if alone else [Input("mask", "int32", ("B", "T")), Input("back", "int64", ("N",))]),
    ]
    if span_layer and config.local:
        inputs.append(Input("band", "float32", (1, 1, "T", "T")))
    return g.finish(inputs, out, width)


def in_8_bits(matrix: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix `(M, K)` in whole numbers from -63 to 63, and a scale for each row, `(M,)`.

    That is 7 bits: with 8, the sum of two products can be more than the 16 bits in which processors without VNNI
    instructions keep it, and is cut off.
    """
    matrix = matrix.astype(np.float32, copy=False)
    scale = np.maximum(np.abs(matrix).max(axis=1), np.finfo(np.float32).tiny) / _LARGEST
    return np.rint(matrix / scale[:, None]).astype(np.int8), scale


def scale_of(name: str) -> str:
    """What a matrix's scales are called."""
    return f"{name}.weight.scale"


def band(length: int, window: int) -> NDArray[np.float32]:
    """What is added to scores so that a token sees those at most `window` places away, `(1, 1, T, T)`."""
    place = np.arange(length)
    near = np.abs(place[None, :] - place[:, None]) <= window
    return np.where(near, np.float32(0), np.float32(_MASKED))[None, None]


def _embeddings(g: _Builder, weights: Weights, shape: Architecture, *, segments: bool) -> str:
    """Token representations `E (N, C)`: of words, places and segments, normalised."""
    words = g.weight("words", weights[WORDS])
    looked_up = g.add("Gather", words, "ids")
    if weights[WORDS].dtype == np.float16:
        looked_up = g.add("Cast", looked_up, to=_FLOAT)
    places = weights["embeddings.position_embeddings.weight"].astype(np.float32)
    kinds = weights["embeddings.token_type_embeddings.weight"].astype(np.float32)
    if segments:
        looked_up = g.add("Add", looked_up, g.add("Gather", g.weight("kinds", kinds), "segments"))
    else:
        places = places + kinds[0]
    summed = g.add("Add", looked_up, g.add("Gather", g.weight("places", places), "positions"))
    scale, bias = (weights[f"embeddings.LayerNorm.{part}"].astype(np.float32) for part in ("weight", "bias"))
    return g.add(
        "LayerNormalization",
        summed,
        g.weight("embeddings.scale", scale),
        g.weight("embeddings.bias", bias),
        epsilon=shape.epsilon,
    )


class _Layers:
    """Parts of a transformer's layer, over tokens that stand end to end."""

    def __init__(self, g: _Builder, weights: Weights, shape: Architecture, *, alone: bool) -> None:
        self._g = g
        self._weights = weights
        self._shape = shape
        self._mask = "" if alone else "mask"
        self._placed: list[str] = []

    def global_layer(self, name: str, hidden: str) -> str:
        """One of BERT's layers: `(N, C)` -> `(N, C)`."""
        g = self._g
        parts = [f"{name}attention.self.{part}" for part in ("query", "key", "value")]
        attended = self._attend(name, hidden, parts, self._shape.heads)
        hidden = self._added(f"{name}attention.output", attended, hidden)
        inner = self._product(f"{name}intermediate.dense", [f"{name}intermediate.dense"], hidden)
        inner = g.add("BiasGelu", inner, self._vector(f"{name}intermediate.dense.bias"), domain=_CONTRIB)
        return self._added(f"{name}output", inner, hidden)

    def local(self, hidden: str, heads: int) -> str:
        """Local self-attention: `(N, C)` -> `L (N, C)`."""
        parts = [f"local.{part}" for part in ("query", "key", "value")]
        return self._attend("local.", hidden, parts, heads, bias="band")

    def linear(self, name: str, x: str) -> str:
        """`x W^T + b`."""
        return self._product(name, [name], x, self._vector(f"{name}.bias"))

    def _attend(self, name: str, hidden: str, parts: Sequence[str], heads: int, bias: str = "") -> str:
        """Attention within each text: `(N, C)` -> `(N, C)`."""
        g = self._g
        biases = np.concatenate([self._weights[f"{part}.bias"] for part in parts]).astype(np.float32)
        biases_name = g.weight(f"{name}attention.biases", biases)
        projected = self._product(f"{name}attention", parts, hidden, biases_name)  # (N, 3C)
        row = g.constant("row", -1, self._shape.hidden_size)
        rows = g.add("Reshape", projected, row)  # (3N, C): a token's query, key and value
        placed = [g.add("Gather", rows, part) for part in self._places()]  # (B, T, C) each
        attended = g.add(
            "MultiHeadAttention", *placed, "", self._mask, bias, domain=_CONTRIB, num_heads=heads
        )  # (B, T, C)
        flat = g.add("Reshape", attended, row)
        return g.add("Gather", flat, "back") if self._mask else flat  # (N, C)

    def _places(self) -> list[str]:
        """Where in `(3N, C)` the queries, keys and values stand that go to `(B, T)`."""
        if not self._placed:
            g = self._g
            first = g.add("Mul", "place", g.constant("three", 3))
            others = [g.constant(f"plus {i}", i) for i in (1, 2)]
            self._placed = [first, *(g.add("Add", first, other) for other in others)]
        return self._placed

    def _added(self, name: str, x: str, hidden: str) -> str:
        """The last product of a part of a layer, and what went into that part: added up and normalised.

        One operator could do it, SkipLayerNormalization, but takes five times as long as these two.
        """
        norm = f"{name}.LayerNorm"
        return self._g.add(
            "LayerNormalization",
            self._g.add("Add", self.linear(f"{name}.dense", x), hidden),
            *(self._vector(f"{norm}.weight"), self._vector(f"{norm}.bias")),
            epsilon=self._shape.epsilon,
        )

    def _product(self, name: str, parts: Sequence[str], x: str, bias: str = "") -> str:
        """`(N, K)` times the transpose of matrices below each other, `(M, K)`, and a bias `(M,)` if there is one.

        Where they are in 8 bits, what they are multiplied with is put into 8 bits, too, by its range in this pass.
        """
        g = self._g
        biases = [bias] if bias else []
        matrices = [self._weights[f"{part}.weight"] for part in parts]
        matrix = np.concatenate(matrices) if len(matrices) > 1 else matrices[0]
        if matrix.dtype != np.int8:
            weight = g.weight(f"{name}.matrix", g.placed(matrix, np.float32))
            return g.add("Gemm", x, weight, *biases, transB=1)
        weight = g.weight(f"{name}.matrix", g.placed(matrix.T, np.int8))
        scale = g.weight(f"{name}.scale", np.concatenate([self._weights[scale_of(part)] for part in parts]))
        return g.add("DynamicQuantizeMatMul", x, weight, scale, "", *biases, domain=_CONTRIB)

    def _vector(self, name: str) -> str:
        return self._g.weight(name, self._weights[name].astype(np.float32))
