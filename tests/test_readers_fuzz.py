"""Damaged documents by chance: a short run of `tests/torture/fuzz_readers.py`, and what hypothesis thinks of."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.readers import FORMATS, read
from indexer.readers.messages import as_json, from_json, packed, unpacked
from retriever.errors import UnreadableError
from retriever.types import Anchor, Extract, Heading, Span
from tests.torture import fuzz_readers as fuzzing


def test_damaged_documents_are_read_or_skipped_with_a_reason() -> None:
    tally = fuzzing.fuzz(fuzzing.SAMPLE, 200, 11)
    assert tally.problems == []
    assert tally.crashes == tally.timeouts == 0
    assert tally.inputs == 200
    assert tally.read + tally.in_part + sum(tally.reasons.values()) == 200
    assert tally.read > 50
    assert sum(tally.reasons.values()) > 10


def test_the_same_seed_damages_alike() -> None:
    first, second, other = (fuzzing.fuzz(fuzzing.SAMPLE, 30, seed) for seed in (3, 3, 4))
    assert (first.read, first.reasons) == (second.read, second.reasons)
    assert (first.read, first.reasons) != (other.read, other.reasons)


def test_the_law_is_one_that_can_be_broken() -> None:
    for broken in (
        Extract(" ", "text"),
        Extract("a\0", "text"),
        Extract("a", "text", metadata={"x": ["\ud800"]}),
        Extract("a", "text", headings=(Heading(0, 2, 1),)),
        Extract("abc", "text", rows=(Span(0, 2), Span(1, 3))),
        Extract("abc", "text", pages=(Anchor(1, 1), Anchor(1, 2))),
        Extract("abc", "text", lines=(Anchor(3, 1),)),
        Extract("abc", "text", lines=(Anchor(0, 0),)),
    ):
        assert fuzzing.broken_law(broken)
    assert fuzzing.broken_law(Extract("abc", "text", headings=(Heading(0, 2, 1),))) == ""


PIECES = st.sampled_from(
    ["#", "=", "-", "*", "`", ">", "<", "/", "&", ";", ":", "|", '"', "'", "\\", "{", "}", "[", "]", "(", ")", "%", "$", "~",
     " ", "\n", "\r\n", "\t", "\r", "a", "word", "1", ",", ".", "\u0301", "\U0001f600", "\ufeff", "\0", "\x85", "<p>", "</p>",
     "<table>", "<tr>", "<td>", "<h1>", "<pre>", "<!--", "-->", "\\section{", "\\begin{verbatim}", "---\n", "===\n", "```\n",
     "From: a\n", "Subject: =?utf-8?q?a?=\n", "Content-Type: text/html\n", '{"text": "', '"}', "title: ", ":a: "]
)  # fmt: skip
SUFFIXES = sorted({suffixes[0] for suffixes in FORMATS.values()})


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(PIECES, max_size=40).map("".join), suffix=st.sampled_from(SUFFIXES))
def test_any_text_under_any_suffix(tmp_path: Path, content: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    reason = None
    try:
        for extract in read(path):
            assert fuzzing.broken_law(extract) == ""
    except UnreadableError as error:
        reason = str(error)
    assert reason is None or (reason.strip() and "\n" not in reason and "Error" not in reason)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none(content: bytes) -> None:
    try:
        message = unpacked(content)
        from_json(message.get("extract"))
    except ValueError:
        return
    assert len(message) == 1


NUMBERS = st.integers(0, 1 << 31)
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(), st.lists, max_leaves=5)


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Extract,
        text=st.text(st.characters()),
        format=st.sampled_from(list(FORMATS)),
        key=st.text(),
        title=st.text(),
        metadata=st.dictionaries(st.text(), VALUES, max_size=3),
        headings=st.lists(st.builds(Heading, NUMBERS, NUMBERS, NUMBERS), max_size=3).map(tuple),
        rows=st.lists(st.builds(Span, NUMBERS, NUMBERS), max_size=3).map(tuple),
        pages=st.lists(st.builds(Anchor, NUMBERS, NUMBERS), max_size=3).map(tuple),
        lines=st.none() | st.lists(st.builds(Anchor, NUMBERS, NUMBERS), max_size=3).map(tuple),
    )
)
def test_any_extract_goes_through_the_pipe_unchanged(extract: Extract) -> None:
    sent = packed({"extract": as_json(extract)})
    assert from_json(unpacked(sent[8:])["extract"]) == extract
    assert json.loads(sent[8:])
