"""Models in torch, from their files and back: to compute with, and to train."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from retriever.encoder.backbone import (
    SPAN_CONFIG,
    SPAN_WEIGHTS,
    TORCH_WEIGHTS,
    EncoderFiles,
    first_line,
    read_json,
    refuse_kernels,
    weights_file,
)
from retriever.encoder.model import SpanEncoder, SpanReader
from retriever.encoder.packing import PACKED_ATTENTION, register_packed_attention
from retriever.encoder.packs import first_position
from retriever.encoder.reader_files import (
    GROUP,
    READER_SETTINGS,
    READER_WEIGHTS,
    SCALE,
    ReaderSettings,
    StoredReader,
    read_reader,
)
from retriever.encoder.reading import ReadingConfig
from retriever.encoder.settings import SpanEncoderConfig
from retriever.errors import EncoderError

_LOADING = threading.Lock()
"""Neither transformers' first import nor its loading, which changes torch for the whole process, stands two threads."""


def load_backbone(folder: Path, *, written_out: bool = False) -> nn.Module:
    """The transformer of a folder, in float32, in evaluation mode.

    Args:
        folder: In the Hugging Face layout.
        written_out: Attention as products and a softmax in so many steps, where torch has a kernel for all of it.
            Slower forwards; but backwards the kernel is so slow on a CPU that training takes 1.3 times as long.

    Raises:
        EncoderError: The files don't load as an encoder.
    """
    with _LOADING:
        return _load_backbone(folder, written_out=written_out)


def _load_backbone(folder: Path, *, written_out: bool) -> nn.Module:
    from transformers import AutoModel, BertConfig
    from transformers.utils import logging

    # A progress bar and a table of unused weights say nothing to somebody who searches.
    quiet: Any = logging
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()
    settings = read_json(folder / "config.json")
    refuse_kernels(folder, settings)
    options: dict[str, Any] = {
        "trust_remote_code": False,
        "weights_only": True,
        "local_files_only": True,
        "use_safetensors": weights_file(folder).name != TORCH_WEIGHTS,
        "dtype": "float32",
        "attn_implementation": "eager" if written_out else None,  # None: the best that the model has
    }
    if "model_type" not in settings:
        # Published before the field existed (SpanBERT is): a BERT.
        options["config"] = BertConfig.from_pretrained(str(folder))
    try:
        backbone: nn.Module = AutoModel.from_pretrained(str(folder), **options)
    except Exception as error:  # transformers, torch and safetensors raise anything on strange files
        if type(error).__name__ == "UnpicklingError":
            raise EncoderError(
                f"the encoder in {folder} isn't loaded: its {TORCH_WEIGHTS} is damaged, or holds code beside its weights"
            ) from error
        raise EncoderError(f"the encoder in {folder} doesn't load: {first_line(error)}") from error
    if not written_out and first_position(backbone.config) is not None:
        register_packed_attention()
        attending: Any = backbone
        attending.set_attn_implementation(PACKED_ATTENTION)
    return backbone.eval()


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


def save_reader(
    model: SpanReader, files: EncoderFiles, reading: ReadingConfig, folder: Path, *, no_answer: float = 0.0
) -> None:
    """Writes what `read_reader` reads.

    Args:
        model: Trained with frozen embeddings: they are the encoder's, and not written.
        files: The encoder that it began as.
        reading: Sizes of windows.
        folder: Where to.
        no_answer: As in `ReaderSettings`.
    """
    weights: dict[str, Tensor] = {}
    for name, p in model.own_parameters().items():
        value = p.detach().to("cpu", torch.float32).contiguous()
        if value.dim() == 2 and value.shape[1] % GROUP == 0:
            weights[name], weights[name + SCALE] = quantise(value)
        else:
            weights[name] = value
    save_file(weights, folder / READER_WEIGHTS)
    settings = ReaderSettings(
        encoder=files.name,
        fingerprint=files.fingerprint,
        segments=model.segments,
        span=json.loads(model.encoder.config.to_json()),
        reading=json.loads(reading.to_json()),
        no_answer=no_answer,
    )
    (folder / READER_SETTINGS).write_text(settings.to_json() + "\n", encoding="utf-8")


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`(N, K)` float32 -> int8 `(N, K)` and float32 scales `(N, K / 64)`, symmetric about zero."""
    groups = matrix.view(len(matrix), -1, GROUP)  # (N, K / 64, 64)
    scale = groups.abs().amax(dim=2).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (groups / scale[..., None]).round().to(torch.int8).flatten(1), scale


def load_reader_model(
    name: str, *, written_out: bool = False
) -> tuple[SpanReader, EncoderFiles, ReadingConfig]:
    """Model (float32, in evaluation mode), its encoder, and sizes of windows.

    Args:
        name: `default`, or a folder.
        written_out: As in `load_backbone`.

    Raises:
        EncoderError: There is none, it is damaged, or the encoder that it goes with is another.
    """
    stored = read_reader(name)
    return reader_model(stored, written_out=written_out), stored.files, stored.reading


def reader_model(stored: StoredReader, *, written_out: bool = False) -> SpanReader:
    """The model of what was read; as `load_reader_model`."""
    base = load_span_encoder(stored.files, stored.span, written_out=written_out)
    model = SpanReader(base, segments=stored.segments)
    arrays = {name: np.require(stored.weight(name), requirements="W") for name in stored.names}
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise EncoderError(
            f"the span scorer at {stored.name!r} doesn't load: {str(error).splitlines()[0]}"
        ) from error
    lost = [
        key
        for key in missing
        if not key.startswith(("encoder.backbone.embeddings.", "encoder.backbone.pooler."))
    ]
    if lost or unexpected:
        raise EncoderError(f"the span scorer at {stored.name!r} doesn't fit: {(lost + unexpected)[0]}")
    return model.eval()


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products are done in hardware; emulated, they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)
