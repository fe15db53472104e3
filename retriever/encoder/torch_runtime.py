"""Computing with torch: the reference, any backbone, any device."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retriever.encoder.backbone import EncoderFiles
from retriever.encoder.loading import computes_bfloat16, load_span_encoder, reader_model
from retriever.encoder.model import pool_packed
from retriever.encoder.packs import packs
from retriever.encoder.reader_files import StoredReader
from retriever.encoder.reading import Window
from retriever.encoder.runtime import Description, Precision, Scores, Vectors
from retriever.encoder.tokenizer import padding_id
from retriever.errors import EncoderError

Ids = NDArray[np.int64]

BATCH_TOKENS = {"cpu": 1024, "cuda": 65_536}
"""Tokens of one padded batch, padding counted. A GPU wants much more than a CPU, where what a layer works on should
stay in its caches."""


class TorchEmbedder:
    """Embeds with torch.

    Args:
        files: From `find_encoder`.
        precision: As for `TextEncoder`.
        device: A torch device; `None`: the GPU where there is one.
    """

    def __init__(self, files: EncoderFiles, *, precision: Precision, device: str | None) -> None:
        self._device = _device(device)
        self._model = load_span_encoder(files)
        self._span_layer = self._model.is_trained
        self._padding = padding_id(files.folder)
        self._model.to(device=self._device, dtype=_dtype(precision, self._device))
        # Torch's own thread pool serves one forward pass at a time; two at once only slow each other down.
        self._lock = threading.Lock()

    @property
    def description(self) -> Description:
        """What computes, and in which numbers."""
        weight = self._model.projection.weight
        return Description("torch", _name(weight.dtype), self._device.type, self._model.hidden_size)

    def embed(self, rows: Sequence[Ids], *, bulk: bool = False, narrow: bool = False) -> Vectors:
        """Token ids of each text, special tokens included, to vectors of length 1, `(B, C)`."""
        vectors = np.empty((len(rows), self._model.hidden_size), dtype=np.float32)
        numbers = range(len(rows))
        if self._model.reads_packed:
            batches, forward = packs(numbers, [len(row) for row in rows]), self._packed
        else:
            most = BATCH_TOKENS[self._device.type]
            batches, forward = padded_batches(numbers, [len(row) for row in rows], most), self._padded
        for batch in batches:
            with self._lock, torch.inference_mode():
                vectors[batch] = forward([rows[i] for i in batch])
        return vectors

    def _packed(self, rows: Sequence[Ids]) -> Vectors:
        lengths = [len(row) for row in rows]
        ids = torch.from_numpy(np.concatenate(rows))
        spans = self._model.forward_packed(ids, lengths, span_layer=self._span_layer)  # (N, C)
        vectors: Vectors = pool_packed(spans, lengths, self._model.config.pooling).numpy()
        return vectors

    def _padded(self, rows: Sequence[Ids]) -> Vectors:
        ids, mask = padded(rows, self._padding)
        token_ids, real = (torch.from_numpy(array).to(self._device) for array in (ids, mask))
        spans = self._model(token_ids, real, span_layer=self._span_layer)  # (B, T, C)
        pooled: Tensor = self._model.pool(spans, real)  # (B, C)
        vectors: Vectors = pooled.cpu().numpy()
        return vectors


class TorchReader:
    """Reads with torch.

    Args:
        stored: The trained span scorer.
        precision: As for `SpanScorer`.
        device: A torch device; `None`: the GPU where there is one.
    """

    def __init__(self, stored: StoredReader, *, precision: str, device: str | None) -> None:
        self._device = _device(device)
        self._model = reader_model(stored).to(device=self._device, dtype=_dtype(precision, self._device))
        self._padding = padding_id(stored.files.folder)
        self._lock = threading.Lock()

    @property
    def description(self) -> Description:
        """What computes, and in which numbers."""
        dtype = self._model.head.linear.weight.dtype
        return Description("torch", _name(dtype), self._device.type, self._model.encoder.hidden_size)

    def logits(self, windows: Sequence[Window]) -> list[Scores]:
        """Of each window's tokens, `(T, 2)`; of a padded batch, with those of its padding."""
        lengths = [len(window.ids) for window in windows]
        numbers = range(len(windows))
        if self._model.encoder.reads_packed:
            batches, forward = packs(numbers, lengths), self._packed
        else:
            # Twice the tokens of embedding's batches: there are few windows, and all of about one length.
            most = 2 * BATCH_TOKENS[self._device.type]
            batches, forward = padded_batches(numbers, lengths, most), self._padded
        scores: list[Scores] = [np.empty((0, 2), dtype=np.float32)] * len(windows)
        for batch in batches:
            with self._lock, torch.inference_mode():
                for i, row in zip(batch, forward([windows[i] for i in batch]), strict=True):
                    scores[i] = row
        return scores

    def _packed(self, windows: Sequence[Window]) -> list[Scores]:
        lengths = [len(window.ids) for window in windows]
        ids = torch.from_numpy(np.concatenate([window.ids for window in windows]))
        segments = torch.from_numpy(np.concatenate([window.segments for window in windows]))
        logits = self._model.forward_packed(ids, lengths, segments)  # (N, 2)
        return [row.numpy() for row in torch.split(logits, lengths)]

    def _padded(self, windows: Sequence[Window]) -> list[Scores]:
        ids, mask = padded([window.ids for window in windows], self._padding)
        segments, _ = padded([window.segments for window in windows], 0)
        tensors = [torch.from_numpy(array).to(self._device) for array in (ids, mask, segments)]
        logits: Scores = self._model(*tensors).float().cpu().numpy()
        return list(logits)


def padded(rows: Sequence[Ids], padding: int) -> tuple[Ids, NDArray[np.bool_]]:
    """Rows as a rectangle, `(B, T)`, and where they are real."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), padding, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.bool_)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = True
    return ids, mask


def padded_batches(numbers: Sequence[int], lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Longest first, so that texts of about one length share a batch and the first batch is the largest."""
    batch: list[int] = []
    for i in sorted(numbers, key=lengths.__getitem__, reverse=True):
        if batch and lengths[batch[0]] * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _device(name: str | None) -> torch.device:
    device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type not in BATCH_TOKENS:
        raise EncoderError(f"device {str(device)!r} isn't supported: one of {', '.join(BATCH_TOKENS)}")
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "int8":
        raise EncoderError("in int8 only ONNX Runtime computes: pip install 'spanseek[fast]'")
    if precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
