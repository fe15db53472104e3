"""From bytes to text: which encoding is a text file in, and is it text at all?"""

from __future__ import annotations

import codecs

from indexer.readers.encoding_guess import guess_encoding
from retriever.errors import UnreadableError

_PREFIX = 1 << 16  # what guesses are made from; an encoding shows itself early or hardly at all
_BOMS = (  # UTF-32's starts with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Text has tabs, line breaks, form feeds; logs have escapes and backspaces. These it has not.
_CONTROLS = bytes([*range(0x08), *range(0x0E, 0x1B), *range(0x1C, 0x20)])
_MOST_CONTROLS = 0.02
_NO_ENCODINGS = frozenset(
    ("idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
)
_MOST_REPLACED = 0.05


def decode(data: bytes) -> str:
    """The text of a file, without its byte order mark and otherwise unchanged.

    Raises:
        UnreadableError: It isn't text.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _checked(data[len(bom) :].decode(encoding, "replace"))
    wide = wide_encoding(data[:_PREFIX])
    if wide:
        return _checked(data.decode(wide, "replace"))
    if looks_binary(data[:_PREFIX]):
        raise UnreadableError("binary file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _checked(_decode_legacy(data))


def text_codec(name: str) -> str:
    """Python's name of an encoding of text that a file declares.

    Raises:
        LookupError: There is none, or it is one of Python's own (`unicode_escape`, `punycode`, `zlib`), which no file
            is written in: a file that names one doesn't mean its letters, or is out to keep the reader busy.
    """
    info = codecs.lookup(name)
    if not getattr(info, "_is_text_encoding", True) or info.name in _NO_ENCODINGS:
        raise LookupError(name)
    return info.name


def bom_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark states, or None."""
    return next((encoding for bom, encoding in _BOMS if head.startswith(bom)), None)


def wide_encoding(head: bytes) -> str | None:
    """UTF-16 without a byte order mark, known by the zero in most pairs of bytes."""
    head = head[: len(head) // 2 * 2]
    pairs = len(head) // 2
    if pairs < 4:
        return None
    first, second = head[::2].count(0), head[1::2].count(0)
    if second > 0.4 * pairs and first < 0.02 * pairs:
        encoding = "utf-16-le"
    elif first > 0.4 * pairs and second < 0.02 * pairs:
        encoding = "utf-16-be"
    else:
        return None
    text = head.decode(encoding, "replace")
    return encoding if sum(map(_is_odd, text)) < _MOST_CONTROLS * len(text) else None


def looks_binary(head: bytes) -> bool:
    """Whether the start of a file, known not to be UTF-16 or UTF-32, is no text."""
    if b"\0" in head:
        return True
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return controls > _MOST_CONTROLS * len(head)


def _decode_legacy(data: bytes) -> str:
    """What isn't UTF-8: UTF-8 with a few bytes broken, or an older encoding."""
    text = data.decode("utf-8", "replace")
    beyond_ascii = sum(character > "\x7f" for character in text[:_PREFIX])
    broken = text[:_PREFIX].count("\ufffd")
    if beyond_ascii > 4 * broken:  # so many letters don't form by chance
        return text
    prefix = data[:_PREFIX]
    if not any(byte > 0x7F for byte in prefix):  # all of it comes late: guess from there
        start = next(index for index, byte in enumerate(data) if byte > 0x7F)
        prefix = data[max(0, start - _PREFIX // 2) : start + _PREFIX // 2]
    encoding = guess_encoding(prefix)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode(encoding, "replace")


def _is_odd(character: str) -> bool:
    return character == "\ufffd" or (character < " " and character not in "\t\n\r\f\v\b\x1b")


def _checked(text: str) -> str:
    sample = text[:_PREFIX]
    if sum(map(_is_odd, sample)) > _MOST_REPLACED * len(sample):
        raise UnreadableError("binary file")
    return text
