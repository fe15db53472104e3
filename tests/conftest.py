"""What several test files share: a tiny seeded encoder in the Hugging Face layout, and a graded little corpus."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from retriever.encoder import SpanScorer, TextEncoder
    from tests.followed import Follow

os.environ["HF_HUB_OFFLINE"] = "1"

WORDS = (
    "the a of to in and is on cat mat sat dog red blue price fell monday release approve approves who when where what "
    "battery winter snow sensor wind speed mountain manager team store open paris berlin cafe ##s ##ed ##ing"
).split()
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?()-'\"/%#*=_+<>&"


def write_vocabulary(path: Path, *, cased: bool) -> int:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    words += [*CHARACTERS, *(f"##{c}" for c in CHARACTERS)]
    if cased:
        words += [c.upper() for c in "abcdefghijklmnopqrstuvwxyz"] + ["Cat", "Paris", "##X"]
    words = list(dict.fromkeys(words))
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return len(words)


def write_tiny_encoder(folder: Path, *, cased: bool = False, seed: int = 0, settings: bool = True) -> Path:
    """A BERT of two layers and 32 dimensions with seeded weights, saved as published models are."""
    import torch
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    size = write_vocabulary(folder / "vocab.txt", cased=cased)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    if settings:
        text = json.dumps({"do_lower_case": not cased, "model_max_length": 64})
        (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def write_encoder() -> Callable[..., Path]:
    """Writes a tiny encoder into a folder; see `write_tiny_encoder`."""
    return write_tiny_encoder


@pytest.fixture(scope="session")
def tiny_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def tiny_encoder(tiny_encoder_folder: Path) -> TextEncoder:
    from retriever.encoder import TextEncoder

    return TextEncoder.load(str(tiny_encoder_folder), precision="float32", device="cpu")


def write_tiny_reader(folder: Path, encoder: Path, *, seed: int = 0) -> Path:
    """An untrained span scorer on a tiny encoder, seeded so that its scores differ, saved as trained ones are."""
    import torch

    from retriever.encoder.backbone import find_encoder
    from retriever.encoder.loading import load_span_encoder, save_reader
    from retriever.encoder.model import SpanReader
    from retriever.encoder.reading import ReadingConfig

    folder.mkdir(parents=True, exist_ok=True)
    files = find_encoder(str(encoder))
    torch.manual_seed(seed)
    model = SpanReader(load_span_encoder(files), segments=True)
    model.freeze_embeddings()
    for weights in (model.encoder.projection.weight, model.head.linear.weight):
        torch.nn.init.normal_(weights, std=0.5)
    reading = ReadingConfig(max_length=48, stride=10, question_tokens=12, context_tokens=6)
    save_reader(model, files, reading, folder)
    return folder


@pytest.fixture(scope="session")
def write_reader() -> Callable[..., Path]:
    """Writes a tiny span scorer into a folder; see `write_tiny_reader`."""
    return write_tiny_reader


@pytest.fixture(scope="session")
def tiny_reader_folder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path) -> Path:
    return write_tiny_reader(tmp_path_factory.mktemp("reader"), tiny_encoder_folder)


@pytest.fixture(scope="session")
def tiny_scorer(tiny_reader_folder: Path) -> SpanScorer:
    from retriever.encoder import SpanScorer

    return SpanScorer.load(str(tiny_reader_folder), precision="float32", device="cpu")


@pytest.fixture
def follow(tmp_path: Path, tiny_encoder: TextEncoder) -> Iterator[Follow]:
    """Follows `tmp_path/docs`; see `following`."""
    from tests.followed import following

    with following(tmp_path, tiny_encoder) as begin:
        yield begin


@pytest.fixture
def sentences() -> dict[str, str]:
    """Five documents on which every expected result is worked out by hand."""
    return {
        "cat": "The cat sat on the red mat.",
        "price": "The price of the sensor fell on Monday.",
        "release": "A release is approved by the team manager.",
        "winter": "In winter snow covers the wind speed sensor on the mountain.",
        "cafe": "The café in Paris is open; the one in Berlin is not.",
    }


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Sums in one order; the random state is left as it was found."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(threads)
