"""Offsets never lie: whatever is in a file, what is found is at its offsets, and on its line and page of the file.

Every line of what is generated begins with a marker that occurs once. So where each part of a file stands is known
without reading it the way that readers do.

`SPANSEEK_OFFSETS=1000` tries as many examples of each format.
"""

from __future__ import annotations

import csv
import html
import io
import itertools
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.main import main
from indexer import Indexer
from retriever import Answer, Hit, RerankConfig, Response, Retriever
from retriever.config import ChunkingConfig
from retriever.encoder import SpanScorer, TextEncoder
from tests.test_readers_pdf import column, make_pdf

MARKER = re.compile(r"mark\d{3}")
LINE_BREAK = re.compile(r"\r\n|\r|\n")
ROW = ("a: 1; b: ", "number: ")
"""How rows of tables begin in a document's text."""
SURROGATE = re.compile("[\ud800-\udfff]")
CONFIG = ChunkingConfig(max_tokens=24, overlap_tokens=6, context_tokens=8)
QUESTION = "who approves the price of the red sensor on monday?"
PROFILE = settings(
    max_examples=int(os.environ.get("SPANSEEK_OFFSETS", "10")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

WORDS = st.sampled_from(
    "the price of red sensor fell on monday cat. mat, 3.5 (approves) manager; Paris? e.g. x:y a/b".split()
)
ODD = st.sampled_from(
    [
        "cafe\u0301",
        "caf\u00e9",
        "A\u030a\u0301ngstro\u0308m",
        "\u0301lone",
        "👩\u200d👩\u200d👧",
        "👍\U0001f3fd",
        "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
        "ﬁnal ﬂow",
        "zero\u200bwidth",
        "soft\u00adhyphen",
        "word\u2060joiner",
        "in\ufeffside",
        "\u05e8\u05d0\u05e9 \u05d4\u05e6\u05d5\u05d5\u05ea",
        "\u202eright to left\u202c",
        "\u0631\u0626\u064a\u0633",
        "नमस्ते",
        "漢字。かな、",
        "각\u1100\u1161",
        "line\u2028separator",
        "para\u2029graph",
        "next\u0085line",
        "tab\tstop",
        "form\ffeed",
        "vertical\vtab",
        "file\x1cseparator",
        "\U0001d49c\U0001d4b7",
        "ß İstanbul ŉ",
        "no\u00a0break",
        "   ",
        "\ufffd",
    ]
)
PIECES = st.lists(st.one_of(WORDS, WORDS, ODD, st.text(max_size=6)), max_size=9)


@dataclass(frozen=True, slots=True)
class File:
    """A file's bytes, and for each marker in it on which line it stands and on which page."""

    content: bytes
    lines: Mapping[str, int]
    pages: Mapping[str, int]


@dataclass
class Markers:
    """Gives every line a marker."""

    count: int = 0

    def __call__(self, text: str) -> str:
        self.count += 1
        return f"mark{self.count:03d} {text}"


def one_line(text: str) -> str:
    """Without what ends a line in a file, and what no file in UTF-8 holds."""
    return re.sub("[\r\n\0\ud800-\udfff]", " ", text)


def in_xml(text: str) -> str:
    """What XML and HTML can hold."""
    return re.sub("[\x01-\x08\x0b-\x1f\ufffe\uffff]", " ", one_line(text))


def lines_in(source: str) -> dict[str, int]:
    """On which line of a text each marker stands, as editors count: LF, CRLF and CR end a line, nothing else does."""
    return {
        match.group(): 1 + len(LINE_BREAK.findall(source[: match.start()]))
        for match in MARKER.finditer(source)
    }


@st.composite
def texts(draw: st.DrawFn, prefixes: Sequence[str]) -> str:
    """Marked lines, ended in any way, some of them blank, some with what begins a line of this format."""
    mark = Markers()
    parts = []
    for pieces in draw(st.lists(PIECES, min_size=1, max_size=12)):
        line = one_line(" ".join(pieces))
        parts.append(draw(st.sampled_from(prefixes)) + mark(line))
        parts.append(
            draw(st.sampled_from(["\n", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\r\r", "\n\r", "\n \n"]))
        )
    return "".join(parts[: -1 if draw(st.booleans()) else None])


@st.composite
def plain(draw: st.DrawFn, prefixes: Sequence[str] = ("", "", "  ", "\t", "- ", "> ")) -> File:
    """Text formats, in several encodings, some with bytes that are none."""
    text = draw(texts(prefixes))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "broken"]))
    if encoding != "broken":
        return File(text.encode(encoding), lines_in(text), {})
    spaces = [match.start() for match in re.finditer(" ", text)]  # there it tears no marker apart
    content = text.encode()
    for place in sorted(draw(st.sets(st.sampled_from(spaces), max_size=2)), reverse=True):
        cut = len(text[:place].encode())
        content = content[:cut] + draw(st.sampled_from([b"\xff", b"\xed\xa0\x80", b"\xc3"])) + content[cut:]
    return File(content, lines_in(content.decode("latin-1")), {})


@st.composite
def restructured(draw: st.DrawFn) -> File:
    return draw(plain(("", "", "   ", "=========\n", "~~~~~~~~~~~~~~\r\n", ".. note:: ")))


@st.composite
def markdown(draw: st.DrawFn) -> File:
    return draw(plain(("", "", "# ", "## ", "- ", "    ", "```\n", "---\n", "| a | ")))


@st.composite
def pages(draw: st.DrawFn) -> File:
    """HTML: paragraphs over several lines, lists, tables, with and without white space between the elements."""
    mark = Markers()
    parts = ["<!DOCTYPE html>\n<html><head>\n<title>A page</title></head>\n<body>"]
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    for pieces in draw(st.lists(st.lists(PIECES, min_size=1, max_size=3), min_size=1, max_size=8)):
        template = draw(
            st.sampled_from(
                [
                    "<p>{}</p>\n",
                    "<p\nclass='a'\n>{}</p>",
                    "<div>\n\n{}\n<p>{}</p></div>",
                    "<div><p>{}</p>\n{}\n</div>",
                    "<ul><li>{}</li></ul>\n",
                    "<h2>{}</h2>",
                    "<!-- two\nlines --><i>{}</i><br>\n",
                    "<pre>{}</pre>",
                    "<p><b>{}</b>\n{}</p>",
                    "<table><tr><th>a</th><th>b</th></tr>\n<tr><td>1</td><td>{}</td></tr></table>",
                ]
            )
        )
        between = draw(st.sampled_from(["\n", " \n", "<br>\n", "\n<i></i>"]))
        for part in template.split("{}")[:-1]:
            lines = [mark(html.escape(in_xml(" ".join(piece)))) for piece in pieces]
            parts += [part, between.join(lines)]
        parts.append(template.rpartition("{}")[2])
    text = LINE_BREAK.sub(newline, "".join(parts) + "</body></html>")
    return File(text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig"]))), lines_in(text), {})


@st.composite
def tables(draw: st.DrawFn) -> File:
    """CSV: cells of one or more lines; a row's line is the one that it begins on."""
    mark = Markers()
    buffer = io.StringIO(newline="")
    writer = csv.writer(
        buffer, lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])), quoting=csv.QUOTE_ALL
    )
    writer.writerow(["number", "words", "more"])
    lines = {}
    for pieces in draw(st.lists(PIECES, min_size=2, max_size=8)):
        words = [re.sub("[\0\ud800-\udfff]", " ", piece) for piece in pieces]
        row = [mark(""), draw(st.sampled_from([" ", "\n", "\r\n", "\r"])).join(words), "end"]
        lines[row[0].strip()] = 1 + len(LINE_BREAK.findall(buffer.getvalue()))
        writer.writerow(row)
        if draw(st.booleans()):
            buffer.write(draw(st.sampled_from(["\n", "\r\n"])))
    return File(buffer.getvalue().encode(), lines, {})


@st.composite
def rows(draw: st.DrawFn) -> File:
    """JSON Lines: escaped or not, with NUL, lone surrogates and all kinds of breaks inside."""
    mark = Markers()
    parts = []
    for pieces in draw(st.lists(PIECES, min_size=1, max_size=6)):
        odd = draw(st.sampled_from(["", "\0", "\ud800", "a\r\nb\rc\n\nd", "\udc00\ud800"]))
        row: dict[str, object] = {"text": mark(" ".join((*pieces, odd, "end")))}
        row |= draw(st.sampled_from([{}, {}, {"id": "\ud83dx"}, {"title": "a\0b"}, {"a\ud800": ["\udfff"]}]))
        ascii_only = draw(st.booleans()) or bool(SURROGATE.search(json.dumps(row, ensure_ascii=False)))
        parts.append(json.dumps(row, ensure_ascii=ascii_only))
        parts.append(draw(st.sampled_from(["\n", "\r\n", "\n\n"])))
    text = "".join(parts)
    return File(text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))), lines_in(text), {})


@st.composite
def mails(draw: st.DrawFn) -> File:
    message = EmailMessage()
    message["Subject"], message["From"] = "Words", "a@example.org"
    mark = Markers()
    body = "\n".join(mark(one_line(" ".join(p))) for p in draw(st.lists(PIECES, min_size=1, max_size=8)))
    message.set_content(body, cte=draw(st.sampled_from(["base64", "quoted-printable", "8bit"])))
    return File(message.as_bytes(), {}, {})


@st.composite
def word_documents(draw: st.DrawFn) -> File:
    document = pytest.importorskip("docx").Document()
    mark = Markers()
    for pieces in draw(st.lists(PIECES, min_size=1, max_size=8)):
        words = mark(in_xml(" ".join(pieces)))
        if draw(st.booleans()):
            document.add_paragraph(words)
        else:
            document.add_heading(words, level=draw(st.integers(1, 3)))
    buffer = io.BytesIO()
    document.save(buffer)
    return File(buffer.getvalue(), {}, {})


@st.composite
def printed(draw: st.DrawFn) -> File:
    """PDF: marked lines on several pages, some of which are empty, some of which go on on the next."""
    mark = Markers()
    in_latin = st.lists(
        st.one_of(WORDS, st.sampled_from(["café", "(x)", "\\", "½", "–"])), min_size=1, max_size=8
    )
    found: list[list[tuple[float, float, float, str]]] = []
    where: dict[str, int] = {}
    for number, lines in enumerate(
        draw(st.lists(st.lists(in_latin, max_size=6), min_size=1, max_size=4)), start=1
    ):
        shown = [mark(" ".join(words)) for words in lines]
        where |= {line.split()[0]: number for line in shown}
        found.append(column(72, 700, shown))
    if not where:
        found.append(column(72, 700, [mark("the end")]))
        where["mark001"] = len(found)
    return File(make_pdf(found), {}, where)


KINDS: dict[str, Callable[[], st.SearchStrategy[File]]] = {
    "txt": plain,
    "md": markdown,
    "rst": restructured,
    "html": pages,
    "csv": tables,
    "jsonl": rows,
    "eml": mails,
    "docx": word_documents,
    "pdf": printed,
}


class Bench:
    """An index that files are added to, folder by folder, and that is asked about one folder at a time."""

    def __init__(self, root: Path, encoder: TextEncoder, scorer: SpanScorer) -> None:
        self.root = root
        self.indexer = Indexer.open(root / "index", encoder=encoder, chunking=CONFIG)
        rerank = RerankConfig(depth=400, spans=4)
        self.retriever = Retriever.open(root / "index", encoder=encoder, scorer=scorer, rerank=rerank)
        self._folders = itertools.count(1)

    def close(self) -> None:
        self.retriever.close()
        self.indexer.close()

    def add(self, files: Mapping[str, File]) -> str:
        """Indexes files; gives the glob that they match."""
        folder = self.root / f"{next(self._folders)}"
        folder.mkdir()
        for name, file in files.items():
            (folder / name).write_bytes(file.content)
        report = self.indexer.add_paths([folder])
        # one that holds nothing that counts as text is skipped, with its reason
        assert report.indexed + len(report.skipped) >= len(files)
        return f"{folder.name}/*"

    def ask(self, glob: str) -> Response:
        """Everything there is."""
        return self.retriever.respond(QUESTION, 400, where=[f"path={glob}"], answers=400, min_confidence=0)

    def check(self, files: Mapping[str, File]) -> None:
        """Indexes files, asks, and checks all that is found."""
        glob = self.add(files)
        response = self.ask(glob)
        ids = {id_ for id_ in self.retriever.document_ids() if id_.startswith(glob[:-1])}
        assert {hit.document_id for hit in response.hits} == ids
        for found in (*response.hits, *response.answers):
            text = self.retriever.document(found.document_id).text
            check(found, text, files[Path(found.path or "").name])


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: TextEncoder, tiny_scorer: SpanScorer
) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("offsets"), tiny_encoder, tiny_scorer)
    yield bench
    bench.close()


def check(found: Hit | Answer, text: str, file: File) -> None:
    assert 0 <= found.start < found.end <= len(text)
    assert text[found.start : found.end] == found.text
    assert found.source == "same"
    if isinstance(found, Answer):
        passage = found.passage
        assert text[passage.start : passage.end] == passage.text
        assert passage.start <= found.start < found.end <= passage.end
        assert found.text.strip() == found.text
        assert whole_characters(text, found.start, found.end)
    assert found.line == expected_line(found.start, text, file.lines, Path(found.path or "").suffix)
    assert found.page == (file.pages[marker_at(text, found.start)] if file.pages else None)


def whole_characters(text: str, start: int, end: int) -> bool:
    """Whether neither end cuts off a mark that belongs to the letter before it, or what a joiner joins."""
    for place in (start, end):
        before, after = text[place - 1 : place], text[place : place + 1]
        if (
            before
            and not before.isspace()
            and after
            and (unicodedata.combining(after) or "\u200d" in before + after)
        ):
            return False
    return True


def marker_at(text: str, place: int) -> str:
    """The last marker that begins at or before a place; the first on its line, where none does and in a row."""
    begins = text.rfind("\n", 0, place) + 1
    before = [match.group() for match in MARKER.finditer(text, begins) if match.start() <= place]
    first = MARKER.search(text, begins)
    if first is not None and (not before or text.startswith(ROW, begins)):
        return first.group()
    return before[-1]


def expected_line(place: int, text: str, lines: Mapping[str, int], suffix: str) -> int | None:
    """The line of the file; of a row that on which it begins."""
    if not lines:
        return None
    if suffix == ".jsonl":
        return lines[marker_at(text, 0)]
    if suffix in {".csv", ".html"}:
        return lines[marker_at(text, place)]
    before = [match for match in MARKER.finditer(text) if match.start() <= place]
    if not before:
        return 1 + len(LINE_BREAK.findall(text, 0, place))
    return lines[before[-1].group()] + len(LINE_BREAK.findall(text, before[-1].start(), place))


@pytest.mark.parametrize("kind", KINDS)
@PROFILE
@given(data=st.data())
def test_what_is_found_stands_where_it_says(bench: Bench, kind: str, data: st.DataObject) -> None:
    files = data.draw(st.lists(KINDS[kind](), min_size=1, max_size=6))
    bench.check({f"{number}.{kind}": file for number, file in enumerate(files)})


HARD = {
    "a.txt": "\ufeffmark001 The cafe\u0301\u2028is\rmark002 open\r\n\r\nmark003 👩\u200d👩\u200d👧\tred\fmat\n",
    "b.md": "# mark001 Price\r\rmark002 fell \u202eon\u202c\r\n> mark003 \u05e8\u05d0\u05e9 ﬁnal\n",
    "c.jsonl": '{"text": "mark001 a\\u0000b\\ud800 red\\r\\nmat"}\n\n{"text": "mark002 \u2028 on\x85 monday"}\n',
    "d.csv": 'number,words\r"mark001","red\nmat"\r"mark002","on\r\nmonday"\r',
    "e.html": "<p>mark001 the\r<b>mark002 cafe\u0301</b>\r\r<pre>\rmark003 &#0;is\rmark004 open</pre>",
}


def test_the_command_line_says_the_same(
    bench: Bench,
    tiny_reader_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {name: File(text.encode(), lines_in(text), {}) for name, text in HARD.items()}
    bench.check(files)
    glob = f"path={next(iter(bench.root.glob('*/e.html'))).parent.name}/*"
    command = [
        "spanseek",
        "search",
        QUESTION,
        "--json",
        "--index",
        str(bench.root / "index"),
        "--where",
        glob,
    ]
    command += ["-k", "99", "--answers", "99", "--min-confidence", "0", "--reader", str(tiny_reader_folder)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    shown = json.loads(capsys.readouterr().out)
    assert not ended.value.code
    assert len(shown["answers"]) > 5
    assert {Path(item["path"]).name for item in shown["passages"]} == set(HARD)
    for item in (*shown["answers"], *shown["passages"]):
        text = bench.retriever.document(item["document"]).text
        assert text[item["start"] : item["end"]] == item["text"]
        if "passage" in item:
            passage = item["passage"]
            assert text[passage["start"] : passage["end"]] == passage["text"]
            assert passage["start"] <= item["start"] < item["end"] <= passage["end"]
        path = Path(item["path"])
        assert item["line"] == expected_line(item["start"], text, files[path.name].lines, path.suffix)
        assert item["page"] is None


def test_a_page_of_very_many_lines_has_right_ones(bench: Bench) -> None:
    """The parser counts no further than 65,535."""
    text = "<p>mark001 first</p>" + "\n" * 70_000 + "<p>mark002 red</p>\n<p>mark003 mat\nmark004 on</p>"
    bench.check({"long.html": File(text.encode(), lines_in(text), {})})
