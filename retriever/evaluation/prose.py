"""Made-up text that costs a computer what English prose does: the same on every machine, and no file is needed for it.

Its words are as often and as long as English ones: about half of them a few dozen function words, the others from
thousands of made-up nouns, verbs and adjectives whose frequencies fall as Zipf's law has it ("The Psycho-Biology of
Language", 1935). Sentences have as many words as English ones, paragraphs as many sentences. A tokenizer makes of a
word as many tokens as it does of English, and a search for its words finds as many passages. It means nothing.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

_FUNCTION = {
    "the": 6.2, "of": 3.1, "and": 2.8, "to": 2.5, "in": 2.2, "a": 2.1, "is": 1.1, "that": 1.0, "for": 0.9, "it": 0.8,
    "as": 0.8, "was": 0.8, "with": 0.7, "be": 0.7, "by": 0.6, "on": 0.6, "not": 0.5, "are": 0.5, "from": 0.5,
    "at": 0.4, "this": 0.4, "but": 0.4, "which": 0.4, "or": 0.4, "an": 0.4, "have": 0.4, "had": 0.3, "were": 0.3,
    "they": 0.3, "their": 0.3, "one": 0.3, "all": 0.3, "has": 0.3, "when": 0.2, "who": 0.2, "will": 0.2, "more": 0.2,
    "no": 0.2, "if": 0.2, "can": 0.2, "its": 0.2, "than": 0.2, "been": 0.2, "into": 0.2, "only": 0.2, "other": 0.2,
    "some": 0.2, "could": 0.1, "these": 0.1, "two": 0.1, "then": 0.1, "after": 0.1, "before": 0.1, "between": 0.1,
    "each": 0.1, "most": 0.1, "over": 0.1, "such": 0.1, "through": 0.1, "under": 0.1, "until": 0.1, "while": 0.1,
}  # fmt: skip
"""Words that hold sentences together, and their share of running English in per cent."""
_STEMS = (
    "account act add air answer apply approve area arm arrive art ask back bank bar base bear begin bird block board "
    "book border bridge bright bring build burn call camp capital care carry case cause cell centre chain chair change "
    "charge church city claim class clean clear clock close cloud coast cold colour command common company complete "
    "condition contract control cook corner cost count country course cover create cross crowd cut danger dark day deal "
    "deep degree deliver demand depend design develop direct discover distance divide doctor draw drive drop dry early "
    "earth edge effect engine enter equal event example expect explain eye fact fall family farm fast father fear field "
    "figure fill film final find finger fire firm fish fit floor flow fly follow force foreign forest form forward free "
    "friend front garden general girl give glass gold govern great green ground group grow guard guide half hand hard "
    "head hear heat heavy help high hill history hold home horse hour house human idea image increase indicate industry "
    "insect interest iron island join journey judge keep kind king knee know labour lake land language large laugh law "
    "lead learn leave letter level light limit line list listen local long machine manage map mark market master matter "
    "measure member metal middle milk mind minute model money month moon morning mother motion mountain move music name "
    "nation nature night noise normal north note notice number object observe ocean office open operate order organ page "
    "paint paper parent part pass pattern period person picture plain plan plane plant play point port position power "
    "prepare present press price print problem process produce product promise protect prove provide public pull push "
    "quarter question quick rail rain range rate reach read record region relate release remember repeat report require "
    "result return rich ride right ring rise river road rock roll room root round rule sail sand scale school science "
    "season seat second section seed sense separate series serve settle shape share sharp sheet ship shore short side "
    "sight sign silver simple sister size skill sleep slow small snow soft soil soldier sound south space speak speed "
    "spring square stand star start state station steel step stone store storm stream street strong study subject sugar "
    "summer supply support surface sweet system table teach temperature test thick thing think tool total touch town "
    "track trade train travel tree trouble turn type unit valley value view village visit voice wait walk wall war warm "
    "watch water wave weather week weight west wheel wide wild wind window winter wire woman wonder wood work write yard "
    "year young"
).split()
_ENDINGS = ("", "s", "ed", "ing", "er", "ers", "ly", "ment", "less", "able", "ness", "ation")
_CONTENT = 6000
_FUNCTION_SHARE = sum(_FUNCTION.values()) / 100
_NUMBERS = 0.02
_SENTENCE = 19.0
_SENTENCES = (3, 7)


@dataclass(frozen=True, slots=True)
class MadeUpDocument:
    """A document that means nothing: `text` has paragraphs, parted by blank lines."""

    id: str
    title: str
    text: str


class Prose:
    """Draws words, sentences and documents.

    Args:
        seed: The same one gives the same text, on every machine.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - nothing secret
        self._function = list(_FUNCTION)
        self._function_ends = list(accumulate(_FUNCTION.values()))
        self._content = _content_words()
        self._content_ends = list(accumulate(1 / (rank + 10) for rank in range(len(self._content))))

    def documents(self, count: int, paragraphs: int = 8) -> Iterator[MadeUpDocument]:
        """So many documents of so many paragraphs."""
        for number in range(count):
            title = " ".join(self._rare() for _ in range(3)).capitalize()
            text = "\n\n".join(self.paragraph() for _ in range(paragraphs))
            yield MadeUpDocument(f"made-up-{number}", title, text)

    def paragraph(self) -> str:
        """A few sentences."""
        return " ".join(self.sentence() for _ in range(self._rng.randint(*_SENTENCES)))

    def sentence(self) -> str:
        """Some words, most of them known."""
        length = max(4, round(self._rng.gammavariate(5.0, _SENTENCE / 5.0)))
        words = [self._word() for _ in range(length)]
        if length > 12:
            words[self._rng.randrange(4, length - 4)] += ","
        return " ".join(words).capitalize() + "."

    def question(self) -> str:
        """As long as a question is."""
        words = [self._rng.choice(("who", "what", "when", "where", "how", "why")), "does", "the"]
        words += [self._word() for _ in range(self._rng.randint(3, 8))] + [self._rare()]
        return " ".join(words) + "?"

    def _word(self) -> str:
        draw = self._rng.random()
        if draw < _NUMBERS:
            return str(self._rng.randint(2, 2030))
        if draw < _NUMBERS + _FUNCTION_SHARE:
            return self._function[_place(self._rng, self._function_ends)]
        return self._rare()

    def _rare(self) -> str:
        return self._content[_place(self._rng, self._content_ends)]


def _place(rng: random.Random, ends: list[float]) -> int:
    return bisect_left(ends, rng.random() * ends[-1])


def _content_words() -> list[str]:
    """Stems with endings, then stems joined, in one shuffled order that is everywhere the same."""
    rng = random.Random("words")  # noqa: S311
    words = [stem + ending for stem in _STEMS for ending in _ENDINGS]
    words += [one + other for one, other in zip(_STEMS, rng.sample(_STEMS, len(_STEMS)), strict=True)]
    rng.shuffle(words)
    plain = rng.sample(_STEMS, len(_STEMS) // 2)  # what is frequent is short
    return list(dict.fromkeys([*plain, *words]))[:_CONTENT]
