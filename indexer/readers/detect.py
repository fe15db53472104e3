"""Which format is a file in? By its suffix, unless its content says that the suffix is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from indexer.readers.base import SourceFile
from indexer.readers.encoding import bom_encoding, wide_encoding
from indexer.readers.magic import binary_kind
from retriever.errors import UnreadableError

_CODE = """
asm awk bash bat bzl c cc clj cljs cmake cmd coffee cpp cs css cu cxx d dart diff el erl ex exs f
f90 for fs fsx gd glsl go gradle graphql groovy h hcl hh hpp hrl hs hxx java jl js jsx kt kts less
lisp lua m mjs ml mli mm nim nix pas patch php pl pm proto ps1 py pyi pyx r rb rkt rs s sass scala
scm scss sh sol sql sty svelte swift tcl tf ts tsx v vb vhd vhdl vim vue zig zsh
"""

PLAIN: dict[str, tuple[str, ...]] = {
    "text": (".txt", ".text", ".log"),
    "code": tuple(f".{name}" for name in _CODE.split()),
    "json": (".json", ".json5", ".geojson", ".ipynb"),
    "yaml": (".yaml", ".yml"),
    "toml": (".toml",),
    "ini": (".ini", ".cfg", ".conf", ".properties", ".env"),
    "webvtt": (".vtt",),
    "subrip": (".srt",),
}
"""Formats whose text is the file and that have nothing else to read."""

FORMATS: dict[str, tuple[str, ...]] = {
    **PLAIN,
    "markdown": (".md", ".markdown", ".mdown", ".mkd"),
    "rst": (".rst", ".rest"),
    "asciidoc": (".adoc", ".asciidoc"),
    "latex": (".tex", ".ltx", ".latex"),
    "csv": (".csv", ".tsv", ".tab"),
    "jsonl": (".jsonl", ".ndjson"),
    "mail": (".eml", ".mht", ".mhtml"),
    "html": (".html", ".htm", ".xhtml", ".xht"),
    "xml": (".xml", ".nxml", ".xsd", ".rss", ".atom", ".svg"),
    "pdf": (".pdf",),
    "docx": (".docx", ".docm", ".dotx", ".dotm"),
    "pptx": (".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"),
    "xlsx": (".xlsx", ".xlsm", ".xltx", ".xltm"),
    "odt": (".odt", ".ott"),
    "ods": (".ods", ".ots"),
    "odp": (".odp", ".otp"),
    "epub": (".epub",),
}
"""Every format by name, with its suffixes. A suffix that isn't here is read as text, if it is text."""

_SEARCHED_BYTES = 64 << 20
_BY_SUFFIX = {suffix: name for name, suffixes in FORMATS.items() for suffix in suffixes}
_ZIPPED = frozenset(("docx", "pptx", "xlsx", "odt", "ods", "odp", "epub"))
_BINARY = _ZIPPED | {"pdf"}
_MIMETYPES = {
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
    b"application/vnd.oasis.opendocument.presentation": "odp",
    b"application/epub+zip": "epub",
}
_HTML = re.compile(rb"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_MAIL = re.compile(
    rb"(?:From \S|(?:Return-Path|Received|Delivered-To|Message-ID|MIME-Version):)", re.IGNORECASE
)


def format_of(path: Path) -> str:
    """The format that a file's name promises; `text` where it promises none."""
    return _BY_SUFFIX.get(path.suffix.lower(), "text")


def detect(file: SourceFile) -> str:
    """The name of the format to read a file in, one of `FORMATS`.

    Raises:
        UnreadableError: Its content is nothing that can be read.
    """
    expected = _BY_SUFFIX.get(file.path.suffix.lower())
    head = file.head()
    if head.startswith(b"%PDF-") or (expected == "pdf" and b"%PDF-" in head[:1024]):
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _in_zip(file.path, expected)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise UnreadableError(_ole_reason(file))
    if head.startswith(b"{\\rtf"):
        raise UnreadableError("RTF: save it as .docx or .odt")
    wide = bom_encoding(head) or wide_encoding(head)
    kind = None if wide else binary_kind(head)
    if kind:
        raise UnreadableError(f"binary file ({kind})")
    if wide:
        head = head.decode(wide, "ignore").lstrip("\ufeff").encode("utf-8")
    return _of_text(head, expected, file.path.suffix)


def _of_text(head: bytes, expected: str | None, suffix: str) -> str:
    """The format of what is neither a container nor of a known binary kind."""
    if expected in (None, "text", "xml") or expected in _BINARY:
        if _HTML.match(_past_comments(head)):
            return "html"
        if head.lstrip().startswith(b"<?xml"):
            return "xml"
    if expected in _ZIPPED and b"\0" in head:
        raise UnreadableError(f"damaged {suffix.lower()}: it isn't a zip container")
    if expected is None and _MAIL.match(head) and b"\nFrom:" in head and b"\nSubject:" in head:
        return "mail"
    if expected == "pdf" and b"\0" in head:
        return "pdf"  # whose reader says what is wrong with it
    return "text" if expected is None or expected in _BINARY else expected


def _past_comments(head: bytes) -> bytes:
    """What follows an XML declaration and comments."""
    head = head.lstrip()
    for opening, closing in ((b"<?xml", b"?>"), *[(b"<!--", b"-->")] * 10):
        if head.startswith(opening):
            head = head.partition(closing)[2].lstrip()
    return head


def _in_zip(path: Path, expected: str | None) -> str:
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
            mimetype = archive.read("mimetype")[:100].strip() if _is_small(archive, "mimetype") else b""
    except (BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        if expected in _ZIPPED:
            raise UnreadableError(
                f"damaged {path.suffix.lower()}: its zip container can't be opened"
            ) from error
        raise UnreadableError("binary file (damaged zip archive)") from error
    for known, name in _MIMETYPES.items():
        if mimetype == known or mimetype == known + b"-template":
            return name
    if "xl/workbook.bin" in names:
        raise UnreadableError("binary Excel workbook (.xlsb): save it as .xlsx")
    if "[Content_Types].xml" in names:
        for folder, name in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
            if any(member.startswith(folder) for member in names):
                return name
    if any(member.startswith("Index/") and member.endswith(".iwa") for member in names):
        raise UnreadableError("Apple iWork file: export it as .docx, .xlsx, .pptx or .pdf")
    if "META-INF/container.xml" in names:  # an EPUB that lacks its mimetype
        return "epub"
    if expected in _ZIPPED:
        raise UnreadableError(f"damaged {path.suffix.lower()}: its parts aren't in the zip container")
    raise UnreadableError("binary file (zip archive)")


def _is_small(archive: ZipFile, name: str) -> bool:
    return name in archive.namelist() and archive.getinfo(name).file_size < 1000


def _ole_reason(file: SourceFile) -> str:
    # Its directory of streams may stand anywhere.
    if "EncryptedPackage".encode("utf-16-le") in file.head(_SEARCHED_BYTES):
        return "password-protected Office file"
    return "old binary Office format (.doc, .xls, .ppt, .msg): save it in the current format"
