"""A trained span scorer on disk, and the model that comes with spanseek: whole, or one clear error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from retriever.encoder import SpanScorer, find_encoder
from retriever.encoder import shipped as shipping
from retriever.encoder.loading import load_reader_model, load_span_encoder, quantise, save_reader
from retriever.encoder.model import SpanReader
from retriever.encoder.reader_files import (
    READER_SETTINGS,
    READER_WEIGHTS,
    dequantise,
    read_reader,
)
from retriever.encoder.reading import ReadingConfig
from retriever.encoder.settings import SpanEncoderConfig
from retriever.encoder.shipped import shipped_folder
from retriever.errors import EncoderError


def test_quantising_by_hand() -> None:
    # one scale for 64 numbers: 127 steps of 0.5 reach 63.5, 127 steps of 2 reach 254
    matrix = torch.zeros(2, 128)
    matrix[0, :4] = torch.tensor([63.5, -63.5, 0.5, 1.2])
    matrix[0, 64:66] = torch.tensor([-254.0, 3.0])
    small, scale = quantise(matrix)
    assert small.dtype == torch.int8
    assert small[0, :5].tolist() == [127, -127, 1, 2, 0]
    assert small[0, 64:67].tolist() == [-127, 2, 0]  # 1.5 steps, rounded to the even
    assert scale[0].tolist() == [0.5, 2.0]
    assert not small[1].any()
    back = dequantise(small.numpy(), scale.numpy())
    assert back[0, :5].tolist() == [63.5, -63.5, 0.5, 1.0, 0]
    assert back[0, 64:67].tolist() == [-254.0, 4.0, 0]
    assert not back[1].any()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(-30, 30), st.integers(0, 1000))
def test_quantising_errs_by_half_a_step(rows: int, groups: int, exponent: int, seed: int) -> None:
    matrix = torch.randn(rows, 64 * groups, generator=torch.Generator().manual_seed(seed)) * 2.0**exponent
    back = torch.from_numpy(dequantise(*(part.numpy() for part in quantise(matrix))))
    step = matrix.view(rows, groups, 64).abs().amax(dim=2) / 127
    error = (back - matrix).view(rows, groups, 64).abs().amax(dim=2)
    assert (error <= step / 2 * (1 + 1e-4)).all(), f"largest error in steps {float((error / step).max())}"


def test_what_is_saved_is_loaded(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    files = find_encoder(str(tiny_encoder_folder))
    span = SpanEncoderConfig(window=3, local_heads=2, concatenation=True)
    model = SpanReader(load_span_encoder(files, span), segments=True)
    model.freeze_embeddings()
    torch.manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) / 10)
    reading = ReadingConfig(40, 7, 8, 4)
    save_reader(model, files, reading, tmp_path)
    loaded, encoder, sizes = load_reader_model(str(tmp_path))
    stored = read_reader(str(tmp_path))
    assert (sizes, stored.reading, stored.folder) == (reading, reading, tmp_path)
    assert (stored.span, stored.segments, encoder) == (span, True, files)
    assert (loaded.encoder.config, loaded.segments, loaded.training) == (span, True, False)
    kept = dict(loaded.named_parameters())
    rounded = set()
    for name, p in model.named_parameters():
        if torch.equal(kept[name], p):
            continue
        rounded.add(name)
        step = p.detach().view(len(p), -1, 64).abs().amax(dim=2) / 127
        error = (kept[name] - p).detach().view(len(p), -1, 64).abs().amax(dim=2)
        assert (error <= step / 2 * (1 + 1e-4)).all()
    # of 32 dimensions, only what multiplies 64 is kept in groups of 64
    assert rounded == {
        "encoder.projection.weight",
        "encoder.backbone.encoder.layer.0.output.dense.weight",
        "encoder.backbone.encoder.layer.1.output.dense.weight",
    }
    assert not any("embeddings" in name or "pooler" in name for name in load_file(tmp_path / READER_WEIGHTS))
    assert read_reader(str(tmp_path)).fingerprint == stored.fingerprint


def test_a_fingerprint_tells_scorers_apart(
    write_reader: Callable[..., Path], tiny_encoder_folder: Path, tiny_scorer: SpanScorer, tmp_path: Path
) -> None:
    same = SpanScorer.load(str(write_reader(tmp_path / "same", tiny_encoder_folder)))
    other = SpanScorer.load(str(write_reader(tmp_path / "other", tiny_encoder_folder, seed=1)))
    assert same.fingerprint == tiny_scorer.fingerprint != other.fingerprint
    assert same.folder == tmp_path / "same"


def test_another_encoder_is_refused(
    write_encoder: Callable[..., Path], write_reader: Callable[..., Path], tmp_path: Path
) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    folder = write_reader(tmp_path / "reader", encoder)
    SpanScorer.load(str(folder))
    write_encoder(encoder, seed=1)
    with pytest.raises(EncoderError, match="trained on another version of") as raised:
        SpanScorer.load(str(folder))
    assert str(encoder) in str(raised.value)
    shutil.rmtree(encoder)
    with pytest.raises(EncoderError, match=r"neither a folder nor in the hub's cache|there is no encoder"):
        SpanScorer.load(str(folder))


Damage = Callable[[Path], object]


def change_settings(**changes: Any) -> Damage:
    """With these values; `None` takes a setting out."""

    def change(folder: Path) -> None:
        settings = json.loads((folder / READER_SETTINGS).read_text(encoding="utf-8")) | changes
        settings = {name: value for name, value in settings.items() if value is not None}
        (folder / READER_SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    return change


def change_weights(**changes: torch.Tensor | None) -> Damage:
    """Likewise; `__` stands for a point in a name."""

    def change(folder: Path) -> None:
        named = {name.replace("__", "."): value for name, value in changes.items()}
        weights = load_file(folder / READER_WEIGHTS) | named
        save_file(
            {name: value for name, value in weights.items() if value is not None}, folder / READER_WEIGHTS
        )

    return change


def cut_off(name: str, size: int) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


DAMAGE: dict[str, tuple[Damage, str]] = {
    "no settings": (lambda folder: (folder / READER_SETTINGS).unlink(), "there is no span scorer"),
    "no weights": (lambda folder: (folder / READER_WEIGHTS).unlink(), "there is no span scorer"),
    "settings cut off": (cut_off(READER_SETTINGS, 40), "is damaged"),
    "settings not UTF-8": (lambda folder: (folder / READER_SETTINGS).write_bytes(b"\xff"), "is damaged"),
    "setting missing": (change_settings(segments=None), "is damaged.*segments"),
    "unknown setting": (change_settings(colour="red"), "is damaged.*colour"),
    "unknown size": (change_settings(reading={"colour": 1}), "is damaged.*colour"),
    "unknown span setting": (change_settings(span={"colour": 1}), "is damaged.*colour"),
    "weights cut off": (cut_off(READER_WEIGHTS, 2000), "is damaged"),
    "weights empty": (cut_off(READER_WEIGHTS, 0), "is damaged"),
    "a tensor missing": (change_weights(head__linear__bias=None), "doesn't fit: head.linear.bias"),
    "a tensor too many": (change_weights(tail=torch.zeros(1)), "doesn't fit: tail"),
    "another shape": (change_weights(head__linear__bias=torch.zeros(3)), "doesn't load"),
    "another shape of scales": (
        change_weights(encoder__projection__weight__scale=torch.zeros(3, 3)),
        "doesn't load",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_clear_error(tiny_reader_folder: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(tiny_reader_folder, folder)
    change, said = DAMAGE[damage]
    change(folder)
    with pytest.raises(EncoderError, match=said) as raised:
        SpanScorer.load(str(folder))
    assert str(raised.value).count("\n") == 0
    assert repr(str(folder)) in str(raised.value)


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with two files that stands in for the model that comes with spanseek."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(bytes(range(256)))
    (folder / "config.json").write_text("{}", encoding="utf-8")
    sums = {name: shipping.sha256(folder / name) for name in ("config.json", "weights")}
    (folder / shipping.SUMS).write_text(json.dumps(sums), encoding="utf-8")
    monkeypatch.setattr(shipping, "SUMS_SHA256", shipping.sha256(folder / shipping.SUMS))
    monkeypatch.setattr(shipping, "_PACKAGED", tmp_path / "nowhere")
    monkeypatch.setattr(shipping, "_CHECKOUT", folder)
    shipping._checked.cache_clear()
    yield folder
    shipping._checked.cache_clear()


def test_a_whole_model_is_found(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_folder() == model_folder
    shutil.copytree(model_folder, tmp_path / "packaged")
    monkeypatch.setattr(shipping, "_PACKAGED", tmp_path / "packaged")
    shipping._checked.cache_clear()
    assert shipped_folder() == tmp_path / "packaged", "what a wheel brought comes first"


@pytest.mark.parametrize("name", ["weights", "config.json", "sha256.json"])
@pytest.mark.parametrize("how", ["a byte changed", "a byte more", "missing"])
def test_a_damaged_model_is_noticed(model_folder: Path, name: str, how: str) -> None:
    path = model_folder / name
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "a byte more":
        path.write_bytes(content + b"\n")
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    gone = how == "missing" and name == shipping.SUMS
    said = "isn't there" if gone else rf"is damaged \({name}\): install spanseek again"
    for load in (shipped_folder, lambda: find_encoder("default"), lambda: SpanScorer.load("default")):
        with pytest.raises(EncoderError, match=said):
            load()


def test_a_shared_sum_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert shipping.sha256(tmp_path / "abc") == expected


def test_probabilities_are_the_same_after_saving_what_was_loaded(
    tiny_reader_folder: Path, tiny_scorer: SpanScorer, tmp_path: Path
) -> None:
    loaded, _, reading = load_reader_model(str(tiny_reader_folder))
    loaded.freeze_embeddings()
    settings = json.loads((tiny_reader_folder / READER_SETTINGS).read_text(encoding="utf-8"))
    save_reader(loaded, find_encoder(settings["encoder"]), reading, tmp_path)
    again = SpanScorer.load(str(tmp_path), precision="float32", device="cpu")
    row = ("who", "the cat sat on the red mat", "winter")
    one, other = tiny_scorer.read(*row), again.read(*row)
    assert (one.start, one.end) == (other.start, other.end)
    np.testing.assert_allclose(one.margin, other.margin, atol=1e-4)
