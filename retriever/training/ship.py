"""Puts the model that comes with spanseek together: an encoder in half precision and a trained span scorer.

python -m retriever.training.ship ENCODER READER OUT
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from retriever.confidence import CONFIDENCE
from retriever.encoder.backbone import SPAN_CONFIG, find_encoder
from retriever.encoder.onnx_file import written
from retriever.encoder.onnx_weights import encoder_graph, encoder_weights, reader_graph, reader_weights
from retriever.encoder.reader_files import READER_SETTINGS, READER_WEIGHTS, ReaderSettings, read_reader
from retriever.encoder.shipped import SUMS, sha256

_WEIGHTS = "model.safetensors"
_COPIED = ("config.json", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json")
_VOCABULARY = "vocab.txt"
_PROMPTS = "config_sentence_transformers.json"


def ship(encoder: Path, reader: Path, out: Path) -> str:
    """Writes the model folder; gives the SHA-256 that `retriever.encoder.shipped` has to name.

    Args:
        encoder: In the Hugging Face layout, with `model.safetensors`.
        reader: What `spanseek train reader` wrote, trained from that encoder.
        out: Where to.
    """
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() not in (encoder.resolve(), reader.resolve()):
        for name in (*_COPIED, _VOCABULARY, _PROMPTS, CONFIDENCE):
            (out / name).unlink(missing_ok=True)  # of what was shipped before
    files = find_encoder(str(encoder))
    copied = [*_COPIED]
    if not (encoder / "tokenizer.json").is_file():
        copied.append(_VOCABULARY)
    if files.query_prompt or files.passage_prompt:
        copied.append(_PROMPTS)
    for name in copied:
        if (encoder / name).is_file():
            shutil.copyfile(encoder / name, out / name)
    (out / SPAN_CONFIG).write_text(files.config.to_json() + "\n", encoding="utf-8")
    half = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_file(encoder / _WEIGHTS).items()
        if not name.startswith("pooler.") and "position_ids" not in name
    }
    save_file({name: value.contiguous() for name, value in half.items()}, out / _WEIGHTS, {"format": "pt"})
    shutil.copyfile(reader / READER_WEIGHTS, out / READER_WEIGHTS)
    settings = ReaderSettings.from_json((reader / READER_SETTINGS).read_text(encoding="utf-8"))
    settings = replace(settings, encoder="default", fingerprint=find_encoder(str(out)).fingerprint)
    (out / READER_SETTINGS).write_text(settings.to_json() + "\n", encoding="utf-8")
    if (reader / CONFIDENCE).is_file():
        shutil.copyfile(reader / CONFIDENCE, out / CONFIDENCE)
    names = [*copied, SPAN_CONFIG, _WEIGHTS, READER_WEIGHTS, READER_SETTINGS, CONFIDENCE, *write_graphs(out)]
    sums = {name: sha256(out / name) for name in sorted(names) if (out / name).is_file()}
    (out / SUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
    return sha256(out / SUMS)


def write_graphs(folder: Path) -> list[str]:
    """Writes the graphs of an encoder and its span scorer beside them, and takes out those of before; their names.

    None is written where the backbone isn't built as BERT is.
    """
    for path in folder.glob("graph-*.onnx"):
        path.unlink()
    files = find_encoder(str(folder))
    stored = read_reader(str(folder), files)
    of_questions, of_passages = encoder_weights(files, whole=True), encoder_weights(files)
    reading = reader_weights(stored)
    names = []
    if of_questions is not None and of_passages is not None and reading is not None:
        embed = encoder_graph(files, of_questions), encoder_graph(files, of_passages, alone=True)
        for graph in (*embed, reader_graph(stored, reading)):
            names.append(graph.description.file_name)
            (folder / names[-1]).write_bytes(written(graph.description))
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("encoder", type=Path)
    parser.add_argument("reader", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    digest = ship(options.encoder, options.reader, options.out)
    parser.exit(message=f"SUMS_SHA256 = {digest!r}\n")


if __name__ == "__main__":
    main()
