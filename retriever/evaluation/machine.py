"""What is measured on: processor, memory, versions. Read from the system, without starting anything."""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    *("spanseek", "torch", "transformers", "tokenizers", "onnxruntime"),
    *("faiss-cpu", "tantivy", "numpy"),
)
_FLAGS = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8"),
    *("asimd", "sve", "bf16", "i8mm"),
)
"""What a processor may be able to compute that matters here, as Linux names it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A computer, and what runs on it.

    Attributes:
        cpu: The processor's name.
        cores: Logical cores that there are.
        usable_cores: Those that this process may run on.
        memory_gb: Main memory, in 10^9 bytes; 0 where the system doesn't tell.
        computes: Instructions for fast arithmetic, as Linux names them; empty where the system doesn't tell.
        system: Operating system and architecture.
        python: Version of Python.
        versions: Of the libraries that matter to speed, by name; those that are installed.
    """

    cpu: str
    cores: int
    usable_cores: int
    memory_gb: float
    computes: tuple[str, ...]
    system: str
    python: str
    versions: dict[str, str]


def this_machine() -> Machine:
    """The computer that this runs on."""
    said = _cpu_info()
    flags = set(said.get("flags", said.get("features", "")).split())
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Machine(
        cpu=said.get("model name") or platform.processor() or platform.machine(),
        cores=cores,
        usable_cores=usable,
        memory_gb=round(_memory() / 1e9, 1),
        computes=tuple(flag for flag in _FLAGS if flag in flags),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions={**_versions(), "sqlite": sqlite3.sqlite_version},
    )


def _cpu_info() -> dict[str, str]:
    """What Linux says of its first core; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
