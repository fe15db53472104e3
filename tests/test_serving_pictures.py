"""Where words stand on a page, whatever order the file has them in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("PIL", reason="what [serve] needs isn't installed")

from retriever.serving.picture_worker import Box, find, folded

WIDE = 0.01


def laid_out(*lines: str) -> list[tuple[str, Box]]:
    """Letters on lines of a grid."""
    return [
        (sign, (column * WIDE, row * 0.1, (column + 1) * WIDE, row * 0.1 + 0.05))
        for row, line in enumerate(lines)
        for column, letter in enumerate(line)
        for sign in folded(letter)
    ]


def spots(boxes: list[Box]) -> list[tuple[int, int, int]]:
    """Line, first and last column of each box."""
    return [(round(top / 0.1), round(left / WIDE), round(right / WIDE)) for left, top, right, _ in boxes]


def test_words_over_two_lines_have_a_box_on_each() -> None:
    page = laid_out("the signing offi-", "cer is here")
    assert spots(find(page, "signing officer is", "the ", " here")) == [(0, 4, 16), (1, 0, 6)]


def test_of_several_places_that_with_the_right_surroundings() -> None:
    page = laid_out("paid in 14 days by us", "paid in 14 days by you", "kept for 14 days")
    assert spots(find(page, "14 days", "paid in ", " by you")) == [(1, 8, 15)]
    assert spots(find(page, "14 days", "kept for ", "")) == [(2, 9, 16)]


def test_cells_that_the_file_has_in_another_order_are_found_one_by_one() -> None:
    page = laid_out("Team lead    above", "Ingrid       €25,000")
    boxes = spots(find(page, "above €25,000 Ingrid", "", ""))
    assert {line for line, _, _ in boxes} == {0, 1}


def test_ligatures_case_and_hyphens_do_not_hide_words() -> None:
    page = laid_out("OFﬁCE-HOURS")
    assert spots(find(page, "office hours", "", "")) == [(0, 0, 11)]


@pytest.mark.parametrize("text", ["", "  ", "nothing like it at all"])
def test_what_is_not_there_has_no_box(text: str) -> None:
    assert find(laid_out("the red cat sat"), text, "", "") == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "only PDFs have pictures of their pages"),
        (b"%PDF-1.7 and then nonsense", "the page can't be drawn: the PDF is damaged"),
    ],
)
def test_what_is_no_pdf_is_one_line(content: bytes, reason: str) -> None:
    command = [
        sys.executable,
        "-m",
        "retriever.serving.picture_worker",
        json.dumps({"page": 1, "width": 400}),
    ]
    ended = subprocess.run(command, input=content, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (3, b"")
    assert ended.stderr.decode().splitlines()[-1] == reason
