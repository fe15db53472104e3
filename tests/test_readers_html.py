"""HTML and XML: what is text and what is around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.html import HtmlReader, extract_html
from indexer.readers.xml import XmlReader
from retriever.errors import UnreadableError
from retriever.types import Anchor, Extract

LIMITS = ReadLimits()


def headings(extract: Extract) -> list[tuple[str, int]]:
    return [(extract.text[h.start : h.end], h.level) for h in extract.headings]


def read_xml(tmp_path: Path, data: bytes) -> Extract:
    path = tmp_path / "file.xml"
    path.write_bytes(data)
    (extract,) = XmlReader().read(SourceFile(path, len(data)), LIMITS)
    return extract


def test_a_page(tmp_path: Path) -> None:
    page = b"""<!doctype html>
<html lang="de-CH"><head><title> The  page </title><meta name="author" content="A. Author"><style>p{}</style></head>
<body><nav><a>Home</a></nav>
<h1>Care</h1>
<p>Wipe the&nbsp;<b>cap</b>.<br>Dry it, bird<wbr>cage &amp; all.</p>
<ul><li>cloth</li><li>water<ul><li>warm</li></ul></li></ul>
<pre>
  a = 1
    b
</pre>
<footer>Imprint</footer></body></html>"""
    path = tmp_path / "page.html"
    path.write_bytes(page)
    (extract,) = HtmlReader().read(SourceFile(path, len(page)), LIMITS)
    assert extract.text == (
        "Care\n\nWipe the cap.\nDry it, birdcage & all.\n\n- cloth\n- water\n- warm\n\na = 1\n  b"
    )
    assert headings(extract) == [("Care", 1)]
    assert (extract.title, extract.language, extract.format) == ("The page", "de", "html")
    assert extract.metadata == {"author": "A. Author"}
    assert extract.lines is not None
    assert extract.lines[:2] == (Anchor(0, 4), Anchor(6, 5))


def test_tables() -> None:
    text = extract_html(
        "<table><caption>Offices</caption><tr><th>City</th><th>People</th></tr>"
        "<tr><td rowspan=2>Bern</td><td>7</td></tr><tr><td>8</td></tr></table>"
        "<table><tr><td>Born</td><td>1912</td></tr><tr><td>Field:</td><td>logic</td></tr></table>"
        "<table><tr><td><p>Only</p><p>layout</p></td></tr></table>",
        LIMITS,
    ).text
    assert text == (
        "Offices\nCity: Bern; People: 7\nCity: Bern; People: 8\n\nBorn: 1912\nField: logic\n\nOnly\n\nlayout"
    )


def test_what_surrounds_the_text_is_left_out() -> None:
    page = (
        "<body><header><p>Site</p></header><div class='cookie-banner'>We bake</div><div role=navigation>Menu</div>"
        "<div hidden>no</div><p style='display: none'>no</p><script>no()</script><aside>Ads</aside>"
        "<main><header><h1>Kept</h1></header><p>The text of the page.</p><div class=sidebar>More</div></main></body>"
    )
    assert extract_html(page, LIMITS).text == "Kept\n\nThe text of the page."


def test_a_page_that_is_all_navigation_is_kept() -> None:
    assert extract_html("<body><nav><p>Everything is in here, oddly.</p></nav></body>", LIMITS).text == (
        "Everything is in here, oddly."
    )


@pytest.mark.parametrize(
    "data",
    [
        "<p>Zürich</p>".encode(),
        "\ufeff<p>Zürich</p>".encode("utf-16"),
        '<meta charset="iso-8859-1"><p>Zürich</p>'.encode("cp1252"),
        "<p>Zürich</p>".encode("cp1252"),
        '<?xml version="1.0" encoding="UTF-8"?><html><p>Zürich</p></html>'.encode(),
    ],
)
def test_encodings(data: bytes) -> None:
    assert extract_html(data, LIMITS).text.removeprefix("\ufeff") == "Zürich"


def test_deep_nesting_ends_well() -> None:
    assert "deep" in extract_html("<div>" * 1500 + "deep" + "</div>" * 1500, LIMITS).text


@pytest.mark.parametrize("data", [b"", b" \n", b"<html></html>"])
def test_no_text(data: bytes) -> None:
    assert extract_html(data, LIMITS).text == ""


def test_an_article_in_xml(tmp_path: Path) -> None:
    extract = read_xml(
        tmp_path,
        b"<article xml:lang='en'><front><article-title>On H<sub>2</sub>O</article-title>"
        b"<name><surname>Moe</surname><given-names>Ann</given-names></name></front>"
        b"<body><sec><title>Method</title><p>We <b>boiled</b> it.</p>"
        b"<table><thead><tr><th>T</th><th>p</th></tr></thead><tr><td>10</td><td>2</td></tr></table></sec></body></article>",
    )
    assert extract.text == "On H2O\n\nMoe Ann\n\nMethod\n\nWe boiled it.\n\nT: 10; p: 2"
    assert headings(extract) == [("On H2O", 1), ("Method", 2)]
    assert (extract.title, extract.language, extract.format) == ("On H2O", "en", "xml")


def test_an_xml_bomb_is_refused(tmp_path: Path) -> None:
    bomb = b"<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'><!ENTITY c '&b;&b;&b;'>]><x>&c;</x>"
    with pytest.raises(UnreadableError, match="bomb"):
        read_xml(tmp_path, bomb)


def test_xml_doesnt_reach_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden words")
    outer = f"<!DOCTYPE x [<!ENTITY a SYSTEM '{secret.as_uri()}'>]><x>seen &a;</x>"
    assert "hidden" not in read_xml(tmp_path, outer.encode()).text
