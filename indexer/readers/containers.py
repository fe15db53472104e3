"""Opening what other people packed: zip files that don't blow up, XML that doesn't reach out."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from lxml import etree

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import clean
from retriever.errors import UnreadableError

_MEMBERS = 100_000
_ERRORS = 100  # the parser lists no more
_RATIO = 1000  # deflate can't do more than 1032; a real sheet of one repeated word stays well below
_RATIO_FROM = 16 << 20  # smaller members are harmless whatever their ratio
# References to surrogates: the parser takes them over, and lxml can't decode what they become.
_NO_CHARACTER = re.compile(
    rb"&#(?:[xX]0*[dD][89a-fA-F][0-9a-fA-F]{2}|0*(?:5529[6-9]|55[3-9]\d\d|56\d{3}|57[0-2]\d\d|573[0-3]\d|5734[0-3]));"
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@contextmanager
def open_zip(file: SourceFile, limits: ReadLimits) -> Iterator[zipfile.ZipFile]:
    """Opens a zip container that is known to unpack within the limits."""
    if file.head(8) == _OLE:
        raise UnreadableError("password-protected, or a file of an old Office version; save it as a new one")
    if file.size > limits.file_bytes:
        raise UnreadableError(f"larger than {limits.file_bytes >> 20} MiB")
    try:
        archive = zipfile.ZipFile(file.path)
    except zipfile.BadZipFile as error:
        raise UnreadableError("damaged: it isn't a whole zip file") from error
    with archive:
        _check(archive, limits)
        yield archive


def read_member(archive: zipfile.ZipFile, name: str, limits: ReadLimits) -> bytes:
    """The content of a member; never more than its directory entry promised and the limits allow."""
    with archive.open(name) as member:
        content: bytes = member.read(limits.expanded_bytes + 1)
    if len(content) > limits.expanded_bytes:
        raise _too_large(limits)
    return content


def parse_xml(source: bytes | IO[bytes]) -> Any:
    """The root element. Entities of the document itself stay unexpanded, nothing else is ever loaded.

    Raises:
        UnreadableError: It isn't XML, or can't be read to its end.
    """
    root, problem = parse_xml_part(source if isinstance(source, bytes) else source.read())
    if problem:
        raise UnreadableError(problem)
    return root


def parse_xml_part(content: bytes) -> tuple[Any, str]:
    """The same, and why what was parsed isn't all of it, if it isn't."""
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=True,  # deep or long is fine, the size of the file is bounded before
        remove_comments=True,
        remove_pis=True,
        recover=True,
    )
    _check_entities(content)
    content = _NO_CHARACTER.sub(b"&#xfffd;", content)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        raise
    problem = stopped_early(parser) or ""
    if root is None:
        raise UnreadableError(problem or "damaged: it isn't XML")
    if not problem and len(parser.error_log) >= _ERRORS and not _ends_with(content, root):
        problem = "damaged, so that it may not have been read to its end"
    return root, problem


def _ends_with(content: bytes, root: Any) -> bool:
    """Whether the tag that closes the root element is the last of all."""
    name = f"{root.prefix}:{local_name(root)}" if root.prefix else local_name(root)
    return re.search(rf"</{re.escape(name)}\s*>\s*$".encode(), content[-1000:]) is not None


def stopped_early(parser: Any) -> str | None:
    """Why a parser that mends errors didn't go on to the end of what it was given, if it didn't."""
    for entry in parser.error_log:
        if "amplification" in entry.message or entry.type_name == "ERR_ENTITY_LOOP":
            return "entities that expand without end (an XML bomb?)"
        if entry.type_name == "ERR_RESOURCE_LIMIT" or "Excessive depth" in entry.message:
            return "its elements are nested too deep, or one is too large, to be read to the end"
        if entry.type_name == "ERR_DOCUMENT_END":
            return "damaged: it goes on after its last element, and that isn't read"
    return None


def local_name(element: Any) -> str:
    """The element's name without its namespace: standards have several editions, each with its own."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def whole_number(value: str) -> bool:
    """Whether an attribute is a number that is no larger than its meaning can be."""
    return value.isdecimal() and len(value) < 10


def core_properties(archive: zipfile.ZipFile, limits: ReadLimits) -> tuple[str, dict[str, object], str]:
    """Title, metadata and language as an Office file states them."""
    if "docProps/core.xml" not in archive.namelist():
        return "", {}, ""
    values = {
        local_name(element): clean(element.text or "")
        for element in parse_xml(read_member(archive, "docProps/core.xml", limits))
    }
    metadata: dict[str, object] = {}
    if values.get("creator"):
        metadata["author"] = values["creator"]
    for key in ("created", "subject", "keywords"):
        if values.get(key):
            metadata[key] = values[key]
    return values.get("title", ""), metadata, values.get("language", "")


def _check(archive: zipfile.ZipFile, limits: ReadLimits) -> None:
    members = archive.infolist()
    if len(members) > _MEMBERS:
        raise UnreadableError(f"more than {_MEMBERS:,} files inside")
    if any(member.flag_bits & 1 for member in members):
        raise UnreadableError("password-protected")
    if sum(member.file_size for member in members) > limits.expanded_bytes:
        raise _too_large(limits)
    for member in members:
        if member.file_size > _RATIO_FROM and member.file_size > _RATIO * max(member.compress_size, 1):
            raise UnreadableError("unpacks to suspiciously much (a zip bomb?)")


def _check_entities(content: bytes) -> None:
    """Refuses entities that are built from entities: the one use of them is to blow up."""
    start = content.find(b"<!DOCTYPE", 0, 1 << 16)
    if start < 0:
        return
    end = content.find(b"]>", start, start + (1 << 20))
    subset = content[start : end if end > 0 else start + (1 << 20)]
    for declaration in subset.split(b"<!ENTITY")[1:]:
        value = declaration.split(b">")[0]
        if value.count(b"&") - value.count(b"&#") > 1:
            raise UnreadableError("entities that expand without end (an XML bomb?)")


def _too_large(limits: ReadLimits) -> UnreadableError:
    return UnreadableError(f"unpacks to more than {limits.expanded_bytes >> 20} MiB")
