"""Vectors that are all compared: one file, several questions at once, one thread."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from retriever.filters import Filter
from retriever.store import generations, state, vectors
from retriever.store.manifest import Shard
from retriever.store.reader import IndexReader
from retriever.store.writer import IndexWriter
from tests.vector_index import SIZE, clustered, write

NOBODY = np.empty(0, dtype=np.int64)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_an_exact_file_gives_what_numpy_gives(tmp_path: Path) -> None:
    matrix, _ = clustered(500)
    ids = np.arange(500, dtype=np.int64) * 3 + 7
    shard = vectors.write_exact(tmp_path / "1.faiss", SIZE, ids, matrix)
    assert shard == Shard(
        "1.faiss", "exact", 500, 1504, (tmp_path / "1.faiss").stat().st_size, shard.checksum
    )
    file = vectors.ExactFile(tmp_path, shard, SIZE)
    assert file.ids().tolist() == ids.tolist()
    for only, without in [(None, NOBODY), (None, ids[40:50]), (ids[::2], NOBODY), (ids[::2], ids[40:50])]:
        allowed = np.isin(ids, only if only is not None else ids) & ~np.isin(ids, without)
        expected, exact = vectors.exact_search(ids[allowed], matrix[allowed], matrix[42], 10)
        found, scores = file.search(matrix[42], 10, vectors.Selection(only, without))
        assert found.tolist() == expected.tolist()
        difference = np.abs(scores - exact).max()
        assert difference < 2e-3, f"largest difference {difference}"
        if only is None:
            many = file.search_many(matrix[40:44], 10, without)
            assert set(many[2][0].tolist()) == set(found.tolist())
            assert np.abs(np.sort(many[2][1])[::-1] - scores).max() < 1e-6
    found, _ = file.search(matrix[42], 10, vectors.Selection(NOBODY, NOBODY))
    assert set(found.tolist()) == {-1}
    assert [len(ids) for ids, _ in file.search_many(matrix[:2], 600, ids[100:])] == [100, 100]


def test_half_floats_are_widened_to_the_bit() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    finite = bits[np.isfinite(bits.view(np.float16))]
    wide = vectors._widened(finite, np.empty(len(finite), dtype=np.uint32))
    assert (
        wide.view(np.uint32).tolist() == finite.view(np.float16).astype(np.float32).view(np.uint32).tolist()
    )


@pytest.mark.parametrize("block", [64, 1024])
def test_what_is_near_several_is_found_at_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(generations, "_AT_LEAST", 300)
    monkeypatch.setattr(generations, "EXACT_FILE", 700)
    matrix, _ = clustered(1900)
    write(root, matrix[:1700], "a", [i % 3 for i in range(1700)])
    write(root, matrix[1700:], "new")
    with IndexWriter.open(root) as writer:
        writer.remove_documents([f"a{i}" for i in range(0, 1700, 170)])
    monkeypatch.setattr(vectors, "_WIDENED_AT_ONCE", block)
    asked = clustered(5, seed=1)[0]
    with IndexReader(root) as reader, reader.snapshot() as opened:
        assert len(opened._state.delta_ids), "some are newer than the generation"
        allowed = opened.allowed([Filter.parse("topic=1")])
        alone = [opened.dense(vector, 30, None) for vector in asked]
        filtered = [opened.dense(vector, 30, allowed) for vector in asked]
        opened.look_ahead(asked[:1], 30)
        assert not opened._state.ahead, "one alone is quicker by itself"
        opened.look_ahead(asked, 30)
        assert [opened.dense(vector, 30, allowed) for vector in asked] == filtered
        assert len(opened.dense(asked[0], 40, None)) == 40
        with monkeypatch.context() as patched:
            patched.delattr(vectors.ExactFile, "search")
            ahead = [opened.dense(vector, 30, None) for vector in asked]
        for one, other in zip(alone, ahead, strict=True):
            assert [hit.chunk for hit in one] == [hit.chunk for hit in other]
            assert max(abs(a.score - b.score) for a, b in zip(one, other, strict=True)) < 1e-6
        assert not opened._state.ahead, "each is kept until it was asked for"
        for i in range(0, 1000, 10):
            opened.look_ahead(matrix[i : i + 10], 3)
        assert len(opened._state.ahead) <= state._KEPT_AHEAD + 10


def test_one_search_is_one_threads_work(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, _ = clustered(3000)
    write(root, matrix, "a")
    seen: list[int] = []
    real = vectors.ExactFile.search

    def counting(self: vectors.ExactFile, *args: object) -> object:
        seen.append(faiss.omp_get_max_threads())
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(vectors.ExactFile, "search", counting)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        with IndexReader(root) as reader, reader.snapshot() as state:
            state.dense(matrix[0], 5, None)
        assert (set(seen), faiss.omp_get_max_threads()) == ({1}, 3)
    finally:
        faiss.omp_set_num_threads(before)
