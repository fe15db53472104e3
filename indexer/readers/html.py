"""Web pages: what a person would read, without what surrounds it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.containers import stopped_early
from indexer.readers.encoding import text_codec
from indexer.readers.html_blocks import BLOCKS, BlockWriter
from indexer.readers.html_boilerplate import Filter, Strictness
from retriever.errors import UnreadableError
from retriever.types import Extract

_KEPT_AT_LEAST = 0.25
_MAIN_AT_LEAST = 0.5
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TAG = re.compile(r"<(/?)([a-z][^\s/<>]*)[^<>]*>", re.IGNORECASE)
_HOLDING_NO_MARKUP = frozenset({"title", "script", "style", "head", "html", "body", "br"})
_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,300}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE
)


class HtmlReader:
    """Reads `.html`, `.htm` and `.xhtml`."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the page."""
        yield extract_html(file.read_bytes(limits), limits)


def extract_html(data: bytes | str, limits: ReadLimits) -> Extract:
    """The page's text, headings and lines.

    Site navigation and the like is left out, unless hardly anything would be left: then the page is built
    in an unusual way, and too much is better than too little.
    """
    root = parse_html(data)
    if root is None:
        return Composer(limits).extract("html")
    body = root.find("body")
    body = root if body is None else body
    everything = _compose(body, Strictness.INVISIBLE, limits)
    for strictness in (Strictness.CHROME, Strictness.PLAIN_CHROME):
        composer = _compose(body, strictness, limits)
        if composer.length >= _KEPT_AT_LEAST * everything.length:
            main = _main(body)
            if main is not None:
                inner = _compose(main, strictness, limits)
                composer = inner if inner.length >= _MAIN_AT_LEAST * composer.length else composer
            break
    else:
        composer = everything
    return composer.extract("html", title=_title(root), language=_language(root), metadata=_metadata(root))


def parse_html(data: bytes | str) -> Any:
    """The root element; None where there is no element at all."""
    text = data if isinstance(data, str) else decode_html(data)
    # HTML's own rule for line breaks; the parser counts lines by LF alone
    text = text.replace("\0", "�").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return None
    root, is_whole = _parsed(text)
    return root if is_whole else _parsed(_flat(text))[0]


def _parsed(text: str) -> tuple[Any, bool]:
    """The root element, and whether the parser went on to the end: tags may be too deep in each other for it."""
    parser = etree.HTMLParser(
        encoding="utf-8", huge_tree=True, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        if "empty" in str(error).lower():
            return None, True
        raise UnreadableError("damaged: it isn't HTML") from error
    return root, stopped_early(parser) is None


def _flat(text: str) -> str:
    """The page without all that can be nested: its structure is lost, its words and lines are not."""

    def replaced(tag: re.Match[str]) -> str:
        name = tag[2].lower()
        if name in _HOLDING_NO_MARKUP:
            return tag[0]
        return ("<p>" if name in BLOCKS else "") + "\n" * tag[0].count("\n")

    return _TAG.sub(replaced, text)


def decode_html(data: bytes) -> str:
    """Decodes a page by its byte order mark, by what it declares, else as UTF-8, else as Windows-1252."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace").removeprefix("\ufeff")
    declared = _CHARSET.search(data, 0, 4096)
    names = [declared.group(1).decode("ascii", "replace")] if declared else []
    for name in (*names, "utf-8"):
        try:
            # what calls itself Latin-1 on the web is Windows-1252; a page that can be searched for its own
            # declaration as ASCII bytes isn't UTF-16, whatever it says
            codec = text_codec(name)
            codec = {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-16": "utf-8", "utf-16-le": "utf-8"}.get(
                codec, codec
            )
            return data.decode(codec)
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    return data.decode("cp1252", "replace")


def _compose(element: Any, strictness: Strictness, limits: ReadLimits) -> Composer:
    composer = Composer(limits)
    BlockWriter(composer, Filter(strictness)).write(element)
    return composer


def _main(body: Any) -> Any:
    """The one element that the page marks as its content."""
    for path in (".//main", ".//*[@role='main']", ".//article"):
        found = body.findall(path)
        if len(found) == 1:
            return found[0]
    return None


def _title(root: Any) -> str:
    for path in (".//head/title", ".//title", ".//h1"):
        element = root.find(path)
        if element is not None:
            title = clean("".join(element.itertext()))
            if title:
                return title
    return ""


def _language(root: Any) -> str:
    return (
        root.get("lang")
        or root.get("{http://www.w3.org/XML/1998/namespace}lang")
        or root.get("xml:lang")
        or ""
    )


def _metadata(root: Any) -> dict[str, object]:
    found: dict[str, object] = {}
    for meta in root.iter("meta"):
        name = (meta.get("name") or "").strip().lower()
        content = clean(meta.get("content") or "")
        if name in {"author", "description", "keywords", "date"} and content:
            found.setdefault(name, content)
    return found
