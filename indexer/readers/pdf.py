"""PDF: what is printed, in the order that it is read, with the number of its page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import Any

import pypdfium2

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.pdf_chars import MOST_CHARACTERS, pieces
from indexer.readers.pdf_layout import Block, Line, blocks, is_item, join_lines, order
from retriever.errors import UnreadableError
from retriever.types import Extract

_LOCK = Lock()  # PDFium isn't made for threads
_NO_TITLE = re.compile(
    r"(microsoft (word|powerpoint|excel)\b.*|untitled.*|.*\.(docx?|pdf|indd|tex|dvi|qxd|pptx?|xlsx?|odt)|document\d*|\W*)",
    re.IGNORECASE,
)
_EDGE_LINES = 2
_HEADING_CHARACTERS = 150
_HEADING_SIZE = 1.2


class PdfReader:
    """Reads `.pdf`."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the document; one with pages that can't be read, before that is reported."""
        with _LOCK:
            document = _open(file)
            try:
                if len(document) > limits.pages:
                    raise UnreadableError(f"more than {limits.pages:,} pages")
                pages, problem = _pages(document, file, limits)
                outline = _outline(document)
                info = document.get_metadata_dict(skip_empty=True)
            finally:
                document.close()
        if not any(pages):
            raise UnreadableError(problem or "no text in it (scanned pages?)")
        title = clean(info.get("Title", ""))
        metadata = {"author": clean(info["Author"])} if clean(info.get("Author", "")) else {}
        inner = _without_edges(pages)
        if not any(inner):  # the same on every page, and nothing else
            inner = pages
        composer = _compose([blocks(lines) for lines in inner], outline, limits)
        if composer.length:
            yield composer.extract(
                "pdf", title="" if _NO_TITLE.fullmatch(title) else title, metadata=metadata
            )
        if problem or not composer.length:
            raise UnreadableError(problem or "no text in it (scanned pages?)")


def _open(file: SourceFile) -> Any:
    try:
        document = pypdfium2.PdfDocument(file.path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableError("password-protected PDF") from error
        raise UnreadableError("damaged: it isn't a whole PDF") from error
    if len(document) == 0:
        document.close()
        raise UnreadableError("damaged: no pages")
    return document


def _pages(document: Any, file: SourceFile, limits: ReadLimits) -> tuple[list[list[Line]], str]:
    """Lines of each page, and what couldn't be read: such a page is one without text."""
    found: list[list[Line]] = []
    characters = 0
    unread: list[int] = []
    problem = ""
    for index in range(len(document)):
        file.progress()
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            found.append([])
            unread.append(index + 1)
            continue
        try:
            text_page = page.get_textpage()
            try:
                if text_page.count_chars() > MOST_CHARACTERS:
                    problem = f"page {index + 1} has more than {MOST_CHARACTERS:,} characters: what follows isn't read"
                parts = pieces(text_page, page.get_rotation())
            finally:
                text_page.close()
        finally:
            page.close()
        characters += sum(len(part.text) for part in parts)
        if characters > limits.characters:
            raise UnreadableError(f"more than {limits.characters:,} characters of text")
        found.append(order(parts))
    if unread:
        more = f" (and {len(unread) - 1:,} more)" if len(unread) > 1 else ""
        problem = f"damaged: page {unread[0]} can't be read{more}"
    return found, problem


def _outline(document: Any) -> dict[tuple[int, str], int]:
    """Levels of the bookmarks, by page and title."""
    found: dict[tuple[int, str], int] = {}
    try:
        for mark in document.get_toc(max_depth=6):
            target = mark.get_dest()
            index = target.get_index() if target is not None else None
            if index is not None:
                found.setdefault((index, _plain(mark.get_title())), mark.level + 1)
    except (pypdfium2.PdfiumError, RecursionError, ValueError, UnicodeDecodeError):
        return found
    return found


def _plain(text: str) -> str:
    return re.sub(r"[\W\d_]+", "", text).lower()


def _without_edges(pages: list[list[Line]]) -> list[list[Line]]:
    """Leaves out headers and footers: the same text but for numbers, at the same place, on most pages."""
    pages = [_without_number(lines, number) for number, lines in enumerate(pages, 1)]
    if len(pages) < 3:
        return pages
    keys = [{id(line): _edge_key(line) for line in _edges(lines)} for lines in pages]
    counts = Counter(key for page in keys for key in set(page.values()))
    with_text = sum(map(bool, pages))
    repeated = {key for key, count in counts.items() if count >= 3 and count >= 0.4 * with_text}
    return [
        [line for line in lines if page.get(id(line)) not in repeated]
        for lines, page in zip(pages, keys, strict=True)
    ]


def _without_number(lines: list[Line], number: int) -> list[Line]:
    """Leaves out the page's own number where it stands alone below or above all else."""
    return [line for line in lines if line.text != str(number) or line not in _edges(lines)]


def _edges(lines: list[Line]) -> list[Line]:
    by_height = sorted(lines, key=lambda line: -line.top)
    return by_height[:_EDGE_LINES] + by_height[-_EDGE_LINES:]


def _edge_key(line: Line) -> tuple[str, int]:
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", line.text), round(line.bottom / 6)


def _compose(pages: list[list[Block]], outline: dict[tuple[int, str], int], limits: ReadLimits) -> Composer:
    composer = Composer(limits)
    levels = _levels(pages)
    open_: Block | None = None  # a paragraph that may go on on the next page
    for index, page in enumerate(pages):
        composer.page(index + 1)
        for position, block in enumerate(page):
            text = "\n".join(_clean_row(line) for line in block.text.split("\n"))
            level = outline.get((index, _plain(text))) if _plain(text) else None
            if level is None and _may_be_heading(block, text):
                level = levels.get(round(block.size))
            if level is not None and not block.is_table:
                composer.heading(text, level)
                open_ = None
                continue
            if position == 0 and open_ is not None and _goes_on(open_, block):
                joined = join_lines([open_.lines[-1], text])
                if joined.startswith(open_.lines[-1]):
                    text = joined[len(open_.lines[-1]) :].lstrip(" ")
                    composer.block(text, joint=" " if joined[len(open_.lines[-1])] == " " else "")
                else:  # the hyphen can't be taken back, it stands on the page before
                    composer.block(text, joint="")
            else:
                composer.block(text, tight=block.tight)
            open_ = block
    return composer


def _clean_row(line: str) -> str:
    return "  ".join(part for cell in line.split("  ") if (part := clean(cell)))


def _goes_on(before: Block, block: Block) -> bool:
    return (
        not before.is_table
        and not block.is_table
        and abs(before.size - block.size) < 1
        and block.lines[0][:1].islower()
        and not before.lines[-1].endswith((".", "?", "!", ":"))
        and len(before.lines) > 1
    )


def _may_be_heading(block: Block, text: str) -> bool:
    return (
        not block.is_table
        and not is_item(text)
        and len(block.lines) <= 3
        and 2 < len(text) <= _HEADING_CHARACTERS
        and sum(sign.isalpha() for sign in text) > len(text) / 2
        and not text.endswith((".", ",", ";"))
    )


def _levels(pages: list[list[Block]]) -> dict[int, int]:
    """Levels of headings by rounded size: what is clearly larger than the body text, the largest first."""
    sizes: Counter[int] = Counter()
    for page in pages:
        for block in page:
            sizes[round(block.size)] += len(block.text)
    if not sizes:
        return {}
    body = sizes.most_common(1)[0][0]
    total = sum(sizes.values())
    large = sorted((s for s in sizes if s >= max(body + 2, _HEADING_SIZE * body)), reverse=True)
    if sum(sizes[size] for size in large) > 0.2 * total:  # a poster or slides: size says nothing
        return {}
    return {size: min(rank, 4) for rank, size in enumerate(large, 1)}
