"""The average of span scorers' weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retriever.confidence import CONFIDENCE
from retriever.encoder.reader_files import read_reader
from retriever.errors import SpanseekError
from retriever.training.average import average
from retriever.training.refusal import add_refusal


def test_weights_are_the_mean(
    tiny_encoder_folder: Path, tiny_reader_folder: Path, tmp_path: Path, write_reader: Callable[..., Path]
) -> None:
    other = write_reader(tmp_path / "other", tiny_encoder_folder, seed=7)
    add_refusal(other, 2.0)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / CONFIDENCE).write_text("of other weights", encoding="utf-8")
    average([tiny_reader_folder, other], tmp_path / "out")
    assert not (tmp_path / "out" / CONFIDENCE).exists()
    one, two, mean = (read_reader(str(folder)) for folder in (tiny_reader_folder, other, tmp_path / "out"))
    assert mean.names == one.names
    assert mean.no_answer == 0.0
    differing = 0
    for name in mean.names:
        expected = (one.weight(name) + two.weight(name)) / 2
        differing += not np.array_equal(one.weight(name), two.weight(name))
        # kept in 8 bits where 64 numbers share a scale
        np.testing.assert_allclose(mean.weight(name), expected, atol=0.006 * np.abs(expected).max())
    assert differing >= 2


def test_unlike_ones_have_none(
    tiny_reader_folder: Path,
    tmp_path: Path,
    write_encoder: Callable[..., Path],
    write_reader: Callable[..., Path],
) -> None:
    other = write_reader(tmp_path / "other", write_encoder(tmp_path / "encoder", seed=5))
    with pytest.raises(SpanseekError, match="different build"):
        average([tiny_reader_folder, other], tmp_path / "out")
    with pytest.raises(SpanseekError, match="nothing to average"):
        average([], tmp_path / "out")
