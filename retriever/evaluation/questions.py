"""Questions with their gold passage and the spans that answer them, in SQuAD's layout or as rows of JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever.errors import DatasetError
from retriever.evaluation.dataset import EvalDocument
from retriever.evaluation.lines import numbered_lines
from retriever.evaluation.squad import list_of, load_squad, read_json, text_of
from retriever.types import TextSpan


@dataclass(frozen=True, slots=True)
class GradedQuestion:
    """A question about a passage.

    Attributes:
        id: Unique in its file.
        question: As it was asked.
        context: The passage.
        title: Of the document that the passage is of; maybe empty.
        answers: Spans of `context`, one for each annotator; empty if the passage doesn't answer.
        accepted: Every text that counts as right: those of `answers`, and others that the set names.
        document: Which document that is, where its title doesn't tell.
    """

    id: str
    question: str
    context: str
    title: str
    answers: tuple[TextSpan, ...]
    accepted: tuple[str, ...]
    document: str = ""


def load_questions(path: Path) -> list[GradedQuestion]:
    """Reads a set of questions with spans.

    Args:
        path: A `.json` file in SQuAD's layout (version 1.1 or 2.0), or a `.jsonl` file with a row
            `{"question", "context", "answers": [{"text", "answer_start"}], "id"?, "title"?}` for each question; both
            perhaps with `.gz`.

    Raises:
        DatasetError: The file isn't in one of these layouts, or a span isn't where it says.
    """
    if path.name.endswith((".json", ".json.gz")):
        found = list(_squad(path))
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        found = list(_rows(path))
    else:
        raise DatasetError(
            f"{path}: expected a .json file in SQuAD's layout or .jsonl rows, perhaps with .gz"
        )
    if not found:
        raise DatasetError(f"{path}: there are no questions in it")
    return found


def corpus_of(path: Path, questions: Iterable[GradedQuestion]) -> list[EvalDocument]:
    """The passages of a set as documents, each distinct one once.

    Args:
        path: Where the questions are from. A file in SQuAD's layout has its documents as `load_retrieval` does: the same
            ids, and paragraphs that nothing is asked about too. Those of other files are numbered from 1.
        questions: All of its questions.

    Raises:
        DatasetError: The file can't be read as a corpus.
    """
    if path.name.endswith((".json", ".json.gz")):
        return list(load_squad(path, None).documents)
    titles: dict[str, str] = {}  # by passage
    for question in questions:
        titles.setdefault(question.context, question.title)
    return [
        EvalDocument(str(number), title, text) for number, (text, title) in enumerate(titles.items(), start=1)
    ]


def _squad(path: Path) -> Iterator[GradedQuestion]:
    for article_index, article in enumerate(list_of(read_json(path), "data", f"{path}: ")):
        place = f"{path}: data[{article_index}]"
        title = text_of(article, "title", f"{place}.") if "title" in article else ""
        for index, paragraph in enumerate(list_of(article, "paragraphs", f"{place}.")):
            inner = f"{place}.paragraphs[{index}]"
            context = text_of(paragraph, "context", f"{inner}.")
            for number, row in enumerate(list_of(paragraph, "qas", f"{inner}.")):
                within = f"{inner}.qas[{number}]."
                yield _question(row, context, title.replace("_", " "), within)


def _rows(path: Path) -> Iterator[GradedQuestion]:
    for number, line in numbered_lines(path, "JSON Lines"):
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{place}: expected JSON: {error.msg}") from error
        if not isinstance(row, dict):
            raise DatasetError(f"{place}: expected a JSON object")
        title = text_of(row, "title", f"{place}: ") if row.get("title") else ""
        row.setdefault("id", str(number))
        yield _question(row, text_of(row, "context", f"{place}: "), title, f"{place}: ")


def _question(row: dict[str, Any], context: str, title: str, place: str) -> GradedQuestion:
    spans = []
    for number, answer in enumerate([] if row.get("is_impossible") else list_of(row, "answers", place)):
        text = text_of(answer, "text", f"{place}answers[{number}].")
        start = answer.get("answer_start")
        if not text or type(start) is not int or start < 0 or not context.startswith(text, start):
            raise DatasetError(f"{place}answers[{number}]: its text isn't at answer_start in the context")
        spans.append(TextSpan(start, start + len(text), text))
    others = row.get("all_answers")
    accepted = [span.text for span in spans]
    if isinstance(others, list):
        accepted += [other for other in others if isinstance(other, str)]
    return GradedQuestion(
        id=text_of(row, "id", place),
        question=text_of(row, "question", place),
        context=context,
        title=title,
        answers=tuple(spans),
        accepted=tuple(dict.fromkeys(accepted)),
    )
