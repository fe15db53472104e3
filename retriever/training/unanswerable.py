"""Questions and passages changed so that nothing answers any more.

People wrote SQuAD 2.0's unanswerable questions by a few devices (Rajpurkar et al., "Know What You Don't Know", 2018,
table 1): negation, antonyms, entities swapped, and questions about something near. The functions here do the same by
rule, on questions that have an answer; `without_answer` takes the sentence with the answer out of the passage instead.
A rule is sometimes wrong (the changed question may still be answered), so only a part of the training reads them.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from retriever.training.examples import Ids, PassageTokens

_PAIRS = """first last|most least|more less|more fewer|before after|largest smallest|biggest smallest|highest lowest
higher lower|larger smaller|greater lesser|best worst|better worse|longest shortest|oldest newest|oldest youngest
older younger|earliest latest|early late|north south|northern southern|east west|eastern western|increase decrease
increased decreased|rise fall|rose fell|won lost|win lose|begin end|began ended|start stop|started stopped|open close
opened closed|male female|men women|man woman|father mother|son daughter|brother sister|king queen|husband wife
supported opposed|support oppose|accepted rejected|accept reject|allowed forbidden|legal illegal|public private
major minor|strong weak|stronger weaker|positive negative|internal external|inner outer|left right|top bottom
upper lower|above below|inside outside|new old|modern ancient|rich poor|hot cold|hottest coldest|fast slow|heavy light
gained lost|joined left|married divorced|born died|birth death|success failure|successful unsuccessful|included excluded
include exclude|add remove|added removed|attack defend|attacked defended|buy sell|bought sold|cause prevent
caused prevented|common rare|commonly rarely|always never|often seldom|minimum maximum|majority minority
urban rural|domestic foreign|import export|imported exported|summer winter|day night|morning evening|friend enemy""".split(
    "\n"
)
ANTONYMS: dict[str, list[str]] = defaultdict(list)
for _line in _PAIRS:
    for _pair in _line.split("|"):
        _one, _other = _pair.split()
        ANTONYMS[_one].append(_other)
        ANTONYMS[_other].append(_one)

_AUXILIARY = re.compile(
    r"\b(did|does|do|is|are|was|were|can|could|has|have|had|will|would|should|must)\b", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z]+")
_YEAR = re.compile(r"\b(?:1[0-9]|20)\d\d\b")
_NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
_PART = r"[A-Z](?:[\w'-]|\.(?=\w))*"
_NAME = re.compile(rf"\b{_PART}(?: (?:of |the |de )?{_PART})*")
_KINDS = (("year", _YEAR), ("number", _NUMBER), ("name", _NAME))
_QUESTION_WORDS = frozenset(
    "what who whom whose when where which why how in on at of for from to by with the a an is are was were did does do "
    "during after before under since according name if as more most there than that this these those another other "
    "have been being would could should some such also only with into about".split()
)

_ASKING = frozenset("how what which whose".split())
"""What follows is asked for: another word there asks for another kind of thing, or for nothing at all."""


class Entities:
    """Years, numbers and names that a document's passages hold, to swap with."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._of_kind: dict[str, list[str]] = {kind: [] for kind, _ in _KINDS}
        for kind, pattern in _KINDS:
            found = dict.fromkeys(match.group() for text in passages for match in pattern.finditer(text))
            self._of_kind[kind] = [name for name in found if name.lower() not in _QUESTION_WORDS]

    @property
    def names(self) -> list[str]:
        """Those of several letters and at most four words."""
        return [name for name in self._of_kind["name"] if len(name) > 3 and len(name.split()) <= 4]

    def other(self, kind: str, than: str, answers: Sequence[str], rng: random.Random) -> str | None:
        """Something of one kind that is neither `than` nor part of an answer."""
        for _ in range(8):
            if not self._of_kind[kind]:
                return None
            name = rng.choice(self._of_kind[kind])
            alike = name.lower() in than.lower() or than.lower() in name.lower()
            if not alike and not any(name in answer for answer in answers):
                return name
        return None


def swap_entity(question: str, answers: Sequence[str], entities: Entities, rng: random.Random) -> str | None:
    """The question about something else: a year, number or name replaced by another of the document's."""
    places: list[tuple[int, int, str]] = []
    for kind, pattern in _KINDS:
        for match in pattern.finditer(question):
            if match.group().lower() in _QUESTION_WORDS or (kind == "name" and match.start() == 0):
                continue
            if not any(match.start() < end and start < match.end() for start, end, _ in places):
                places.append((match.start(), match.end(), kind))
    if not places:
        return None
    start, end, kind = rng.choice(places)
    other = entities.other(kind, question[start:end], answers, rng)
    return None if other is None else question[:start] + other + question[end:]


class Phrases:
    """Which words follow which in the questions about one document."""

    def __init__(self, questions: Sequence[str]) -> None:
        self._after: dict[str, list[str]] = defaultdict(list)
        for question in questions:
            words = _WORD.findall(question)
            for before, word in itertools.pairwise(words):
                if _is_content(word) and before.lower() not in _ASKING:
                    self._after[before.lower()].append(word)

    def other(self, before: str, than: str, rng: random.Random) -> str | None:
        """Another word that stands after `before`, of the same ending as `than`."""
        words = [
            word
            for word in self._after.get(before.lower(), ())
            if word[-2:] == than[-2:] and word[:4] != than[:4]
        ]
        return rng.choice(words) if words else None


def swap_word(question: str, phrases: Phrases, rng: random.Random) -> str | None:
    """The question about something near: a word replaced by one that other questions have in its place."""
    words = list(_WORD.finditer(question))
    places = [(a.group(), b) for a, b in itertools.pairwise(words) if _is_content(b.group())]
    rng.shuffle(places)
    for before, match in places:
        other = phrases.other(before, match.group(), rng)
        if other is not None:
            return question[: match.start()] + other + question[match.end() :]
    return None


def _is_content(word: str) -> bool:
    """Whether a word is likely to mean something, and isn't a name."""
    return len(word) > 3 and word.islower() and word not in _QUESTION_WORDS


def use_antonym(question: str, rng: random.Random) -> str | None:
    """The question with one word turned into its opposite."""
    places = [match for match in _WORD.finditer(question) if match.group().lower() in ANTONYMS]
    if not places:
        return None
    match = rng.choice(places)
    return question[: match.start()] + rng.choice(ANTONYMS[match.group().lower()]) + question[match.end() :]


def negate(question: str, rng: random.Random) -> str | None:
    """The question denied: 'not' after its first auxiliary, or that contracted."""
    match = _AUXILIARY.search(question)
    if match is None:
        return None
    word = match.group()
    contracted = {"can": "can't", "will": "won't"}.get(word.lower(), f"{word}n't")
    changed = rng.choice([contracted, f"{word} not", f"{word} never"])
    return question[: match.start()] + changed + question[match.end() :]


def change_question(
    question: str, answers: Sequence[str], entities: Entities, phrases: Phrases, rng: random.Random
) -> str | None:
    """The question changed by one of the devices, entities most often; `None` where none applies."""
    draw = rng.random()
    if draw < 0.12:
        return negate(question, rng)
    if draw < 0.32:
        return use_antonym(question, rng) or swap_entity(question, answers, entities, rng)
    if draw < 0.57:
        return swap_word(question, phrases, rng) or swap_entity(question, answers, entities, rng)
    return swap_entity(question, answers, entities, rng) or use_antonym(question, rng)


def without_answer(passage: PassageTokens, span: tuple[int, int]) -> Ids | None:
    """The passage without the sentences that hold the answer; `None` if little is left, or the answer is there again."""
    first, last = span
    bounds = [*passage.sentences, len(passage.ids)]
    start = max(bound for bound in bounds if bound <= first)
    end = min(bound for bound in bounds if bound > last)
    left = np.concatenate([passage.ids[:start], passage.ids[end:]])
    if len(left) < 24 or _holds(left, passage.ids[first : last + 1]):
        return None
    return left


def _holds(ids: Ids, part: Ids) -> bool:
    """Whether `part` stands in `ids` in one piece."""
    if len(part) > len(ids):
        return False
    windows = np.lib.stride_tricks.sliding_window_view(ids, len(part))
    return bool((windows == part).all(axis=1).any())
