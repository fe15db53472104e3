"""Office documents and e-books, built here and read back."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from pptx.util import Inches

from indexer.readers.base import Reader, ReadLimits, SourceFile
from indexer.readers.docx import DocxReader
from indexer.readers.epub import EpubReader
from indexer.readers.odf import OdfReader
from indexer.readers.pptx import PptxReader
from indexer.readers.tables import is_number, looks_like_header, table_lines
from indexer.readers.xlsx import XlsxReader
from retriever.errors import UnreadableError
from retriever.types import Anchor, Extract


def read(reader: Reader, path: Path, limits: ReadLimits | None = None) -> Extract:
    (extract,) = reader.read(SourceFile(path, path.stat().st_size), limits or ReadLimits())
    return extract


def headings(extract: Extract) -> list[tuple[str, int]]:
    return [(extract.text[h.start : h.end], h.level) for h in extract.headings]


def make_zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_docx(tmp_path: Path) -> None:
    document = docx.Document()
    document.core_properties.title = "Travel rules"
    document.core_properties.author = "C. Okonjo"
    document.add_heading("Travel", 0)
    document.add_heading("Trains", 1)
    paragraph = document.add_paragraph("Second class, ")
    paragraph.add_run("always").bold = True
    paragraph.add_run(".")
    document.add_paragraph("book early", style="List Bullet")
    document.add_paragraph("keep the ticket", style="List Bullet")
    table = document.add_table(rows=0, cols=3)
    for values in (("Country", "Meals", "Hotel"), ("France", "€36", "€120"), ("Norway", "€42", "")):
        for cell, value in zip(table.add_row().cells, values, strict=True):
            cell.text = value
    document.add_paragraph("After the table.")
    path = tmp_path / "file.docx"
    document.save(str(path))
    extract = read(DocxReader(), path)
    assert extract.text == (
        "Travel\n\nTrains\n\nSecond class, always.\n\n- book early\n- keep the ticket\n\n"
        "Country: France; Meals: €36; Hotel: €120\nCountry: Norway; Meals: €42\n\nAfter the table."
    )
    assert headings(extract) == [("Travel", 1), ("Trains", 1)]
    assert (extract.title, extract.metadata["author"], extract.format) == (
        "Travel rules",
        "C. Okonjo",
        "docx",
    )


def test_docx_changes_links_and_notes(tmp_path: Path) -> None:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = (
        f"<w:document {space}><w:body><w:p><w:r><w:t>Kept </w:t></w:r>"
        "<w:del><w:r><w:delText>old </w:delText></w:r></w:del><w:ins><w:r><w:t>new </w:t></w:r></w:ins>"
        "<w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p></w:body></w:document>"
    )
    notes = (
        f'<w:footnotes {space}><w:footnote w:type="separator"><w:p><w:r><w:t>-</w:t></w:r></w:p></w:footnote>'
        "<w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>"
    )
    path = make_zip(tmp_path / "file.docx", {"word/document.xml": body, "word/footnotes.xml": notes})
    assert read(DocxReader(), path).text == "Kept new link\n\nA note."


def test_pptx(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    presentation.slides.add_slide(presentation.slide_layouts[6])  # without text: a page without an anchor
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = "Sales"
    for top, text in ((4, "below"), (2, "above")):
        slide.shapes.add_textbox(Inches(1), Inches(top), Inches(2), Inches(1)).text_frame.text = text
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(6), Inches(4), Inches(1)).table
    for index, text in enumerate(("Product", "Sold", "Dunlin", "903")):
        table.cell(index // 2, index % 2).text = text
    slide.notes_slide.notes_text_frame.text = "Smile."
    path = tmp_path / "file.pptx"
    presentation.save(str(path))
    extract = read(PptxReader(), path)
    assert extract.text == "Sales\n\nabove\n\nbelow\n\nProduct: Dunlin; Sold: 903\n\nNotes: Smile."
    assert (headings(extract), extract.pages, extract.title) == ([("Sales", 1)], (Anchor(0, 2),), "")


def test_xlsx(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Prices"
    sheet.append(["Valid from March"])
    sheet.append([])
    sheet.append(["Product", "Price", "From", "Discount", "Sold"])
    sheet.append(["Petrel", 489.0, datetime.datetime(2026, 3, 1), 0.125, True])
    sheet["D4"].number_format = "0.0%"
    sheet.append([])
    sheet.append(["Dunlin", 0.1 + 0.2, datetime.datetime(2026, 3, 1, 9, 30), None, False])
    workbook.create_sheet("Hidden").append(["Only", "words"])
    workbook["Hidden"].sheet_state = "hidden"
    path = tmp_path / "file.xlsx"
    workbook.save(path)
    extract = read(XlsxReader(), path)
    rows = [
        "Product: Petrel; Price: 489; From: 2026-03-01; Discount: 12.5%; Sold: TRUE",
        "Product: Dunlin; Price: 0.3; From: 2026-03-01 09:30; Sold: FALSE",
        "Only: words",
    ]
    assert extract.text == f"Prices\n\nValid from March\n\n{rows[0]}\n{rows[1]}\n\nHidden\n\n{rows[2]}"
    assert [extract.text[row.start : row.end] for row in extract.rows] == rows
    assert [anchor.number for anchor in extract.lines or ()] == [1, 4, 6, 1]
    assert headings(extract) == [("Prices", 1), ("Hidden", 1)]


def test_xlsx_with_a_cell_far_away(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet["A1"], sheet["A1048576"], sheet["XFD2"] = "near", "far", "wide"
    path = tmp_path / "file.xlsx"
    workbook.save(path)
    assert read(XlsxReader(), path).text == "near\n\nwide\n\nfar"


def test_xlsx_characters(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(["long text"] * 9)
    path = tmp_path / "file.xlsx"
    workbook.save(path)
    with pytest.raises(UnreadableError, match="more than 20 characters"):
        read(XlsxReader(), path, ReadLimits(characters=20))


_ODF = (
    '<d xmlns:office="o" xmlns:text="t" xmlns:table="b" xmlns:draw="d" xmlns:presentation="p"><office:body>{}'
    "</office:body></d>"
)


def test_odt(tmp_path: Path) -> None:
    content = _ODF.format(
        '<office:text><text:tracked-changes><text:p>gone</text:p></text:tracked-changes><text:h text:outline-level="2">'
        'Scope</text:h><text:p>Two<text:s text:c="2"/>words<text:note><text:note-citation>1</text:note-citation>'
        "<text:note-body><text:p>A note.</text:p></text:note-body></text:note>.</text:p>"
        "<text:list><text:list-item><text:p>one</text:p></text:list-item><text:list-item><text:p>two</text:p>"
        "</text:list-item></text:list><table:table><table:table-row><table:table-cell><text:p>Owner</text:p>"
        "</table:table-cell><table:table-cell><text:p>D. Farr</text:p></table:table-cell></table:table-row>"
        "</table:table></office:text>"
    )
    meta = '<m xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Rules</dc:title><dc:language>en-GB</dc:language></m>'
    extract = read(OdfReader(), make_zip(tmp_path / "file.odt", {"content.xml": content, "meta.xml": meta}))
    assert extract.text == "Scope\n\nTwo words.\n\nA note.\n\n- one\n- two\n\nOwner: D. Farr"
    assert (headings(extract), extract.title, extract.language) == ([("Scope", 2)], "Rules", "en")


def test_ods_and_odp(tmp_path: Path) -> None:
    cells = "".join(
        "<table:table-row>"
        + "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row)
        + '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        for row in (("City", "People"), ("Bern", "7"))
    )
    sheet = _ODF.format(
        f'<office:spreadsheet><table:table table:name="Sheet1">{cells}</table:table></office:spreadsheet>'
    )
    extract = read(OdfReader(), make_zip(tmp_path / "file.ods", {"content.xml": sheet}))
    assert (extract.text, extract.format, extract.lines) == ("City: Bern; People: 7", "ods", (Anchor(0, 2),))
    slides = _ODF.format(
        '<office:presentation><draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>Sales</text:p>'
        "</draw:text-box></draw:frame></draw:page><draw:page><draw:frame><draw:text-box><text:p>Up.</text:p>"
        "</draw:text-box></draw:frame></draw:page></office:presentation>"
    )
    extract = read(OdfReader(), make_zip(tmp_path / "file.odp", {"content.xml": slides}))
    assert (extract.text, extract.pages, headings(extract)) == (
        "Sales\n\nUp.",
        (Anchor(0, 1), Anchor(7, 2)),
        [("Sales", 1)],
    )


def test_epub(tmp_path: Path) -> None:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>Guide</dc:title><dc:creator>G. Obi</dc:creator><dc:language>en</dc:language></metadata><manifest>"
        '<item id="n" href="nav.xhtml" properties="nav"/><item id="b" href="b%20b.xhtml"/><item id="a" href="a.xhtml"/>'
        '</manifest><spine><itemref idref="n"/><itemref idref="b"/><itemref idref="a"/></spine></package>'
    )
    container = '<c><rootfiles><rootfile full-path="OEBPS/p.opf"/></rootfiles></c>'
    members = {
        "META-INF/container.xml": container,
        "OEBPS/p.opf": package,
        "OEBPS/nav.xhtml": "<p>Contents</p>",
    }
    members |= {
        "OEBPS/b b.xhtml": "<h1>First</h1><p>Text.</p>",
        "OEBPS/a.xhtml": "<h2>Second</h2><p>More.</p>",
    }
    extract = read(EpubReader(), make_zip(tmp_path / "file.epub", members))
    assert extract.text == "First\n\nText.\n\nSecond\n\nMore."
    assert headings(extract) == [("First", 1), ("Second", 2)]
    assert (extract.title, extract.language, extract.metadata) == ("Guide", "en", {"author": "G. Obi"})


@pytest.mark.parametrize("reader", [DocxReader(), PptxReader(), XlsxReader(), OdfReader(), EpubReader()])
def test_containers_that_are_refused(tmp_path: Path, reader: Reader) -> None:
    path = make_zip(tmp_path / "file", {"content.xml": "x" * 5000})
    with pytest.raises(UnreadableError, match="unpacks to more than"):
        read(reader, path, ReadLimits(expanded_bytes=1000))
    path = make_zip(tmp_path / "bomb", {"content.xml": "x" * (17 << 20)})
    with pytest.raises(UnreadableError, match="zip bomb"):
        read(reader, path)
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UnreadableError, match="damaged"):
        read(reader, path)
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(UnreadableError, match="password-protected"):
        read(reader, path)


def test_tables_as_lines() -> None:
    assert table_lines(
        [["Staff", "", ""], ["Name", "Room", "Phone"], ["Ann", "7", "81"], ["North", "North", "North"]]
    ) == [
        "Staff",
        "Name: Ann; Room: 7; Phone: 81",
        "North",
    ]
    assert (
        table_lines([["", "2024", ""], ["", "Q1", "Q2"], ["Sold", "1", "2"]], headers=2)[-1]
        == "Sold; Q1: 1; Q2: 2"
    )
    assert table_lines([["1", "2", "3"], ["4", "5", "6"]]) == ["1; 2; 3", "4; 5; 6"]
    assert table_lines([["", ""]]) == []
    assert not looks_like_header([["Name", "Room", "Name"], ["Ann", "7", "x"]])
    assert [is_number(cell) for cell in ("−84 %", "2026-03-01", "5 mW", "Petrel 3")] == [
        True,
        True,
        True,
        False,
    ]
