"""An epoch: which windows are read, in which order, in batches that waste nothing.

Everything is drawn from (seed, epoch), so that a run that goes on after a kill reads what it would have read.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retriever.encoder.reading import PairLayout, Window
from retriever.encoder.structure import spelled
from retriever.encoder.tokenizer import Tokenizer
from retriever.training.cells import Words
from retriever.training.examples import Example, ExampleSet, Ids, tokens_of
from retriever.training.keywords import as_keywords
from retriever.training.rows import RowQuestion, make_row_question
from retriever.training.unanswerable import Entities, Phrases, change_question, without_answer

_FEW = 20
"""Names that are too few to make tables of."""
_MOST_OFTEN = 5
"""Times that one question is read in an epoch."""
_NOTHING: Ids = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Mixture:
    """What stands beside each answerable question, as a chance for each.

    Attributes:
        hard: A passage that the search ranks high and that doesn't answer.
        changed: The question changed so that its passage doesn't answer.
        removed: The passage without the sentence that answers.
        keywords: The question is asked in keywords instead.
        rows: A question about a made-up table.
        title: The document's title is read too.
        unanswerable: Where questions without an answer are a smaller share than this of those with one, each is read
            up to five times: what people wrote to have no answer teaches more than what a rule makes.
        most_tokens: A longer passage is cut, at random around the answer.
    """

    hard: float = 0.35
    changed: float = 0.45
    removed: float = 0.07
    keywords: float = 0.1
    rows: float = 0.15
    title: float = 0.5
    unanswerable: float = 0.05
    most_tokens: int = 220


@dataclass(frozen=True, slots=True)
class Item:
    """A window and its target: places in the window's ids of the answer's first and last token; 0, 0 for none.

    Attributes:
        rehearsed: It is read so that nothing is forgotten (`rehearsal.py`).
    """

    window: Window
    start: int
    end: int
    rehearsed: bool = False


class Epochs:
    """Makes the items of each epoch.

    Args:
        examples: What is trained on.
        negatives: For an example (its place in the list), passages that the search ranks high and that don't answer.
        layout: How question and passage are put together.
        tokenizer: The encoder's.
        mixture: What stands beside each answerable question.
        seed: Everything is drawn from it.
    """

    def __init__(
        self,
        data: ExampleSet,
        negatives: Mapping[int, Sequence[int]],
        layout: PairLayout,
        tokenizer: Tokenizer,
        mixture: Mixture,
        seed: int,
    ) -> None:
        self._data = data
        self._negatives = negatives
        self._layout = layout
        self._tokenizer = tokenizer
        self._encode = tokenizer.ids
        self._mixture = mixture
        self._seed = seed
        texts: dict[str, dict[int, None]] = defaultdict(dict)
        for example in data.examples:
            texts[example.group][example.passage] = None
        self._entities = {
            group: Entities([data.passages[passage].text for passage in passages])
            for group, passages in texts.items()
        }
        asked: dict[str, list[str]] = defaultdict(list)
        for example in data.examples:
            asked[example.group].append(example.question)
        # a changed question may be one that people asked about the same passage
        self._asked = {(example.passage, example.question.strip().lower()) for example in data.examples}
        self._phrases = {group: Phrases(questions) for group, questions in asked.items()}
        without = sum(example.span is None for example in data.examples)
        wanted = mixture.unanswerable * (len(data.examples) - without)
        self._again = min(_MOST_OFTEN, round(wanted / without)) - 1 if without else 0
        names = sorted({name for entities in self._entities.values() for name in entities.names})
        said = {example.answers[0] for example in data.examples if example.answers}
        self._words = Words(names, sorted(text for text in said if _is_phrase(text)))

    def items(self, epoch: int) -> list[Item]:
        """All items of one epoch, in no particular order."""
        rng = random.Random(f"{self._seed}/{epoch}")  # noqa: S311 - nothing secret
        items: list[Item] = []
        changed: list[tuple[Example, str]] = []
        terse: list[tuple[Example, str]] = []
        rows: list[RowQuestion] = []
        for i, example in enumerate(self._data.examples):
            words = as_keywords(example.question, rng) if rng.random() < self._mixture.keywords else None
            if words is None:
                items.append(self._item(example, example.question_ids, example.span, rng))
            else:
                terse.append((example, words))
            if example.span is None:
                items += [self._item(example, example.question_ids, None, rng) for _ in range(self._again)]
                continue
            if len(self._words.names) >= _FEW and rng.random() < self._mixture.rows:
                rows.append(make_row_question(self._words, rng))
            if self._negatives.get(i) and rng.random() < self._mixture.hard:
                items.append(self._hard(example, self._negatives[i], rng))
            if rng.random() < self._mixture.removed:
                left = without_answer(self._data.passages[example.passage], example.span)
                if left is not None:
                    items.append(self._without(example, left, rng))
            if rng.random() < self._mixture.changed:
                entities = self._entities[example.group]
                phrases = self._phrases[example.group]
                question = change_question(example.question, example.answers, entities, phrases, rng)
                if question is not None and (example.passage, question.strip().lower()) not in self._asked:
                    changed.append((example, question))
        ids = self._encode([question for _, question in changed])
        items += [
            self._item(example, question, example.span, rng, answered=False)
            for (example, _), question in zip(changed, ids, strict=True)
        ]
        ids = self._encode([words for _, words in terse])
        items += [
            self._item(example, question, example.span, rng)
            for (example, _), question in zip(terse, ids, strict=True)
        ]
        return items + self._rows(rows)

    def _rows(self, rows: Sequence[RowQuestion]) -> list[Item]:
        questions = self._tokenizer.ids([row.question for row in rows])
        titles = self._tokenizer.ids([row.title for row in rows])
        texts = self._tokenizer.encode([spelled(row.text) for row in rows])
        items = []
        for row, question, title, (ids, offsets) in zip(rows, questions, titles, texts, strict=True):
            window = self._layout.crop(question, title, ids, 0, len(ids))
            span = tokens_of(offsets, row.start, row.end) if row.end else None
            if span is not None and window.begin + span[1] < len(window.ids) - 1:
                items.append(Item(window, window.begin + span[0], window.begin + span[1]))
            elif span is None:
                items.append(Item(window, 0, 0))
        return items

    def _title(self, example: Example, rng: random.Random) -> Ids:
        return example.title_ids if rng.random() < self._mixture.title else _NOTHING

    def _item(
        self,
        example: Example,
        question: Ids,
        span: tuple[int, int] | None,
        rng: random.Random,
        *,
        answered: bool = True,
    ) -> Item:
        """The example's own passage, cut around the place of the answer."""
        ids = self._data.passages[example.passage].ids
        most = self._mixture.most_tokens
        first = 0
        if len(ids) > most:
            # an answer longer than that is cut as well
            low, high = (0, len(ids) - most) if span is None else sorted((span[1] + 1 - most, span[0]))
            first = rng.randint(min(max(0, low), len(ids) - most), max(0, min(high, len(ids) - most)))
        window = self._layout.crop(question, self._title(example, rng), ids, first, first + most)
        if span is None or not answered:
            return Item(window, 0, 0)
        start, end = (window.begin + token - first for token in span)
        if not window.begin <= start <= end < len(window.ids) - 1:
            return Item(window, 0, 0)  # an answer that is longer than the window
        return Item(window, start, end)

    def _hard(self, example: Example, passages: Sequence[int], rng: random.Random) -> Item:
        # the higher it is ranked, the likelier it is taken
        passage = passages[min(int(rng.expovariate(1 / 3)), len(passages) - 1)]
        return self._without(example, self._data.passages[passage].ids, rng)

    def _without(self, example: Example, ids: Ids, rng: random.Random) -> Item:
        most = self._mixture.most_tokens
        first = rng.randint(0, max(0, len(ids) - most))
        title = self._title(example, rng)
        return Item(self._layout.crop(example.question_ids, title, ids, first, first + most), 0, 0)


def _is_phrase(text: str) -> bool:
    """Whether an answer is words enough, and plain enough, to be a cell of text."""
    return 2 <= len(text.split()) <= 8 and not set(text) & set("|:;\n\t")


def plan(items: Sequence[Item], batch_tokens: int, seed: str) -> list[list[Item]]:
    """Batches of at most `batch_tokens`, padding counted, in random order.

    As many as can be are of exactly one length: without padding nothing need be masked. What is left over of each
    length goes together with its neighbours in length.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    by_length: dict[int, list[Item]] = defaultdict(list)
    for item in rng.sample(items, len(items)):
        by_length[len(item.window.ids)].append(item)
    batches: list[list[Item]] = []
    left: list[Item] = []
    for length in sorted(by_length, reverse=True):
        same = by_length[length]
        size = max(1, batch_tokens // length)
        whole = len(same) - len(same) % size
        batches += [same[i : i + size] for i in range(0, whole, size)]
        left += same[whole:]
    batch: list[Item] = []
    for item in left:  # longest first
        if batch and len(batch[0].window.ids) * (len(batch) + 1) > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(item)
    if batch:
        batches.append(batch)
    rng.shuffle(batches)
    return batches
