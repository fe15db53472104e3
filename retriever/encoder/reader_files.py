"""What a trained span scorer is on disk: `reader.json` and `reader.safetensors`.

It holds every weight but the embeddings, which stay those of the encoder it was trained on. Matrices are kept in
8 bits with a scale for every 64 numbers of a row: about the precision of the bfloat16 that they are multiplied in.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from retriever.config import Saved
from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles, find_encoder
from retriever.encoder.encoder import computes_bfloat16, load_span_encoder
from retriever.encoder.model import SpanEncoderConfig, SpanReader
from retriever.encoder.reading import ReadingConfig
from retriever.encoder.shipped import shipped_folder
from retriever.encoder.tokenizer import Tokenizer
from retriever.errors import EncoderError, IndexFormatError

READER_SETTINGS = "reader.json"
READER_WEIGHTS = "reader.safetensors"
_GROUP = 64
_SCALE = ".scale"


@dataclass(frozen=True, slots=True)
class ReaderSettings(Saved):
    """What a trained span scorer is, beside its weights.

    Attributes:
        encoder: Whose embeddings it has, by the name that the encoder was found by.
        fingerprint: That encoder's.
        segments: Whether the backbone is told question from passage.
        span: `SpanEncoderConfig`, the span layer.
        reading: `ReadingConfig`, sizes of windows.
    """

    encoder: str
    fingerprint: str
    segments: bool
    span: dict[str, object] = field(default_factory=dict)
    reading: dict[str, object] = field(default_factory=dict)


def save_reader(model: SpanReader, files: EncoderFiles, reading: ReadingConfig, folder: Path) -> None:
    """Writes what `load_reader` reads.

    Args:
        model: Trained with frozen embeddings.
        files: The encoder that it began as.
        reading: Sizes of windows.
        folder: Where to.
    """
    weights: dict[str, Tensor] = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        value = p.detach().to("cpu", torch.float32).contiguous()
        if value.dim() == 2 and value.shape[1] % _GROUP == 0:
            weights[name], weights[name + _SCALE] = quantise(value)
        else:
            weights[name] = value
    save_file(weights, folder / READER_WEIGHTS)
    settings = ReaderSettings(
        encoder=files.name,
        fingerprint=files.fingerprint,
        segments=model.segments,
        span=json.loads(model.encoder.config.to_json()),
        reading=json.loads(reading.to_json()),
    )
    (folder / READER_SETTINGS).write_text(settings.to_json() + "\n", encoding="utf-8")


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`(N, K)` float32 -> int8 `(N, K)` and float32 scales `(N, K / 64)`, symmetric about zero."""
    groups = matrix.view(len(matrix), -1, _GROUP)  # (N, K / 64, 64)
    scale = groups.abs().amax(dim=2).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (groups / scale[..., None]).round().to(torch.int8).flatten(1), scale


def dequantise(matrix: Tensor, scale: Tensor) -> Tensor:
    """What `quantise` was given, to half a step of its scale."""
    rows, columns = matrix.shape
    return (matrix.float().view(rows, -1, _GROUP) * scale[..., None]).view(rows, columns)


def load_reader(
    name: str, *, precision: str, device: str | None
) -> tuple[SpanReader, Tokenizer, ReadingConfig, str, Path]:
    """Model (in evaluation mode, on its device), tokenizer, sizes of windows, fingerprint and folder."""
    model, files, reading, digest, folder = load_reader_model(name)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    bfloat16 = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(where))
    model.to(device=where, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    return model, Tokenizer.from_folder(files.folder), reading, digest, folder


def load_reader_model(
    name: str, *, written_out: bool = False
) -> tuple[SpanReader, EncoderFiles, ReadingConfig, str, Path]:
    """Model (float32, in evaluation mode), its encoder, sizes of windows, fingerprint and folder.

    Args:
        name: `default`, or a folder.
        written_out: As in `load_backbone`.

    Raises:
        EncoderError: There is none, it is damaged, or the encoder that it goes with is another.
    """
    folder = shipped_folder() if name == DEFAULT_ENCODER else Path(name)
    if not (folder / READER_SETTINGS).is_file() or not (folder / READER_WEIGHTS).is_file():
        raise EncoderError(
            f"there is no span scorer at {name!r}: give a folder that 'spanseek train reader' wrote"
        )
    text, settings, saved = _read(folder, name)
    files = find_encoder(settings.encoder, fetch=False)
    if files.fingerprint != settings.fingerprint:
        raise EncoderError(f"the span scorer at {name!r} was trained on another version of {files.name!r}")
    span, reading = _sizes(settings, name)
    model = SpanReader(load_span_encoder(files, span, written_out=written_out), segments=settings.segments)
    try:
        weights = {
            key: dequantise(value, saved[key + _SCALE]) if key + _SCALE in saved else value
            for key, value in saved.items()
            if not key.endswith(_SCALE)
        }
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise EncoderError(
            f"the span scorer at {name!r} doesn't load: {str(error).splitlines()[0]}"
        ) from error
    lost = [
        key
        for key in missing
        if not key.startswith(("encoder.backbone.embeddings.", "encoder.backbone.pooler."))
    ]
    if lost or unexpected:
        raise EncoderError(f"the span scorer at {name!r} doesn't fit: {(lost + unexpected)[0]}")
    digest = hashlib.sha256(text.encode() + (folder / READER_WEIGHTS).read_bytes()).hexdigest()
    return model.eval(), files, reading, digest, folder


def _read(folder: Path, name: str) -> tuple[str, ReaderSettings, dict[str, Tensor]]:
    """The settings as they are written and as they are meant, and the tensors."""
    try:
        text = (folder / READER_SETTINGS).read_text(encoding="utf-8")
        return text, ReaderSettings.from_json(text), load_file(folder / READER_WEIGHTS)
    except (OSError, ValueError, TypeError, SafetensorError, IndexFormatError) as error:
        raise _damaged(name, error) from error


def _sizes(settings: ReaderSettings, name: str) -> tuple[SpanEncoderConfig, ReadingConfig]:
    try:
        return SpanEncoderConfig(**settings.span), ReadingConfig(**settings.reading)  # type: ignore[arg-type]
    except TypeError as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> EncoderError:
    return EncoderError(
        f"the span scorer at {name!r} is damaged, or of another version of spanseek: {str(error).splitlines()[0]}"
    )
