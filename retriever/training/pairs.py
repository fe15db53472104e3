"""Questions with a passage that answers and one that doesn't, in the batches that vectors are trained on.

Everything is drawn from (seed, epoch), so that a run that goes on after a kill reads what it would have read. A batch
is a plan, numbers only; `Texts` makes token ids of it when its turn comes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retriever.config import Saved
from retriever.encoder.backbone import EncoderFiles
from retriever.encoder.tokenizer import Tokenizer
from retriever.training.examples import Example, ExampleSet, Ids

_NOTHING: Ids = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Contrast(Saved):
    """What a question is compared with, and how.

    Attributes:
        questions: Of one batch; each one's passages are negatives for the others.
        temperature: What cosines are divided by: the smaller, the more the nearest negatives count.
        keep: Weight of the distance that vectors have moved away from the backbone's own.
        title: Chance that a passage is embedded after its document's title.
        most_tokens: A longer passage is cut, at random around the answer.
        context_tokens: A title is read up to here.
    """

    questions: int = 64
    temperature: float = 0.05
    keep: float = 1.0
    title: float = 0.5
    most_tokens: int = 200
    context_tokens: int = 40


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A passage, from its token `first` on, and whether after its title."""

    passage: int
    first: int
    title: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """An example (its place in the list) with its own passage and a hard negative, if there is one."""

    example: int
    own: Excerpt
    hard: Excerpt | None


class Texts:
    """Token ids of questions and passages, special tokens included, as `TextEncoder` reads them.

    Args:
        data: All examples and passages, those that are held back too.
        tokenizer: The encoder's.
        files: The encoder's.
        contrast: Sizes.
    """

    def __init__(
        self, data: ExampleSet, tokenizer: Tokenizer, files: EncoderFiles, contrast: Contrast
    ) -> None:
        self.examples = data.examples
        self._passages = [passage.ids for passage in data.passages]
        self._titles = {
            example.passage: example.title_ids[: contrast.context_tokens] for example in data.examples
        }
        special = tokenizer.special
        self._before, self._after = np.asarray(special.before), np.asarray(special.after)
        # The space that ends a prompt is no token of its own.
        prompts = [files.query_prompt.rstrip(), files.passage_prompt.rstrip()]
        self._question_prompt, self._passage_prompt = tokenizer.ids(prompts)
        self._room = files.max_length - len(self._before) - len(self._after)
        left = self._room - contrast.context_tokens - len(self._passage_prompt)
        self.most_tokens = max(1, min(contrast.most_tokens, left))

    def question(self, example: Example) -> Ids:
        return self._whole(self._question_prompt, example.question_ids)

    def excerpt(self, excerpt: Excerpt) -> Ids:
        title = self._titles.get(excerpt.passage, _NOTHING) if excerpt.title else _NOTHING
        part = self._passages[excerpt.passage][excerpt.first : excerpt.first + self.most_tokens]
        return self._whole(title, self._passage_prompt, part)

    def passage(self, passage: int) -> Ids:
        """Without its title, up to what one pass sees."""
        return self._whole(self._passage_prompt, self._passages[passage])

    def length(self, passage: int) -> int:
        """Tokens of a passage."""
        return len(self._passages[passage])

    def _whole(self, *parts: Ids) -> Ids:
        text = np.concatenate(parts)[: self._room]
        return np.concatenate([self._before, text, self._after]).astype(np.int64)


class PairBatches:
    """Makes the batches of each epoch.

    Args:
        examples: What is trained on; those without an answer are left out.
        negatives: For an example (its place in the list), passages that the search ranks high and that don't answer.
        texts: Of which it needs the lengths.
        contrast: Sizes and chances.
        seed: Everything is drawn from it.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        negatives: Mapping[int, Sequence[int]],
        texts: Texts,
        contrast: Contrast,
        seed: int,
    ) -> None:
        self.examples = examples
        self._answered = [i for i, example in enumerate(examples) if example.span is not None]
        self._negatives = negatives
        self._texts = texts
        self._contrast = contrast
        self._seed = seed

    def batches(self, epoch: int) -> list[list[Pair]]:
        """All batches of one epoch, each of the same size; the questions left over are drawn in other epochs."""
        rng = random.Random(f"{self._seed}/{epoch}")  # noqa: S311 - nothing secret
        pairs = [self._pair(i, rng) for i in rng.sample(self._answered, len(self._answered))]
        size = min(self._contrast.questions, len(pairs))
        return [pairs[i : i + size] for i in range(0, len(pairs) - size + 1, size)] if size > 1 else []

    def _pair(self, number: int, rng: random.Random) -> Pair:
        example = self.examples[number]
        wrong = self._negatives.get(number)
        hard = None
        if wrong:
            # the higher it is ranked, the likelier it is taken
            hard = self._excerpt(wrong[min(int(rng.expovariate(1 / 3)), len(wrong) - 1)], None, rng)
        return Pair(number, self._excerpt(example.passage, example.span, rng), hard)

    def _excerpt(self, passage: int, span: tuple[int, int] | None, rng: random.Random) -> Excerpt:
        """As much of a passage as is read, with the span in it."""
        most = self._texts.most_tokens
        spare = max(0, self._texts.length(passage) - most)
        low, high = 0, spare
        if span is not None:
            low, high = max(0, min(span[1] + 1 - most, spare)), min(span[0], spare)
        # an answer longer than an excerpt is cut: then `low` is over `high`
        first = rng.randint(min(low, high), high)
        return Excerpt(passage, first, rng.random() < self._contrast.title)
