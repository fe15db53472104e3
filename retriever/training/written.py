"""Documents and questions about them, written together in one file, as a folder to index and rows to train on.

    python -m retriever.training.written OUT FILE...

A file holds documents, each under a line `=== path/name.md`; after a line `=== questions` its questions stand, one a
line: a kind, the question, and the answers that are accepted, parted by ` | `. The first answer is the best one, and it
answers where it stands in the document for the first time. A question of the kind `none` has no answer in any document.

OUT/documents/ is what `spanseek index` takes, OUT/questions.jsonl what `spanseek train reader --data` does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from retriever.errors import DatasetError
from retriever.training.own import places

_MARK = "=== "
_QUESTIONS = "questions"
_BAR = " | "
_NONE = "none"
_AS_WRITTEN = (".md", ".txt")
"""Formats whose text is the file's own, so that a place in one is a place in the other."""


@dataclass(slots=True)
class Written:
    """A document, and the lines of its questions with their numbers in the file."""

    name: str
    lines: list[str] = field(default_factory=list)
    questions: list[tuple[int, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip("\n") + "\n"


def parse(path: Path) -> list[Written]:
    """The documents of a file.

    Raises:
        DatasetError: It can't be read, or isn't of that form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: expected text in UTF-8: {error}") from error
    found: list[Written] = []
    asking = False
    for number, line in enumerate(text.split("\n"), start=1):
        head = line[len(_MARK) :].strip() if line.startswith(_MARK) else ""
        if head == _QUESTIONS and found:
            asking = True
        elif head:
            name = PurePosixPath(head)
            if head == _QUESTIONS or name.is_absolute() or ".." in name.parts:
                raise DatasetError(
                    f"{path}, line {number}: expected a document's name, such as letters/may.md"
                )
            found.append(Written(head))
            asking = False
        elif asking and line.strip():
            found[-1].questions.append((number, line))
        elif not asking and found:
            found[-1].lines.append(line)
        elif line.strip():
            raise DatasetError(f"{path}, line {number}: expected '=== ' and a document's name first")
    return found


def rows(document: Written, path: Path) -> Iterator[dict[str, Any]]:
    """A row `{question, kind, document, answers}` for each of its questions.

    Args:
        document: As `parse` gives it.
        path: Where it is from, for errors.

    Raises:
        DatasetError: An answer doesn't stand in the document, or there are too many or too few.
    """
    text = document.text
    for number, line in document.questions:
        kind, *rest = (part.strip() for part in line.split(_BAR))
        if not rest or not all(rest) or (kind == _NONE) != (len(rest) == 1):
            raise DatasetError(
                f"{path}, line {number}: expected 'kind | question | answer', or 'none | question'"
            )
        question, *texts = rest
        answers: list[dict[str, Any]] = []
        for answer in texts:
            spans = list(places(text, answer))
            if not spans:
                raise DatasetError(f"{path}, line {number}: {answer!r} doesn't stand in {document.name}")
            start = next((span.start for span in spans if span.text == answer), spans[0].start)
            answers.append({"text": answer, "answer_start": start})
        if not document.name.endswith(_AS_WRITTEN):
            answers = [{"text": answer["text"]} for answer in answers]
        yield {"question": question, "kind": kind, "document": document.name, "answers": answers}


def main(arguments: Sequence[str]) -> None:
    if len(arguments) < 2:
        sys.exit("usage: python -m retriever.training.written OUT FILE...")
    out, *files = map(Path, arguments)
    found: list[dict[str, Any]] = []
    texts: dict[str, str] = {}
    try:
        for path in files:
            for document in parse(path):
                if document.name in texts:
                    raise DatasetError(f"{path}: there is another document named {document.name}")
                texts[document.name] = document.text
                found += rows(document, path)
        for name, text in texts.items():
            target = out / "documents" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (out / "questions.jsonl").write_text("".join(lines), encoding="utf-8")
    except (DatasetError, OSError) as error:
        sys.exit(str(error))
    sys.stdout.write(f"{len(found):,} questions on {len(texts):,} documents in {out}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
