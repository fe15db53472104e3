"""Averages the weights of span scorers that were trained from the same beginning.

Runs that began alike and differ in what they were shown end so near each other that the mean of their weights reads
better than each of them (Wortsman et al., "Model soups", 2022).

python -m retriever.training.average OUT READER READER...
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from retriever.confidence import CONFIDENCE
from retriever.encoder.loading import reader_model, save_reader
from retriever.encoder.reader_files import read_reader
from retriever.errors import SpanseekError


def average(readers: Sequence[Path], out: Path) -> None:
    """Writes a span scorer whose weights are the mean of others'.

    What was fitted to one of them (confidences, how readily there is no answer) is not taken over: it is to be fitted
    anew.

    Args:
        readers: What `train reader` wrote, of one encoder and with one span layer.
        out: A folder; made if it isn't there.

    Raises:
        EncoderError: One of them can't be read.
        SpanseekError: They aren't alike.
    """
    stored = [read_reader(str(folder)) for folder in readers]
    if not stored:
        raise SpanseekError("there is nothing to average")
    first = stored[0]
    for other in stored[1:]:
        same = (other.files.fingerprint, other.span, other.reading, other.segments)
        if same != (first.files.fingerprint, first.span, first.reading, first.segments):
            raise SpanseekError(f"{other.name} and {first.name} are of different build: they have no average")
    weights = {name: np.mean([other.weight(name) for other in stored], axis=0) for name in first.names}
    model = reader_model(replace(first, saved=weights))
    model.freeze_embeddings()
    out.mkdir(parents=True, exist_ok=True)
    save_reader(model, first.files, first.reading, out)
    (out / CONFIDENCE).unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("reader", type=Path, nargs="+")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    average(options.reader, options.out)


if __name__ == "__main__":
    main()
