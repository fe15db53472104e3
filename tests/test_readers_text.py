"""Formats that are text: what is taken for a heading, a row, a title; and that the text itself stays as it is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from indexer.readers import FORMATS, read
from indexer.readers.encoding import decode
from indexer.readers.frontmatter import front_matter
from retriever.errors import UnreadableError
from retriever.types import Anchor, Extract


def extract(folder: Path, name: str, content: str | bytes) -> Extract:
    """The one document that a file with this content is read as."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (document,) = read(path)
    return document


def outline(document: Extract) -> list[tuple[int, str]]:
    return [(heading.level, document.text[heading.start : heading.end]) for heading in document.headings]


def test_markdown_headings_are_those_of_commonmark(tmp_path: Path) -> None:
    source = (
        "# One ##\r\n\r\ntext\r\n\r\n```\r\n# no heading\r\n```\r\n\r\nTwo\r\nlines\r\n---\r\n\r\n    # code\r\n\r\n"
        "###Three\r\n\r\n## *Four* {#id}\r\n\r\n> # quoted\r\n\r\n#\r\n"
    )
    document = extract(tmp_path, "a.md", source)
    assert document.text == source
    assert outline(document) == [(1, "One"), (2, "Two\r\nlines"), (2, "*Four*")]
    assert document.title == "One"


def test_markdown_front_matter_is_metadata_and_no_heading(tmp_path: Path) -> None:
    source = '---\ntitle: "On: tea"\nlang: en\ntags:\n  - green\n  - black # both\nyear: 2024\ndeep:\n  x: 1\n---\n# Tea\n'
    document = extract(tmp_path, "a.md", source)
    assert document.title == "On: tea"
    assert document.language == "en"
    assert document.metadata == {"title": "On: tea", "lang": "en", "tags": ["green", "black"], "year": 2024}
    assert outline(document) == [(1, "Tea")]


@pytest.mark.parametrize(
    "source", ["---\n\nText\n\n---\n", "--- a\nb: c\n---\n", "---\na: b\n", "a: b\n---\n"]
)
def test_rules_are_no_front_matter(source: str) -> None:
    assert front_matter(source) == ({}, 0)


def test_rst_levels_go_by_the_order_of_adornments(tmp_path: Path) -> None:
    source = (
        "=====\nTitle\n=====\n\n:Author: Ann\n         Bee\n\nPart\n----\ntext\n\nDeep\n~~~~\n\n"
        "code::\n\n    Not one\n    -------\n\n- item\n-------\n\nline\nNot one\n-------\n\nShort one\n----\n\n----\n\nLast\n====\n"
    )
    document = extract(tmp_path, "a.rst", source)
    assert outline(document) == [(1, "Title"), (2, "Part"), (3, "Deep"), (2, "Short one"), (4, "Last")]
    assert document.title == "Title"
    assert document.metadata == {"author": "Ann Bee"}
    assert document.text == source


def test_rst_header_of_a_pep(tmp_path: Path) -> None:
    source = "PEP: 8\nTitle: Style Guide\nAuthor: A <a@b.c>,\n        B\nStatus: Active\n\n\nIntro\n=====\n\nMore\n====\n"
    document = extract(tmp_path, "a.rst", source)
    assert document.title == "PEP 8 – Style Guide"
    assert document.metadata == {
        "pep": "8",
        "title": "Style Guide",
        "author": "A <a@b.c>, B",
        "status": "Active",
    }
    assert outline(document) == [(1, "Intro"), (1, "More")]


def test_rst_without_a_lone_first_section_has_no_title(tmp_path: Path) -> None:
    assert extract(tmp_path, "a.rst", "One\n===\n\nTwo\n===\n\ntext\n").title == ""


def test_latex_commands_outside_comments_and_listings(tmp_path: Path) -> None:
    source = (
        "\\title{On \\emph{small} models\\thanks{Funded}}\n\\author{Ann \\and Bee}\n%\\section{No}\n"
        "\\newcommand{\\mysec}[1]{\\section{#1}}\n\\section*{50\\% more}\n\\begin{verbatim}\n\\section{no}\n\\end{verbatim}\n"
        "\\subsection[short]{\\label{x}A {nested} one}\n"
    )
    document = extract(tmp_path, "a.tex", source)
    assert outline(document) == [
        (1, "On \\emph{small} models\\thanks{Funded}"),
        (2, "50\\% more"),
        (3, "A {nested} one"),
    ]
    assert document.title == "On small models"
    assert document.metadata == {"author": "Ann Bee"}


def test_asciidoc_titles_outside_blocks(tmp_path: Path) -> None:
    source = (
        "= Guide\n:author: Ann\n\n== One ==\n\n----\n== no\n----\n\nOld\n~~~\n\ntext\n\n====\n== no\n====\n"
    )
    document = extract(tmp_path, "a.adoc", source)
    assert outline(document) == [(1, "Guide"), (2, "One"), (3, "Old")]
    assert (document.title, document.metadata) == ("Guide", {"author": "Ann"})


@pytest.mark.parametrize(
    ("delimiter", "name"), [(",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv"), ("|", "a.csv")]
)
def test_csv_rows_carry_the_names_of_their_columns(tmp_path: Path, delimiter: str, name: str) -> None:
    rows = [["Item", "Price", "Note"], ["Tea", "1.50", '"two\nlines"'], ["Milk", "", ""], ["Jam", "3", "new"]]
    document = extract(tmp_path, name, "".join(delimiter.join(row) + "\r\n" for row in rows))
    assert (
        document.text == "Item: Tea; Price: 1.50; Note: two lines\nItem: Milk\nItem: Jam; Price: 3; Note: new"
    )
    assert [document.text[row.start : row.end] for row in document.rows] == document.text.split("\n")
    assert document.lines == (Anchor(0, 2), Anchor(40, 4), Anchor(51, 5))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1,2\na,b\n", "1; 2\na; b"),  # no names
        ("Ort;Preis\nWien;1,50\nGraz;2,50\n", "Ort: Wien; Preis: 1,50\nOrt: Graz; Preis: 2,50"),
        ("A,B\n1,2,3\n4\n5,6\n", "A: 1; B: 2; 3\nA: 4\nA: 5; B: 6"),  # ragged
        (
            "Sales of May\n\nItem,Price\nTea,1\nJam,2\n",
            "Sales of May\nItem: Tea; Price: 1\nItem: Jam; Price: 2",
        ),
        (
            'Name,Height\nJo,6" tall\nAl,"5\n',
            'Name: Jo; Height: 6" tall\nName: Al; Height: "5',
        ),  # stray quotes
        ("sep=;\nA;B\n1;2\n", "A: 1; B: 2"),
        ("Name\nAnn\nBob\n", "Name: Ann\nName: Bob"),
        ("Name,Price\n", "Name; Price"),
        ("land,1999,2000\nChad,1,2\n", "land: Chad; 1999: 1; 2000: 2"),
    ],
)
def test_csv_of_every_kind_keeps_its_words(tmp_path: Path, source: str, text: str) -> None:
    assert extract(tmp_path, "a.csv", source).text == text


def test_jsonl_keys_titles_and_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [
        json.dumps({"id": "a", "title": "A", "text": "one\ntwo", "year": 3, "lang": "de"}),
        "",
        json.dumps({"_id": 7, "text": "seven"}),
        "not json",
        json.dumps({"text": "bare"}),
        '{"id": "a", "text": "lone \\ud800, nul \\u0000", "x": NaN, "y": 1e999}',
        "[" * 100_000,
        '{"text": 5}',
    ]
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    documents = []
    reason = ""
    try:
        for document in read(path):
            documents.append(document)  # noqa: PERF402 - what came before the error counts
    except UnreadableError as error:
        reason = str(error)
    assert reason == (
        "line 4 isn't a JSON object with a 'text' (2 such lines skipped); "
        "line 7 is nested deeper than 100 (1 such line skipped)"
    )
    assert [document.key for document in documents] == ["a", "7", "5", "a~2"]
    assert [document.lines for document in documents] == [(Anchor(0, line),) for line in (1, 3, 5, 6)]
    assert documents[3].text == "lone \ufffd, nul \ufffd"
    assert documents[3].metadata == {"x": None, "y": None}


def test_jsonl_delivers_good_rows_before_it_complains(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": "a", "title": "A", "text": "one", "n": 3}\nbad\n{"id": "a", "text": "two"}\n{"text": "x"}'
    )
    documents = read(path)
    assert [next(documents).key for _ in range(3)] == ["a", "a~2", "4"]
    with pytest.raises(UnreadableError, match=r"^line 2 isn't .* \(1 such line skipped\)$"):
        next(documents)


def test_jsonl_row_is_what_it_says(tmp_path: Path) -> None:
    row = {"_id": 7, "title": " A  b", "text": "line\none", "year": 3, "lang": "de", "tags": ["x"]}
    document = extract(tmp_path, "a.ndjson", json.dumps(row))
    assert document == Extract(
        text="line\none",
        format="jsonl",
        key="7",
        title="A b",
        language="de",
        metadata={"year": 3, "lang": "de", "tags": ["x"]},
        lines=(Anchor(0, 1),),
    )


MAIL = """From: =?utf-8?q?J=C3=B6rg?= <j@example.org>\r
To: a@example.org,\r
 b@example.org\r
Subject: =?iso-8859-1?q?Gr=FC=DFe?= from\r
 here\r
Date: Tue, 03 Feb 2026 08:52:11 +0100\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=X\r
\r
--X\r
Content-Type: multipart/alternative; boundary=Y\r
\r
--Y\r
Content-Type: text/plain; charset=no-such\r
Content-Transfer-Encoding: 8bit\r
\r
Schöne Grüße\r
--Y\r
Content-Type: text/html\r
\r
<p>HTML form</p>\r
--Y--\r
--X\r
Content-Type: application/pdf; name=plan.pdf\r
Content-Disposition: attachment; filename=plan.pdf\r
\r
xyz\r
--X\r
Content-Type: message/rfc822\r
\r
Subject: Inner\r
From: c@example.org\r
\r
Inner words\r
--X--\r
"""


def test_mail(tmp_path: Path) -> None:
    document = extract(tmp_path, "a.eml", MAIL)
    assert document.text == "Schöne Grüße\n\nSubject: Inner\nFrom: c@example.org\n\nInner words"
    assert document.title == "Grüße from here"
    assert document.metadata == {
        "from": "Jörg <j@example.org>",
        "to": "a@example.org, b@example.org",
        "date": "2026-02-03T08:52:11+01:00",
        "attachments": ["plan.pdf"],
    }
    assert document.lines == ()


def test_mail_with_html_only(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    source = "Subject: S\nContent-Type: text/html; charset=utf-8\n\n<h1>Head</h1><p>Some words of it</p>"
    document = extract(tmp_path, "a.eml", source)
    assert "Some words of it" in document.text
    assert "<" not in document.text


def test_mail_with_malformed_headers(tmp_path: Path) -> None:
    document = extract(tmp_path, "a.eml", b"From: =?x?q?\nTo: <<>>,;\nDate: soon\nSubject: \xff\n\nwords\n")
    assert document.text.strip() == "words"
    assert document.metadata["date"] == "soon"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Schöne Grüße aus Köln", "utf-8-sig"),
        ("Schöne Grüße aus Köln", "utf-16"),
        ("Schöne Grüße aus Köln", "utf-16-le"),
        ("Schöne Grüße aus Köln", "utf-32"),
        ("Schöne Grüße aus Köln", "cp1252"),
        ("Nous avons décidé d'aller à la plage où il était", "cp1252"),
        ("“Quoted” – it’s €5", "cp1252"),
        ("Příliš žluťoučký kůň, řekl učitel žákům ve škole.", "cp1250"),
        ("Все счастливые семьи похожи друг на друга.", "cp1251"),
        ("Все счастливые семьи похожи друг на друга, каждая несчастливая по-своему. " * 3, "koi8-r"),
        ("所有幸福的家庭都是相似的,每个不幸的家庭各有各的不幸。", "gb18030"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "shift_jis"),
    ],
)
def test_encodings(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_broken_byte_does_not_change_the_rest() -> None:
    assert decode("Grüße und Küsse, schön".encode() + b"\xff!") == "Grüße und Küsse, schön\ufffd!"


@pytest.mark.parametrize("data", [bytes(range(256)) * 4, b"\0\1\2\3" * 50, bytes(range(1, 32)) * 9])
def test_binary_is_no_text(data: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"^binary file$"):
        decode(data)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.md", "# " + " " * 50_000 + "x" + " " * 50_000 + "x"),
        ("a.md", "# #" + " \t" * 50_000 + "x"),
        ("a.tex", "\\begin{verbatim}" * 20_000),
        ("a.tex", "\\section[" * 20_000),
        ("a.adoc", "= a" + " " * 60_000 + "b"),
        ("a.txt", "<!-- -->" * 20_000),
        ("a.csv", 'a,b\n1,"x\n' + "2,y\n" * 20_000),
    ],
)
def test_hostile_text_takes_no_longer_than_other_text(tmp_path: Path, name: str, source: str) -> None:
    started = time.perf_counter()
    extract(tmp_path, name, source)
    assert time.perf_counter() - started < 5


def test_mainframe_text() -> None:
    text = "THIS IS A LINE OF TEXT FROM THE MAINFRAME\n" * 5
    assert decode(text.encode("cp037")) == text


def test_formats_name_each_suffix_once() -> None:
    suffixes = [suffix for of_format in FORMATS.values() for suffix in of_format]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in suffixes)


def test_importing_the_readers_imports_no_parser() -> None:
    parsers = ["charset_normalizer", "docx", "lxml", "markdown_it", "openpyxl", "pptx", "pypdfium2"]
    command = f"import sys, indexer.readers; print([name for name in {parsers} if name in sys.modules])"
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
