"""Trains the vectors of questions and passages: the span layer over a frozen backbone, or the backbone as well."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file

from retriever.config import Saved
from retriever.encoder.backbone import DEFAULT_ENCODER, EncoderFiles, find_encoder
from retriever.encoder.loading import computes_bfloat16, load_backbone, load_span_encoder, save_span_layer
from retriever.encoder.model import SpanEncoder
from retriever.encoder.settings import SpanEncoderConfig
from retriever.encoder.tokenizer import Tokenizer
from retriever.errors import SpanseekError
from retriever.evaluation.questions import GradedQuestion
from retriever.training.contrastive import ContrastiveTask
from retriever.training.examples import HELD_BACK, Example, tokenize
from retriever.training.loop import Loop, Report, TrainingConfig
from retriever.training.negatives import SearchMany, mine_once
from retriever.training.pairs import Contrast, PairBatches, Texts
from retriever.training.reader import split

Part = Literal["span layer", "backbone"]

ENCODER_TRAINING = TrainingConfig(
    batches_per_step=1, learning_rate=3e-5, new_learning_rate=5e-4, warmup_steps=100, evaluate_every=200
)
"""Unlike a span scorer's, a batch is a step: the questions of a batch are each other's negatives."""

_WEIGHTS = "model.safetensors"
_BEGUN = "encoder_training.json"
_COPIED = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
    *("1_Pooling/config.json", "config.json"),
)


@dataclass(frozen=True, slots=True)
class EncoderTraining(Saved):
    """What a training was begun with, and goes on with.

    Attributes:
        encoder: Fingerprint of the encoder that it began as.
        part: What is trained.
        span: `SpanEncoderConfig`, the span layer.
        contrast: `Contrast`, what a question is compared with.
        held_back: Share of the documents that is measured.
    """

    encoder: str
    part: Part
    span: dict[str, object]
    contrast: dict[str, object]
    held_back: float


def train_encoder(
    questions: Sequence[GradedQuestion],
    out: Path,
    *,
    others: Sequence[str] = (),
    encoder: str = DEFAULT_ENCODER,
    search: Callable[[Sequence[str]], SearchMany] | None = None,
    config: TrainingConfig | None = None,
    part: Part = "span layer",
    span: SpanEncoderConfig | None = None,
    batch_questions: int = 64,
    temperature: float = 0.05,
    keep: float = 1.0,
    held_back: float = HELD_BACK,
    device: str | None = None,
    report: Report = print,
) -> dict[str, float]:
    """Trains the vectors of an encoder, or goes on with the training that was begun in `out`.

    `out` becomes an encoder: a folder that `find_encoder` and `spanseek index --encoder` take.

    Args:
        questions: What to learn from; those without an answer only bring their passage.
        out: A folder; made if it isn't there.
        others: Passages that no question is about, to be hard negatives.
        encoder: What to begin with.
        search: Given passages, a search over them, for hard negatives; `None`: train without.
        config: How long and how fast.
        part: `span layer`: the backbone is frozen. `backbone`: all but its embeddings learns.
        span: Another span layer than the encoder's, untrained; `None`: go on with the encoder's.
        batch_questions: Questions of one batch, which are each other's negatives.
        temperature: What cosines are divided by.
        keep: Weight of the distance that vectors have moved away from the backbone's own before the training, so that
            what it knows of other texts is not lost; 0 lets them move freely.
        held_back: Share of the documents that is measured, not trained on.
        device: A torch device; `None`: the GPU where there is one.
        report: Takes lines for the user.

    Returns:
        Measures of the held-back part.

    Raises:
        EncoderError: There is no such encoder.
        SpanseekError: Nothing is held back, or `out` holds another training.
    """
    config = config or ENCODER_TRAINING
    contrast = Contrast(questions=batch_questions, temperature=temperature, keep=keep)
    out.mkdir(parents=True, exist_ok=True)
    files = find_encoder(encoder)
    if out.resolve() == files.folder.resolve():
        raise SpanseekError("an encoder isn't trained in its own folder: choose another --out")
    tokenizer = Tokenizer.from_folder(files.folder)
    data = tokenize(questions, tokenizer, others, held_back=held_back)
    report(f"{len(data.examples):,} questions on {len(data.passages):,} passages")
    if not any(example.held_back and example.span is not None for example in data.examples):
        raise SpanseekError("no question is held back to measure with: give more data")
    layer = asdict(span or files.config)
    _begin(EncoderTraining(files.fingerprint, part, layer, asdict(contrast), held_back), out)
    negatives = mine_once(data, out, search, report) if search is not None else {}
    (learned, wrong), (held, _) = split(data, negatives)
    texts = Texts(data, tokenizer, files, contrast)
    pairs = PairBatches(learned.examples, _without(wrong, held.examples), texts, contrast, config.seed)
    torch.manual_seed(config.seed)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    bfloat16 = computes_bfloat16(where)
    learns_backbone = part == "backbone"
    model = load_span_encoder(files, span, written_out=learns_backbone and where.type == "cpu").to(where)
    freeze(model, part)
    before = None
    if not learns_backbone:
        if bfloat16:  # as it will be used; nothing of it is learned, so that nothing is lost
            model.backbone.to(torch.bfloat16)
    elif keep > 0:
        before = load_span_encoder(files).to(where, torch.bfloat16 if bfloat16 else torch.float32)
    task = ContrastiveTask(
        model,
        texts,
        pairs,
        held.examples,
        contrast,
        config,
        padding=tokenizer.special.padding,
        before=before,
        bfloat16=bfloat16,
    )
    report(f"held back, untrained: recall@1 {task.evaluate()['recall@1']:.4f}")
    loop = Loop(model, lambda name: not name.startswith("backbone."), task, config, out, report)
    measures = loop.run()
    save_encoder(model, files, out, part)
    return measures


def freeze(model: SpanEncoder, part: Part) -> None:
    """Leaves out of the training what isn't to learn."""
    for name, parameter in model.backbone.named_parameters():
        learns = part == "backbone" and not name.startswith(("embeddings.", "pooler."))
        parameter.requires_grad_(learns)


def save_encoder(model: SpanEncoder, files: EncoderFiles, folder: Path, part: Part) -> None:
    """Writes an encoder's folder in the Hugging Face layout, with its span layer.

    Args:
        model: Trained.
        files: The encoder that it began as.
        folder: Where to.
        part: What was trained. A frozen backbone's weights are the old file, to the last bit.
    """
    if part == "span layer" and (files.folder / _WEIGHTS).is_file():
        shutil.copyfile(files.folder / _WEIGHTS, folder / _WEIGHTS)
    else:
        backbone = model.backbone if part == "backbone" else load_backbone(files.folder)
        weights = {
            name: value.detach().to("cpu").clone(memory_format=torch.contiguous_format)
            for name, value in backbone.state_dict().items()
            if not name.startswith("pooler.")
        }
        save_file(weights, folder / _WEIGHTS, {"format": "pt"})
    save_span_layer(model, replace(files, folder=folder))
    for name in _COPIED:
        if (files.folder / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(files.folder / name, folder / name)


def _begin(training: EncoderTraining, out: Path) -> None:
    """Notes what a training is, or sees that it is the one that was begun."""
    noted = out / _BEGUN
    if not noted.exists():
        noted.write_text(training.to_json() + "\n", encoding="utf-8")
        return
    known, asked = json.loads(noted.read_text(encoding="utf-8")), json.loads(training.to_json())
    for name, value in asked.items():
        if known.get(name) != value:
            raise SpanseekError(
                f"the training in {out} was begun with {name} {known.get(name)}, not {value}: choose another --out"
            )


def _without(negatives: Mapping[int, Sequence[int]], held_back: Sequence[Example]) -> dict[int, list[int]]:
    """Hard negatives but for the passages that are to be measured with."""
    measured = {example.passage for example in held_back}
    return {i: [passage for passage in found if passage not in measured] for i, found in negatives.items()}
