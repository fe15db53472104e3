"""Files made to crash, hang, fill memory or reach out: each is read, or skipped with a true reason, within the limits."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer import Indexer
from indexer.chunking import chunk_document
from indexer.readers import ReadLimits, read
from indexer.readers.process import ReadingProcess
from retriever import Retriever
from retriever.config import ChunkingConfig
from retriever.encoder import TextEncoder
from retriever.errors import UnreadableError
from retriever.types import Extract
from tests.pdf_files import pdf

N = 50_000
WORDS = "the quick brown fox"
PRIVATE = "what nobody may read"


@pytest.fixture(scope="module")
def process() -> Iterator[ReadingProcess]:
    """One for all: a file that ends it mustn't harm the next."""
    process = ReadingProcess(ReadLimits(stalled_seconds=60.0, memory_bytes=2 << 30))
    yield process
    process.close()


@pytest.fixture
def outcome(process: ReadingProcess, tmp_path: Path) -> Outcome:
    return Outcome(process, tmp_path)


class Outcome:
    """Reads a file in the other process and gives what came of it: its text, and the reason if there is one."""

    def __init__(self, process: ReadingProcess, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.extracts: list[Extract] = []

    def __call__(self, name: str, content: str | bytes) -> tuple[str, str]:
        path = self._folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.extracts = []
        reason = ""
        try:
            for extract in self._process.read(path):
                self.extracts.append(extract)
        except UnreadableError as error:
            reason = str(error)
            assert reason
            assert "\n" not in reason
        assert not any(word in reason for word in ("took longer", "memory", "crashed", "killed")), reason
        return "\n".join(extract.text for extract in self.extracts), reason


def zipped(members: dict[str, str | bytes], **options: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(body: str, *, before: str = "", more: dict[str, str | bytes] | None = None) -> bytes:
    document = f'{before}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    return zipped({"[Content_Types].xml": "<Types/>", "word/document.xml": document, **(more or {})})


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def overlapping(count: int, size: int) -> bytes:
    """A zip whose entries all lie on the same bytes, which themselves are small."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packed.compress(b"a" * size) + packed.flush()
    crc = zlib.crc32(b"a" * size)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(data), size, 1, 0) + b"a" + data
    directory = b""
    names = ["[Content_Types].xml", "word/document.xml", *(f"word/{number}" for number in range(count))]
    for name in names:
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(data), size, len(name), 0, 0, 0, 0, 0, 0
        )
        directory += name.encode()
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(names), len(names), len(directory), len(local), 0)
    return local + directory + end


def test_zip_bombs(outcome: Outcome) -> None:
    xml = f'<w:document xmlns:w="{WORD}">'.encode()
    flat = docx("", more={"word/document.xml": xml + b" " * (600 << 20)})
    assert len(flat) < 1 << 20
    assert outcome("flat.docx", flat)[1] == "unpacks to more than 512 MiB"
    assert "zip bomb" in outcome("ratio.docx", docx("", more={"x": b"\0" * (100 << 20)}))[1]
    assert outcome("overlap.docx", overlapping(20_000, 10 << 20))[1] == "unpacks to more than 512 MiB"
    nested = docx(paragraph(WORDS), more={"word/embeddings/again.docx": docx("", more={"x": b"\0" * 1000})})
    assert outcome("nested.docx", nested) == (WORDS, ""), "what is packed into it isn't unpacked"


def test_a_zip_that_lies_about_its_sizes(outcome: Outcome) -> None:
    """The directory promises ten bytes, and no more are unpacked."""
    data = docx(paragraph(WORDS + "x" * (1 << 20)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.getinfo("word/document.xml").file_size
    lying = data.replace(struct.pack("<L", size), struct.pack("<L", 10))
    text, reason = outcome("lying.docx", lying)
    assert text == ""
    assert reason


def test_a_zip_of_too_many_files(outcome: Outcome) -> None:
    members = {f"word/{number}": b"" for number in range(100_001)}
    assert outcome("many.docx", docx("", more=members))[1] == "more than 100,000 files inside"


def test_names_in_a_zip_lead_nowhere(outcome: Outcome, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(PRIVATE)
    relations = (
        '<Relationships><Relationship Type="x/officeDocument" Target="../secret.txt"/></Relationships>'
    )
    data = docx(paragraph(WORDS), more={"_rels/.rels": relations, "../secret.txt": b"x"})
    assert PRIVATE not in outcome("a.docx", data)[0]
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="../../secret.txt" '
        'media-type="text/html"/></manifest><spine><itemref idref="a"/></spine></package>'
    )
    container = '<container><rootfiles><rootfile full-path="book.opf"/></rootfiles></container>'
    epub = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "book.opf": package}
    assert outcome("a.epub", zipped(epub)) == ("", "no text in it")


XML = '<?xml version="1.0"?>'
LAUGHS = (
    '<!DOCTYPE z [<!ENTITY l "lol">'
    + "".join(f'<!ENTITY l{i} "{f"&l{i - 1 if i > 1 else str()};" * 10}">' for i in range(1, 10))
    + "]>"
)
BOMB = "entities that expand without end (an XML bomb?)"


@pytest.mark.parametrize(
    "content",
    [
        f"{XML}{LAUGHS}<z>&l9;</z>",
        f'{XML}{LAUGHS}<z a="&l9;">x</z>',
        f'{XML}<!--{" " * 70_000}-->{LAUGHS}<z a="&l9;">x</z>',
        f'{XML}<!DOCTYPE q [<!ENTITY a "{"a" * 100_000}">]><q b="{"&a;" * 20_000}">x</q>',
    ],
)
def test_entities_that_blow_up(outcome: Outcome, content: str) -> None:
    assert outcome("a.xml", content)[1] == BOMB
    wide = content.replace('"1.0"', '"1.0" encoding="utf-16"').encode("utf-16")
    text, reason = outcome("wide.xml", wide)
    assert len(text) < 10
    assert reason in (BOMB, "damaged: it isn't XML")
    office = docx("", more={"word/document.xml": content})
    assert outcome("a.docx", office)[1] == BOMB


def test_entities_of_other_files_are_not_loaded(outcome: Outcome, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(PRIVATE)
    declared = (
        f'<!DOCTYPE r [<!ENTITY a SYSTEM "{secret.as_uri()}">'
        '<!ENTITY b SYSTEM "http://127.0.0.1:9/x"><!ENTITY % c SYSTEM "secret.txt">%c;]>'
    )
    for name, content in {
        "a.xml": f"{XML}{declared}<r>{WORDS} &a; &b;</r>",
        "dtd.xml": f'{XML}<!DOCTYPE r SYSTEM "{secret.as_uri()}"><r>{WORDS}</r>',
        "include.xml": f'{XML}<r xmlns:i="http://www.w3.org/2001/XInclude">{WORDS}<i:include href="secret.txt"/></r>',
        "a.html": f'{declared}<p>{WORDS} &a;<iframe src="secret.txt"></iframe><object data="secret.txt">',
        "a.docx": docx(paragraph(f"{WORDS} &a;"), before=declared),
        "a.tex": f"\\section{{{WORDS}}}\\input{{secret.txt}}",
        "a.rst": f"{WORDS}\n\n.. include:: secret.txt\n",
        "a.adoc": f"{WORDS}\n\ninclude::secret.txt[]\n",
    }.items():
        text, reason = outcome(name, content)
        assert WORDS in text, (name, reason)
        assert PRIVATE not in text


def test_elements_deep_in_each_other(outcome: Outcome) -> None:
    """What an HTML parser gives up on is read without its structure; of XML it is said."""
    deep = 100_000
    for tags in (
        "<div>",
        "<b>",
        "<font size=1>",
        "<ul><li>",
        "<table><tr><td>",
        "<h1>",
        "<div class='menu'\n>",
    ):
        page = f"<html><body><p>first</p>{tags * deep}{WORDS}<p>last"
        text, reason = outcome("a.html", page)
        assert reason == ""
        assert text.split() == ["first", *WORDS.split(), "last"]
    text, reason = outcome("a.xml", f"{XML}<r>{WORDS}{'<s>' * deep}{WORDS}{'</s>' * deep}</r>")
    assert text == WORDS
    assert reason == "its elements are nested too deep, or one is too large, to be read to the end"
    assert outcome("flat.xml", f"{XML}{'<s>' * 2000}{WORDS}{'</s>' * 2000}") == (WORDS, "")
    deep_word = docx("<w:sdt><w:sdtContent>" * 1500 + paragraph(WORDS) + "</w:sdtContent></w:sdt>" * 1500)
    assert outcome("a.docx", deep_word)[1]
    odt = (
        '<o:document-content xmlns:o="o" xmlns:t="t"><o:body><o:text>'
        + "<t:section>" * 1500
        + f"<t:p>{WORDS}</t:p>"
        + "</t:section>" * 1500
        + "</o:text></o:body></o:document-content>"
    )
    data = zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": odt})
    assert outcome("a.odt", data)[1] == "nested too deep to be read"


def test_xml_is_read_to_its_end_or_reported(outcome: Outcome) -> None:
    assert outcome("a.xml", f"{XML}<q>{WORDS}</q>") == (WORDS, "")
    text, reason = outcome("two.xml", f"{XML}<r>{WORDS}</r><r>lost</r>")
    assert (text, reason) == (WORDS, "damaged: it goes on after its last element, and that isn't read")
    errors = "<s></t>" * 200
    text, reason = outcome("errors.xml", f"{XML}<r>{WORDS}{errors}</r><r>lost</r><q>")
    assert (text, reason) == (WORDS, "damaged, so that it may not have been read to its end")
    assert outcome("entities.xml", f"{XML}<r>{'&nbsp;' * 200}{WORDS}</r>")[1] == ""


def test_tables_of_any_width_and_height(outcome: Outcome) -> None:
    cells = [f"cell{number}" for number in range(3000)]
    table = "<table><tr>" + "".join(f"<td>{cell}" for cell in cells) + "<tr>" + "<td>x<td>y" * 1500
    assert set(cells) <= set(outcome("a.html", table)[0].replace(";", "").replace(":", "").split())
    spans = "<table>" + "<tr><td colspan=1000 rowspan=65534>x<td>y" * 500 + "</table>"
    assert "x" in outcome("spans.html", spans)[0]
    rows = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        '<dimension ref="A1:XFD1048576"/><sheetData>{}</sheetData></worksheet>'
    )
    text, reason = outcome("a.xlsx", xlsx(rows.format(
        cell("A1", "first") + cell("XFD2", "wide") + '<row r="3"/>' * 20_000
        + cell("A1048576", "far") + cell("A5", "back") + cell("B99999999999", "beyond")
    )))  # fmt: skip
    assert (text.split(), reason) == (["first", "wide", "back", "far", "beyond"], "")
    assert [anchor.number for anchor in outcome.extracts[0].lines or ()] == [1, 2, 5, 1048576]


def cell(place: str, text: str) -> str:
    row = place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return f'<row r="{row}"><c r="{place}" t="inlineStr"><is><t>{text}</t></is></c></row>'


def xlsx(sheet: str) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    buffer = io.BytesIO()
    openpyxl.Workbook().save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        members: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**members, "xl/worksheets/sheet1.xml": sheet})


def stream(content: str) -> str:
    return f"<< /Length {len(content)} >>\nstream\n{content}\nendstream"


CATALOG = "<< /Type /Catalog /Pages 2 0 R >>"
PAGES = "<< /Type /Pages /Kids [{}] /Count {} >>"
PAGE = (
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
    "/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
)
TEXT = stream(f"BT /F 12 Tf 72 700 Td ({WORDS}) Tj ET")


@pytest.mark.parametrize(
    ("content", "text", "reason"),
    [
        (pdf(CATALOG, PAGES.format("2 0 R", 1), PAGE, TEXT), "", "damaged: page 1 can't be read"),
        (pdf(CATALOG, PAGES.format("3 0 R 2 0 R", 2), PAGE, TEXT), WORDS, "damaged: page 2 can't be read"),
        (pdf(CATALOG, PAGES.format("3 0 R", 2_000_000_000), PAGE, TEXT), WORDS, ""),
        (pdf(CATALOG, PAGES.format("3 0 R", -5), PAGE, TEXT), WORDS, ""),
        (pdf(CATALOG, PAGES.format("3 0 R " * 30_000, 30_000), PAGE, TEXT), "", "more than 20,000 pages"),
        (pdf(CATALOG, PAGES.format("3 0 R", 1), PAGE, TEXT, "6 0 R", "5 0 R", "[" * N), WORDS, ""),
        (
            pdf(CATALOG, PAGES.format("3 0 R", 1), PAGE, TEXT.replace("/Length", "/Length 4 0 R /L")),
            WORDS,
            "",
        ),
        (pdf(CATALOG, PAGES.format("3 0 R", 1), PAGE, stream("q " * N + TEXT)), WORDS, ""),
        (pdf("[" * N), "", "damaged: it isn't a whole PDF"),
    ],
)
def test_pdfs_that_lead_in_circles(outcome: Outcome, content: bytes, text: str, reason: str) -> None:
    pytest.importorskip("pypdfium2")
    assert outcome("a.pdf", content) == (text, reason)


def test_pdf_pages_that_are_all_alike_keep_their_text(outcome: Outcome) -> None:
    pytest.importorskip("pypdfium2")
    text, reason = outcome("a.pdf", pdf(CATALOG, PAGES.format("3 0 R " * 50, 50), PAGE, TEXT))
    assert reason == ""
    assert text.count(WORDS) == 50


@pytest.mark.parametrize(
    "drawn",
    [
        "".join(f"1 0 0 1 {number % 9000} 700 Tm (abc) Tj " for number in range(0, 600_000, 30)),
        "".join(f"1 0 0 1 {number * 7919 % 14000} {number * 104729 % 14000} Tm (a) Tj " for number in range(20_000)),
        "".join(f"1 0 0 1 72 {14000 - number * 7} Tm ({'a-' * 300}) Tj " for number in range(100)),
        "".join(f"1 0 0 1 72 {14000 - number * 7} Tm (words that run on-) Tj " for number in range(1900)),
    ],
)  # fmt: skip
def test_pdf_pages_that_are_no_prose(outcome: Outcome, drawn: str) -> None:
    pytest.importorskip("pypdfium2")
    page = PAGE.replace("612 792", "14400 14400")
    text, _ = outcome("a.pdf", pdf(CATALOG, PAGES.format("3 0 R", 1), page, stream(f"BT /F 6 Tf {drawn} ET")))
    assert text


def test_a_pdf_page_of_more_than_is_read(outcome: Outcome) -> None:
    pytest.importorskip("pypdfium2")
    drawn = "".join(f"1 0 0 1 0 {700 - number} Tm ({'word ' * 5000}) Tj " for number in range(9))
    text, reason = outcome(
        "a.pdf", pdf(CATALOG, PAGES.format("3 0 R", 1), PAGE, stream(f"BT /F 1 Tf {drawn} ET"))
    )
    assert text
    assert reason == "page 1 has more than 200,000 characters: what follows isn't read"


HEADER = "From: a@example.org\nSubject: Foxes\nMIME-Version: 1.0\n"


def multipart(parts: str) -> str:
    return f"{HEADER}Content-Type: multipart/mixed; boundary=b\n\n{parts}--b\nContent-Type: text/plain\n\n{WORDS}\n--b--\n"


@pytest.mark.parametrize(
    "content",
    [
        multipart(
            "".join(
                "--b\nContent-Type: application/pdf\nContent-Disposition: attachment; "
                f'filename="{number}.pdf"\n\nAAAA\n'
                for number in range(500)
            )
        ),
        multipart("--b\n" * N),
        f"{HEADER}To: {'a@example.org, ' * N}\n\n{WORDS}\n",
        "From: " + "(" * N + "\nTo: " + "<" * N + "\nCc: " + '"' * (N + 1) + f"\n\n{WORDS}\n",
        f"From: a\nSubject: {'=?utf-8?q?a?= ' * N}\n\n{WORDS}\n",
        f"{HEADER}Content-Type: text/plain; {'a=b;' * N}\n\n{WORDS}\n",
        f"{HEADER}Content-Type: text/plain; charset=punycode\n\n{WORDS} {'9' * N}\n",
        f"{HEADER}Content-Type: text/plain; charset=unicode_escape\n\n{WORDS}\n",
        f"{HEADER}Content-Type: text/plain; charset=zlib\n\n{WORDS}\n",
        f"{HEADER}Content-Type: text/plain; format=flowed\n\n{WORDS}{' ' * N}\n{'a ' * N}\n{'> ' * N}",
        HEADER + "X: y" * N + "\n" + "X: y\n" * N + f"\n{WORDS}",
    ],
)
def test_mail(outcome: Outcome, content: str) -> None:
    text, reason = outcome("a.eml", content)
    assert reason == ""
    assert text.startswith(WORDS)


def test_mail_deep_in_mail(outcome: Outcome) -> None:
    for depth in (100, 5000):
        parts = "".join(
            f"Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n" for number in range(depth)
        )
        for content in (
            f"{HEADER}{parts}\n{WORDS}",
            HEADER + "Content-Type: message/rfc822\n\n" * depth + WORDS,
        ):
            text, reason = outcome("a.eml", content)
            assert text == ""
            assert reason in ("mails within mails, more than 20 deep", "nested too deep to be read")


def test_mail_with_names_that_are_no_text(outcome: Outcome) -> None:
    content = (
        b"From: \xff\xfe@b.c\nSubject: a\xff\x00b\nMIME-Version: 1.0\n"
        b'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: a/\xff; name="\xed\xa0\x80.pdf"\n\nx\n'
        b"--b\nContent-Type: text/plain\n\nwords\n--b--\n"
    )
    assert outcome("a.eml", content)[0].strip() == "words"
    (extract,) = outcome.extracts
    json.dumps(dict(extract.metadata), ensure_ascii=False).encode()
    assert "\0" not in extract.title


@pytest.mark.parametrize("name", ["a.md", "a.rst", "a.tex", "a.adoc", "a.txt", "a.csv", "a.json", "a.yaml"])
@pytest.mark.parametrize(
    "piece",
    ["> ", ">", "[", "[a](", "*", "*a ", "_a_", "# ", "#", "`", "- ", "{#", "|a", "<a ", "<!--", "a\n=\n", "\r", "\t",
     "\\section{", "\\section   ", "\\begin{comment}", "\\", "%\n", "{", "$", "----\n", "|===\n", ":a: b\n", ":", '"',
     ',"', "1.", "a@", "\\label{}", "a\u0301", "1-1-1 "],
)  # fmt: skip
def test_one_piece_over_and_over(outcome: Outcome, name: str, piece: str) -> None:
    """No text format builds a tree or goes back over what it has seen: the text is the file."""
    for content in (
        piece * 20_000 + WORDS,
        f"# {piece * 100}x\n" * 100,
        f"\\section{{{piece * 100} }}\n" * 100,
    ):
        text, reason = outcome(name, content)
        assert reason == ""
        assert WORDS.split()[-1] in text or content[:2] in ("# ", "\\s")
        if name != "a.csv":
            assert text == content


def test_nothing_but_depth_in_a_text(outcome: Outcome) -> None:
    lists = "\n".join("  " * depth + "- x" for depth in range(1000))
    assert outcome("a.md", lists) == (lists, "")
    assert outcome("a.json", "[" * 1_000_000) == ("[" * 1_000_000, "")


def test_a_line_of_50_megabytes(outcome: Outcome) -> None:
    for name in ("a.txt", "a.md", "a.rst", "a.py"):
        text, reason = outcome(name, b"ab " * 16_000_000)
        assert (len(text), reason) == (48_000_000, "")
    assert outcome("a.txt", b"a" * 50_000_001)[1] == "more than 50,000,000 characters of text"


def test_json_lines(outcome: Outcome) -> None:
    nested = "[" * 100_000
    lines = [
        '{"text": "' + "a" * 50_000_001 + '"}',
        nested,
        f'{{"text": "a", "b": {"[" * 900}{"]" * 900}}}',
        '{"text": "a", "b": ' + "9" * 5000 + "}",
        '{"text": "a", "b": 1e999, "c": "\\ud800", "id": "\\udfff"}',
        '{"text": "a", "id": "\\ud800"}',
    ]
    text, reason = outcome("a.jsonl", "\n".join(lines))
    assert text == "a\na\na"
    assert reason == (
        "line 1 has more than 50,000,000 characters of text (1 such line skipped); "
        "line 2 is nested deeper than 100 (2 such lines skipped)"
    )
    assert [extract.key for extract in outcome.extracts] == ["4", "\ufffd", "\ufffd~2"]
    rows = '{"text": "a", "id": 1}\n' * 20_000
    assert outcome("same.jsonl", rows)[1] == ""
    assert len({extract.key for extract in outcome.extracts}) == 20_000


def test_pages_made_to_keep_a_reader_busy(outcome: Outcome) -> None:
    for body in (
        f"<p class='{'menu-' * N}'>{WORDS}",
        f"<p class='{'a ' * N}'>{WORDS}",
        f"<p style='{'display ' * N}'>{WORDS}",
        f"<p>{'&amp' * N} {WORDS}",
        f"<p>{'a<br>' * N}{WORDS}",
        f"<!DOCTYPE {'[' * N}><p>{WORDS}",
        f"{'<meta ' * 1000}<p>{WORDS}",
        f"<pre>{' ' * N}{WORDS}",
        f"{'<form><table>' * 1000}<p>{WORDS}",
        f"<p>{WORDS}<script>{'<p>' * N}",
    ):
        text, reason = outcome("a.html", f"<html><body>{body}")
        assert reason == ""
        assert WORDS in text
    tables = "<table>" * 200 + "<a/>" * N
    assert outcome("a.xml", f"{XML}<r>{tables}{WORDS}</r>")[0] == WORDS
    assert WORDS in outcome("b.xml", f"{XML}<r>&lt;a &gt;{'x' * N}{WORDS}</r>")[0]


def test_headings_without_end_are_cut_in_time_that_grows_with_them(tmp_path: Path) -> None:
    """This is done where it is indexed, and no clock runs there."""
    path = tmp_path / "a.md"
    path.write_text("".join(f"{'#' * (1 + number % 6)} h{number}\n" for number in range(100_000)))
    (extract,) = read(path)
    words = re.compile(r"\S+")
    chunks = chunk_document(
        extract, lambda text: [match.span() for match in words.finditer(text)], ChunkingConfig()
    )
    assert len(extract.headings) == 100_000
    assert chunks[-1].end == len(extract.text.rstrip())


NAMES = [
    b"new\nline.txt",
    b"bell\a and escape\x1b[31m.txt",
    b"tab\t quote\" 'back\\slash.txt",
    "ünïcode \U0001f600.txt".encode(),
    "cafe\u0301.txt".encode(),
    "\u202etxt.exe".encode(),
    b"*?[a].txt",
    b"#key.txt",
    b"-rf.txt",
    b" .txt",
    b"l" * 251 + b".txt",
]
UNDECODABLE = b"caf\xe9.txt"


def test_names_of_any_kind_are_indexed(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    """Those that aren't UTF-8 can't be stored: they are skipped with that reason, and the run goes on."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for number, name in enumerate([*NAMES, UNDECODABLE]):
        (docs / os.fsdecode(name)).write_text(f"cat {number}")
    folder = docs / os.fsdecode(b"f\xff")
    folder.mkdir()
    (folder / "inside.txt").write_text("cat")
    for expected in ((len(NAMES), 0), (0, len(NAMES))):
        with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
            report = indexer.add_paths([docs])
        assert (report.indexed, report.unchanged) == expected
        assert [skip.reason for skip in report.skipped] == ["its name isn't UTF-8: rename it to index it"] * 2
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder) as retriever:
        texts = {retriever.document(id_).text for id_ in retriever.document_ids()}
    assert texts == {f"cat {number}" for number in range(len(NAMES))}


def test_links_that_leave_the_folder_or_lead_in_circles(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    """A link to a file is that file; one to a folder is named and not followed."""
    docs, outside = tmp_path / "docs", tmp_path / "outside"
    for folder in (docs, docs / "sub", outside):
        folder.mkdir()
    (outside / "cat.txt").write_text("cat")
    (outside / "dog.txt").write_text("dog")
    (docs / "here.txt").write_text("mat")
    (docs / "cat.txt").symlink_to(outside / "cat.txt")
    (docs / "folder").symlink_to(outside)
    (docs / "sub" / "up").symlink_to(docs)
    (docs / "self.txt").symlink_to(docs / "self.txt")
    (docs / "one.txt").symlink_to(docs / "two.txt")
    (docs / "two.txt").symlink_to(docs / "one.txt")
    (docs / "device.txt").symlink_to("/dev/zero")
    os.mkfifo(docs / "pipe.txt")
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        report = indexer.add_paths([docs])
    assert report.indexed == 2
    reasons = {Path(skip.path).name: skip.reason for skip in report.skipped}
    assert reasons == {
        "folder": "link to a folder: name the folder itself to index it",
        "up": "link to a folder: name the folder itself to index it",
        **dict.fromkeys(("self.txt", "one.txt", "two.txt"), "loop of links"),
        **dict.fromkeys(("device.txt", "pipe.txt"), "not a regular file"),
    }


def test_a_run_goes_on_after_files_that_end_their_reader(tmp_path: Path, tiny_encoder: TextEncoder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("cat")
    (docs / "b.html").write_text("<p>" + "dog <b>mat</b> " * 150_000)
    (docs / "c.txt").write_text("mat")
    limits = ReadLimits(memory_bytes=128 << 20)
    for expected in ((2, 0), (0, 2)):
        with Indexer.open(tmp_path / "index", encoder=tiny_encoder, limits=limits) as indexer:
            report = indexer.add_paths([docs])
        assert (report.indexed, report.unchanged) == expected
        assert [skip.reason for skip in report.skipped] == ["needs more than 128 MiB of memory"]
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        assert indexer.add_paths([docs]).skipped == ()
