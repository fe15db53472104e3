"""E-books: their chapters in the order of the spine."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.containers import open_zip, parse_xml, read_member
from indexer.readers.html import extract_html
from retriever.errors import UnreadableError
from retriever.types import Extract

_DC = "{http://purl.org/dc/elements/1.1/}"


class EpubReader:
    """Reads `.epub`, versions 2 and 3."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the book; its table of contents is left out, since every heading in it comes again."""
        with open_zip(file, limits) as archive:
            names = set(archive.namelist())
            if "META-INF/encryption.xml" in names and b"EncryptedData" in _encryption(archive, limits):
                raise UnreadableError("copy-protected e-book")
            package_path = _package_path(archive, limits)
            package = parse_xml(read_member(archive, package_path, limits))
            composer = Composer(limits)
            for href in _chapters(package):
                file.progress()
                name = posixpath.normpath(posixpath.join(posixpath.dirname(package_path), unquote(href)))
                if name in names:
                    composer.extend(extract_html(read_member(archive, name, limits), limits))
        metadata: dict[str, object] = {}
        creators = [text for text in (_texts(package, "creator")) if text]
        if creators:
            metadata["author"] = ", ".join(creators)
        for key in ("date", "publisher"):
            for text in _texts(package, key)[:1]:
                metadata[key] = text
        title, language = _texts(package, "title"), _texts(package, "language")
        yield composer.extract(
            "epub",
            title=title[0] if title else "",
            language=language[0] if language else "",
            metadata=metadata,
        )


def _encryption(archive: zipfile.ZipFile, limits: ReadLimits) -> bytes:
    """What is encrypted, unless it is only fonts."""
    content = read_member(archive, "META-INF/encryption.xml", limits)
    root = parse_xml(content)
    uris = [element.get("URI", "") for element in root.iter("{*}CipherReference")]
    return content if any(uri.lower().endswith((".xhtml", ".html", ".htm", ".xml")) for uri in uris) else b""


def _package_path(archive: zipfile.ZipFile, limits: ReadLimits) -> str:
    try:
        container = parse_xml(read_member(archive, "META-INF/container.xml", limits))
        path = next(container.iter("{*}rootfile")).get("full-path")
    except (KeyError, StopIteration):
        path = next((name for name in archive.namelist() if name.endswith(".opf")), None)
    if not path or path not in archive.namelist():
        raise UnreadableError("damaged: it has no list of its chapters")
    return str(path)


def _chapters(package: Any) -> list[str]:
    """The spine's files, without the table of contents."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    guides = {
        reference.get("href", "").partition("#")[0]
        for reference in package.iter("{*}reference")
        if reference.get("type") == "toc"
    }
    hrefs = []
    for reference in package.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "nav" in item.get("properties", "").split():
            continue
        href = item.get("href", "")
        if href not in guides and "html" in item.get("media-type", "html"):
            hrefs.append(href)
    return list(dict.fromkeys(hrefs))


def _texts(package: Any, name: str) -> list[str]:
    return [text for element in package.iter(_DC + name) if (text := clean("".join(element.itertext())))]
