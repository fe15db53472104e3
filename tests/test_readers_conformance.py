"""What every reader must keep to, whatever its format; and the reasons given for files that can't be read."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from indexer.readers import FORMATS, ReadLimits, read
from retriever.errors import UnreadableError
from retriever.types import Extract
from tests.pdf_files import pdf as pdf_of

WORDS = "The quick brown fox jumps over the lazy dog, 7 times."


@dataclass(frozen=True)
class Sample:
    """A tiny file of one format.

    Attributes:
        make: Makes its content; it may need a package.
        headings: Texts of its headings, in order.
        raw: Whether its text must be the file, decoded.
    """

    name: str
    make: Callable[[], bytes]
    headings: tuple[str, ...] = ()
    raw: bool = False


def zipped(members: Iterable[tuple[str, str]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def docx() -> bytes:
    document = pytest.importorskip("docx").Document()
    document.add_heading("Foxes", level=1)
    document.add_paragraph(WORDS)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def pptx() -> bytes:
    show = pytest.importorskip("pptx").Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Foxes"
    slide.placeholders[1].text = WORDS
    buffer = io.BytesIO()
    show.save(buffer)
    return buffer.getvalue()


def xlsx() -> bytes:
    book = pytest.importorskip("openpyxl").Workbook()
    for row in (["Animal", "Legs", "Says"], ["fox", 4, WORDS], ["hen", 2, "cluck"]):
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def odf(kind: str, body: str) -> bytes:
    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{path}:1.0"'
        for name, path in (
            ("office", "office"),
            ("text", "text"),
            ("table", "table"),
            ("draw", "drawing"),
            ("presentation", "presentation"),
        )
    )
    content = f"<office:document-content {names}><office:body>{body}</office:body></office:document-content>"
    return zipped([("mimetype", f"application/vnd.oasis.opendocument.{kind}"), ("content.xml", content)])


def odt() -> bytes:
    pytest.importorskip("lxml")
    words = f'<text:h text:outline-level="1">Foxes</text:h><text:p>{WORDS}</text:p>'
    return odf("text", f"<office:text>{words}</office:text>")


def ods() -> bytes:
    pytest.importorskip("lxml")
    rows = "".join(
        "<table:table-row>"
        + "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row)
        + "</table:table-row>"
        for row in (("Animal", "Says"), ("fox", WORDS), ("hen", "cluck"))
    )
    table = f'<table:table table:name="Farm">{rows}</table:table>'
    return odf("spreadsheet", f"<office:spreadsheet>{table}</office:spreadsheet>")


def odp() -> bytes:
    pytest.importorskip("lxml")
    frame = f"<draw:frame><draw:text-box><text:p>{WORDS}</text:p></draw:text-box></draw:frame>"
    page = f'<draw:page draw:name="page1">{frame}</draw:page>'
    return odf("presentation", f"<office:presentation>{page}</office:presentation>")


def epub() -> bytes:
    pytest.importorskip("lxml")
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
        '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Animals</dc:title></metadata><manifest>'
        '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/></spine></package>'
    )
    return zipped(
        [
            ("mimetype", "application/epub+zip"),
            ("META-INF/container.xml", container),
            ("book.opf", package),
            ("a.xhtml", html().decode()),
        ]
    )


def html() -> bytes:
    pytest.importorskip("lxml")
    head = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Animals</title></head>'
    return f"{head}<body><h1>Foxes</h1><p>{WORDS}</p></body></html>".encode()


def xml() -> bytes:
    pytest.importorskip("lxml")
    return f'<?xml version="1.0"?><farm><animal>{WORDS}</animal></farm>'.encode()


def markdown() -> bytes:
    pytest.importorskip("markdown_it")
    return f"# Foxes #\n\n{WORDS}\n".encode()


def pdf() -> bytes:
    """A page with a line of text, written by hand."""
    pytest.importorskip("pypdfium2")
    stream = f"BT /F 12 Tf 72 700 Td ({WORDS}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
    ]
    return pdf_of(*objects)


def content(text: str) -> Callable[[], bytes]:
    return lambda: text.encode()


SAMPLES = {
    "text": Sample("a.txt", content(f"\ufeff{WORDS}\r\n\r\nDonnées ☃ 👩‍🚀\n"), raw=True),
    "code": Sample("a.py", content(f"# {WORDS}\n"), raw=True),
    "json": Sample("a.json", content(json.dumps({"says": WORDS})), raw=True),
    "yaml": Sample("a.yaml", content(f"says: '{WORDS}'\n"), raw=True),
    "toml": Sample("a.toml", content(f"says = '{WORDS}'\n"), raw=True),
    "ini": Sample("a.ini", content(f"[a]\nsays = {WORDS}\n"), raw=True),
    "webvtt": Sample("a.vtt", content(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{WORDS}\n"), raw=True),
    "subrip": Sample("a.srt", content(f"1\n00:00:01,000 --> 00:00:02,000\n{WORDS}\n"), raw=True),
    "markdown": Sample("a.md", markdown, ("Foxes",), raw=True),
    "rst": Sample("a.rst", content(f"Foxes\r\n=====\r\n\r\n{WORDS}\r\n"), ("Foxes",), raw=True),
    "asciidoc": Sample("a.adoc", content(f"= Foxes\n\n{WORDS}\n"), ("Foxes",), raw=True),
    "latex": Sample("a.tex", content(f"\\section{{Foxes}}\n{WORDS}\n"), ("Foxes",), raw=True),
    "csv": Sample("a.csv", content(f'Animal,Says\nfox,"{WORDS}"\nhen,cluck\n')),
    "jsonl": Sample("a.jsonl", content(json.dumps({"text": WORDS}) + "\n" + json.dumps({"text": "x"}))),
    "mail": Sample("a.eml", content(f"From: a@example.org\nSubject: Foxes\n\n{WORDS}\n")),
    "html": Sample("a.html", html, ("Foxes",)),
    "xml": Sample("a.xml", xml),
    "pdf": Sample("a.pdf", pdf),
    "docx": Sample("a.docx", docx, ("Foxes",)),
    "pptx": Sample("a.pptx", pptx, ("Foxes",)),
    "xlsx": Sample("a.xlsx", xlsx),
    "odt": Sample("a.odt", odt, ("Foxes",)),
    "ods": Sample("a.ods", ods),
    "odp": Sample("a.odp", odp),
    "epub": Sample("a.epub", epub, ("Foxes",)),
}


@pytest.fixture(params=list(SAMPLES))
def sample(request: pytest.FixtureRequest) -> Sample:
    return SAMPLES[request.param]


@pytest.fixture
def path(sample: Sample, tmp_path: Path) -> Path:
    path = tmp_path / sample.name
    path.write_bytes(sample.make())
    return path


def one_space(text: str) -> str:
    return " ".join(text.split())


def reason(path: Path, limits: ReadLimits | None = None) -> str:
    """Why a file can't be read."""
    with pytest.raises(UnreadableError) as caught:
        list(read(path, limits or ReadLimits()))
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) not in message
    return message


def test_every_format_has_a_sample() -> None:
    assert set(SAMPLES) == set(FORMATS)


def test_text_is_there_and_can_be_stored(path: Path) -> None:
    documents = list(read(path))
    assert documents
    assert WORDS in one_space(documents[0].text)
    for document in documents:
        assert document.text.strip()
        assert not re.search("[\x00\ud800-\udfff]", document.text + document.title)
        assert json.loads(json.dumps(dict(document.metadata))) == document.metadata


def test_places_fit_the_text(path: Path, sample: Sample) -> None:
    for document in read(path):
        for spans in (document.headings, document.rows):
            position = 0
            for span in spans:
                assert position <= span.start < span.end <= len(document.text)
                assert document.text[span.start : span.end].strip()
                position = span.end
        for anchors in (document.pages, document.lines or ()):
            starts = [anchor.start for anchor in anchors]
            assert starts == sorted(set(starts))
            assert all(0 <= start < len(document.text) for start in starts)
            numbers = [anchor.number for anchor in anchors]
            assert numbers == sorted(numbers)
            assert all(number >= 1 for number in numbers)
        assert all(heading.level >= 1 for heading in document.headings)


def test_headings_are_found(path: Path, sample: Sample) -> None:
    if not sample.headings:
        pytest.skip("the sample has no headings")
    document: Extract = next(read(path))
    assert tuple(document.text[h.start : h.end] for h in document.headings) == sample.headings


def test_raw_formats_keep_the_file(path: Path, sample: Sample) -> None:
    if not sample.raw:
        pytest.skip("the format isn't text itself")
    (document,) = read(path)
    assert document.text == path.read_bytes().decode("utf-8-sig")
    assert document.lines is None


def test_reading_twice_gives_the_same_and_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    assert list(read(path)) == list(read(path))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_content_counts_where_the_name_is_wrong(path: Path, tmp_path: Path) -> None:
    expected = list(read(path))
    if path.suffix not in {
        ".pdf",
        ".docx",
        ".pptx",
        ".xlsx",
        ".odt",
        ".ods",
        ".odp",
        ".epub",
        ".html",
        ".xml",
    }:
        pytest.skip("text of one kind can't be told from that of another")
    for name in ("noname", "wrong.txt", "wrong.doc"):
        renamed = tmp_path / name
        path = path.rename(renamed)
        documents = list(read(renamed))
        assert [(document.text, document.format) for document in documents] == [
            (document.text, document.format) for document in expected
        ]


def test_truncated_files_end_in_a_reason_or_in_text(path: Path) -> None:
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        try:
            documents = list(read(path))
        except UnreadableError:  # and nothing else
            continue
        assert all(document.text.strip() for document in documents)


def test_limits_hold(path: Path, sample: Sample) -> None:
    if path.suffix != ".jsonl":
        assert reason(path, ReadLimits(file_bytes=10)).startswith("larger than ")
    assert reason(path, ReadLimits(characters=5))


def ole(name: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + name.encode("utf-16-le") + bytes(600)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.txt", b"", "empty file"),
        ("a.pdf", b"", "empty file"),
        ("a.md", b" \r\n\t\n", "no text in it"),
        ("a.csv", b",,\n,,\n", "no text in it"),
        ("a.jsonl", b"\n\n", "no text in it"),
        ("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(50), "binary file (PNG image)"),
        ("a.docx", b"\xff\xd8\xff\xe0" + bytes(50), "binary file (JPEG image)"),
        ("a", b"SQLite format 3\0" + bytes(50), "binary file (SQLite database)"),
        ("a.md", b"MZ\x90" + bytes(50), "binary file (Windows program)"),
        ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(50), "binary file (MP4 video)"),
        ("a.txt", b"\1\0\2\0\0\0\7" * 9, "binary file"),
        ("a.zip", zipped([("a.txt", WORDS)]), "binary file (zip archive)"),
        ("a.docx", zipped([("a.txt", WORDS)]), "damaged .docx: its parts aren't in the zip container"),
        ("a.docx", b"PK\x03\x04" + b"\xaa" * 99, "damaged .docx: its zip container can't be opened"),
        ("a.xlsx", ole("EncryptedPackage"), "password-protected Office file"),
        (
            "a.doc",
            ole("WordDocument"),
            "old binary Office format (.doc, .xls, .ppt, .msg): save it in the current format",
        ),
        ("a.doc", b"{\\rtf1 hello}", "RTF: save it as .docx or .odt"),
    ],
)
def test_reasons(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert reason(path) == expected


def test_damaged_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7\n1 0 obj\n<< /Type /Cat")
    assert reason(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert reason(tmp_path / "missing.txt") == "no such file"
    assert reason(tmp_path) == "not a regular file"
    fifo = tmp_path / "fifo.txt"
    os.mkfifo(fifo)
    assert reason(fifo) == "not a regular file"
    loop = tmp_path / "loop.txt"
    loop.symlink_to(loop)
    assert reason(loop) == "loop of links"
    loop.unlink()
    loop.symlink_to(tmp_path / "nowhere")
    assert reason(loop) == "no such file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(WORDS)
    path.chmod(0)
    assert reason(path) == "permission denied"


def test_missing_package_and_strange_errors_are_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.readers import markdown

    path = tmp_path / "a.md"
    path.write_text(WORDS)
    errors = {
        "reading .md needs markdown-it-py: pip install markdown-it-py": ImportError(name="markdown_it.token"),
        "damaged or unusual markdown: odd": ValueError("odd\nmore"),
        "nested too deep to be read": RecursionError(),
        "needs more memory than there is": MemoryError(),
    }
    for expected, error in errors.items():

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(markdown, "decode", fail)
        with pytest.raises(UnreadableError) as caught:
            list(read(path))
        assert (str(caught.value), caught.value.__cause__) == (expected, error)
