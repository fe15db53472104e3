"""What one would run the same encoder with instead: sentence-transformers, and its ONNX and OpenVINO backends.

The backends need optimum, whose releases ask for an older transformers than this project's. So what a backend runs is
made here the way optimum makes it: the plain BERT of transformers is exported, and batches go through it as
sentence-transformers sends them, 32 texts sorted by length, padded to the longest, cut at 256 tokens, averaged over
real tokens. Neither runtime is told anything but the number of threads.
"""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

_BATCH = 32
_LONGEST = 256
Vectors = NDArray[np.float32]
Run = Callable[[NDArray[np.int64], NDArray[np.int64]], Vectors]
"""Token ids and mask, `(B, T)`, to token vectors `(B, T, C)`."""


class Side(Protocol):
    """One side of a comparison."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """`(N, C)`, each row of length 1."""


class SentenceTransformers:
    """sentence-transformers' own `encode`, float32, as the published model comes."""

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import SentenceTransformer

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        # The folder holds half precision, which newer versions would compute in, at a quarter of the speed; who
        # installs the published model gets float32.
        self._model = SentenceTransformer(str(folder), device="cpu").float()

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._model.encode(
            list(texts), show_progress_bar=False, normalize_embeddings=True, convert_to_numpy=True
        )
        return vectors


class Padded:
    """A plain BERT in some runtime, fed as sentence-transformers feeds it."""

    def __init__(self, folder: Path, run: Run) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        self._run = run

    def encode(self, texts: Sequence[str]) -> Vectors:
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors = np.empty((len(texts), 0), dtype=np.float32)
        for begin in range(0, len(texts), _BATCH):
            chosen = order[begin : begin + _BATCH]
            batch = self._tokenizer(
                [texts[i] for i in chosen],
                padding=True,
                truncation=True,
                max_length=_LONGEST,
                return_tensors="np",
            )
            mask = batch["attention_mask"].astype(np.int64)
            tokens = self._run(batch["input_ids"].astype(np.int64), mask)  # (B, T, C)
            pooled = np.einsum("btc,bt->bc", tokens, mask.astype(np.float32))
            if not vectors.shape[1]:
                vectors = np.empty((len(texts), pooled.shape[1]), dtype=np.float32)
            vectors[chosen] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors


class _Plain(nn.Module):
    """What is exported: the last layer's token vectors, and nothing else."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        output: Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return output


def _plain(folder: Path) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """The model, and an input to trace it with."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model: Any = AutoModel.from_pretrained(
        str(folder), dtype="float32", attn_implementation="sdpa", local_files_only=True
    )
    ids = torch.randint(5, 1000, (2, 16))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    return _Plain(model.eval()), (ids, mask)


def openvino_side(folder: Path, threads: int) -> Side:
    """What `SentenceTransformer(..., backend="openvino")` runs."""
    import openvino

    model, example = _plain(folder)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        converted = openvino.convert_model(
            model, example_input=example, input=[("input_ids", [-1, -1]), ("attention_mask", [-1, -1])]
        )
    compiled = openvino.Core().compile_model(converted, "CPU", {"INFERENCE_NUM_THREADS": threads})

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        vectors: Vectors = compiled([ids, mask])[0]
        return vectors

    return Padded(folder, run)


def onnx_side(folder: Path, threads: int) -> Side:
    """What `SentenceTransformer(..., backend="onnx")` runs."""
    import onnxruntime

    model, example = _plain(folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        path = str(Path(scratch, "model.onnx"))
        torch.onnx.export(
            model,
            example,
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["tokens"],
            dynamic_axes={
                name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask", "tokens")
            },
            opset_version=17,
            dynamo=False,
        )
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        vectors: Vectors = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return vectors

    return Padded(folder, run)


def sides(folder: Path, threads: int) -> tuple[dict[str, Side], list[str]]:
    """What is there to compare with, by name; and a line for each that isn't installed."""
    makers: dict[str, tuple[tuple[str, ...], Callable[[], Side]]] = {
        "sentence_transformers": (("sentence_transformers",), lambda: SentenceTransformers(folder)),
        "onnx": (("onnx", "onnxruntime"), lambda: onnx_side(folder, threads)),
        "openvino": (("openvino",), lambda: openvino_side(folder, threads)),
    }
    found: dict[str, Side] = {}
    left_out = []
    for name, (packages, make) in makers.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            left_out.append(f"{name} is left out: pip install {' '.join(missing).replace('_', '-')}")
        else:
            found[name] = make()
    return found, left_out
