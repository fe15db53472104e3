"""Where an encoder's files come from, what they are, and their fingerprint.

An encoder is named by `default`, by a folder in the Hugging Face layout, or by a name on the hub (taken from its
cache, or fetched where the network is allowed).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever.encoder.settings import SpanEncoderConfig
from retriever.encoder.shipped import sha256, shipped_folder, shipped_sums
from retriever.errors import EncoderError, IndexFormatError

DEFAULT_ENCODER = "default"
"""sentence-transformers/all-MiniLM-L6-v2, as it comes with spanseek."""

# SpanBERT, among others, was published in this form only. It is read by torch's restricted unpickler
# (`weights_only`), which makes tensors and runs no code.
TORCH_WEIGHTS = "pytorch_model.bin"

WEIGHTS = "model.safetensors"
SPAN_CONFIG = "span_encoder.json"
SPAN_WEIGHTS = "span_encoder.safetensors"
_HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "1_Pooling/*"]


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """An encoder found on disk.

    Attributes:
        name: As it was asked for; a folder's is its absolute path.
        folder: Where the files are.
        fingerprint: SHA-256 over everything that decides what vectors come out.
        max_length: Tokens that one pass sees, special tokens counted.
    """

    name: str
    folder: Path
    fingerprint: str
    max_length: int
    config: SpanEncoderConfig
    query_prompt: str
    passage_prompt: str


def find_encoder(name: str, *, fetch: bool = True) -> EncoderFiles:
    """Finds and fingerprints an encoder's files, without loading them.

    Args:
        name: `default`, a folder, or a name on the hub.
        fetch: Whether one that isn't in the hub's cache may be fetched: only where it is the user who named it.

    Raises:
        EncoderError: There is no such encoder, it isn't of the BERT family, or the default's files are damaged.
    """
    known: dict[str, str] = {}
    if name == DEFAULT_ENCODER:
        folder, known = shipped_folder(), shipped_sums()
    elif Path(name).is_dir():
        folder = Path(name).resolve()
        name = str(folder)
    else:
        folder = _hub_folder(name, fetch=fetch)
    settings = read_json(folder / "config.json")
    if not settings:
        raise EncoderError(f"no config.json in {folder}: an encoder is a folder in the Hugging Face layout")
    weights = weights_file(folder)
    digest = hashlib.sha256()
    for path in (weights, *_deciding_files(folder)):
        digest.update(
            path.name.encode()
            + b"\0"
            + (known.get(path.relative_to(folder).as_posix()) or sha256(path)).encode()
            + b"\0"
        )
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    return EncoderFiles(
        name=name,
        folder=folder,
        fingerprint=digest.hexdigest(),
        max_length=_max_length(folder, settings),
        config=_span_config(folder, settings),
        query_prompt=str(prompts.get("query", "")),
        passage_prompt=str(prompts.get("passage", prompts.get("document", ""))),
    )


def first_line(error: Exception) -> str:
    """What an error of somebody else's code says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def refuse_kernels(folder: Path, settings: dict[str, Any]) -> None:
    """Refuses an encoder whose settings name attention code on the hub, whatever computes it.

    Raises:
        EncoderError: They do.
    """
    if _names_a_kernel(settings):
        raise EncoderError(
            f"the encoder in {folder} asks for code from the hub in its config.json; it isn't loaded"
        )


def _names_a_kernel(settings: object) -> bool:
    """Whether a `config.json` names attention code that transformers would fetch and run, as in `owner/kernel`."""
    if isinstance(settings, list):
        return any(map(_names_a_kernel, settings))
    if not isinstance(settings, dict):
        return False
    return any(
        ("attn_implementation" in key and "/" in str(value)) or _names_a_kernel(value)
        for key, value in settings.items()
    )


def _hub_folder(name: str, *, fetch: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=not fetch))
        if not any(folder.glob("*.safetensors")) and fetch:
            folder = Path(snapshot_download(name, allow_patterns=[*_HUB_FILES, TORCH_WEIGHTS]))
        return folder
    except HFValidationError as error:
        raise EncoderError(
            f"there is no encoder {name!r}: give a folder, or a name like owner/model"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        if not fetch:
            raise EncoderError(
                f"the encoder {name!r} is neither a folder nor in the hub's cache; "
                f"'spanseek index PATH --encoder {name}' fetches it"
            ) from error
        raise EncoderError(
            f"the encoder {name!r} is neither a folder nor in the hub's cache, and can't be fetched: "
            "download it where there is a network and give its folder"
        ) from error


def weights_file(folder: Path) -> Path:
    """The file that names all weights.

    Raises:
        EncoderError: There is none.
    """
    for name in (WEIGHTS, "model.safetensors.index.json", TORCH_WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    raise EncoderError(f"no weights in {folder}: expected model.safetensors or {TORCH_WEIGHTS}")


def _deciding_files(folder: Path) -> list[Path]:
    """Files beside the weights that decide what comes out, in a fixed order."""
    names = [
        "config.json",
        "tokenizer.json",
        "vocab.txt",
        "tokenizer_config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        SPAN_CONFIG,
        SPAN_WEIGHTS,
    ]
    shards = sorted(folder.glob("model-*.safetensors"))
    return [path for name in names if (path := folder / name).is_file()] + shards


def _span_config(folder: Path, settings: dict[str, Any]) -> SpanEncoderConfig:
    if (folder / SPAN_CONFIG).is_file():
        try:
            return SpanEncoderConfig.from_json((folder / SPAN_CONFIG).read_text(encoding="utf-8"))
        except (ValueError, TypeError, IndexFormatError) as error:
            raise EncoderError(f"{folder / SPAN_CONFIG} is damaged: {first_line(error)}") from error
    pooling = read_json(folder / "1_Pooling" / "config.json")
    heads = settings.get("num_attention_heads", settings.get("n_heads", 1))
    return SpanEncoderConfig(
        local_heads=int(heads), pooling="cls" if pooling.get("pooling_mode_cls_token") else "mean"
    )


def _max_length(folder: Path, settings: dict[str, Any]) -> int:
    """The shorter of what the positions allow and what the model says it was trained on."""
    limits = [
        read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
    ]
    positions = settings.get("max_position_embeddings")
    if isinstance(positions, int):
        # RoBERTa and its kin count positions from the padding id + 1 on.
        reserved = int(settings.get("pad_token_id") or 0) + 1 if _shifts_positions(settings) else 0
        limits.append(positions - reserved)
    return min(int(limit) for limit in limits if isinstance(limit, int) and 0 < limit < 1_000_000)


def _shifts_positions(settings: dict[str, Any]) -> bool:
    return str(settings.get("model_type")) in {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer"}


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing, where there is none.

    Raises:
        EncoderError: It isn't JSON.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EncoderError(f"{path} is not JSON: {error}") from error
    return value if isinstance(value, dict) else {}
