"""An index that is made anew under who asks it: opened again, with the models that are loaded, the old one closed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexer import Indexer, InputDocument
from retriever import RerankConfig
from retriever.errors import IndexNotFoundError
from retriever.followed import FollowedIndex
from retriever.store.reader import IndexReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from retriever.encoder import TextEncoder


def make(root: Path, encoder: TextEncoder, *documents: str) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    with Indexer.open(root, encoder=encoder) as indexer:
        indexer.add_documents([InputDocument(name, "The cat sat on the red mat.") for name in documents])
    return root


@pytest.fixture
def root(tmp_path: Path, tiny_encoder: TextEncoder) -> Path:
    return make(tmp_path / "index", tiny_encoder, "old")


@pytest.fixture
def index(root: Path, tiny_reader_folder: Path) -> Iterator[FollowedIndex]:
    followed = FollowedIndex(root, RerankConfig(reader=str(tiny_reader_folder)))
    yield followed
    followed.close()


def test_models_are_loaded_once_however_they_are_asked(
    index: FollowedIndex, root: Path, tiny_encoder: TextEncoder
) -> None:
    with index.using() as retriever:
        assert retriever.loaded == (None, None)
        retriever.search("cat")
        encoder, scorer = retriever.loaded
        assert encoder is not None
        assert scorer is None, "nobody has asked for an answer"
    make(root, tiny_encoder, "new")
    with index.using() as retriever:
        assert [hit.document_id for hit in retriever.search("cat")] == ["new"]
        assert retriever.loaded == (encoder, None)
        retriever.ask("cat")
        scorer = retriever.loaded[1]
        assert scorer is not None
    make(root, tiny_encoder, "newest")
    with index.using() as retriever:
        assert retriever.document_ids() == ["newest"]
        assert retriever.loaded == (encoder, scorer)


def test_the_old_one_is_open_until_nobody_reads_with_it(
    index: FollowedIndex, root: Path, tiny_encoder: TextEncoder
) -> None:
    with index.using() as first, index.using() as again:
        assert first is again
    make(root, tiny_encoder, "new")
    with index.using() as second:
        assert second is not first
        assert second.document_ids() == ["new"]
    with pytest.raises(IndexNotFoundError, match="closed"):
        first.document_ids()
    with index.using() as reading:
        with index.using():
            make(root, tiny_encoder, "newest")
            with index.using() as third:
                assert third.document_ids() == ["newest"]
        assert reading is second
        assert reading.document_ids() == ["new"], "somebody still reads"
    with pytest.raises(IndexNotFoundError, match="closed"):
        second.document_ids()
    with index.using() as fourth:
        assert fourth is third


def test_one_of_another_encoder_is_opened_with_that(
    index: FollowedIndex,
    root: Path,
    write_encoder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from retriever.encoder import TextEncoder

    with index.using() as retriever:
        retriever.load()
        before = retriever.loaded
    other = TextEncoder.load(str(write_encoder(tmp_path / "other", seed=5)))
    make(root, other, "new")
    closed: list[Path] = []
    close = IndexReader.close
    monkeypatch.setattr(
        IndexReader, "close", lambda reader: (closed.append(reader.paths.root), close(reader))
    )
    with index.using() as retriever:
        assert closed == [root, root], "the old one, and what was opened to find that its encoder is another"
        assert [hit.document_id for hit in retriever.search("cat")] == ["new"]
        assert retriever.encoder.fingerprint == other.fingerprint
        assert retriever.loaded[1] is before[1], "what reads is the same"


def test_one_that_is_gone_is_said_to_be_until_it_is_there_again(
    index: FollowedIndex, root: Path, tiny_encoder: TextEncoder
) -> None:
    shutil.rmtree(root)
    with pytest.raises(IndexNotFoundError, match="is gone"), index.using():
        pass
    make(root, tiny_encoder, "new")
    with index.using() as retriever:
        assert retriever.document_ids() == ["new"]
