"""Nothing leaves the machine, and no data runs: neither documents nor models nor indexes, wherever they come from."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.main import main
from indexer import Indexer, InputDocument
from retriever import EncoderError, Filter, FilterError, IndexNotFoundError, Retriever
from retriever.encoder import TextEncoder
from retriever.store.manifest import read_manifest, write_manifest
from retriever.store.schema import connect
from retriever.store.verify import verify

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "documents"

GUARD = """
import os, sys

READING = ["-P", "-m", "indexer.readers.worker"]
FORBIDDEN = (
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostby",
    "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn",
)

def guard(event, args):
    forbidden = event.startswith(FORBIDDEN)
    if event == "subprocess.Popen":
        forbidden = list(args[1][1:]) != READING
    if event == "compile" and args[0] is not None:
        source = args[0] if isinstance(args[0], (str, bytes)) else b""
        forbidden = CANARY in (source if isinstance(source, bytes) else source.encode("utf-8", "replace"))
    if forbidden:
        line = f"{event} {args!r}\\n".encode("utf-8", "replace")
        try:
            log = os.open(os.environ["GUARD_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(log, line)
            os.close(log)
        except OSError:
            pass  # where files are read no file can be written; there the error is the reason that is given
        raise RuntimeError(f"forbidden: {event}")

CANARY = b"exec_canary"
sys.addaudithook(guard)
"""
CANARY = "exec_canary"

Guarded = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """Runs Python code in a process that may neither reach a network, nor unpickle, nor start anything but a reader."""
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    log = tmp_path / "forbidden.log"
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))
    }
    environment = kept | {
        "PYTHONPATH": os.pathsep.join((str(guard), str(ROOT))),
        "GUARD_LOG": str(log),
        "HF_HOME": str(tmp_path / "nothing cached"),
        "HOME": str(tmp_path),
    }

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False
        )

    yield run
    assert not log.exists() or "expected" in log.read_text(), log.read_text()


SPANSEEK = "from cli.main import main; main()"


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9)) # expected",
        "import urllib.request; urllib.request.urlopen('http://expected.invalid/')",
        "import pickle; pickle.loads(pickle.dumps(print)) # expected",
        "import os; os.system('echo expected')",
        "import subprocess; subprocess.run(['echo', 'expected'])",
        "exec(chr(39) + 'exec_' + 'canary expected' + chr(39))",
    ],
)
def test_the_guard_guards(guarded: Guarded, tmp_path: Path, code: str) -> None:
    ended = guarded(code)
    assert (ended.returncode, "forbidden: " in ended.stderr) == (1, True), ended
    (tmp_path / "forbidden.log").write_text("expected")


@pytest.mark.integration
def test_indexing_and_searching_reach_no_network_and_run_no_data(guarded: Guarded, tmp_path: Path) -> None:
    """With nothing set that forbids the network, and nothing cached that would spare it."""
    docs = tmp_path / "docs"
    docs.mkdir()
    chosen = {}
    for path in sorted(SAMPLE.rglob("*")):
        if path.is_file():
            chosen.setdefault(path.suffix, path)
    for path in chosen.values():
        shutil.copy(path, docs)
    code = f"__import__('os').system('{CANARY}')"
    (docs / "code.md").write_text(
        f"---\ntitle: !!python/object/apply:os.system [{CANARY}]\n---\n# Release\n\n{code}\n"
    )
    (docs / "code.py").write_text(f"{code}  # the red sensor\n")
    (docs / "rows.jsonl").write_text(
        json.dumps({"text": f"A row: {code}", CANARY: {"__reduce__": [code]}}) + "\n"
    )
    (docs / "net.html").write_text(
        "<!DOCTYPE html SYSTEM 'http://example.org/x.dtd'><html><head><link rel=stylesheet href='http://example.org/'>"
        f"<script>{code}</script></head><body><p>A page.</p><img src='http://example.org/a.png'></body></html>"
    )
    (docs / "net.xml").write_text(
        "<?xml version='1.0'?><!DOCTYPE a SYSTEM 'http://example.org/x.dtd' [<!ENTITY b SYSTEM 'http://example.org/'>]>"
        "<a xmlns:xi='http://www.w3.org/2001/XInclude'>Words. <xi:include href='http://example.org/'/></a>"
    )
    ended = guarded(SPANSEEK, "index", "docs", "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert not report["skipped"], report["skipped"]
    ended = guarded(SPANSEEK, "search", f"what is in the row? {code}", "--json", "--where", f"path!={code}")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["passages"]
    for command in ("status", "verify"):
        assert guarded(SPANSEEK, command).returncode == 0


@pytest.fixture
def model(tmp_path: Path, tiny_encoder_folder: Path) -> Path:
    """A model folder to tamper with."""
    return Path(shutil.copytree(tiny_encoder_folder, tmp_path / "model"))


class Payload:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


def refused(folder: Path) -> str:
    with pytest.raises(EncoderError) as caught:
        TextEncoder.load(str(folder), device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


def zipped(path: Path, payload: Payload) -> None:
    import torch

    torch.save({"embeddings": payload}, path)


def pickled(path: Path, payload: Payload) -> None:
    path.write_bytes(pickle.dumps({"embeddings": payload}))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("write", [zipped, pickled])
def test_weights_that_hold_code_are_refused_in_one_line(
    model: Path, write: Callable[[Path, Payload], None]
) -> None:
    written = model.parent / "executed"
    (model / "model.safetensors").unlink()
    write(model / "pytorch_model.bin", Payload(written))
    assert "its pytorch_model.bin is damaged, or holds code beside its weights" in refused(model)
    assert not written.exists()
    pickle.loads((model / "pytorch_model.bin").read_bytes()) if write is pickled else None  # noqa: S301
    assert written.exists() is (write is pickled), "the payload is one"


@pytest.mark.integration
def test_a_model_of_safetensors_unpickles_nothing(guarded: Guarded, model: Path) -> None:
    zipped(model / "pytorch_model.bin", Payload(model.parent / "executed"))
    code = "import sys; from retriever.encoder import TextEncoder as E; print(E.load(sys.argv[1]).encode_questions(['a']).shape)"
    ended = guarded(code, str(model))
    assert (ended.returncode, ended.stdout) == (0, "(1, 32)\n"), ended.stderr
    assert not (model.parent / "executed").exists()


def change(model: Path, name: str, **settings: object) -> None:
    path = model / name
    values = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(values | settings))


@pytest.fixture
def its_own_code(model: Path) -> Path:
    """What would be written if Python code in the model's folder ran."""
    written = model.parent / "executed"
    lines = [f"open({str(written)!r}, 'w')", "from transformers import *", "class M(BertModel): pass"]
    (model / "modeling_own.py").write_text("\n".join([*lines, "class C(BertConfig): pass", ""]))
    names = {
        "AutoConfig": "modeling_own.C",
        "AutoModel": "modeling_own.M",
        "AutoTokenizer": ["modeling_own.M"] * 2,
    }
    for name in ("config.json", "tokenizer_config.json"):
        change(model, name, auto_map=names, trust_remote_code=True)
    return written


def test_a_models_own_code_never_runs(model: Path, its_own_code: Path) -> None:
    encoder = TextEncoder.load(str(model), device="cpu")
    assert encoder.encode_questions(["the cat"]).shape == (1, 32), "known architectures need none"
    change(model, "config.json", model_type="own", architectures=["M"])
    assert "custom code" in refused(model)
    assert not its_own_code.exists()


def test_a_tokenizers_own_code_never_runs(model: Path, its_own_code: Path) -> None:
    (model / "vocab.txt").rename(model / "vocab.json")
    change(model, "tokenizer_config.json", tokenizer_class="M")
    assert "no tokenizer in" in refused(model)
    assert not its_own_code.exists()


@pytest.mark.parametrize(
    "key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"]
)
def test_attention_code_of_the_hub_is_refused(model: Path, key: str) -> None:
    change(model, "config.json", **{key: "owner/kernel@main"})
    assert "asks for code from the hub" in refused(model)
    change(model, "config.json", **{key: None}, text_config={key: "owner/kernel"})
    assert "asks for code from the hub" in refused(model)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", b"junk" * 9, "doesn't load"),
        ("config.json", b"{", "is not JSON"),
        ("config.json", b'{"model_type": "bert", "hidden_act": "none of these"}', "doesn't load"),
        ("config.json", b'{"model_type": "bert", "num_hidden_layers": "x"}', "doesn't load"),
        (
            "config.json",
            b'{"model_type": "bert", "quantization_config": {"quant_method": "gptq"}}',
            "doesn't load",
        ),
        ("tokenizer.json", b"{}", "the tokenizer in"),
        ("tokenizer_config.json", b"{", "is not JSON"),
        ("vocab.txt", b"", "the tokenizer in"),
        ("span_encoder.json", b"[]", "is damaged"),
        ("span_encoder.safetensors", b"x", "is damaged"),
    ],
)
def test_a_damaged_model_is_one_line(model: Path, name: str, content: bytes, said: str) -> None:
    (model / name).write_bytes(content)
    assert said in refused(model)


NASTY = [
    *(
        "'",
        '"',
        "''",
        '";',
        "; DROP TABLE documents; --",
        "' OR '1'='1",
        "x') OR 1=1 --",
        "%",
        "_",
        "\\",
        "\\'",
    ),
    *(
        "*",
        "?",
        "[",
        "]",
        "[^a]",
        "[]",
        "**",
        "a\nb",
        "a\r\nb",
        "\t",
        "\u2028",
        "\ufeff",
        "é",
        "e\u0301",
    ),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "$(id)",
        "`id`",
        "{}",
        "%s%n",
        "NULL",
        "1e999",
        "nan",
    ),
    *(
        "json_each",
        "$.a",
        "d.id",
        "rowid",
        "ATTACH DATABASE 'x' AS y",
        "load_extension('x')",
        "-1",
        "0x10",
        "[bold]",
    ),
]
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: TextEncoder) -> Iterator[Retriever]:
    """An index whose ids, titles and metadata are all nasty; each document has its own in all three."""
    root = tmp_path_factory.mktemp("nasty") / "index"
    with Indexer.open(root, encoder=tiny_encoder) as indexer:
        indexer.add_documents(
            InputDocument(
                text, f"the cat {text} sat", title=text, metadata={"own": text, text: f"is {i}", "n": i}
            )
            for i, text in enumerate(NASTY)
        )
    with Retriever.open(root, encoder=tiny_encoder) as retriever:
        yield retriever


def found(retriever: Retriever, *where: str | Filter) -> set[str]:
    return {hit.document_id for hit in retriever.search("the cat", 999, where=where)}


@pytest.mark.parametrize("text", NASTY)
def test_what_is_nasty_is_text_like_any_other(nasty: Retriever, text: str) -> None:
    assert nasty.document(text).title == text
    place = NASTY.index(text)
    assert found(nasty, f"n={place}") == {text}
    assert found(nasty, Filter("own", "=", text)) == {text}
    assert found(nasty, Filter("own", "!=", text)) == set(NASTY) - {text}
    assert found(nasty, Filter(text, "=", f"is {place}")) == {text}
    assert found(nasty, Filter("title", "=", text)) == {text}
    if text.strip():
        assert nasty.search(text, 999)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(key=TEXTS, op=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), value=TEXTS)
def test_filters_can_break_nothing(nasty: Retriever, key: str, op: str, value: str) -> None:
    """They find what they say, or are refused in one line; and a filter and its opposite share everything out."""
    every = found(nasty)
    assert found(nasty, Filter(key, op, value)) <= every
    one, other = found(nasty, Filter(key, "=", value)), found(nasty, Filter(key, "!=", value))
    assert (one | other, one & other) == (every, set())
    with suppress(FilterError):  # what isn't of the form
        assert found(nasty, f"{key}{op}{value}") <= every


@pytest.mark.parametrize("odd", ["\ud800", "a\udcffb", "\udfff\ud800"])
def test_what_is_no_text_is_no_match(nasty: Retriever, odd: str) -> None:
    """As bytes on a command line are that aren't UTF-8."""
    assert found(nasty, f"own={odd}") == set()
    assert found(nasty, f"id={odd}") == set()
    assert found(nasty, f"path!={odd}") == set(NASTY)
    assert nasty.search(f"the {odd} cat")
    with pytest.raises(KeyError):
        nasty.document(odd)


def test_what_cannot_be_stored_is_replaced_and_found_as_it_was_given(
    tmp_path: Path, tiny_encoder: TextEncoder
) -> None:
    """NUL and lone surrogates, in text, title and metadata; in an id, which must stay one of its own, they are refused."""
    odd = "a\0b\ud800"
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        report = indexer.add_documents(
            [
                InputDocument(
                    "plain", f"the cat {odd}", title=odd, metadata={odd: [odd, {odd: odd}], "n": odd}
                ),
                InputDocument("a\0b", "the dog"),
                InputDocument("a\ud800", "the dog"),
            ]
        )
    assert [skipped.path for skipped in report.skipped] == ["a\ufffdb", "a\ufffd"]
    with Retriever.open(tmp_path / "index", encoder=tiny_encoder) as retriever:
        document = retriever.document("plain")
        (hit,) = retriever.search(f"the cat {odd}", where=[Filter(odd, "=", odd), f"title={odd}", f"n={odd}"])
    stored = "a\ufffdb\ufffd"
    assert (document.text, hit.text, hit.title) == (f"the cat {stored}", f"the cat {stored}", stored)
    assert document.metadata == {stored: [stored, {stored: stored}], "n": stored}


def test_names_that_are_no_text_are_reasons(
    tmp_path: Path,
    tiny_encoder_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One file whose name isn't UTF-8 doesn't keep the others out."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "good.txt").write_text("The price fell.")
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.txt")).write_text("The price rose.")
    except OSError:
        pytest.skip("the file system takes no such names")
    monkeypatch.chdir(tmp_path)

    def spanseek(*arguments: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["spanseek", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        shown: dict[str, Any] = json.loads(capsys.readouterr().out)
        return shown

    report = spanseek("index", "docs", "--encoder", str(tiny_encoder_folder))
    assert report["indexed"] == 1
    (skipped,) = report["skipped"]
    assert (skipped["path"], skipped["reason"]) == (
        "docs/bad\udcff.txt",
        "its name isn't UTF-8: rename it to index it",
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"price \xff\n"), encoding="utf-8"))
    assert spanseek("search", "-")["question"] == "price \udcff"
    found = spanseek("search", "pri\udcffce", "--where", "path!=\udcff", "--no-rerank")
    assert [item["path"] for item in found["passages"]] == ["docs/good.txt"]


def test_an_index_at_a_path_that_is_no_text_is_refused_at_once(
    tmp_path: Path, tiny_encoder: TextEncoder
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    for opens in (Retriever.open, Indexer.open):
        with pytest.raises(
            IndexNotFoundError, match=r"there can be no index at .*\\udcff.*rename the folder"
        ):
            opens(folder / "index", encoder=tiny_encoder)
    assert not folder.exists()


@pytest.fixture
def index(tmp_path: Path, tiny_encoder: TextEncoder) -> Path:
    """An index of a file, from elsewhere."""
    (tmp_path / "note.txt").write_text("The price fell on Monday.")
    with Indexer.open(tmp_path / "index", encoder=tiny_encoder) as indexer:
        indexer.add_paths([tmp_path / "note.txt"])
    return tmp_path / "index"


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/stdin", "../fifo", "fifo", "/proc/kmsg", "/etc/passwd", "a\0b", ""]
)
def test_verifying_an_index_that_names_any_path_ends(index: Path, path: str) -> None:
    os.mkfifo(index.parent / "fifo")
    database = sqlite3.connect(index / "index.sqlite")
    database.execute("UPDATE files SET path = ?, size = 0", [path])
    database.commit()
    database.close()
    result = verify(index)
    assert len(result.missing) + len(result.stale) <= 1
    assert "root:" not in str(result)


def test_an_index_that_names_an_encoder_of_the_hub_fetches_nothing(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def download(name: str, *, local_files_only: bool = False, **_: object) -> str:
        from huggingface_hub.errors import LocalEntryNotFoundError

        asked.append(local_files_only)
        raise LocalEntryNotFoundError("not cached")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    database = connect(index / "index.sqlite", write=True)
    manifest = read_manifest(database)
    write_manifest(database, replace(manifest, encoder="owner/model"))
    database.close()
    with (
        Retriever.open(index) as retriever,
        pytest.raises(EncoderError, match="spanseek index PATH --encoder owner/"),
    ):
        retriever.search("the price")
    with (
        Indexer.open(index) as indexer,
        pytest.raises(EncoderError, match="spanseek index PATH --encoder owner/"),
    ):
        indexer.add_documents([InputDocument("new", "text")])
    assert asked == [True, True]
    with pytest.raises(EncoderError, match="can't be fetched"):
        Indexer.open(index, encoder="owner/model")
    assert asked == [True, True, False], "the user named it"
