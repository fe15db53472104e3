"""PDF: pages, paragraphs, columns, tables, and reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.pdf import PdfReader
from retriever.errors import UnreadableError
from retriever.types import Anchor, Extract

Text = tuple[float, float, float, str]
"""Left, bottom, size in points, text."""


def make_pdf(pages: list[list[Text]], title: str = "") -> bytes:
    """A PDF whose pages hold these texts in Helvetica."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title (%s) >>" % title.encode("cp1252"),
    ]
    kids = []
    for page in pages:
        stream = b"".join(
            b"BT /F1 %g Tf %g %g Td (%s) Tj ET\n" % (size, left, bottom, _escaped(text))
            for left, bottom, size, text in page
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    data = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        data
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (
            len(objects) + 1,
            table,
            len(objects) + 1,
            len(data),
        )
    )


def _escaped(text: str) -> bytes:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").encode("cp1252")


def column(left: float, top: float, lines: list[str], size: float = 10) -> list[Text]:
    """Lines below each other."""
    return [(left, top - 12 * index, size, line) for index, line in enumerate(lines)]


def read(tmp_path: Path, data: bytes, limits: ReadLimits | None = None) -> Extract:
    path = tmp_path / "file.pdf"
    path.write_bytes(data)
    (extract,) = PdfReader().read(SourceFile(path, len(data)), limits or ReadLimits())
    return extract


def test_wrapped_lines_are_one_paragraph_and_pages_are_anchored(tmp_path: Path) -> None:
    first = column(
        72,
        700,
        [
            "The station stands two metres above the ground and meas-",
            "ures the air every ten minutes. It needs",
        ],
    )
    first += column(72, 640, ["A second paragraph."])
    extract = read(tmp_path, make_pdf([first, [], column(72, 700, ["The last page."])], "Stations"))
    assert extract.text == (
        "The station stands two metres above the ground and measures the air every ten minutes. It needs\n\n"
        "A second paragraph.\n\nThe last page."
    )
    assert extract.pages == (Anchor(0, 1), Anchor(extract.text.index("The last"), 3))
    assert (extract.title, extract.format, extract.lines) == ("Stations", "pdf", ())


def test_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    left = [
        f"left column has a line {word} of words"
        for word in ("one", "two", "three", "four", "five", "six", "seven")
    ]
    right = [
        f"right column has a line {word} of words"
        for word in ("one", "two", "three", "four", "five", "six", "seven")
    ]
    rows = [
        (
            72.0,
            780.0,
            10.0,
            "A title over both of the columns that is long enough to cross the gutter of them",
        )
    ]
    for pair in zip(column(72, 740, left), column(320, 740, right), strict=True):
        rows += pair  # as files do that are written row by row
    text = read(tmp_path, make_pdf([rows])).text
    assert text.index("A title") < text.index("left column has a line one")
    assert " ".join(left) in text
    assert " ".join(right) in text
    assert text.index("line seven") < text.index("right column has a line one")


def test_rows_of_a_table_stay_whole(tmp_path: Path) -> None:
    cells = [("Cell", "Range", "Accuracy"), ("Air", "-40 to 60", "0.15 K"), ("Wind", "0.5 to 60", "3 %")]
    page = [
        (72.0 + 120 * x, 700.0 - 14 * y, 10.0, cell)
        for y, row in enumerate(cells)
        for x, cell in enumerate(row)
    ]
    assert read(tmp_path, make_pdf([page])).text == (
        "Cell  Range  Accuracy\nAir  -40 to 60  0.15 K\nWind  0.5 to 60  3 %"
    )


def test_large_text_is_a_heading(tmp_path: Path) -> None:
    body = ["A paragraph that is long enough to be the body of this page, and runs on", "over a second line."]
    extract = read(tmp_path, make_pdf([[(72, 760, 20, "Care and cleaning"), *column(72, 720, body)]]))
    assert [(extract.text[h.start : h.end], h.level) for h in extract.headings] == [("Care and cleaning", 1)]


def test_repeated_headers_and_page_numbers_are_left_out(tmp_path: Path) -> None:
    words = ("first", "second", "third", "fourth")
    pages = [
        [
            (72.0, 810.0, 9.0, "Handbook of stations"),
            (72.0, 500.0, 10.0, f"The {word} text."),
            (290.0, 30.0, 9.0, str(n)),
        ]
        for n, word in enumerate(words, 1)
    ]
    assert read(tmp_path, make_pdf(pages)).text == "\n\n".join(f"The {word} text." for word in words)


def test_reasons(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"no text in it \(scanned pages\?\)"):
        read(tmp_path, make_pdf([[], []]))
    with pytest.raises(UnreadableError, match="more than 1 pages"):
        read(tmp_path, make_pdf([[], []]), ReadLimits(pages=1))
    with pytest.raises(UnreadableError, match="damaged"):
        read(tmp_path, b"%PDF-1.7\nnothing of use")
    with pytest.raises(UnreadableError, match="characters of text"):
        read(tmp_path, make_pdf([[(72, 700, 10, "too long")]]), ReadLimits(characters=4))


@pytest.mark.parametrize("title", ["Microsoft Word - draft.docx", "untitled", "report.pdf", "Document1"])
def test_titles_that_say_nothing(tmp_path: Path, title: str) -> None:
    assert read(tmp_path, make_pdf([[(72, 700, 10, "Text.")]], title)).title == ""
