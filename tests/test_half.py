"""Half floats as float32: what numpy's own conversion gives, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retriever import half

BITS = np.arange(1 << 16, dtype=np.uint16)


def test_every_finite_one_is_widened_to_the_bit() -> None:
    finite = BITS[np.isfinite(BITS.view(np.float16))]
    wide = half.widened(finite, np.empty(len(finite), dtype=np.uint32))
    expected = finite.view(np.float16).astype(np.float32)
    assert wide.view(np.uint32).tolist() == expected.view(np.uint32).tolist()


@pytest.mark.parametrize("block", [7, 1 << 16])
def test_arrays_of_any_shape_are_converted(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half, "_AT_ONCE", block)
    numbers = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float16)
    arrays: list[Any] = [
        numbers,
        numbers.T,
        numbers[::2, 1:],
        numbers[0],
        numbers[:0],
        np.float16(0.1) * numbers,
    ]
    for array in arrays:
        found = half.as_float32(array)
        assert found.dtype == np.float32
        assert found.shape == array.shape
        assert np.array_equal(found, array.astype(np.float32))
        into = np.full(array.shape, np.nan, dtype=np.float32)
        assert half.as_float32(array, into) is into
        assert np.array_equal(into, found)


def test_what_is_not_finite_stays_so() -> None:
    every = BITS.view(np.float16)
    assert np.array_equal(half.as_float32(every), every.astype(np.float32), equal_nan=True)


def test_other_types_are_taken_as_they_are() -> None:
    single = np.ones(3, dtype=np.float32)
    assert half.as_float32(single) is single
    assert half.as_float32(np.arange(3)).tolist() == [0, 1, 2]
    assert half.as_float32(np.arange(3), into := np.empty(3, dtype=np.float32)) is into
    assert into.tolist() == [0, 1, 2]
