"""QAMR's questions as rows that `spanseek train reader` takes.

    python -m retriever.training.qamr OUT.jsonl SENTENCES.tsv[.gz] PAIRS.tsv[.gz]...

QAMR (Michael et al., "Crowdsourcing Question-Answer Meaning Representations", 2018) asks about single sentences, in
many ways about each. Its sentences are split into words as the Penn Treebank has them; here they are put together
again as people write them, and an answer is kept where it is one run of words on which at least one of the two
validators agrees with who asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from retriever.errors import DatasetError
from retriever.evaluation.lines import numbered_lines

_WRITTEN = {
    "-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}",
    "``": '"', "''": '"', "\\/": "/", "\\*": "*",
}  # fmt: skip
_NO_SPACE_BEFORE = frozenset([",", ".", ";", ":", "?", "!", ")", "]", "}", "%", "'s", "'", "n't", "..."])
_NO_SPACE_AFTER = frozenset(["(", "[", "{", "$", "£", "€", "#"])
_FIELDS = 9


def join(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Treebank words as people write them.

    Returns:
        The text, and where each word stands in it.
    """
    text = ""
    places = []
    glued = True  # to what comes before
    for word in words:
        written = _WRITTEN.get(word, word)
        glued = glued or written in _NO_SPACE_BEFORE or written.startswith("'") or word == "''"
        text += "" if glued else " "
        places.append((len(text), len(text) + len(written)))
        text += written
        glued = written in _NO_SPACE_AFTER or word == "``"
    return text, places


def rows(sentences: Iterable[str], pairs: Iterable[str]) -> Iterator[dict[str, Any]]:
    """A row `{id, title, context, question, answers}` for each question that can be asked in this form.

    Args:
        sentences: Lines of an identifier and a sentence.
        pairs: Lines of nine fields: sentence, target words, worker, two numbers, question, answer, two validations.
    """
    texts = {}
    for line in sentences:
        name, _, sentence = line.rstrip("\n").partition("\t")
        texts[name] = join(sentence.split())
    seen = set()
    for number, line in enumerate(pairs, start=1):
        fields = line.rstrip("\n").split("\t")
        if len(fields) != _FIELDS or fields[0] not in texts:
            continue
        text, places = texts[fields[0]]
        question = fields[5].strip()
        answer = _run(fields[6])
        validated = {_run(field.partition(":")[2]) for field in fields[7:]}
        if answer is None or answer not in validated or not question or (text, question) in seen:
            continue
        seen.add((text, question))
        start, end = places[answer[0]][0], places[answer[1]][1]
        yield {
            "id": f"qamr-{number}",
            "title": "",
            "context": text,
            "question": question,
            "answers": [{"text": text[start:end], "answer_start": start}],
        }


def _run(indices: str) -> tuple[int, int] | None:
    """First and last of numbers that follow one another; `None` where they don't, or where there are none."""
    if not indices or not all(part.isdigit() for part in indices.split(" ")):
        return None
    numbers = sorted(map(int, indices.split(" ")))
    return (numbers[0], numbers[-1]) if numbers == list(range(numbers[0], numbers[-1] + 1)) else None


def main(arguments: Sequence[str]) -> None:
    if len(arguments) < 3:
        sys.exit("usage: python -m retriever.training.qamr OUT.jsonl SENTENCES PAIRS...")
    out, sentences, *pairs = map(Path, arguments)
    lines = (line for path in pairs for _, line in numbered_lines(path))
    try:
        found = list(rows((line for _, line in numbered_lines(sentences)), lines))
        out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
    except (DatasetError, OSError) as error:
        sys.exit(str(error))
    sys.stdout.write(f"{len(found):,} questions in {out}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
