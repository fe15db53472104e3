"""Which neighbouring characters belong together."""

from __future__ import annotations

import re
import unicodedata

_CODE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Z0-9_-]*[0-9])(?=[A-Z0-9_-]*[A-Z])[A-Z0-9]+(?:[-_][A-Z0-9]+)+(?![A-Za-z0-9])"
)
"""Order numbers, model names, keys of tickets: capitals and digits in groups, such as 'PET3-E-G'."""
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+|[0-9]+(?:[.,][0-9]+)*")
"""What is written together where words are spaced; a digit beside a letter may be a number beside its unit."""
_DATE = re.compile(
    r"(?<![0-9-])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9-])|(?<![0-9/])[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}(?![0-9/])"
    r"|(?<![0-9:])[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?![0-9:])"
)
"""A date or a time of day, written in numbers."""
_YEAR = re.compile(r"[0-9]{4}")
_NUMBER = r"[0-9]+(?:[.,][0-9]+)*"
_AMOUNT = re.compile(
    r"(?<![\w.,])(?:"
    + "|".join(
        rf"{_NUMBER} {greater}(?:,? and |, | ){_NUMBER} {less}"
        for greater, less in (
            ("years?", "(?:months?|weeks?|days?)"),
            ("months?", "(?:weeks?|days?)"),
            ("weeks?", "days?"),
            ("days?", "hours?"),
            ("hours?", "minutes?(?:(?:,? and |, | )" + _NUMBER + " seconds?)?"),
            ("minutes?", "seconds?"),
            ("(?:feet|foot)", "inch(?:es)?"),
            ("pounds?", "(?:ounces?|pence)"),
        )
    )
    + r")\b"
)
"""An amount in a unit and the next smaller one."""
_LONGEST_AMOUNT = 60
"""Characters; one is looked for as far before and behind a span."""
_RECURRENCE = re.compile(
    r"\b(?:first|second|third|fourth|fifth|last|1st|2nd|3rd|4th|5th)\s+"
    r"(?P<day>(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?)\s+(?:of|in)\s+"
    r"(?:(?:each|every|the|a)\s+(?:[a-z-]+\s+)?(?:month|quarter|term|year)"
    r"|(?:January|February|March|April|May|June|July|August|September|October|November|December)(?:\s+[0-9]{4})?)\b"
)
"""A day that comes again, counted within its month: without which month it says next to nothing."""
_ZERO_WIDTH_JOINER = "\u200d"
_EXTENDING = frozenset("\u200c\u200d\uff9e\uff9f")  # joiners, half-width voiced sound marks
_MARKS = frozenset(("Mn", "Mc", "Me"))  # variation selectors are Mn


def is_inside_grapheme(text: str, position: int, start: int = 0) -> bool:
    """Whether a cut before `text[position]` would tear apart what is read as one character.

    Follows the rules for extended grapheme clusters of Unicode Standard Annex 29 as far as `unicodedata`
    knows the properties: marks, joiners, emoji modifiers and tags, flags, Hangul, CR LF, surrogates.
    A mark after white space has nothing to belong to. `start` is where a flag's letters are paired from.
    """
    if not start < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    if after < "\u0300":  # nothing below extends anything
        return before == _ZERO_WIDTH_JOINER or (before == "\r" and after == "\n")
    if before.isspace():
        return False
    return (
        before == _ZERO_WIDTH_JOINER
        or after in _EXTENDING
        or unicodedata.category(after) in _MARKS
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= after <= "\U000e007f"  # tags, as in the flags of regions
        or ("\udc00" <= after <= "\udfff" and "\ud800" <= before <= "\udbff")
        or ("\u1160" <= after <= "\u11ff" and _is_hangul(before))  # vowels and final consonants
        or (_is_flag_letter(after) and _flag_letters_before(text, position, start) % 2 == 1)
    )


def whole_graphemes(text: str, start: int, end: int) -> tuple[int, int]:
    """The span, widened at both ends as far as it takes to tear no character apart.

    >>> whole_graphemes("cafe\u0301s", 0, 4)
    (0, 5)
    """
    while is_inside_grapheme(text, start):
        start -= 1
    while is_inside_grapheme(text, end):
        end += 1
    return start, end


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """The span, widened at both ends as far as it takes to tear no word, number, date, time or code apart.

    A tokenizer cuts words into pieces and codes at their hyphens. Scripts without spaces are left as they are.

    >>> whole_words("order PET3-E-G now", 11, 14)
    (6, 14)
    """
    if start >= end:
        return start, end
    low = max(text.rfind(blank, 0, start) for blank in " \n\t") + 1
    found = min((place for blank in " \n\t" if (place := text.find(blank, end)) >= 0), default=len(text))
    before = None
    while before != (start, end):  # a number that is widened may end in a time
        before = start, end
        for pattern in (_CODE, _DATE, _WORD):
            for match in pattern.finditer(text, low, found):
                if pattern is _DATE and _YEAR.fullmatch(text, start, end):
                    continue  # by itself it answers in which year
                start, end = _widened(start, end, match)
    return start, end


def whole_amounts(text: str, start: int, end: int) -> tuple[int, int]:
    """The span, widened as far as it takes to tear no amount in two units apart, nor 'the first Monday' from its month.

    >>> text = "after 2 hours and 10 minutes"
    >>> whole_amounts(text, text.index("10"), len(text))
    (6, 28)
    """
    if start >= end:
        return start, end
    near = max(start - _LONGEST_AMOUNT, 0), end + _LONGEST_AMOUNT
    for match in _AMOUNT.finditer(text, *near):
        start, end = _widened(start, end, match)
    for match in _RECURRENCE.finditer(text, *near):
        # 'Monday' alone answers on which day of the week, and 'every month' how often
        if start <= match.start() and match.start("day") < end:
            end = max(end, match.end())
    return start, end


def _widened(start: int, end: int, match: re.Match[str]) -> tuple[int, int]:
    """The span, and what a match that lies across one of its ends has beyond it."""
    if match.start() < start < match.end():
        start = match.start()
    if match.start() < end < match.end():
        end = match.end()
    return start, end


def _is_hangul(character: str) -> bool:
    return "\u1100" <= character <= "\u11ff" or "\uac00" <= character <= "\ud7a3"


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_letters_before(text: str, position: int, start: int) -> int:
    first = position
    while first > start and _is_flag_letter(text[first - 1]):
        first -= 1
    return position - first
