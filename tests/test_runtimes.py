"""Torch and ONNX Runtime compute the same: one suite for both, and each held against the model written out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel, RobertaConfig, RobertaModel

from indexer import Indexer, InputDocument
from retriever.encoder import Passage, SpanScorer, TextEncoder, find_encoder, onnx_runtime, onnx_weights
from retriever.encoder import runtime as runtimes
from retriever.encoder.loading import load_span_encoder, save_reader, save_span_layer
from retriever.encoder.model import SpanReader
from retriever.encoder.onnx_file import ready, written
from retriever.encoder.packs import rectangle
from retriever.encoder.reader_files import read_reader
from retriever.encoder.reading import ReadingConfig
from retriever.encoder.runtime import RuntimeName
from retriever.encoder.settings import SpanEncoderConfig
from retriever.encoder.shipped import shipped_folder
from retriever.encoder.spans import best_spans
from retriever.errors import EncoderError

RUNTIMES: list[RuntimeName] = ["torch", "onnx"]
TEXTS = [
    *("the cat sat on the red mat.", "", "snow", "Übung ☃", "a price of 12.50 in the open store " * 3),
    "in winter snow covers the wind speed sensor on the mountain " * 6,
]


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> RuntimeName:
    name: RuntimeName = request.param
    return name


def sizes(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return settings


def change(folder: Path, kind: str) -> None:
    """Another backbone in the folder of a tiny BERT: a RoBERTa, one inside a larger model, one with a span layer."""
    torch.manual_seed(7)
    old = sizes(folder)
    options = {
        name: old[name]
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
        )
    }
    if kind == "roberta":
        config = RobertaConfig(**options, max_position_embeddings=65, pad_token_id=0, type_vocab_size=1)
        RobertaModel(config).save_pretrained(folder)
    elif kind == "inside":
        model = torch.nn.ModuleDict({"bert": BertModel(BertConfig(**options, max_position_embeddings=64))})
        from safetensors.torch import save_file

        save_file(
            {name: x.contiguous() for name, x in model.state_dict().items()}, folder / "model.safetensors"
        )
    elif kind != "bert":
        local, concatenation = kind != "no local", kind != "no concatenation"
        span = SpanEncoderConfig(window=3, local_heads=2, local=local, concatenation=concatenation)
        trained = load_span_encoder(find_encoder(str(folder)), span)
        torch.nn.init.normal_(trained.projection.weight, std=0.3)
        torch.nn.init.normal_(trained.projection.bias, std=0.3)
        save_span_layer(trained, find_encoder(str(folder)))


@pytest.mark.parametrize("kind", ["bert", "roberta", "inside", "span layer", "no local", "no concatenation"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_the_models(
    runtime: RuntimeName, kind: str, pooling: str, write_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    """Against each text alone, padded nowhere, by the model of `model.py` as it is written there."""
    folder = write_encoder(tmp_path / "encoder")
    change(folder, kind)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode_cls_token": pooling == "cls"})
    )
    if (folder / "span_encoder.json").exists():
        settings = json.loads((folder / "span_encoder.json").read_text(encoding="utf-8"))
        (folder / "span_encoder.json").write_text(json.dumps(settings | {"pooling": pooling}))
    files = find_encoder(str(folder))
    encoder = TextEncoder(files, precision="float32", device="cpu", runtime=runtime)
    assert encoder.computes.runtime == runtime
    texts = [text for text in TEXTS if len(encoder.token_spans(text)) < 60]
    model = load_span_encoder(files)
    expected = []
    for ids in encoder.tokenizer.ids(texts):
        row = torch.tensor([[*encoder.tokenizer.special.before, *ids, *encoder.tokenizer.special.after]])
        mask = torch.ones_like(row, dtype=torch.bool)
        with torch.inference_mode():
            expected.append(model.pool(model(row, mask), mask)[0].numpy())
    found = encoder.encode_passages([Passage(text) for text in texts])
    apart = float(np.abs(found - np.stack(expected)).max())
    assert apart < 1e-5, f"largest difference {apart}"


def test_company_and_length_change_nothing(runtime: RuntimeName, tiny_encoder_folder: Path) -> None:
    encoder = TextEncoder.load(str(tiny_encoder_folder), precision="float32", runtime=runtime)
    together = encoder.encode_passages([Passage(text, "mat") for text in TEXTS])
    alone = np.concatenate([encoder.encode_passages([Passage(text, "mat")]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert encoder.encode_passages([]).shape == (0, 32)


@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize("window", [1, 8])
def test_scores_are_the_models(
    runtime: RuntimeName, segments: bool, window: int, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    files = find_encoder(str(tiny_encoder_folder))
    torch.manual_seed(3)
    span = SpanEncoderConfig(window=window, local_heads=4)
    model = SpanReader(load_span_encoder(files, span), segments=segments)
    model.freeze_embeddings()
    for weights in (model.encoder.projection.weight, model.head.linear.weight):
        torch.nn.init.normal_(weights, std=0.5)
    save_reader(model, files, ReadingConfig(64, 20, 12, 6), tmp_path)
    scorer = SpanScorer.load(str(tmp_path), precision="float32", device="cpu", runtime=runtime)
    assert scorer.computes.runtime == runtime
    reference = SpanScorer.load(str(tmp_path), precision="float32", device="cpu", runtime="torch")
    asked, passages = ["who sat on the mat"] * len(TEXTS), [Passage(text, "winter") for text in TEXTS]
    alone = [reference.score(asked[:1], [passage])[0] for passage in passages]
    for one, other in zip(scorer.score(asked, passages), alone, strict=True):
        assert list(one.offsets) == list(other.offsets)
        assert np.allclose(one.start, other.start, atol=1e-4)
        assert np.allclose(one.end, other.end, atol=1e-4)
        assert abs(one.no_answer - other.no_answer) < 1e-4


def test_threads_share_one(runtime: RuntimeName, tiny_encoder_folder: Path) -> None:
    encoder = TextEncoder.load(str(tiny_encoder_folder), precision="float32", runtime=runtime)
    expected = encoder.encode_questions(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(encoder.encode_questions, [TEXTS] * 24):
            assert np.abs(found - expected).max() < 1e-6


def test_questions_embedded_on_one_processor_are_the_same(
    runtime: RuntimeName, tiny_encoder_folder: Path
) -> None:
    encoder = TextEncoder.load(str(tiny_encoder_folder), precision="float32", runtime=runtime)
    expected = encoder.encode_questions(TEXTS)
    for _ in range(2 * onnx_runtime._FEW):  # the weights are packed meanwhile
        assert np.abs(encoder.encode_questions(TEXTS) - expected).max() < 1e-6
    assert np.abs(encoder.encode_questions(TEXTS, narrow=True) - expected).max() < 1e-6


def test_what_isnt_built_as_bert_is_goes_to_torch(write_encoder: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_encoder(tmp_path)
    options = {name: sizes(folder)[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers")}
    MPNetModel(
        MPNetConfig(**options, num_attention_heads=4, intermediate_size=64, max_position_embeddings=66)
    ).save_pretrained(folder)
    assert TextEncoder.load(str(folder), device="cpu").computes.runtime == "torch"
    with pytest.raises(EncoderError, match="isn't built as BERT is"):
        TextEncoder.load(str(folder), runtime="onnx")


def test_without_it_torch_computes(tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "has_onnx", lambda: False)
    assert TextEncoder.load(str(tiny_encoder_folder), device="cpu").computes.runtime == "torch"
    with pytest.raises(EncoderError, match=r"pip install 'spanseek\[fast\]'"):
        TextEncoder.load(str(tiny_encoder_folder), runtime="onnx")


def test_where_there_may_be_a_gpu_torch_is_asked(
    tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "has_gpu", lambda: True)
    assert TextEncoder.load(str(tiny_encoder_folder)).computes.runtime == "torch"
    assert TextEncoder.load(str(tiny_encoder_folder), device="cpu").computes.runtime == "onnx"


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"precision": "bfloat16"}])
def test_what_it_cannot_do_is_said(tiny_encoder_folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(EncoderError, match="on the processor"):
        TextEncoder.load(str(tiny_encoder_folder), runtime="onnx", **options)
    with pytest.raises(EncoderError, match="no runtime 'tensorflow'"):
        TextEncoder.load(str(tiny_encoder_folder), runtime="tensorflow")  # type: ignore[arg-type]


def test_a_damaged_file_is_one_line(write_encoder: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_encoder(tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:2000])
    with pytest.raises(EncoderError, match="doesn't load"):
        TextEncoder.load(str(folder), runtime="onnx")


@pytest.mark.parametrize("lengths", [[1], [3, 1, 2], [1, 1], [5, 5]])
def test_tokens_go_into_a_rectangle_and_come_back(lengths: Sequence[int]) -> None:
    tokens = np.arange(sum(lengths))
    place, mask, back = rectangle(lengths)
    assert place.shape == mask.shape == (len(lengths), max(lengths))
    assert tokens[place].reshape(-1)[back].tolist() == tokens.tolist()
    assert mask.sum(axis=1).tolist() == list(lengths)
    for row, real, length in zip(place, mask, lengths, strict=True):
        assert real.tolist() == [1] * length + [0] * (max(lengths) - length)
        assert np.diff(row[:length]).tolist() == [1] * (length - 1)


@pytest.mark.integration
def test_the_shipped_models_give_what_torch_gives() -> None:
    texts = [
        Passage(text) for text in ("The cat sat on the red mat.", "Releases are approved by Kim. " * 40, "…")
    ]
    ours = TextEncoder.load(precision="float32", runtime="onnx").encode_passages(texts)
    theirs = TextEncoder.load(precision="float32", device="cpu", runtime="torch").encode_passages(texts)
    cosines = (ours * theirs).sum(axis=1)
    assert cosines.min() >= 0.999, f"least cosine {cosines.min()}"
    passages = [Passage("Every release is approved by Kim Ito, the duty engineer.", "handbook"), *texts]
    asked = ["who approves a release?"] * len(passages)
    scored = [
        SpanScorer.load(precision="float32", device="cpu", runtime=runtime).score(asked, passages)
        for runtime in RUNTIMES
    ]
    for one, other in zip(*scored, strict=True):
        assert np.allclose(one.start, other.start, atol=1e-3)
        assert np.allclose(one.end, other.end, atol=1e-3)
    best = best_spans(scored[1][0], 1)[0]
    assert passages[0].text[best.start : best.end] == "Kim Ito"


@pytest.mark.parametrize("part", ["questions", "passages", "reader"])
def test_graphs_that_come_along_are_what_the_code_describes(part: str) -> None:
    files = find_encoder("default")
    if part != "reader":
        weights = onnx_weights.encoder_weights(files, whole=part == "questions")
        assert weights is not None
        graph = onnx_weights.encoder_graph(files, weights, alone=part == "passages")
    else:
        stored = read_reader("default")
        weights = onnx_weights.reader_weights(stored)
        assert weights is not None
        graph = onnx_weights.reader_graph(stored, weights)
    found = ready(graph.description)
    assert found is not None, "graph.py was changed: run retriever.training.ship, see its write_graphs"
    model = onnx.load_from_string(found)
    assert model.graph == onnx.load_from_string(written(graph.description)).graph
    assert {tensor.name for tensor in model.graph.initializer} >= set(graph.weights)
    nodes = [*graph.description.nodes]
    changed = replace(graph.description, nodes=[nodes[0]._replace(output="another"), *nodes[1:]])
    assert ready(changed) is None, "a graph that says something else is another file"


@pytest.mark.integration
def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from retriever.encoder import SpanScorer, TextEncoder; "
        "TextEncoder.load().encode_questions(['who?']); SpanScorer.load().read('who?', 'Kim does.'); "
        "print([name for name in ('torch', 'transformers', 'onnx') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert shipped_folder().is_dir()


@pytest.mark.integration
def test_torch_models_load_side_by_side(
    tmp_path: Path, tiny_encoder_folder: Path, tiny_reader_folder: Path
) -> None:
    """As a search loads them in a process that has imported neither torch nor transformers, and then again."""
    with Indexer.open(tmp_path / "index", encoder=TextEncoder.load(str(tiny_encoder_folder))) as indexer:
        indexer.add_documents([InputDocument("cat", "The cat sat on the red mat.")])
    code = f"""
import sys
from retriever.encoder import runtime
runtime.has_onnx = lambda: False
from retriever import RerankConfig, Retriever
assert "transformers" not in sys.modules
for _ in range(3):
    with Retriever.open({str(tmp_path / "index")!r}, rerank=RerankConfig(reader={str(tiny_reader_folder)!r})) as opened:
        opened.load()
        print(opened.encoder.computes.runtime, opened.scorer.computes.runtime, len(opened.respond("the cat").hits))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout.splitlines()) == (0, ["torch torch 1"] * 3), out.stderr
