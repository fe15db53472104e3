"""Which of the older encodings, one byte or several to a letter, is a text in?"""

from __future__ import annotations

import re

from retriever.errors import UnreadableError

_HIGH = re.compile(rb"[\x80-\xff]")
_RUN = re.compile(rb"[\x80-\xff]{3,}")
_SIGNS = frozenset("“”„‘’–—…€«»°·§©®£\xa0")
# The letters beyond ASCII that the languages of a code page are written with. Between equals the first: Windows-1252
# is by far the most common, and what it can't be told from in a short text is rare.
_LATIN = {
    "cp1252": frozenset("äöüßÄÖÜéèêëÉÈÊàâáÀÁÂãåæÅÆÃçÇñÑòóôõøÓÔÕØùúûÚîíìïÎÍœŒ"),
    "cp1250": frozenset("ąćęłńóśźżĄĆĘŁŃŚŹŻÓčďěňřšťůžýáéíúČĎĚŇŘŠŤŮŽÝÁÉÍÚőűöüŐŰÖÜ"),
    "iso8859_2": frozenset("ąćęłńóśźżĄĆĘŁŃŚŹŻÓčďěňřšťůžýáéíúČĎĚŇŘŠŤŮŽÝÁÉÍÚőűöüŐŰÖÜ"),
    "cp1254": frozenset("ğışİĞŞçöüÇÖÜâîû"),
}


def guess_encoding(sample: bytes) -> str:
    """The likeliest encoding of a text that isn't UTF-8.

    Raises:
        UnreadableError: It reads as text in none.
    """
    if sample.count(b"\x40") > 0.05 * len(sample) and sample.count(b" ") < 0.01 * len(sample):
        return "cp037"  # EBCDIC, by its space
    high = len(_HIGH.findall(sample))
    in_runs = sum(map(len, _RUN.findall(sample)))
    # Scripts other than Latin show as whole words of high bytes.
    if high < 0.35 * len(sample) and in_runs < 0.3 * high:
        latin, share = _best_latin(sample, high)
        if share > 0.6:
            return latin
    from charset_normalizer import from_bytes  # only for the few files that need it

    best = from_bytes(sample).best()
    if best is not None and not re.match(r"utf_?(7|16|32)", best.encoding):
        return best.encoding
    if high > 0.3 * len(sample):
        raise UnreadableError("binary file")
    return "cp1252"


def _best_latin(sample: bytes, high: int) -> tuple[str, float]:
    best, most = "cp1252", 0
    for encoding, letters in _LATIN.items():
        text = sample.decode(encoding, "replace")
        known = sum(character in letters or character in _SIGNS for character in text if character > "\x7f")
        if known > most:
            best, most = encoding, known
    return best, most / high if high else 1.0
