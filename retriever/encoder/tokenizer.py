"""The backbone's own tokenizer, with the place of every token in the text.

Always one of Hugging Face's `tokenizers`, whatever files the model came with, so that offsets mean the same for
each: half-open, in code points, into the text as it was given.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer, Encoding
from tokenizers import Tokenizer as FastTokenizer

from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles
from retriever.errors import EncoderError

_LOADING = threading.Lock()
_OTHER_VOCABULARIES = ("vocab.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model")


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """What the tokenizer puts around a single text."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int


class Tokenizer:
    """Text to token ids and back to places in the text. Never truncates, never pads; safe to share by threads."""

    def __init__(self, backend: FastTokenizer, padding_id: int) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        with_special = backend.encode("a").ids
        bare = backend.encode("a", add_special_tokens=False).ids
        at = next(
            (i for i in range(len(with_special)) if with_special[i : i + len(bare)] == bare),
            len(with_special),
        )
        self.special = SpecialTokens(
            tuple(with_special[:at]), tuple(with_special[at + len(bare) :]), padding_id
        )

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a model folder: `tokenizer.json`, or a WordPiece `vocab.txt`, or what transformers knows.

        Raises:
            EncoderError: There is none that can be used.
        """
        padding = padding_id(folder)
        try:
            if (folder / "tokenizer.json").is_file():
                return cls(FastTokenizer.from_file(str(folder / "tokenizer.json")), padding)
            if (folder / "vocab.txt").is_file():
                vocabulary = folder / "vocab.txt"
                lowercase = _lowercases(folder)
                wordpiece = BertWordPieceTokenizer(
                    str(vocabulary), lowercase=lowercase, strip_accents=lowercase
                )
                return cls(FastTokenizer.from_str(wordpiece.to_str()), padding)
        except Exception as error:  # tokenizers raises no other
            raise EncoderError(f"the tokenizer in {folder} is damaged: {error}".splitlines()[0]) from error
        return cls(_converted(folder), padding)

    def vocabulary(self) -> dict[str, int]:
        """Every piece of a word that it knows, with its number."""
        pieces: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return pieces

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The place of each token of `text`, special tokens left out."""
        spans: list[tuple[int, int]] = self._backend.encode(text, add_special_tokens=False).offsets
        return spans

    def ids(self, texts: list[str]) -> list[NDArray[np.int64]]:
        """Token ids of each text, special tokens left out."""
        encodings: list[Encoding] = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]

    def encode(self, texts: list[str]) -> list[tuple[NDArray[np.int64], list[tuple[int, int]]]]:
        """Ids and places of each text's tokens, special tokens left out."""
        encodings: list[Encoding] = self._backend.encode_batch(texts, add_special_tokens=False)
        return [(np.asarray(encoding.ids, dtype=np.int64), encoding.offsets) for encoding in encodings]


def tokenizer_of(files: EncoderFiles) -> Tokenizer:
    """The tokenizer of an encoder; that of the model that comes along is loaded once for all that use it.

    Raises:
        EncoderError: As for `Tokenizer.from_folder`.
    """
    if files.name != DEFAULT_ENCODER:
        return Tokenizer.from_folder(files.folder)
    with _LOADING:  # encoder and span scorer ask side by side
        return _of_shipped(files.folder)


@cache
def _of_shipped(folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(folder)


def _settings(folder: Path, name: str) -> dict[str, object]:
    path = folder / name
    if not path.is_file():
        return {}
    settings: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return settings


def padding_id(folder: Path) -> int:
    """The token that fills up batches."""
    value = _settings(folder, "config.json").get("pad_token_id")
    return value if isinstance(value, int) else 0


def _lowercases(folder: Path) -> bool:
    """Whether a `vocab.txt` is of lower-case words: as its settings say, else as its words show.

    Models published before settings were saved beside the vocabulary (SpanBERT's are such) leave only the words.
    """
    stated = _settings(folder, "tokenizer_config.json").get("do_lower_case")
    if isinstance(stated, bool):
        return stated
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return not any(word != word.lower() for word in words if not word.startswith("["))


def _converted(folder: Path) -> FastTokenizer:
    """What transformers makes of the folder's files (slow: it imports transformers)."""
    if not any((folder / name).is_file() for name in _OTHER_VOCABULARIES):
        # Asked for a tokenizer without a vocabulary, transformers makes an empty one.
        raise EncoderError(f"no tokenizer in {folder}: expected tokenizer.json or vocab.txt")
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(str(folder), use_fast=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise EncoderError(f"no tokenizer in {folder}: {error}".splitlines()[0]) from error
    backend = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(backend, FastTokenizer):
        raise EncoderError(f"the tokenizer in {folder} gives no places of its tokens; it can't be used")
    return backend
