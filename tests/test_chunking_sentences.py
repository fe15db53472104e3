"""Sentence boundaries: each case is a text with `|` where a new sentence must start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.chunking import sentence_spans


@pytest.mark.parametrize(
    "marked",
    [
        "One thing. |Another! |A third? |And so on… |Done",
        "He said “Stop!” |Then he left. |(Quietly.) |“Why?” she asked.",
        "Ask Dr. Ahmed, e.g. on Monday, i.e. before noon. |Mr. J. R. Smith is away.",
        "See No. 5 and Fig. 2 on p. 14. |She said no. |He agreed.",
        "It costs 3.5 million, or 1.250,00 €. |Version 2.0.1 is out.",
        "It opens at 5 p.m. on Fridays. |It closes at 11 p.m. |Nobody stays.",
        "Am 3. Mai und im 19. Jahrhundert, z. B. in Bonn. |Das ist Nr. 7.",
        "It was founded in 1987. |The first office had 12. |It grew.",
        "1. First item\n|2. Second item\n|a) third\n|- fourth\n|• fifth",
        "A line\nthat is wrapped. |Next\n\n|Paragraph\r\n \r\n|Third\r\r|after CR",
        "今日は晴れです。|「本当？」|はい！|圧力は３．５です",
        "यह पहला है। |यह दूसरा है॥ |هل هذا صحيح؟ |نعم",
        "Chapter 1 . . . . . . 12 and ...... 14",
        "Use .NET or node.js. |Both work!",
        "Heading\n=======\n\n|Name  Size\n|====  ====\nDunlin 3",
        "It wades.[3] |It flies.[4][b] |It rests.",
        "So what?! |Nothing... |Nothing at all... really.",
    ],
)
def test_boundaries(marked: str) -> None:
    expected = [sentence.strip() for sentence in marked.split("|")]
    text = marked.replace("|", "")
    assert [text[span.start : span.end] for span in sentence_spans(text)] == expected


def test_lines_of_a_table() -> None:
    lines = ["| name | size |", "| dunlin | 3 |", "Text below."]
    text = "\n".join(lines)
    assert [text[span.start : span.end] for span in sentence_spans(text)] == lines


def test_only_the_given_part() -> None:
    text = "Zero. One. Two. Three."
    spans = sentence_spans(text, 6, 15)
    assert [text[span.start : span.end] for span in spans] == ["One.", "Two."]


def test_a_mark_stays_with_its_full_stop() -> None:
    text = "終わり。\u3099次"
    assert [text[span.start : span.end] for span in sentence_spans(text)] == [text]


@given(st.text(alphabet=st.sampled_from("aB. !?…。\n\r\t\"'(|-1\u0301\u2029\U0001f600\0"), max_size=200))
def test_sentences_hold_everything_but_white_space(text: str) -> None:
    spans = sentence_spans(text)
    position = 0
    for span in spans:
        assert position <= span.start < span.end
        assert not text[position : span.start].strip()
        sentence = text[span.start : span.end]
        assert sentence == sentence.strip()
        position = span.end
    assert not text[position:].strip()
