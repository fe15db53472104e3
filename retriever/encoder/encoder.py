"""Text to vectors: the span encoder with its tokenizer, in batches that waste little, never truncating."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from retriever.encoder.backbone import (
    DEFAULT_ENCODER,
    SPAN_CONFIG,
    SPAN_WEIGHTS,
    EncoderFiles,
    find_encoder,
    first_line,
    load_backbone,
)
from retriever.encoder.model import SpanEncoder, SpanEncoderConfig, pool_packed
from retriever.encoder.packing import packs
from retriever.encoder.tokenizer import Tokenizer
from retriever.errors import EncoderError
from retriever.types import Passage

Vectors = NDArray[np.float32]
Precision = Literal["auto", "float32", "bfloat16"]

_BATCH_TOKENS = {"cpu": 1024, "cuda": 65_536}
"""Tokens of one padded batch, padding counted. A GPU wants much more than a CPU, where what a layer works on should
stay in its caches."""


@dataclass(frozen=True, slots=True)
class _Window:
    """Token ids that go through the encoder at once, and the text that they are of."""

    text: int
    ids: NDArray[np.int64]


class TextEncoder:
    """Embeds passages and questions. Safe to share by threads.

    Args:
        files: From `find_encoder`.
        precision: `float32` is the reference. `bfloat16` is about 2.5 times faster where the processor computes
            in it, and differs by a cosine of less than 0.001; `auto` takes it there.
        device: A torch device; `None`: the GPU where there is one, else the CPU.
    """

    def __init__(
        self, files: EncoderFiles, *, precision: Precision = "auto", device: str | None = None
    ) -> None:
        self.files = files
        self.tokenizer = Tokenizer.from_folder(files.folder)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if self._device.type not in _BATCH_TOKENS:
            raise EncoderError(f"device {device!r} isn't supported: one of {', '.join(_BATCH_TOKENS)}")
        self._model = load_span_encoder(files)
        self._span_layer = self._model.is_trained
        bfloat16 = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(self._device))
        self._model.to(device=self._device, dtype=torch.bfloat16 if bfloat16 else torch.float32)
        special = self.tokenizer.special
        self._special = np.asarray(special.before), np.asarray(special.after)
        self._room = files.max_length - len(special.before) - len(special.after)
        # Torch's own thread pool serves one forward pass at a time; two at once only slow each other down.
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        name: str = DEFAULT_ENCODER,
        *,
        precision: Precision = "auto",
        device: str | None = None,
        fetch: bool = True,
    ) -> TextEncoder:
        """Finds an encoder by name and loads it.

        Args:
            name: As in `find_encoder`.
            precision: What to compute in.
            device: Where; by default a GPU if there is one.
            fetch: As in `find_encoder`.

        Raises:
            EncoderError: It can't be found or loaded.
        """
        return cls(find_encoder(name, fetch=fetch), precision=precision, device=device)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all that decides what vectors come out."""
        return self.files.fingerprint

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._model.hidden_size

    @property
    def precision(self) -> str:
        """What it computes in: `float32` or `bfloat16`."""
        return str(self._model.projection.weight.dtype).removeprefix("torch.")

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The place of each token in the text, half-open, in code points."""
        return self.tokenizer.spans(text)

    def encode_passages(self, passages: Sequence[Passage], *, context_tokens: int = 40) -> Vectors:
        """Embeds passages, each after its context.

        Args:
            passages: Texts of any length. What is longer than one pass sees is embedded in windows and averaged.
            context_tokens: At most this many tokens of the context are taken.

        Returns:
            `(N, C)` float32, each row of length 1, in the order of `passages`.
        """
        prompt = self.files.passage_prompt
        contexts = self.tokenizer.ids([passage.context for passage in passages])
        texts = self.tokenizer.ids([prompt + passage.text for passage in passages])
        pairs = zip(contexts, texts, strict=True)
        return self._encode([np.concatenate([context[:context_tokens], text]) for context, text in pairs])

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Embeds questions: `(N, C)` float32, each row of length 1."""
        return self._encode(
            self.tokenizer.ids([self.files.query_prompt + question for question in questions])
        )

    def _encode(self, texts: Sequence[NDArray[np.int64]]) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        windows = [window for i, ids in enumerate(texts) for window in self._windows(i, ids)]
        if self._model.reads_packed:
            batches, forward = packs(windows, [len(window.ids) for window in windows]), self._forward_packed
        else:
            batches, forward = _batches(windows, _BATCH_TOKENS[self._device.type]), self._forward
        for batch in batches:
            with self._lock, torch.inference_mode():
                pooled = forward([window.ids for window in batch])
            for window, vector in zip(batch, pooled, strict=True):
                vectors[window.text] += len(window.ids) * vector
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        normalised: Vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        return normalised

    def _windows(self, text: int, ids: NDArray[np.int64]) -> Iterator[_Window]:
        """The text in as few passes as it needs, of about equal length."""
        before, after = self._special
        passes = max(1, -(-len(ids) // self._room))
        for part in np.array_split(ids, passes):
            yield _Window(text, np.concatenate([before, part, after]).astype(np.int64))

    def _forward_packed(self, rows: Sequence[NDArray[np.int64]]) -> Vectors:
        """Token ids of each text, special tokens included, to vectors `(B, C)`."""
        lengths = [len(row) for row in rows]
        ids = torch.from_numpy(np.concatenate(rows))
        spans = self._model.forward_packed(ids, lengths, span_layer=self._span_layer)  # (N, C)
        vectors: Vectors = pool_packed(spans, lengths, self._model.config.pooling).numpy()
        return vectors

    def _forward(self, rows: Sequence[NDArray[np.int64]]) -> Vectors:
        """Token ids of each text, special tokens included, to vectors `(B, C)`."""
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), self.tokenizer.special.padding, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.bool_)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = True
        token_ids, real = (torch.from_numpy(array).to(self._device) for array in (ids, mask))
        spans = self._model(token_ids, real, span_layer=self._span_layer)  # (B, T, C)
        pooled: Tensor = self._model.pool(spans, real)  # (B, C)
        vectors: Vectors = pooled.cpu().numpy()
        return vectors


def load_span_encoder(
    files: EncoderFiles, config: SpanEncoderConfig | None = None, *, written_out: bool = False
) -> SpanEncoder:
    """The model of an encoder's files, float32, in evaluation mode; its span layer untrained where none is saved.

    Args:
        files: From `find_encoder`.
        config: Another span layer than the files', to be trained.
        written_out: As in `load_backbone`.
    """
    backbone = load_backbone(files.folder, written_out=written_out)
    try:
        model = SpanEncoder(backbone, config or files.config)
        if config is None and (files.folder / SPAN_WEIGHTS).is_file():
            saved = load_file(files.folder / SPAN_WEIGHTS)
            model.local.load_state_dict(_below(saved, "local."))
            model.projection.load_state_dict(_below(saved, "projection."))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise EncoderError(
            f"the span layer in {files.folder} doesn't fit or is damaged: {first_line(error)}"
        ) from error
    return model.eval()


def save_span_layer(model: SpanEncoder, files: EncoderFiles) -> None:
    """Writes the span layer's weights and settings beside the backbone's."""
    state = {name: x for name, x in model.state_dict().items() if not name.startswith("backbone.")}
    save_file(state, files.folder / SPAN_WEIGHTS)
    (files.folder / SPAN_CONFIG).write_text(model.config.to_json() + "\n", encoding="utf-8")


def _below(saved: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): x for name, x in saved.items() if name.startswith(prefix)}


def _batches(windows: list[_Window], most_tokens: int) -> Iterator[list[_Window]]:
    """Longest first, so that texts of about one length share a batch and the first batch is the largest."""
    batch: list[_Window] = []
    for window in sorted(windows, key=lambda window: len(window.ids), reverse=True):
        if batch and len(batch[0].ids) * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products are done in hardware; emulated, they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)
