"""The command line as a user meets it: output, exit codes, one line for an error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from cli.snippet import snippet

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small folder of documents, one of them unreadable."""
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "release.md").write_text(
        "# Release\n\nA release is approved by the team manager.\n\n## Where\n\nIn Paris.\n"
    )
    (docs / "sub" / "winter.txt").write_text(
        "In winter snow covers\nthe wind speed sensor\non the mountain.\n"
    )
    (docs / "prices.csv").write_text("name,price\nbattery,12\nsensor,40\n")
    (docs / "rows.jsonl").write_text(
        '{"id": "r1", "text": "the cat sat", "year": 2024}\n{"id": "r2", "text": "a red dog"}\n'
    )
    (docs / "empty.txt").write_text("")
    return docs


@pytest.fixture
def run(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs `spanseek ARGS...` beside the folder of documents; gives exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPANSEEK_INDEX", raising=False)

    def spanseek(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spanseek", *arguments])
        if stdin:
            import io

            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return spanseek


@pytest.fixture
def indexed(run: Run, tiny_encoder_folder: Path) -> Run:
    code, _, _ = run("index", "docs", "--encoder", str(tiny_encoder_folder))
    assert code == 0
    return run


def test_index_says_what_it_did_and_why_it_skipped(
    run: Run, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    code, out, err = run("index", "docs", "--encoder", str(tiny_encoder_folder))
    assert code == 0
    assert out.startswith("indexed 5, updated 0, unchanged 0, removed 0, skipped 1 (")
    assert out.endswith(" · .spanseek\n")
    assert err == "skipped docs/empty.txt: empty file\n"
    assert (tmp_path / ".spanseek" / "index.sqlite").is_file()


def test_index_json(run: Run, tiny_encoder_folder: Path) -> None:
    _, out, err = run("index", "docs", "--json", "--encoder", str(tiny_encoder_folder))
    report = json.loads(out)
    assert err == ""
    assert {key: report[key] for key in ("indexed", "updated", "unchanged", "removed", "skipped")} == {
        "indexed": 5,
        "updated": 0,
        "unchanged": 0,
        "removed": 0,
        "skipped": [{"path": "docs/empty.txt", "reason": "empty file"}],
    }


def test_what_was_known_already_is_said(indexed: Run, folder: Path) -> None:
    (folder / "sub" / "winter.txt").rename(folder / "cold.txt")
    _, out, _ = indexed("index", "docs", "--prune")
    assert out.startswith(
        "indexed 1, updated 0, unchanged 4, removed 1, skipped 1 (0 passages embedded, 1 known, in "
    )
    (folder / "again.csv").write_text("name,price\nbattery,12\nsensor,41\n")
    _, out, _ = indexed("index", "docs", "--json")
    report = json.loads(out)
    assert (report["indexed"], report["chunks"], report["reused"]) == (1, 1, 1)


def test_a_second_run_follows_the_files(indexed: Run, folder: Path) -> None:
    (folder / "release.md").write_text("# Release\n\nNobody approves it.\n")
    (folder / "rows.jsonl").write_text(
        '{"id": "r2", "text": "a red dog"}\n{"id": "r3", "text": "blue snow"}\n'
    )
    (folder / "sub" / "winter.txt").unlink()
    (folder / "new.txt").write_text("open in berlin")
    _, out, _ = indexed("index", "docs")
    assert out.startswith("indexed 2, updated 1, unchanged 2, removed 1, skipped 1 (")
    assert "1 document of vanished files kept; --prune removes them" in out
    _, out, _ = indexed("index", "docs", "--prune")
    assert out.startswith("indexed 0, updated 0, unchanged 5, removed 1, skipped 1 ·")
    _, out, _ = indexed("search", "snow winter berlin", "--json", "-k", "20")
    passages = json.loads(out)["passages"]
    assert {hit["document"]: hit["line"] for hit in passages}["docs/rows.jsonl#r2"] == 1
    assert {hit["document"] for hit in passages} == {
        "docs/release.md",
        "docs/new.txt",
        "docs/prices.csv",
        "docs/rows.jsonl#r2",
        "docs/rows.jsonl#r3",
    }


def test_index_reads_paths_from_standard_input(run: Run, tiny_encoder_folder: Path) -> None:
    code, out, err = run(
        "index", "-", "--encoder", str(tiny_encoder_folder), stdin="docs/release.md\n\ndocs/nothing.txt\n"
    )
    assert code == 0
    assert out.startswith("indexed 1, updated 0, unchanged 0, removed 0, skipped 1 (")
    assert err == "skipped docs/nothing.txt: no such file\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--include", "*.md"], 1),
        (["--include", "sub/*"], 1),
        (["--exclude", "sub/"], 4),
        (["--exclude", "*.csv", "--exclude", "*.jsonl"], 2),
    ],
)
def test_include_and_exclude(run: Run, tiny_encoder_folder: Path, options: list[str], expected: int) -> None:
    _, out, _ = run("index", "docs", "--json", "--encoder", str(tiny_encoder_folder), *options)
    assert json.loads(out)["indexed"] == expected


def test_search_shows_places(indexed: Run) -> None:
    code, out, _ = indexed("search", "snow mountain", "-k", "1", "--passages")
    assert code == 0
    assert out == (
        "  1  docs/sub/winter.txt:1\n     In winter snow covers the wind speed sensor on the mountain.\n\n"
    )


def test_search_json_is_the_contract(indexed: Run, folder: Path) -> None:
    code, out, _ = indexed("search", "who approves a release?", "--json")
    result = json.loads(out)
    assert code == 0
    assert list(result) == ["question", "answers", "confidence", "passages", "took_ms"]
    assert result["question"] == "who approves a release?"
    (answer, *_) = result["answers"]
    assert " ".join(list(answer)) == "text confidence document path source page line start end passage scores"
    assert answer["text"].removeprefix("the ") == "team manager"
    assert answer["line"] == 3
    text = (folder / "release.md").read_text(encoding="utf-8")
    assert text[answer["start"] : answer["end"]] == answer["text"]
    best = result["passages"][0]
    assert best["document"] == "docs/release.md"
    assert (best["path"], best["page"], best["line"], best["rank"]) == ("docs/release.md", None, 1, 1)
    assert (answer["source"], best["source"]) == ("same", "same")
    assert (folder / "release.md").read_text()[best["start"] : best["end"]] == best["text"]
    assert set(best["scores"]) == {"fused", "dense", "lexical"}


def test_files_that_changed_are_marked(indexed: Run, folder: Path) -> None:
    with (folder / "release.md").open("a", encoding="utf-8") as file:
        file.write("It is then built.\n")
    _, shown, _ = indexed("search", "who approves a release?")
    assert "docs/release.md:3 (changed since it was indexed)  " in shown
    _, shown, _ = indexed("search", "who approves a release?", "--json")
    result = json.loads(shown)
    sources = {item["path"]: item["source"] for item in (*result["answers"], *result["passages"])}
    assert sources.pop("docs/release.md") == "changed"
    assert set(sources.values()) == {"same"}


def test_rows_are_passages_of_their_own(indexed: Run) -> None:
    _, out, _ = indexed("search", "price", "--where", "format=csv", "--json")
    assert sorted((hit["line"], hit["text"]) for hit in json.loads(out)["passages"]) == [
        (2, "name: battery; price: 12"),
        (3, "name: sensor; price: 40"),
    ]


def test_questions_from_standard_input(indexed: Run) -> None:
    code, out, _ = indexed("search", "-", "--index", ".spanseek", stdin="red dog\n\nsnow\n")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["question"] for line in lines] == ["red dog", "snow"]
    assert lines[0]["passages"][0]["document"] == "docs/rows.jsonl#r2"


def test_filters_and_nothing_found(indexed: Run) -> None:
    _, out, _ = indexed("search", "dog", "--where", "year=2024", "--json")
    assert [hit["document"] for hit in json.loads(out)["passages"]] == ["docs/rows.jsonl#r1"]
    code, out, err = indexed("search", "dog", "--where", "year=1999")
    assert (code, out) == (1, "")
    assert err.startswith("nothing found")


def test_explain_and_whole(indexed: Run) -> None:
    _, out, _ = indexed("search", "release", "-k", "1", "--explain", "--whole")
    assert "meaning: cosine" in out
    assert "words: BM25" in out
    assert "characters " in out
    assert re.fullmatch(
        r"[\d,.]+ ms: question [\d,.]+ · .* · rank [\d,.]+( · loading .*)?", out.splitlines()[-1]
    )
    _, out, _ = indexed("search", "release", "--explain", "--json")
    shown = json.loads(out)
    stages = ["load", "encode", "dense", "lexical", "fetch", "read", "rank", "total"]
    assert list(shown["timings_ms"]) == stages
    times = shown["timings_ms"]
    assert sum(times[stage] for stage in stages[:-1]) <= times["total"] + 0.1
    assert shown["took_ms"] >= times["total"] - times["load"] - 0.1
    assert shown["read"] > 0


def test_the_index_is_found_from_below_and_by_environment(
    indexed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "docs" / "sub")
    _, out, _ = indexed("search", "snow", "-k", "1", "--json")
    assert json.loads(out)["passages"][0]["path"] == "winter.txt"
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert indexed("search", "snow")[0] == 2
    monkeypatch.setenv("SPANSEEK_INDEX", str(tmp_path / ".spanseek"))
    _, out, _ = indexed("search", "snow", "-k", "1", "--json")
    assert json.loads(out)["passages"][0]["path"] == str(tmp_path / "docs" / "sub" / "winter.txt")


def test_status_remove_verify_compact(indexed: Run, folder: Path) -> None:
    _, out, _ = indexed("status", "--json")
    status = json.loads(out)
    assert (status["documents"], status["files"], status["skipped"]) == (5, 4, 1)
    assert indexed("verify")[0] == 0
    _, out, _ = indexed("remove", "docs/sub", "docs/rows.jsonl#r1")
    assert out == "removed 2 documents\n"
    code, out, _ = indexed("remove", "no/such/thing")
    assert (code, out) == (1, "removed 0 documents\n")
    assert indexed("compact")[0] == 0
    (folder / "release.md").write_text("changed")
    (folder / "prices.csv").unlink()
    code, _, err = indexed("verify")
    assert code == 1
    assert "changed since it was indexed: docs/release.md" in err
    assert "gone since it was indexed: docs/prices.csv" in err
    (Path(".spanseek") / "index.sqlite").write_bytes(b"not a database, not at all" * 50)
    code, _, err = indexed("verify")
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "snow"], "there is no index here"),
        (["search", "snow", "--index", "nowhere"], "there is no index at nowhere"),
        (["index", "nothing-there"], "nothing-there: no such file or folder"),
        (["index", "docs", "--encoder", "no/such-model"], "neither a folder nor in the hub's cache"),
        (["index", "docs", "--language", "klingon"], "unknown language 'klingon'"),
        (["index", "docs", "--index", "docs"], "is no index"),
        (["eval", "retrieval", "docs"], "docs"),
    ],
)
def test_errors_are_one_line_and_exit_2(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("spanseek: ")
    assert said in err
    assert err.count("\n") == 1


def test_bad_filters_and_blank_questions_exit_2(indexed: Run) -> None:
    assert indexed("search", "snow", "--where", "year")[0] == 2
    assert indexed("search", "  ")[0] == 2
    assert indexed("index", "docs", "--language", "german")[0] == 2


def test_eval_retrieval_prints_the_agreed_keys(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "set"
    (data / "qrels").mkdir(parents=True)
    (data / "corpus.jsonl").write_text(
        '{"_id": "1", "title": "", "text": "The cat sat on the mat."}\n{"_id": "2", "title": "", "text": "Prices fell on Monday."}\n'
    )
    (data / "queries.jsonl").write_text('{"_id": "q", "text": "where did the cat sit?"}\n')
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    code, out, _ = run("eval", "retrieval", "set", "--json")
    scores = json.loads(out)
    assert code == 0
    keys = "ndcg@10 mrr@10 recall@1 recall@5 recall@20 recall@100 queries documents index_bytes query_ms_p50 query_ms_p95"
    assert list(scores) == keys.split()
    assert (scores["ndcg@10"], scores["recall@1"], scores["queries"], scores["documents"]) == (1.0, 1.0, 1, 2)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom cli.main import main\nsys.argv = ['spanseek', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'faiss', 'numpy', 'tantivy', 'sqlite_utils', 'matplotlib', 'mcp',"
        " 'watchfiles', 'anyio', 'uvicorn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    evaluations = [["eval", name, "--help"] for name in ("retrieval", "reader", "answers")]
    commands = [[name, "--help"] for name in ("search", "index", "watch", "mcp", "bench")]
    for arguments in (["--help"], *commands, *evaluations):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Example" in done.stdout or arguments == ["--help"]


def test_a_run_with_nothing_new_loads_no_model(indexed: Run, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom cli.main import main\nsys.argv = ['spanseek', 'index', 'docs']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    for name in ("docs/release.md", "docs/prices.csv", "docs/rows.jsonl", "docs/sub/winter.txt"):
        os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))  # read again, and found to be the same
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("indexed 0, updated 0, unchanged 5, removed 0, skipped 1")


def test_output_into_a_closed_pipe_is_no_traceback(indexed: Run, tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'from cli.main import main; main()' search snow -k 50 | head -c 1"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert "Traceback" not in done.stderr


def test_an_interrupted_run_says_that_nothing_is_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("indexer.api.Indexer.add_paths", interrupted)
    code, out, err = run("index", "docs")
    assert (code, out, err) == (130, "", "interrupted; what was indexed by then is kept\n")


@pytest.mark.parametrize(
    ("passage", "question", "text", "marked"),
    [
        ("One.\nTwo  words.", "two", "One. Two words.", ["Two"]),
        ("A café opened.", "the CAFES", "A café opened.", ["café"]),
        ("Nothing here.", "the what of", "Nothing here.", []),
    ],
)
def test_snippets_are_one_line_with_the_questions_words(
    passage: str, question: str, text: str, marked: list[str]
) -> None:
    part = snippet(passage, question)
    assert part.text == text
    assert [part.text[start:end] for start, end in part.marks] == marked


def test_a_long_passage_is_shown_where_it_has_the_words() -> None:
    passage = (
        " ".join(f"Sentence number {i} says little." for i in range(40)) + " The price fell. " + "More. " * 90
    )
    part = snippet(passage, "when did the price fall?")
    assert "The price fell." in part.text
    assert part.text.startswith("… ")
    assert part.text.endswith(" …")
    assert len(part.text) < 440
    endless = "word " * 300 + "price " + "word " * 300
    assert "price" in snippet(endless, "price").text
    assert snippet(passage, "price", whole=True).text == " ".join(passage.split())
