"""LaTeX: the file's own text; sectioning commands as headings, `\\title` and `\\author` as what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.encoding import decode
from retriever.types import Extract, Heading

_NAMES = ("title", "part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
_RANKS = {name: rank for rank, name in enumerate(_NAMES)}
_COMMAND = re.compile(rf"\\({'|'.join(_NAMES)}|author|date)\*?\s*(?:\[[^\]]{{0,500}}\]\s*)?\{{")
_HIDING = re.compile(r"%[^\r\n]*|\\begin\{(verbatim\*?|lstlisting|comment|minted)\}|\\.", re.DOTALL)
_LONGEST = 1000
_NOTES = re.compile(r"\\(?:thanks|footnote|label|fnref|inst|orcid\w*)\s*\{[^{}]*\}")
_SPACES = re.compile(r"\\\\(?:\[[^\]]*\])?|~|\\[ ,;:!]|\\(?:and|newline|linebreak)\b")
_MARKUP = re.compile(r"\\[A-Za-z@]+\*?\s?|[{}$]")
_BEFORE = re.compile(
    r"(?:\s|\\(?:label|vspace\*?)\s*\{[^{}]*\}|\\(?:centering|bf|bfseries|Large|LARGE|huge|large)\b)+"
)
_LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
_BRACE = re.compile(r"(?<!\\)[{}]")


class LatexReader:
    """Reads LaTeX source; macros stay as they are written."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the decoded file with its headings."""
        text = decode(file.read_bytes(limits))
        found = list(_commands(text))
        ranks = sorted({_RANKS[name] for name, _, _ in found if name in _RANKS})
        headings = tuple(
            Heading(start, end, ranks.index(_RANKS[name]) + 1) for name, start, end in found if name in _RANKS
        )
        stated = {name: plain(text[start:end]) for name, start, end in reversed(found)}
        yield Extract(
            text=text,
            format="latex",
            title=stated.get("title", ""),
            metadata={name: stated[name] for name in ("author", "date") if stated.get(name)},
            headings=headings,
        )


def plain(source: str) -> str:
    """A short piece of LaTeX without its markup, for names and titles.

    >>> plain(r"On \\emph{small}\\\\ models\\thanks{Funded.}")
    'On small models'
    """
    source = _NOTES.sub("", "".join(_shown(source, "")))
    return " ".join(_MARKUP.sub("", _SPACES.sub(" ", source)).split())


def _commands(text: str) -> Iterator[tuple[str, int, int]]:
    """Each command with where its argument stands; one inside another's argument is left out."""
    visible = "".join(_shown(text, " "))
    has_title = False
    position = 0
    matches = list(_COMMAND.finditer(visible))
    closing = _closing(visible, {match.end() - 1 for match in matches})
    for match in matches:
        end = closing.get(match.end() - 1) if match.start() >= position else None
        if end is None:
            continue
        start, stop = _trimmed(visible, match.end(), end)
        if start >= stop or "#" in text[start:stop] or (match[1] == "title" and has_title):
            continue  # nothing in it, or a macro's definition
        has_title = has_title or match[1] == "title"
        position = end
        yield match[1], start, stop


def _shown(text: str, sign: str) -> Iterator[str]:
    """The text in parts, with `sign` for each character of what LaTeX doesn't typeset as LaTeX."""
    position = 0
    endless = set[str]()
    for match in _HIDING.finditer(text):
        start, end = match.span()
        if start < position or (match[0].startswith("\\") and not match[1]) or match[1] in endless:
            continue  # an escaped sign, which may be `\%`
        if match[1]:
            end = text.find(f"\\end{{{match[1]}}}", end)
            if end < 0:
                endless.add(match[1])
                continue
        yield text[position:start]
        yield sign * (end - start)
        position = end
    yield text[position:]


def _closing(text: str, asked: set[int]) -> dict[int, int]:
    """Where the braces that stand at these places are closed, of those for which that is near."""
    found: dict[int, int] = {}
    open_: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            open_.append(brace.start())
        elif open_:
            start = open_.pop()
            if start in asked and brace.start() - start <= _LONGEST:
                found[start] = brace.start()
    return found


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The argument without the spaces, labels and type sizes around its words."""
    leading = _BEFORE.match(text, start, end)
    start = leading.end() if leading else start
    shown = text[start:end].rstrip()
    while shown.endswith("}"):
        label = _LABEL.fullmatch(shown, max(shown.rfind("\\label"), 0))
        if label is None:
            break
        shown = shown[: label.start()].rstrip()
    return start, start + len(shown)
