"""The project as a whole: its public surface, its documentation, what an installation holds."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.main import get_command

from cli.main import app

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["retriever", "indexer", "cli"])
def test_the_three_packages_are_this_projects(name: str) -> None:
    assert Path(importlib.import_module(name).__file__ or "").is_relative_to(ROOT)


@pytest.mark.parametrize("name", ["retriever", "indexer"])
def test_the_public_names_exist_and_are_all(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__all__ == sorted(package.__all__)
    for public in package.__all__:
        assert getattr(package, public).__doc__, f"{public} has no docstring"
    with pytest.raises(AttributeError, match="no attribute"):
        _ = package.no_such_name
    errors = {
        value.__name__
        for value in vars(importlib.import_module("retriever.errors")).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    if name == "retriever":
        assert errors <= set(package.__all__)


def commands() -> list[str]:
    root = get_command(app)
    names = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        names += [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]
    return names


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command: str) -> None:
    assert f"spanseek {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_file_of_the_map_exists_and_every_module_is_on_it() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:retriever|indexer|cli|data|tests)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), f"ARCHITECTURE.md names {path}, which isn't there"
    for folder in ("retriever", "indexer", "cli"):
        for module in (ROOT / folder).rglob("*.py"):
            if module.name != "__init__.py":
                assert f"{module.name}" in text, f"{module.relative_to(ROOT)} isn't in ARCHITECTURE.md"


def test_examples_in_docstrings_hold() -> None:
    import doctest

    modules = [
        "retriever.search",
        "retriever.filters",
        "retriever.context",
        "retriever.types",
        "retriever.encoder.attention",
        "retriever.evaluation.calibration",
        "retriever.evaluation.spans",
    ]
    modules.append("retriever.store.analysis")
    tried = 0
    for name in modules:
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        tried += result.attempted
    assert tried >= 6


@pytest.mark.integration
def test_the_wheel_holds_the_three_packages_and_nothing_else(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("spanseek-0.1.0-*.whl"))).namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"retriever", "indexer", "cli", "spanseek-0.1.0.dist-info"}
    assert {"retriever/py.typed", "indexer/py.typed", "cli/py.typed"} <= set(names)
    page = {f"retriever/serving/static/{file.name}" for file in (ROOT / "retriever/serving/static").iterdir()}
    assert page <= set(names)


@pytest.mark.integration
def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    (tmp_path / "data").symlink_to(ROOT / "data", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - our own documentation


def test_the_make_targets_that_the_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make (\w+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert f"\n{target}:" in makefile, f"README names 'make {target}'"


def test_the_readmes_json_is_json_and_starts_our_command() -> None:
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        configured = json.loads(block)
        for server in (configured.get("mcpServers") or configured["servers"]).values():
            assert server["args"][0] in get_command(app).commands  # type: ignore[attr-defined]
    assert len(blocks) >= 2
