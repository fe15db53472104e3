"""What `spanseek search` shows: answers in their sentences, passages below, JSON for programs; hand-made responses."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from cli.main import main
from cli.one_line import one_line, printable
from cli.render import print_response
from cli.snippet import LONGEST, snippet, snippet_around
from retriever.as_json import response_as_json
from retriever.config import RerankConfig
from retriever.types import Answer, AnswerScores, Hit, Response, Scores, TextSpan, Timings

RELEASE = "## Who signs\n\nReleases are made on Tuesdays.  A release is approved by\n\tthe team manager. It is then built."
OFFSET = 100
"""Where passages start in their documents."""


def answer(text: str = "the team manager", passage: str = RELEASE, **other: Any) -> Answer:
    start = OFFSET + passage.index(text)
    values: dict[str, Any] = {
        "rank": 1,
        "confidence": 0.8749,
        "document_id": "docs/release.md",
        "path": "docs/release.md",
        "title": "Handbook",
        "headings": ("Release", "Who signs"),
        "page": None,
        "line": 7,
        "scores": AnswerScores(0.75, 0.5, None, -0.1, -0.2, -3.0),
    }
    return Answer(
        **values | other,
        start=start,
        end=start + len(text),
        text=text,
        passage=TextSpan(OFFSET, OFFSET + len(passage), passage),
    )


def hit(text: str = RELEASE, rank: int = 1, document: str = "docs/release.md", **other: Any) -> Hit:
    values: dict[str, Any] = {"title": "", "headings": (), "page": None, "line": 5, "score": 0.75}
    return Hit(
        **values | other,
        rank=rank,
        document_id=document,
        path=document,
        start=OFFSET,
        end=OFFSET + len(text),
        text=text,
        scores=Scores(0.75, 0.5, 8.25),
    )


def response(*answers: Answer, hits: Sequence[Hit] = (), confidence: float = 0.8749) -> Response:
    return Response("who approves a release?", answers, tuple(hits), confidence)


def plain(shown: Response, **options: Any) -> str:
    """What a pipe or a file gets."""
    out = Console(
        file=io.StringIO(), force_terminal=False, width=1_000_000, soft_wrap=True, color_system=None
    )
    print_response(out, shown, **options)
    return out.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def terminal(shown: Response, width: int = 80, *, no_color: bool = False, **options: Any) -> Text:
    """What a terminal shows, with its styles."""
    out = Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        no_color=no_color,
        width=width,
        height=50,
    )
    print_response(out, shown, **options)
    return Text.from_ansi(out.file.getvalue())  # type: ignore[attr-defined]


def painted(shown: Text, style: str) -> list[str]:
    """The stretches that have exactly this style."""

    def signs(style: Style) -> tuple[object, ...]:
        return style.bold, *(color and color.number for color in (style.color, style.bgcolor))

    wanted = signs(Style.parse(style))
    return [
        shown.plain[span.start : span.end]
        for span in shown.spans
        if isinstance(span.style, Style) and signs(span.style) == wanted
    ]


def without_blanks(text: str) -> str:
    return "".join(text.split())


def test_answers_come_first_each_with_its_place_and_sentences() -> None:
    other = hit("Prices fell.\nA release costs nothing.", 2, "docs/prices.txt", title="Prices")
    assert plain(response(answer(), hits=[hit(), other])) == (
        "87%  the team manager\n"
        "     docs/release.md:7  Handbook > Release > Who signs\n"
        "     Releases are made on Tuesdays. A release is approved by the team manager. It is then built.\n"
        "\n"
        "More passages:\n"
        "\n"
        "  2  docs/prices.txt:5  Prices\n"
        "     Prices fell. A release costs nothing.\n"
        "\n"
    )


def test_in_a_terminal_the_answer_is_highlighted_in_its_sentence() -> None:
    shown = terminal(response(answer(), hits=[hit(), hit(rank=2, document="other.md")]))
    assert painted(shown, "bold green") == ["the team manager"] * 2
    assert painted(shown, "bold cyan") == ["docs/release.md:7", "other.md:5"]
    assert "More passages ─" in shown.plain
    assert all(line == line.rstrip() for line in shown.plain.splitlines())
    uncoloured = terminal(response(answer()), no_color=True)
    assert painted(uncoloured, "bold") == ["the team manager", "docs/release.md:7", "the team manager"]


def test_no_answer_is_one_line_then_the_passages() -> None:
    shown = plain(response(hits=[hit()], confidence=0.1234))
    assert shown.splitlines()[:3] == [
        "No answer found in these documents (best guess: 12%). The closest passages:",
        "",
        "  1  docs/release.md:5",
    ]
    assert plain(response(hits=[hit()], confidence=0)).startswith("No answer found in these documents. The ")
    for options in ({"answers": False}, {"answers": False, "explain": True}):
        assert plain(response(answer(), hits=[hit()]), **options).startswith("  1  docs/release.md:5\n")


def test_pages_rows_and_documents_from_memory_have_places() -> None:
    assert "     docs/release.md page 4  " in plain(response(answer(page=4)))
    assert "     rows.jsonl#r1:7  " in plain(response(answer(document_id="rows.jsonl#r1", path="rows.jsonl")))
    assert "     memo  " in plain(response(answer(document_id="memo", path=None, line=None)))


def test_a_file_that_is_not_what_was_indexed_is_marked() -> None:
    for source, words in (
        ("changed", "(changed since it was indexed)"),
        ("gone", "(its file is gone)"),
        ("unknown", "(its file can't be compared)"),
    ):
        marked = response(answer(source=source), hits=[hit(rank=2, document="other.md", source=source)])
        assert f"     docs/release.md:7 {words}  Handbook > Release > Who signs\n" in plain(marked)
        assert f"  2  other.md:5 {words}\n" in plain(marked)
        shown = terminal(marked)
        assert painted(shown, "yellow") == [words] * 2
        assert painted(shown, "bold cyan") == ["docs/release.md:7", "other.md:5"]
        assert terminal(marked, no_color=True).plain == shown.plain
    assert "(" not in plain(response(answer(), hits=[hit(rank=2, document="other.md")]))


@pytest.mark.parametrize("width", [20, 40, 50, 60])
def test_in_a_narrow_terminal_the_mark_is_whole_and_the_title_is_cut(width: int) -> None:
    shown = terminal(response(answer(source="changed")), width).plain.split("\n", 1)[1]
    assert "(changed since it was indexed)" in " ".join(shown.split())
    assert all(cell_len(line) <= width for line in shown.splitlines())
    assert shown.replace("\n", "").startswith("     docs/release.md:7")
    if width == 60:
        assert shown.startswith("     docs/release.md:7 (changed since it was indexed)\n     Releases")
    elif width > 20:
        assert "Who signs\n     (changed since it was indexed)\n     Releases" in shown


def test_a_place_is_never_cut_and_titles_are() -> None:
    long_path = "a-rather/long-path/" * 6 + "file.md"
    shown = terminal(response(answer(path=long_path, document_id=long_path)), width=40).plain
    assert f"{long_path}:7" in shown.replace("\n", "").replace(" ", "")
    shown = terminal(response(answer(title="Title " * 40)), width=60).plain
    assert "docs/release.md:7  … > Release > Who signs\n" in shown
    shown = terminal(response(answer(headings=("Heading " * 20,))), width=60).plain
    assert "docs/release.md:7  … > Heading Heading" in shown
    assert all(cell_len(line) <= 60 for line in shown.splitlines())


def test_what_is_the_whole_passage_is_said_once() -> None:
    assert plain(response(answer("In Paris", "In Paris\n", headings=(), title=""))) == (
        "87%  In Paris\n     docs/release.md:7\n\n"
    )


def test_an_answer_longer_than_a_snippet_is_shown_whole() -> None:
    long = "word " * 150 + "end"
    shown = response(answer(long, f"Before. So {long} of it. After."))
    screen = terminal(shown)
    assert screen.plain.splitlines()[0].endswith("…")
    assert without_blanks("".join(painted(screen, "bold green")[1:])) == without_blanks(long)
    assert plain(shown).splitlines()[0] == f"87%  {long}"


@pytest.mark.parametrize(
    ("text", "passage"),
    [
        ("ראש הצוות", "הרכש מאושר על ידי ראש הצוות בלבד."),
        ("رئيس القسم", "يوافق رئيس القسم على المشتريات."),
        ("部長", "購入は部長が承認します。" * 80),
        ("👩‍👩‍👧 the\t\tfamily 👍🏽", "We are 👩‍👩‍👧 the\t\tfamily 👍🏽\n\nof five."),
        ("cafe\u0301\r\nin  Paris", "The cafe\u0301\r\nin  Paris is open."),
        ("red \x1b[31m\x07\x9b bell", "A red \x1b[31m\x07\x9b bell rings."),
        (" padded\n", "It is padded\n\nwith blanks."),
        ("[bold]markup[/bold]", "No [bold]markup[/bold] here :smile:."),
    ],
)
def test_odd_text_breaks_neither_display_nor_highlighting(text: str, passage: str) -> None:
    shown = terminal(response(answer(text, passage, title="a\x1b[0m\nb"), hits=[hit(passage, 2, "other")]))
    expected = without_blanks(printable(" ".join(text.split())))
    assert without_blanks("".join(painted(shown, "bold green"))) == expected * 2
    assert not {character for character in shown.plain if ord(character) < 32} - {"\n"}
    assert all(cell_len(line) <= 80 for line in shown.plain.splitlines())


def test_explain_shows_the_parts_of_every_score_and_every_passage() -> None:
    shown = plain(response(answer(), hits=[hit()]), explain=True)
    assert (
        "     start 90% · end 82% · no answer 5% · passage 0.750 · meaning: cosine 0.500 · "
        "words: none of its best · characters 172-188\n"
    ) in shown
    assert "All passages:\n\n  1  docs/release.md:5\n" in shown
    assert "     score 0.750 · meaning: cosine 0.500 · words: BM25 8.25 · characters 100-207\n" in shown


def test_words_are_shaded_by_how_likely_they_are_the_answer() -> None:
    words = [(m, m + len(word)) for word in RELEASE.split() for m in [RELEASE.index(word)]]
    weights = {"the": 0.6, "team": 0.7, "manager.": 0.3, "Tuesdays.": 0.06}
    shades = [(start, end, weights.get(RELEASE[start:end], 0.01)) for start, end in words]
    shown = terminal(response(hits=[hit(), hit(rank=2)]), 110, explain=True, shades=[shades, []])
    assert painted(shown, "black on green") == ["the team"]
    assert painted(shown, "bold green") == ["manager."]
    assert painted(shown, "green") == ["Tuesdays."]
    usual = ["Releases", "release", "approved"]
    assert painted(shown, "bold yellow") == usual, "the question's words, in the passage without shades"


def test_whole_passages() -> None:
    passage = "One. " * 200 + "Here it is. " + "Two. " * 200
    assert len(plain(response(answer("Here", passage)))) < 600
    assert passage.strip() in plain(response(answer("Here", passage)), whole=True)


def test_json_is_the_contract() -> None:
    scores = AnswerScores(0.123456789, None, 8.5, float("-inf"), -0.00000001, -3.0)
    shown = response_as_json(response(answer(scores=scores), hits=[hit()]), took_ms=12.345)
    assert list(shown) == ["question", "answers", "confidence", "passages", "took_ms"]
    assert (shown["confidence"], shown["took_ms"]) == (0.8749, 12.3)
    assert json.dumps(shown["answers"], allow_nan=False) == json.dumps(
        [
            {
                "text": "the team manager",
                "confidence": 0.8749,
                "document": "docs/release.md",
                "path": "docs/release.md",
                "source": "same",
                "page": None,
                "line": 7,
                "start": 172,
                "end": 188,
                "passage": {"text": RELEASE, "start": 100, "end": 207},
                "scores": {
                    "fused": 0.123457,
                    "dense": None,
                    "lexical": 8.5,
                    "start": None,
                    "end": 0.0,
                    "no_answer": -3.0,
                },
            }
        ]
    )
    names = "rank score document path source title headings page line start end text scores"
    passages: Any = shown["passages"]
    assert [list(passage) for passage in passages] == [names.split()]


TIMINGS = Timings(
    load=812.3456, encode=12.0, dense=0.04, lexical=1.23456, fetch=2.0, read=1234.5, rank=3.0, total=2066.0
)


def test_json_has_the_time_of_each_stage_where_it_is_asked_for() -> None:
    timed = replace(response(answer(), hits=[hit()]), timings=TIMINGS, read=12)
    shown = response_as_json(timed, took_ms=1.0, explain=True)
    names = ["question", "answers", "confidence", "passages", "took_ms", "read", "timings_ms"]
    assert list(shown) == names
    assert shown["read"] == 12
    assert json.dumps(shown["timings_ms"]) == (
        '{"load": 812.35, "encode": 12.0, "dense": 0.04, "lexical": 1.23, "fetch": 2.0, "read": 1234.5, '
        '"rank": 3.0, "total": 2066.0}'
    )
    assert list(response_as_json(timed, took_ms=1.0)) == names[:5]


def test_explain_ends_with_the_time_of_each_stage() -> None:
    timed = replace(response(answer(), hits=[hit()]), timings=TIMINGS, read=12)
    assert plain(timed, explain=True).splitlines()[-1] == (
        "1,254 ms: question 12 · meaning 0.0 · words 1.2 · fetch 2.0 · read 12 passages 1,234 · rank 3.0 · "
        "loading models before that 812"
    )
    warm = replace(
        timed,
        timings=Timings(load=0.01, encode=9.96, dense=0.1, lexical=1.0, fetch=1.5, rank=2.0, total=15.0),
    )
    assert plain(warm, answers=False, explain=True).splitlines()[-1] == (
        "15 ms: question 10.0 · meaning 0.1 · words 1.0 · fetch 1.5 · rank 2.0"
    ), "nothing was read or loaded"
    assert "ms:" not in plain(timed)


def test_headings_that_the_place_shows_are_not_repeated() -> None:
    passage = "# 2. Who signs?\n\nThe manager signs.\n\n# Other\n\nText."
    headings = ("Purchasing", "2. Who signs?")
    assert snippet(passage, "manager", headings=headings).text == "The manager signs. # Other Text."
    start = passage.index("Who signs")
    part = snippet_around(passage, start, start + 9, headings=headings)
    assert [part.text[a:b] for a, b in part.marks] == ["Who signs"], "an answer in a heading is shown"
    assert snippet("Who signs", "signs", headings=("Who signs",)).text == "Who signs"


def test_a_snippet_has_whole_sentences_on_both_sides() -> None:
    passage = " ".join(f"Sentence number {i} says little." for i in range(60))
    start = passage.index("number 30")
    part = snippet_around(passage, start, start + 9)
    assert part.text.startswith("… Sentence number 2")
    assert part.text.endswith("says little. …")
    before, _, after = part.text.partition("number 30")
    assert abs(len(before) - len(after)) < 60
    assert LONGEST - 60 < len(part.text) <= LONGEST + 4


_FRAGMENTS = st.one_of(
    st.sampled_from(
        [
            "word ",
            "Word. ",
            "\n\n",
            "\t",
            "\r\n",
            "  ",
            "漢字。",
            "e\u0301",
            "👨‍👩‍👧",
            "שלום ",
            "\x1b[1m",
            "\u2028",
        ]
    ),
    st.sampled_from(["x" * 150, "漢" * 150, "Sentence one. " * 20, "a, " * 50, " " * 500]),
    st.text(max_size=8),
)


@st.composite
def _spans(draw: st.DrawFn) -> tuple[str, int, int]:
    passage = "".join(draw(st.lists(_FRAGMENTS, min_size=1, max_size=30)))
    start = draw(st.integers(0, len(passage)))
    return (
        passage,
        start,
        draw(st.integers(start, min(len(passage), start + draw(st.sampled_from([9, 2000]))))),
    )


@given(_spans(), st.booleans(), st.sampled_from([200, LONGEST]))
def test_the_highlighted_stretch_is_the_answer(span: tuple[str, int, int], whole: bool, longest: int) -> None:
    passage, start, end = span
    part = snippet_around(passage, start, end, whole=whole, longest=longest)
    expected = printable(" ".join(passage[start:end].split()))
    ((first, last),) = part.marks
    assert part.text[first:last] == expected
    assert part.text.removeprefix("… ").removesuffix(" …") in one_line(passage).text
    if not whole:
        assert len(part.text) <= max(longest, len(expected)) + 4


@given(_spans(), st.sampled_from([30, 80]))
def test_a_terminal_shows_the_answer_whatever_it_is(span: tuple[str, int, int], width: int) -> None:
    passage, start, end = span
    expected = without_blanks(printable(" ".join(passage[start:end].split())))
    if not expected:
        return
    found = answer("", passage, title="", headings=())
    found = Answer(
        **{name: getattr(found, name) for name in Answer.__slots__}
        | {"start": OFFSET + start, "end": OFFSET + end, "text": passage[start:end]}
    )
    shown = terminal(response(found), width=width)
    assert without_blanks("".join(painted(shown, "bold green"))).endswith(expected)


class FakeRetriever:
    """Answers each question with what it was made for, and remembers how it was asked."""

    encoder = None

    def __init__(self, shown: Response) -> None:
        self.shown = shown
        self.asked: list[tuple[str, int, dict[str, Any]]] = []

    def respond(self, question: str, k: int, **options: Any) -> Response:
        self.asked.append((question, k, options))
        return self.shown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    """Runs `spanseek search ARGS...` on a fake index; gives exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def search(fake: FakeRetriever, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        class Opens:
            @staticmethod
            def open(path: Path, *, rerank: RerankConfig) -> FakeRetriever:
                assert rerank.reader == "default"
                return fake

        monkeypatch.setattr("retriever.Retriever", Opens)
        monkeypatch.setattr(sys, "argv", ["spanseek", "search", *arguments, "--index", "some.index"])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return search


def test_options_are_passed_on(ask: Ask) -> None:
    fake = FakeRetriever(response(answer(), hits=[hit()]))
    assert ask(fake, "q")[0] == 0
    ask(fake, "q", "-k", "7", "--answers", "2", "--min-confidence", "0.25", "--where", "year=2024")
    ask(fake, "q", "--no-rerank", "--min-confidence", "0")
    default = {"where": [], "answers": 3, "min_confidence": None, "rerank": True}
    assert fake.asked == [
        ("q", 5, default),
        ("q", 7, default | {"where": ["year=2024"], "answers": 2, "min_confidence": 0.25}),
        ("q", 5, default | {"min_confidence": 0.0, "rerank": False}),
    ]


@pytest.mark.parametrize("wrong", ["1.5", "-0.1", "80", "nan"])
def test_a_confidence_that_is_none_is_one_line(ask: Ask, wrong: str) -> None:
    code, out, err = ask(FakeRetriever(response()), "q", "--min-confidence", wrong)
    assert (code, out) == (2, "")
    assert err == f"spanseek: --min-confidence is a probability from 0 to 1, not {wrong}\n"


def test_passages_only_and_fused_order_show_no_answers(ask: Ask) -> None:
    fake = FakeRetriever(response(answer(), hits=[hit()]))
    assert ask(fake, "q", "--passages")[1].startswith("  1  docs/release.md:5\n")
    assert json.loads(ask(fake, "q", "--passages", "--json")[1])["answers"] == []
    fused = FakeRetriever(response(hits=[hit()], confidence=0))
    assert ask(fused, "q", "--no-rerank")[1].startswith("  1  docs/release.md:5\n")


def test_exit_codes(ask: Ask) -> None:
    nothing = FakeRetriever(response(confidence=0))
    assert ask(nothing, "q") == (1, "", "nothing found\n")
    assert ask(nothing, "q", "--json")[0] == 1
    assert ask(nothing, "-", stdin="a\nb\n")[0] == 1
    assert ask(FakeRetriever(response(hits=[hit()], confidence=0.1)), "q")[0] == 0
    assert ask(FakeRetriever(response(answer())), "-", stdin="a\n")[0] == 0


def test_questions_from_standard_input_are_one_object_a_line(ask: Ask) -> None:
    fake = FakeRetriever(response(answer(), hits=[hit()]))
    _, out, _ = ask(fake, "-", stdin="one\n\n  two  \n")
    assert [question for question, _, _ in fake.asked] == ["one", "two"]
    assert [json.loads(line)["answers"][0]["text"] for line in out.splitlines()] == ["the team manager"] * 2


def test_off_a_terminal_nothing_is_shaded_and_no_escape_is_written(ask: Ask) -> None:
    code, out, _ = ask(FakeRetriever(response(answer(), hits=[hit()])), "q", "--explain")  # has no shades()
    assert code == 0
    assert "\x1b" not in out
