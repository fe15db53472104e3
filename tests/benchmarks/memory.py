"""Peak memory while indexing a corpus, against the peak for one that is ten times as long.

    python tests/benchmarks/memory.py [--documents FOLDER] [--times 10] [--encoder NAME] [--json]

The long corpus is made from the short one: each copy of a file has its words moved on by a different number, so that
no text is there twice. Each run is a process of its own; its peak is the greatest resident set that the system saw.
With `--encoder` a small model folder can stand in for the default one: what grows with a corpus isn't the model.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import json, resource, sys
from pathlib import Path
from indexer import Indexer
with Indexer.open(sys.argv[2], encoder=sys.argv[3]) as indexer:
    report = indexer.add_paths([sys.argv[1]])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"documents": report.indexed, "chunks": report.chunks, "seconds": report.seconds, "peak": peak}))
"""


def lengthen(source: Path, target: Path, times: int) -> None:
    """Copies of every text file of `source`, each with its lines rotated and a word of its own on each line."""
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for copy in range(times):
            turn = copy * len(lines) // times
            changed = [f"{line} v{copy}" if line.strip() else line for line in lines[turn:] + lines[:turn]]
            place = target / str(copy) / f"{number:05d}-{path.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("\n".join(changed), encoding="utf-8")


def index(folder: Path, root: Path, encoder: str) -> dict[str, float]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder), str(root), encoder],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--documents", type=Path, default=ROOT / "data" / "sample" / "documents" / "engineering"
    )
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        once, often = Path(scratch, "once"), Path(scratch, "often")
        lengthen(options.documents, once, 1)
        lengthen(options.documents, often, options.times)
        begun = time.monotonic()
        small = index(once, Path(scratch, "small"), options.encoder)
        large = index(often, Path(scratch, "large"), options.encoder)
    result = {
        "documents": [small["documents"], large["documents"]],
        "chunks": [small["chunks"], large["chunks"]],
        "peak_mb": [round(small["peak"] / 1e6), round(large["peak"] / 1e6)],
        "ratio": round(large["peak"] / small["peak"], 3),
        "seconds": round(time.monotonic() - begun),
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<10} {value}")


if __name__ == "__main__":
    main()
