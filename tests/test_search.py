"""Candidates, fusion, neighbours, filters: exact results on small corpora."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer import Indexer, InputDocument
from retriever import FilterError, Retriever, SearchConfig, SpanseekError
from retriever.config import ChunkingConfig
from retriever.encoder import TextEncoder
from retriever.filters import Filter
from retriever.search import (
    Candidate,
    candidates,
    fuse,
    limit_per_document,
    merge_neighbours,
    present,
)
from retriever.store.manifest import Manifest
from retriever.store.reader import IndexReader
from retriever.store.records import PreparedDocument
from retriever.store.writer import IndexWriter
from retriever.types import Chunk, Extract, Scores


def candidate(
    chunk: int, document: int, start: int, end: int, score: float, section: str = "[]"
) -> Candidate:
    return Candidate((chunk,), document, section, start, end, score, Scores(score))


@pytest.mark.parametrize(
    ("dense", "lexical", "weight", "expected"),
    [
        ({1: 0.9, 2: 0.5, 3: 0.7}, {2: 0.8, 4: 1 / 6}, 0.5, {1: 0.5, 2: 0.5, 3: 0.25, 4: 0.125}),
        ({}, {1: 2 / 3}, 0.5, {1: 0.5}),
        ({1: 0.2}, {}, 0.7, {1: 0.7}),
        ({1: 0.4, 2: 0.4}, {}, 1.0, {1: 1.0, 2: 1.0}),
        ({}, {}, 0.5, {}),
    ],
)
def test_fusion(dense: dict, lexical: dict, weight: float, expected: dict) -> None:
    assert fuse(dense, lexical, weight) == pytest.approx(expected)


def test_neighbours_of_one_document_become_one_passage() -> None:
    merged = merge_neighbours(
        [
            candidate(2, 1, 100, 200, 0.9),
            candidate(7, 2, 100, 200, 0.8),
            candidate(3, 1, 180, 300, 0.7),
            candidate(9, 1, 500, 600, 0.6),
            candidate(1, 1, 0, 98, 0.5),
            candidate(4, 1, 301, 400, 0.4),
            candidate(5, 1, 401, 500, 0.3, section='["Other"]'),
        ]
    )
    places = [(c.chunks, c.document, c.start, c.end, c.scores.fused) for c in merged]
    assert places == [
        ((1, 2, 3), 1, 0, 300, 0.9),
        ((7,), 2, 100, 200, 0.8),
        ((9,), 1, 500, 600, 0.6),
        ((4,), 1, 301, 400, 0.4),
        ((5,), 1, 401, 500, 0.3),
    ]


def test_one_document_leaves_room_for_others_but_fills_up() -> None:
    ranked = [candidate(i, 1, 1000 * i, 1000 * i + 10, 1 - i / 10) for i in range(5)] + [
        candidate(9, 2, 0, 10, 0.1)
    ]
    assert [c.chunks[0] for c in limit_per_document(ranked, 4, 2)] == [0, 1, 9, 2]
    assert [c.chunks[0] for c in limit_per_document(ranked, 3, 5)] == [0, 1, 2]


WORDS = "snow wind price cat mat store".split()


def made_up(number: int, chunks: int, rng: np.random.Generator) -> PreparedDocument:
    """A document of some chunks in sections, most of which touch the one before."""
    texts = [" ".join(rng.choice(WORDS, 12)) for _ in range(chunks)]
    starts = np.cumsum([0, *(len(text) + int(rng.choice([1, 9])) for text in texts)]).tolist()
    text = "".join(
        text.ljust(end - start) for text, start, end in zip(texts, starts, starts[1:], strict=False)
    )
    sections = np.cumsum(rng.random(chunks) < 0.2).tolist()
    cut = [
        Chunk(start, start + len(text), headings=(f"Section {section}",))
        for text, start, section in zip(texts, starts, sections, strict=False)
    ]
    vectors = rng.normal(size=(chunks, 8)) + rng.normal(size=8)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return PreparedDocument(
        str(number), None, Extract(text, "text"), str(number), cut, vectors.astype(np.float16)
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six hundred chunks of documents small and large; some were written anew, so that their ids lie further on."""
    root, rng = tmp_path_factory.mktemp("many") / "index", np.random.default_rng(0)
    documents = [made_up(number, int(rng.choice([1, 3, 12, 60])), rng) for number in range(40)]
    with IndexWriter.open(root, Manifest("none", "f", 8, ChunkingConfig())) as writer:
        writer.write(1, documents)
        writer.write(2, [made_up(number, 12, rng) for number in range(0, 40, 3)])
    return root


@pytest.mark.parametrize("per_document", [1, 3, 1000])
@pytest.mark.parametrize("k", [1, 3, 10, 60, 1000])
def test_chunks_that_are_not_looked_up_change_nothing(many: Path, k: int, per_document: int) -> None:
    rng, config = np.random.default_rng(k), SearchConfig(per_document=per_document)
    fewer = 0
    with IndexReader(many) as reader, reader.snapshot() as snapshot:
        for _ in range(20):
            vector = rng.normal(size=8).astype(np.float32)
            asked = (snapshot, " ".join(rng.choice(WORDS, 2)), vector / np.linalg.norm(vector), k, config)
            every, some = candidates(*asked), candidates(*asked, only_shown=True)
            assert present(snapshot, some, k, config) == present(snapshot, every, k, config)
            assert [c for c in every if c in some] == some, "in their order"
            fewer += len(every) - len(some)
    assert fewer or k >= 60


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: TextEncoder) -> Retriever:
    root = tmp_path_factory.mktemp("filtered") / "index"
    documents = [
        InputDocument(
            "hr/leave", "leave and snow", metadata={"year": 2023, "tags": ["hr", "policy"], "draft": False}
        ),
        InputDocument("hr/pay", "pay and snow", metadata={"year": 2024, "tags": ["hr"], "draft": True}),
        InputDocument("it/login", "login and snow", "Logging in", metadata={"year": "2024", "owner": "Zoë"}),
        InputDocument(
            "it/mail", "mail and snow", metadata={'odd "key"': "x'y", "nested": {"year": 1}, "gone": None}
        ),
    ]
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_documents(documents)
    return Retriever.open(root, encoder=tiny_encoder)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["year=2024"], ["hr/pay", "it/login"]),
        (["year>2023"], ["hr/pay", "it/login"]),
        (["year>=2023", "year<2024"], ["hr/leave"]),
        (["year!=2024"], ["hr/leave", "it/mail"]),
        (["tags=policy"], ["hr/leave"]),
        (["tags!=policy"], ["hr/pay", "it/login", "it/mail"]),
        (["draft=true"], ["hr/pay"]),
        (["draft=false"], ["hr/leave"]),
        (["gone=null"], ["it/mail"]),
        (["owner=Zoë"], ["it/login"]),
        (['odd "key"=x\'y'], ["it/mail"]),
        (["id=hr/*"], ["hr/leave", "hr/pay"]),
        (["id=hr/"], ["hr/leave", "hr/pay"]),
        (["id=leave"], ["hr/leave"]),
        (["id!=hr/*", "year=2024"], ["it/login"]),
        (["title=Logging in"], ["it/login"]),
        (["format=text"], ["hr/leave", "hr/pay", "it/login", "it/mail"]),
        (["year=1"], []),
        (["nothing=here"], []),
        (["x' OR 1=1 --=1"], []),
    ],
)
def test_filters(filtered: Retriever, where: list[str], expected: list[str]) -> None:
    assert sorted(hit.document_id for hit in filtered.search("snow", where=where)) == expected


def test_a_filter_loses_no_match_to_a_cut_off(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    """The one document that the filter leaves is the worst of a thousand for the question, and is found."""
    documents = [InputDocument(str(i), "snow snow snow wind", metadata={"n": i}) for i in range(1000)]
    documents.append(InputDocument("odd", "price of a cat", metadata={"n": -1}))
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_documents(documents)
    config = SearchConfig(candidates=10)
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder, config=config) as retriever:
        assert [hit.document_id for hit in retriever.search("snow wind", 1, where=["n<0"])] == ["odd"]


@pytest.mark.parametrize("expression", ["year", "=2024", "", "<", "a ! b"])
def test_bad_filters_say_so(expression: str) -> None:
    with pytest.raises(FilterError, match="KEY=VALUE"):
        Filter.parse(expression)


@pytest.mark.parametrize(
    ("question", "k", "said"), [("", 5, "empty"), (" \n", 5, "empty"), ("snow", 0, "at least 1")]
)
def test_bad_questions_say_so(filtered: Retriever, question: str, k: int, said: str) -> None:
    with pytest.raises(SpanseekError, match=said):
        filtered.search(question, k)


@pytest.mark.parametrize(
    "question", ["?!", "  ... ", 'AND OR NOT ("', "\u0000", "🌨", "x" * 5000, "snow " * 3000]
)
def test_odd_questions_are_answered(filtered: Retriever, question: str) -> None:
    assert len(filtered.search(question)) == 4


def test_offsets_hold_for_merged_passages(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    text = "\n\n".join(f"Wind {i} é\u0301👩\u200d🚀 blows. Snow {i} falls." for i in range(30))
    chunking = ChunkingConfig(max_tokens=30, overlap_tokens=10)
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder, chunking=chunking) as indexer:
        indexer.add_documents([InputDocument("d", text)])
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder) as retriever:
        hits = retriever.search("snow 7", 30)
        document = retriever.document("d")
    assert len(hits) > 1
    assert all(document.text[hit.start : hit.end] == hit.text for hit in hits)
    spans = sorted((hit.start, hit.end) for hit in hits)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)


def test_a_retriever_serves_threads(filtered: Retriever) -> None:
    from concurrent.futures import ThreadPoolExecutor

    questions = [f"snow {i}" for i in range(40)]
    alone = [[hit.document_id for hit in filtered.search(q)] for q in questions]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda q: [hit.document_id for hit in filtered.search(q)], questions))
    assert together == alone
