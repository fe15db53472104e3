"""Passages that the search ranks high for a question, but that don't hold its answer.

A span scorer that has seen only passages with the answer in them finds one in everything. What it must learn to
refuse is what the search will really put before it (Karpukhin et al., "Dense Passage Retrieval", 2020, section 3.2,
on hard negatives; Clark and Gardner, 2018, on scores that are comparable between passages).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from retriever.training.examples import Example, ExampleSet

SearchMany = Callable[[Sequence[Example]], Iterable[Sequence[int]]]
"""Examples to the numbers of the passages that are found for each one's question, best first."""

_BLOCK = 1024
_WORD = re.compile(r"[^\W_]+")


def mine(
    data: ExampleSet,
    search: SearchMany,
    *,
    most: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, tuple[int, ...]]:
    """Hard negatives for each answerable example, best ranked first.

    Args:
        data: Examples and their passages.
        search: Over those passages.
        most: So many for each example.
        progress: Called with examples done and their total.

    Returns:
        By the example's place in the list; an example for which the search finds none is left out.
    """
    asked = [i for i, example in enumerate(data.examples) if example.span is not None]
    texts = [_flat(passage.text) for passage in data.passages]
    negatives: dict[int, tuple[int, ...]] = {}
    for begin in range(0, len(asked), _BLOCK):
        block = asked[begin : begin + _BLOCK]
        for i, found in zip(block, search([data.examples[i] for i in block]), strict=True):
            example = data.examples[i]
            answers = [_flat(answer) for answer in example.answers]
            wrong = [
                passage
                for passage in found
                if passage != example.passage and not any(answer in texts[passage] for answer in answers)
            ]
            if wrong:
                negatives[i] = tuple(wrong[:most])
        if progress is not None:
            progress(begin + len(block), len(asked))
    return negatives


def mine_once(
    data: ExampleSet,
    out: Path,
    search: Callable[[Sequence[str]], SearchMany],
    report: Callable[[str], None],
    name: str = "negatives.json",
) -> dict[int, tuple[int, ...]]:
    """`mine`, kept in the folder `out` for a run that goes on.

    Args:
        data: Examples and their passages.
        out: Where the checkpoint lies, too.
        search: Given passages, a search over them.
        report: Takes lines for the user.
        name: Of the file that it is kept in.
    """
    kept = out / name
    if kept.exists():
        rows = json.loads(kept.read_text(encoding="utf-8"))
        if rows["examples"] == len(data.examples) and rows["passages"] == len(data.passages):
            return {int(i): tuple(found) for i, found in rows["negatives"].items()}
    found = mine(
        data,
        search([passage.text for passage in data.passages]),
        progress=lambda done, total: report(f"hard negatives: {done:,} of {total:,} questions"),
    )
    rows = {"examples": len(data.examples), "passages": len(data.passages), "negatives": found}
    kept.write_text(json.dumps(rows), encoding="utf-8")
    return found


def _flat(text: str) -> str:
    """Words only, so that an answer is found whatever stands between them, and only as whole words."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "
