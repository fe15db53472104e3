"""Mail: the message's words as text; sender, date and attachments' names as metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import EmailPolicy
from email.utils import parsedate_to_datetime
from typing import Any, cast

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.encoding import decode, text_codec
from retriever.errors import UnreadableError
from retriever.types import Extract, Heading

_DEEPEST = 20  # mails within mails
_LONGEST_HEADER = 2000
"""Python's parser of headers takes time that grows with the square of their length: 700 KB of addresses took minutes."""


@dataclass(slots=True)
class _Body:
    """What was found so far in a message."""

    length: int = 0
    texts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)

    def add(self, text: str, headings: tuple[Heading, ...] = ()) -> None:
        if text.strip():
            start = self.length + 2 if self.texts else 0
            self.texts.append(text)
            self.length = start + len(text)
            self.headings += [Heading(start + h.start, start + h.end, h.level) for h in headings]


class _Policy(EmailPolicy):
    """As Python reads mail by default, but a header of unusual length isn't taken apart."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        if len(value) <= _LONGEST_HEADER or hasattr(value, "name"):
            return super().header_fetch_parse(name, value)
        return " ".join(value[:_LONGEST_HEADER].split())


class MailReader:
    """Reads a single message in Internet mail format, with all that is packed into it."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the message; its subject is the title."""
        parser = BytesParser(EmailMessage, policy=_Policy())
        message = cast(EmailMessage, parser.parsebytes(file.read_bytes(limits)))
        body = _Body()
        _collect(message, body, file, limits, 0)
        metadata: dict[str, object] = {
            name: value for name in ("from", "to", "cc") if (value := _header(message, name))
        }
        if date := _date(message):
            metadata["date"] = date
        if body.attachments:
            metadata["attachments"] = body.attachments
        yield Extract(
            text="\n\n".join(body.texts),
            format="mail",
            title=_header(message, "subject"),
            metadata=metadata,
            headings=tuple(body.headings),
            lines=(),
        )


def _collect(part: EmailMessage, body: _Body, file: SourceFile, limits: ReadLimits, depth: int) -> None:
    file.progress()
    kind = part.get_content_type()
    if depth > _DEEPEST:
        raise UnreadableError(f"mails within mails, more than {_DEEPEST} deep")
    if kind == "message/rfc822":
        for inner in _parts(part):
            lines = [
                f"{name}: {value}"
                for name in ("Subject", "From", "Date")
                if (value := _header(inner, name.lower()))
            ]
            body.add("\n".join(lines))
            _collect(inner, body, file, limits, depth + 1)
    elif part.is_multipart():
        parts = list(_parts(part))
        if kind == "multipart/alternative":
            parts = [_preferred(parts)] if parts else []
        for inner in parts:
            _collect(inner, body, file, limits, depth + 1)
    elif part.get_content_disposition() == "attachment" or not kind.startswith("text/"):
        if name := _file_name(part):
            body.attachments.append(name)
    elif kind == "text/html":
        from indexer.readers.html import extract_html

        extract = extract_html(_words(part), limits)
        body.add(extract.text, extract.headings)
    elif kind != "text/calendar":
        body.add(_unwrapped(part, _words(part)).replace("\r\n", "\n"))


def _parts(part: EmailMessage) -> Iterator[EmailMessage]:
    payload = part.get_payload()
    if isinstance(payload, list):
        yield from (inner for inner in payload if isinstance(inner, EmailMessage))


def _preferred(parts: list[EmailMessage]) -> EmailMessage:
    """Of several forms of the same words, plain text if there is any in it; otherwise the last, which is the best."""
    for part in parts:
        if part.get_content_type() == "text/plain" and _words(part).strip():
            return part
    readable = [part for part in parts if part.get_content_maintype() in ("text", "multipart")]
    return (readable or parts)[-1]


def _words(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        return data.decode(text_codec(part.get_content_charset("utf-8")))
    except (LookupError, UnicodeDecodeError):  # a charset that is unknown, or isn't what it claims
        return decode(data) if data else ""


def _unwrapped(part: EmailMessage, text: str) -> str:
    """Flowed text with its soft line breaks undone; quotes and signatures keep theirs."""
    if part.get_param("format") != "flowed":
        return text
    return re.sub(r"(?m)^(?!>|-- \r?$)(.*) \r?\n(?![>\s]|-- \r?$)", r"\1 ", text)


def _header(message: EmailMessage, name: str) -> str:
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    if len(raw) > _LONGEST_HEADER:
        return " ".join(raw.split())
    try:
        value = str(message.get(name, ""))
    except Exception:  # noqa: BLE001 - the parser of headers raises anything on malformed ones
        try:
            value = str(make_header(decode_header(raw)))
        except (LookupError, ValueError):
            value = raw
    return " ".join(value.split())


def _date(message: EmailMessage) -> str:
    """The date as ISO 8601, so that dates can be compared; as written, if it isn't understood."""
    written = _header(message, "date")
    try:
        return parsedate_to_datetime(written).isoformat()
    except (OverflowError, ValueError):
        return written


def _file_name(part: EmailMessage) -> str:
    try:
        return " ".join((part.get_filename() or "").split())
    except Exception:  # noqa: BLE001 - as for headers
        return ""
