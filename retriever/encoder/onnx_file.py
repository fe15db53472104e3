"""A graph as an ONNX file: written from its description, or found ready.

The graphs of the model that comes along lie beside it as files, by what they say, so that a search doesn't wait for the
onnx package, whose import takes longer than opening a model. A description that no file was written from (of another
backbone, or by changed code) is written when it is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from retriever.encoder.shipped import shipped_folder, shipped_sums

_OPSET = 17
_CONTRIB_OPSET = 1
_FORMAT = 8
"""ONNX's version of its own format."""
_WRITING = 2
"""Raised when `written` writes the same description otherwise."""


class Node(NamedTuple):
    """One operation: `output` is the name of what comes out."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    domain: str
    attributes: Mapping[str, float]


class Input(NamedTuple):
    """What a graph is given: the type by numpy's name, and a shape with names for what varies."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class GraphDescription:
    """All that is in a graph.

    Attributes:
        nodes: In an order in which they can be computed.
        inputs: What it is given.
        weights: Type, by numpy's name, and shape of the weights that it is given beside itself.
        small: Constants in int64, one number or several.
        output: Of the node that gives the result, `(N, width)` in float32.
        width: See there.
    """

    nodes: Sequence[Node]
    inputs: Sequence[Input]
    weights: Mapping[str, tuple[str, tuple[int, ...]]]
    small: Mapping[str, Sequence[int]]
    output: str
    width: int

    @property
    def file_name(self) -> str:
        """Of a file that was written from it: what it says decides it."""
        versions = [_OPSET, _CONTRIB_OPSET, _FORMAT, _WRITING]
        text = json.dumps([versions, asdict(self)], sort_keys=True)
        return f"graph-{hashlib.sha256(text.encode()).hexdigest()[:16]}.onnx"


def ready(description: GraphDescription) -> bytes | None:
    """The file's content, if it comes along with the shipped model.

    Raises:
        EncoderError: The model that comes along is damaged.
    """
    name = description.file_name
    return (shipped_folder() / name).read_bytes() if name in shipped_sums() else None


def written(description: GraphDescription) -> bytes:
    """The file's content, written now."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    def number_of(dtype: str) -> int:
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def outside(name: str, dtype: str, shape: Sequence[int]) -> Any:
        """Stands for a weight that the runtime is given."""
        tensor = TensorProto(name=name, data_type=number_of(dtype), dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        # The runtime wants something that is there, and doesn't look into it.
        entry.key, entry.value = "location", "."
        return tensor

    def operation(node: Node) -> Any:
        attributes: dict[str, Any] = dict(node.attributes)
        return helper.make_node(node.kind, [*node.inputs], [node.output], domain=node.domain, **attributes)

    inputs = [
        helper.make_tensor_value_info(given.name, number_of(given.dtype), [*given.shape])
        for given in description.inputs
    ]
    small = [
        numpy_helper.from_array(np.array(values if len(values) > 1 else values[0], dtype=np.int64), name)
        for name, values in description.small.items()
    ]
    weights = [outside(name, *weight) for name, weight in description.weights.items()]
    result = helper.make_tensor_value_info(description.output, number_of("float32"), ["N", description.width])
    graph = helper.make_graph(
        [*map(operation, description.nodes)], "span_encoder", inputs, [result], [*small, *weights]
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", _CONTRIB_OPSET)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=_FORMAT).SerializeToString()
    return content
