"""Reads thousands of damaged documents in the process that reads, and checks that each is read or skipped with a reason.

    python tests/torture/fuzz_readers.py --count 10000 --seed 1 [FOLDER]

Documents of a folder (the sample's, unless one is given) are damaged in ways that a seed decides: bits flipped, parts cut
off, doubled, taken out, shuffled or put in from another document; members of zip containers likewise, in a zip that is
whole; and any of it under the name of another format. What is counted is printed at the end. It fails at a hang past
the limits, at text that breaks the law of offsets or can't be stored, and at a reason that isn't one line.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from indexer.readers import FORMATS, ReadLimits
from indexer.readers.process import ReadingProcess
from retriever.errors import UnreadableError
from retriever.types import Extract

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "documents"
LIMITS = ReadLimits(stalled_seconds=20.0, seconds=60.0, memory_bytes=1 << 30)
_SLACK = 10.0
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUFFIXES = [suffix for suffixes in FORMATS.values() for suffix in suffixes[:1]]
_TOKENS = [
    b"<", b">", b"</", b"<!--", b"]]>", b"<![CDATA[", b"&#x0;", b"&#xd800;", b"&a;", b'"', b"'", b"\\", b"{", b"}", b"[",
    b"]", b"(", b")", b"<<", b">>", b"\0", b"\r", b"\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"endobj", b"stream",
    b"0 R", b"/Kids", b"%PDF-", b"PK\x03\x04", b"99999999999", b"-1", b"1e999", b"NaN", b"null", b"\\ud800", b"From: ",
    b"--", b"---\n", b"===\n", b"```", b"\\begin{", b"\\section{", b"charset=", b"encoding=", b"<table>", b"<tr>", b"<td colspan=999>",
]  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What became of the documents.

    Attributes:
        read: Ones that gave text and no reason.
        in_part: Ones that gave text and a reason.
        reasons: Ones that gave none, by reason; numbers in it are left out.
        slowest: The longest that one took, in seconds, and which.
        problems: What shouldn't have been.
    """

    inputs: int = 0
    read: int = 0
    in_part: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    problems: list[str] = field(default_factory=list)

    @property
    def crashes(self) -> int:
        """How often the process that reads has died, other than by a limit."""
        signs = ("its parser", "was killed")
        return sum(count for reason, count in self.reasons.items() if any(sign in reason for sign in signs))

    @property
    def timeouts(self) -> int:
        """How often it was ended for taking too long."""
        return sum(count for reason, count in self.reasons.items() if reason.startswith("took longer"))

    def report(self) -> str:
        """All of it, for a person."""
        lines = [f"{count:7,}  {reason}" for reason, count in self.reasons.most_common()]
        return "\n".join(
            [
                f"{self.inputs:,} inputs: {self.read:,} read, {self.in_part:,} in part, "
                f"{sum(self.reasons.values()):,} skipped; {self.crashes} crashes, {self.timeouts} timeouts; "
                f"slowest {self.slowest[0]:.1f} s ({self.slowest[1]})",
                *lines,
                *(f"PROBLEM {problem}" for problem in self.problems),
            ]
        )


def main() -> int:
    """Runs it from the command line; exit code 1 if anything was as it shouldn't be."""
    parser = argparse.ArgumentParser(description="Reads damaged documents.")
    parser.add_argument("folder", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where to put documents that made trouble")
    options = parser.parse_args()
    tally = fuzz(options.folder, options.count, options.seed, keep=options.keep, is_talkative=True)
    print(tally.report())
    return 1 if tally.problems else 0


def fuzz(
    folder: Path, count: int, seed: int, *, keep: Path | None = None, is_talkative: bool = False
) -> Tally:
    """Reads `count` damaged documents, made from those of a folder."""
    chance = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20)
    seeds = [(path.suffix, path.read_bytes()) for path in files]
    tally = Tally()
    process = ReadingProcess(LIMITS)
    with tempfile.TemporaryDirectory() as here:
        for number in range(count):
            suffix, content = _damaged(chance, seeds)
            path = Path(here, f"{number}{suffix}")
            path.write_bytes(content)
            problems = len(tally.problems)
            crashes = tally.crashes + tally.timeouts
            _try(process, path, tally)
            is_trouble = len(tally.problems) > problems or tally.crashes + tally.timeouts > crashes
            if keep is not None and is_trouble:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / path.name).write_bytes(content)
            path.unlink()
            if is_talkative and number % 500 == 499:
                print(f"{number + 1:,}: {tally.crashes} crashes, {tally.timeouts} timeouts", file=sys.stderr)
    process.close()
    return tally


def broken_law(extract: Extract) -> str:
    """What of an extract can't be; empty if nothing."""
    length = len(extract.text)
    if not extract.text.strip():
        return "no text"
    stated = json.dumps(dict(extract.metadata), ensure_ascii=False)
    for part in (extract.text, extract.title, extract.key, extract.language, stated):
        if _UNSTORABLE.search(part):
            return "what can't be stored"
    for spans in (extract.headings, extract.rows):
        position = 0
        for span in spans:
            if not position <= span.start < span.end <= length:
                return f"a heading or row at {span.start}, {span.end} of {length}"
            position = span.end
    for anchors in (extract.pages, extract.lines or ()):
        starts = [anchor.start for anchor in anchors]
        if starts != sorted(set(starts)) or any(not 0 <= start < length for start in starts):
            return "pages or lines out of order"
        if any(not 1 <= anchor.number < 1 << 31 for anchor in anchors):
            return "a page or line that can't be"
    return ""


def _try(process: ReadingProcess, path: Path, tally: Tally) -> None:
    begun = time.monotonic()
    tally.inputs += 1
    documents = 0
    reason = ""
    try:
        for extract in process.read(path):
            documents += 1
            if law := broken_law(extract):
                tally.problems.append(f"{path.name}: {law}")
    except UnreadableError as error:
        reason = str(error)
        if not reason.strip() or "\n" in reason or len(reason) > 500 or str(path) in reason:
            tally.problems.append(f"{path.name}: the reason {reason!r}")
    seconds = time.monotonic() - begun
    tally.slowest = max(tally.slowest, (seconds, path.name))
    if seconds > LIMITS.seconds + _SLACK:
        tally.problems.append(f"{path.name}: took {seconds:.0f} s")
    if not reason:
        tally.read += 1
        if not documents:
            tally.problems.append(f"{path.name}: neither text nor a reason")
    elif documents:
        tally.in_part += 1
    else:
        tally.reasons[re.sub(r"\d[\d,.]*|: .*", "#", reason)] += 1


def _damaged(chance: random.Random, seeds: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """A document that is no longer what it was, and the suffix to give it."""
    suffix, content = chance.choice(seeds)
    other = chance.choice(
        [data for kind, data in seeds if kind == suffix or chance.random() < 0.1] or [content]
    )
    if content.startswith(b"PK\x03\x04") and chance.random() < 0.8:
        content = _in_zip(chance, content, other)
    else:
        content = _mutated(chance, content, other)
    if chance.random() < 0.1:
        suffix = chance.choice([*_SUFFIXES, "", ".bin"])
    return suffix, content


def _in_zip(chance: random.Random, content: bytes, other: bytes) -> bytes:
    """A whole zip with one or two of its members damaged, left out or doubled."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    for _ in range(chance.randint(1, 2)):
        index = chance.randrange(len(members))
        name, data = members[index]
        kind = chance.random()
        if kind < 0.8:
            members[index] = (name, _mutated(chance, data, other if kind < 0.1 else members[index - 1][1]))
        elif kind < 0.9 and len(members) > 1:
            del members[index]
        else:
            members.insert(chance.randrange(len(members)), (chance.choice(members)[0] + "x", data))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def _mutated(chance: random.Random, content: bytes, other: bytes) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        content = chance.choice(_MUTATIONS)(chance, content, other)
    return content


def _flip(chance: random.Random, content: bytes, _: bytes) -> bytes:
    data = bytearray(content)
    for _number in range(min(len(data), chance.choice((1, 3, 10, 100)))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _cut(chance: random.Random, content: bytes, _: bytes) -> bytes:
    return content[: chance.randint(0, len(content))]


def _block(chance: random.Random, content: bytes) -> tuple[int, int]:
    start = chance.randint(0, len(content))
    return start, min(len(content), start + chance.choice((1, 10, 100, 1000, 10_000)))


def _double(chance: random.Random, content: bytes, _: bytes) -> bytes:
    start, end = _block(chance, content)
    times = chance.choice((1, 1, 2, 10, 1 + 100_000 // (end - start + 100)))
    return content[:end] + content[start:end] * times + content[end:]


def _remove(chance: random.Random, content: bytes, _: bytes) -> bytes:
    start, end = _block(chance, content)
    return content[:start] + content[end:]


def _shuffle(chance: random.Random, content: bytes, _: bytes) -> bytes:
    cuts = sorted(chance.randint(0, len(content)) for _number in range(chance.randint(2, 6)))
    parts = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    chance.shuffle(parts)
    return b"".join(parts)


def _splice(chance: random.Random, content: bytes, other: bytes) -> bytes:
    start, end = _block(chance, other)
    place, after = _block(chance, content)
    return content[:place] + other[start:end] + content[chance.choice((place, after)) :]


def _insert(chance: random.Random, content: bytes, _: bytes) -> bytes:
    place = chance.randint(0, len(content))
    return content[:place] + chance.choice(_TOKENS) * chance.choice((1, 1, 2, 100, 5000)) + content[place:]


def _number(chance: random.Random, content: bytes, _: bytes) -> bytes:
    """One of the document's numbers as another."""
    found = list(re.finditer(rb"\d+", content[:200_000]))
    if not found:
        return content
    at = chance.choice(found)
    other = chance.choice(
        (b"0", b"-1", b"65536", b"2147483648", b"99999999999999999999", b"1e400", b"4", b"")
    )
    return content[: at.start()] + other + content[at.end() :]


_MUTATIONS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    _flip,
    _cut,
    _double,
    _remove,
    _shuffle,
    _splice,
    _insert,
    _number,
)


if __name__ == "__main__":
    sys.exit(main())
