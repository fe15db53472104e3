"""What text does a file hold, and where in the original does each part of it stand?

`read` picks the format and yields the file's documents. `detect.py` knows the formats, `encoding.py` turns bytes into
text; each other module reads one format and is imported only when a file needs it, so a missing package costs one
format and not the program. `process.py` does the same for files that may crash or hang their parser: in a process of
its own, which is `worker.py`, over pipes that `messages.py` describes.

Useful for: turning any one file into `Extract`s, with one reason in words where that fails.
Not for: finding files (`indexer.discover`) or cutting text into passages (`indexer.chunking`).
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import cast

from indexer.readers.base import Reader, ReadLimits, SourceFile
from indexer.readers.detect import FORMATS, PLAIN, detect, format_of
from retriever.errors import UnreadableError
from retriever.storable import storable_text, storable_value
from retriever.types import Extract, Metadata

__all__ = ["FORMATS", "ReadLimits", "read"]

_READERS = {
    **dict.fromkeys(PLAIN, ("text", "TextReader")),
    "markdown": ("markdown", "MarkdownReader"),
    "rst": ("rst", "RstReader"),
    "asciidoc": ("asciidoc", "AsciidocReader"),
    "latex": ("latex", "LatexReader"),
    "csv": ("delimited", "DelimitedReader"),
    "jsonl": ("jsonl", "JsonlReader"),
    "mail": ("mail", "MailReader"),
    "html": ("html", "HtmlReader"),
    "xml": ("xml", "XmlReader"),
    "pdf": ("pdf", "PdfReader"),
    "docx": ("docx", "DocxReader"),
    "pptx": ("pptx", "PptxReader"),
    "xlsx": ("xlsx", "XlsxReader"),
    **dict.fromkeys(("odt", "ods", "odp"), ("odf", "OdfReader")),
    "epub": ("epub", "EpubReader"),
}
_STREAMED = frozenset(("jsonl",))
_PACKAGES = {
    "charset_normalizer": "charset-normalizer",
    "docx": "python-docx",
    "lxml": "lxml",
    "markdown_it": "markdown-it-py",
    "openpyxl": "openpyxl",
    "pptx": "python-pptx",
    "pypdfium2": "pypdfium2",
}
_REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "loop of links",
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
}
_LONGEST_MESSAGE = 120
_DEFAULT_LIMITS = ReadLimits()


def read(
    path: Path, limits: ReadLimits = _DEFAULT_LIMITS, progress: Callable[[], None] | None = None
) -> Iterator[Extract]:
    """Yields the documents that a file holds: one, but for formats that hold many.

    Nothing is ever written, and only regular files are opened. Time and memory are not limited here, and a parser that
    crashes takes this process with it: for files of others there is `process.ReadingProcess`.

    Args:
        path: The file.
        limits: What it may cost.
        progress: Called at every step of the work.

    Raises:
        UnreadableError: It can't be read as a document, or only in part: what came before is good. The message
            is the reason.
    """
    name = ""
    try:
        file = _source(path)
        if progress is not None:
            file = replace(file, progress=progress)
        name = format_of(path)
        if file.size > limits.file_bytes and name not in _STREAMED:
            raise UnreadableError(f"larger than {limits.file_bytes / (1 << 20):g} MiB")
        name = detect(file)
        for extract in _reader(name).read(file, limits):
            yield _checked(extract, limits)
    except UnreadableError:
        raise
    except OSError as error:
        raise UnreadableError(_os_reason(error, name)) from error
    except ImportError as error:
        package = _PACKAGES.get((error.name or "").partition(".")[0])
        remedy = f"needs {package}: pip install {package}" if package else f"fails: {_first_line(error)}"
        raise UnreadableError(f"reading {path.suffix.lower() or name} {remedy}") from error
    except RecursionError as error:
        raise UnreadableError("nested too deep to be read") from error
    except MemoryError as error:
        raise UnreadableError("needs more memory than there is") from error
    except Exception as error:  # parsers of strange files raise anything; one file must not end the run
        line = _first_line(error).replace(str(path), path.name)
        raise UnreadableError(f"damaged or unusual {name}: {line}") from error


def _source(path: Path) -> SourceFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO would wait for ever
        raise UnreadableError("not a regular file")
    if status.st_size == 0:
        raise UnreadableError("empty file")
    return SourceFile(path, status.st_size)


def _reader(name: str) -> Reader:
    module, reader = _READERS[name]
    return cast(Reader, getattr(import_module(f"indexer.readers.{module}"), reader)())


def _checked(extract: Extract, limits: ReadLimits) -> Extract:
    if not extract.text or extract.text.isspace():
        raise UnreadableError("no text in it")
    if len(extract.text) > limits.characters:
        raise UnreadableError(f"more than {limits.characters:,} characters of text")
    return replace(
        extract,
        text=storable_text(extract.text),
        title=storable_text(extract.title),
        key=storable_text(extract.key),
        metadata=cast(Metadata, storable_value(dict(extract.metadata))),
    )


def _os_reason(error: OSError, name: str) -> str:
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    if error.errno in (None, errno.EINVAL):  # a parser's own error, or a place in the file that can't be
        return f"damaged or unusual {name}: {_first_line(error)}"
    return f"can't be read: {error.strerror}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST_MESSAGE] if lines else type(error).__name__
