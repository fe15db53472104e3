"""The dense side: exact files and inverted lists find what exact search in numpy finds, as far as the index says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retriever.errors import IndexDamagedError
from retriever.filters import Filter
from retriever.store import generations, inverted, recall, snapshot, state, vectors
from retriever.store.dense import Generation
from retriever.store.layout import IndexPaths
from retriever.store.manifest import Manifest
from retriever.store.reader import IndexReader
from retriever.store.verify import verify
from retriever.store.writer import IndexWriter
from tests.vector_index import SIZE, Floats, clustered, write


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists from 2,000 chunks on, and merges every 300."""
    monkeypatch.setattr(generations, "APPROXIMATE_FROM", 2000)
    monkeypatch.setattr(generations, "_AT_LEAST", 300)
    monkeypatch.setattr(generations, "QUERIES", 100)
    monkeypatch.setattr(generations, "EXACT_FILE", 700)
    monkeypatch.setattr(state, "_FEW", 50)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


def share_found(root: Path, asked: Floats, filters: Sequence[Filter] = (), depth: int = 10) -> float:
    """How much of exact search's best is found, of the passages that a filter leaves."""
    with IndexReader(root) as reader, reader.snapshot() as state:
        allowed = state.allowed(filters)
        rows = state._db.execute("SELECT id, vector FROM chunks").fetchall()
        ids = np.array([row[0] for row in rows])
        matrix = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float16).reshape(len(ids), SIZE)
        kept = np.isin(ids, allowed.chunks) if allowed is not None else np.ones(len(ids), dtype=bool)
        shares = []
        for vector in asked:
            best, _ = vectors.exact_search(ids[kept], matrix[kept].astype(np.float32), vector, depth)
            hits = state.dense(vector, 200, allowed)
            assert {hit.chunk for hit in hits} <= set(ids[kept].tolist())
            assert len(hits) == min(200, int(kept.sum())), "no falsely small result"
            scores = dict(zip(ids.tolist(), matrix.astype(np.float32) @ vector, strict=True))
            assert max(abs(hit.score - scores[hit.chunk]) for hit in hits) < 2e-3
            shares.append(len(set(best.tolist()) & {hit.chunk for hit in hits[:depth]}) / len(best))
    return float(np.mean(shares))


def manifest_of(root: Path) -> Manifest:
    with IndexReader(root) as reader:
        return reader.manifest


@pytest.mark.usefixtures("small")
def test_files_at_least_double_in_size_and_find_what_one_would(root: Path) -> None:
    matrix, _ = clustered(1900)
    write(root, matrix[:1000], "a")
    for i in range(1000, 1900, 100):
        write(root, matrix[i : i + 100], f"b{i}-")
    manifest = manifest_of(root)
    sizes = [shard.count for shard in manifest.shards]
    assert len(sizes) > 1
    assert {shard.kind for shard in manifest.shards} == {"exact"}
    assert all(a >= 2 * b or a + b > 700 for a, b in itertools.pairwise(sizes)), sizes
    assert max(sizes) <= 1000
    assert (manifest.recall, manifest.wide_recall) == (1.0, 1.0)
    assert share_found(root, clustered(20, seed=1)[0]) == 1
    assert verify(root).damage == ()
    names = {path.name for path in IndexPaths(root).vectors.iterdir()}
    assert names == {shard.name for shard in manifest.files}


@pytest.mark.usefixtures("small")
def test_a_large_index_finds_as_much_as_it_says(root: Path) -> None:
    matrix, of = clustered(6000)
    write(root, matrix, "a", of)
    manifest = manifest_of(root)
    assert {shard.kind for shard in manifest.shards} == {"lists"}
    names = {path.name for path in IndexPaths(root).vectors.iterdir()}
    assert names == set(generations.names_of(manifest))
    assert manifest.recall >= recall.TARGET
    assert manifest.wide_recall > 0.9
    found = share_found(root, clustered(100, seed=1)[0])
    assert found >= max(0.95, manifest.recall - 0.03)
    with IndexReader(root) as reader, reader.snapshot() as state:
        status = state.status()
    assert (status.search, status.probes, status.recall) == ("lists", manifest.probes, manifest.recall)
    assert 0 < status.probes < status.lists == inverted.lists_for(manifest.trained_on)
    assert verify(root).damage == ()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("topics", ["topic=3", "topic<=4", "topic<=15"])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_filter_costs_no_recall(root: Path, topics: str, mixed: bool) -> None:
    """Also where what it leaves lies far from the question; with 6,000 passages, it leaves 300 to 4,800."""
    matrix, of = clustered(6000)
    write(root, matrix, "a", np.random.default_rng(5).permutation(of) if mixed else of)
    asked = clustered(60, seed=1)[0]
    assert share_found(root, asked, [Filter.parse(topics)]) >= 0.95


@pytest.mark.usefixtures("small")
def test_few_that_a_filter_leaves_are_compared_one_by_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix, _ = clustered(2500)
    write(root, matrix, "a", np.arange(2500))

    def searched(*_: object, **__: object) -> None:
        raise AssertionError("lists were looked through")

    monkeypatch.setattr(Generation, "search", searched)
    assert share_found(root, clustered(10, seed=1)[0], [Filter("topic", "<", "40")]) == 1


@pytest.mark.usefixtures("small")
def test_chunks_join_the_lists_and_centroids_are_found_anew_when_it_has_grown_to_four_times(
    root: Path,
) -> None:
    matrix, _ = clustered(12_000, seed=2)
    write(root, matrix[:2500], "a")
    first = manifest_of(root)
    write(root, matrix[2500:4000], "b")
    second = manifest_of(root)
    assert second.trained == first.trained
    assert second.shards != first.shards
    with IndexWriter.open(root) as writer:
        writer.remove_documents([f"a{i}" for i in range(0, 1000, 10)])
        assert {shard.count for shard in writer.manifest.shards} != {3000}
        writer.merge()
        assert sum(shard.count for shard in writer.manifest.shards) == 3000
        assert writer._db.execute("SELECT count(*) FROM tombstones").fetchone() == (0,)
    assert share_found(root, clustered(40, seed=1)[0]) >= 0.95
    assert verify(root).damage == ()
    write(root, matrix[4000:], "c")
    last = manifest_of(root)
    assert last.trained != first.trained
    assert last.trained_on >= 4 * first.trained_on
    assert share_found(root, clustered(40, seed=1)[0]) >= 0.95
    with IndexWriter.open(root) as writer:
        writer.remove_documents([f"c{i}" for i in range(0, 8000, 10)])
        writer.remove_documents([f"b{i}" for i in range(0, 1500, 10)])
        writer.remove_documents([f"a{i}" for i in range(1000, 1700, 10)])
        writer.merge()
        assert writer.manifest.trained is None
    assert share_found(root, clustered(20, seed=1)[0]) == 1
    assert verify(root).damage == ()


@pytest.mark.usefixtures("small")
def test_what_is_deleted_is_not_found_and_what_is_kept_is(root: Path) -> None:
    matrix, _ = clustered(3000)
    write(root, matrix, "a")
    with IndexWriter.open(root) as writer:
        writer.remove_documents([f"a{i}" for i in range(0, 3000, 130)])
    assert len(manifest_of(root).shards) >= 1
    assert share_found(root, matrix[:60]) >= 0.95


@pytest.mark.usefixtures("small")
def test_a_damaged_list_is_one_line_when_a_search_comes_to_it(root: Path) -> None:
    matrix, _ = clustered(3000)
    write(root, matrix, "a")
    shard = manifest_of(root).shards[0]
    path = IndexPaths(root).vectors / shard.name
    whole = path.read_bytes()
    manifest = manifest_of(root)
    assert manifest.trained is not None
    trained = inverted.Trained(path.parent, manifest.trained, SIZE)
    file = inverted.ListsFile(path.parent, shard, trained)
    places = file._places
    hurt = int(np.argmax(np.diff(places)))
    inside = matrix[file.entries(hurt)[0][0] - 1]
    for at, where in [
        (int(places[hurt]) + 1, "list"),
        (int(places[0]) - 9, "head"),
        (len(whole) - 2, "sums"),
    ]:
        content = bytearray(whole)
        content[at] ^= 4
        path.write_bytes(content)
        answers, refusals = 0, []
        with IndexReader(root) as reader:
            for vector in [inside, *matrix[::100]]:
                try:
                    with reader.snapshot() as state:
                        hits = state.dense(vector, 10, None)
                    answers += 1
                except IndexDamagedError as error:
                    refusals.append(str(error))
                else:
                    best, _ = vectors.exact_search(np.arange(1, 3001), matrix, vector, 1)
                    assert hits[0].chunk == best[0]
        assert refusals, where
        assert all("verify --repair" in line and "\n" not in line for line in refusals)
        assert answers or where != "list", "other lists can be searched"
        assert any("damaged" in line for line in verify(root).damage)
    path.write_bytes(whole)
    beside = path.with_suffix(".f16")
    content = bytearray(beside.read_bytes())
    content[len(content) // 3] ^= 64  # in a vector
    content[-4] ^= 1  # in an id
    beside.write_bytes(content)
    assert any("damaged" in line for line in verify(root).damage)
    lines = 0
    for vector in matrix[::20]:
        with IndexReader(root) as reader, reader.snapshot() as state:
            try:
                state.dense(vector, 10, None)
            except IndexDamagedError:
                lines += 1
    assert lines
    path.write_bytes(whole[:-1])
    with pytest.raises(IndexDamagedError), IndexReader(root) as reader, reader.snapshot():
        pass
    IndexWriter.open(root).close()  # a file that is too short is seen at once, and made again
    assert verify(root).damage == ()


@pytest.mark.usefixtures("small")
def test_a_merge_makes_anew_what_it_finds_damaged(root: Path) -> None:
    matrix, _ = clustered(3000)
    write(root, matrix[:2600], "a")
    for shard in manifest_of(root).shards:
        path = IndexPaths(root).vectors / shard.name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with IndexWriter.open(root) as writer:
        writer.remove_documents([f"a{i}" for i in range(0, 400, 10)])
        assert writer.merge()
    assert verify(root).damage == ()
    assert share_found(root, clustered(20, seed=1)[0]) >= 0.9


def test_a_reader_reads_what_came_and_no_more(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, _ = clustered(1000)
    write(root, matrix[:900], "a")
    counted: list[int] = []
    real = snapshot.whole_chunks

    def counting(rows: object) -> object:
        found = real(rows)  # type: ignore[arg-type]
        counted.append(len(found))
        return found

    monkeypatch.setattr("retriever.store.reader.whole_chunks", counting)
    with IndexReader(root) as reader:
        with reader.snapshot() as state:
            assert len(state.dense(matrix[0], 2000, None)) == 900
        write(root, matrix[900:], "b")
        with IndexWriter.open(root) as writer:
            writer.remove_documents(["a0", "b0"])
        with reader.snapshot() as state:
            ids = {hit.chunk for hit in state.dense(matrix[0], 2000, None)}
    assert ids == {*range(11, 901), *range(911, 1001)}
    assert counted == [900, 90]


@pytest.mark.usefixtures("small")
def test_a_reader_keeps_the_files_that_it_has_open(root: Path) -> None:
    matrix, _ = clustered(4000, seed=3)
    write(root, matrix[:3000], "a")
    with IndexReader(root) as reader:
        with reader.snapshot() as state:
            before = state._state.generation
        write(root, matrix[3000:3300], "b")
        with reader.snapshot() as state:
            after = state._state.generation
            assert before is not None
            assert after is not None
            kept = before._files.keys() & after._files.keys()
            assert kept
            assert all(before._files[shard] is after._files[shard] for shard in kept)
            assert after._trained is before._trained
            assert len(after) == 3300
