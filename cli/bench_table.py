"""What a bench looks like: a line on the machine, then a table; each figure with what it is of, and bars for shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from cli.terminal import counter, shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from cli.commands.bench_run import Bench
    from retriever.evaluation.speed import Asking, Encoding

_Row = tuple[str, str, Text]
"""What, its figure, and a note."""
_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LIBRARIES = ("torch", "onnxruntime", "faiss-cpu", "tantivy")
_GOOD = 0.6
"""Share of the machine's products from which little is left to gain."""


def print_bench(out: Console, found: Bench) -> None:
    """Prints all that was measured."""
    _print_machine(out, found)
    groups = _groups(found)
    rows = [row for group in groups.values() for row in group]
    margin, names, figures = (
        max(map(len, column)) for column in (groups, [row[0] for row in rows], [row[1] for row in rows])
    )
    for group, shown in groups.items():
        for number, (name, figure, note) in enumerate(shown):
            line = Text(f"{'' if number else group:<{margin}}  ", style="bold")
            line.append(f"{name:<{names}}  ", style="not bold").append(
                f"{figure:>{figures}}", style="not bold green"
            )
            if note:
                line.append("  ").append_text(note)
            out.print(line, no_wrap=True, overflow="ellipsis", crop=out.is_terminal)
        out.print()
    out.print(Text(f"measured in {found.took_s:.0f} s; longer is more exact: --seconds", style="dim"))


def _print_machine(out: Console, found: Bench) -> None:
    machine, corpus = found.machine, found.corpus
    cores = counter(machine.cores, "core")
    if machine.usable_cores != machine.cores:
        cores += f" ({machine.usable_cores} of them usable)"
    memory = f" · {machine.memory_gb:.0f} GB" if machine.memory_gb else ""
    computes = f" · {' '.join(machine.computes)}" if machine.computes else ""
    out.print(Text.assemble((machine.cpu, "bold"), f" · {cores}{memory}{computes}"))
    libraries = [f"{name} {machine.versions[name]}" for name in _LIBRARIES if name in machine.versions]
    line = f"{machine.system} · Python {machine.python} · {' · '.join(libraries)}"
    out.print(Text(line, style="dim"))
    where = shown_path(corpus.index) if corpus.index is not None else "made-up text"
    size = f"{counter(corpus.passages, 'passage')} of {counter(corpus.documents, 'document')}"
    out.print(Text.assemble((where, "cyan"), f" · {size} · encoder {corpus.encoder}"))
    out.print()


def _groups(found: Bench) -> dict[str, list[_Row]]:
    """By group: what, its figure, and a note."""
    start, encode = found.start, found.encode
    times = "once each" if start.runs == 1 else f"medians of {start.runs}"
    return {
        "start": [
            ("spanseek --help", _ms(start.help_ms), _note(f"process start to output, {times}")),
            ("a cold search", _ms(start.search_ms), _note("passages alone (--no-rerank)")),
            ("a cold search with answers", _ms(start.answer_ms), _note("")),
        ],
        "encode": [
            (
                "passages",
                f"{_number(encode.passages_per_s)}/s",
                _note(f"{encode.runtime}, {encode.precision}"),
            ),
            (
                "tokens",
                f"{_number(encode.tokens_per_s)}/s",
                _note(f"{encode.tokens / encode.passages:.0f} a passage"),
            ),
            *([] if encode.share is None else [_share(encode.share, encode)]),
        ],
        "index": [
            (
                "passages, from rows to disk",
                f"{_number(found.index.passages_per_s)}/s",
                _note(f"{found.index.passages:,} in {found.index.seconds:.1f} s"),
            )
        ],
        "search": _asking(found.search, "passages alone, index open"),
        "answer": [
            *_asking(found.answer, f"{found.answer.read:.0f} of {found.rerank.candidates} passages read"),
            (f"all {found.rerank.candidates} read, median", _ms(found.rerank.ms_p50), _note("")),
            ("95th percentile", _ms(found.rerank.ms_p95), _note("")),
        ],
        "memory": [
            ("a search", _mb(found.memory.search_mb), _note("at most, of the process")),
            ("a search with answers", _mb(found.memory.answer_mb), _note("")),
            ("indexing", _mb(found.memory.indexing_mb), _note("")),
        ],
    }


def _asking(asked: Asking, what: str) -> list[_Row]:
    """Of a question: how long it takes, and what that is made of."""
    stages = {
        "question to vector": asked.stages.encode,
        "nearest vectors": asked.stages.dense,
        "words": asked.stages.lexical,
        "reading": asked.stages.read,
        "the rest": asked.stages.rest,
    }
    return [
        ("median", _ms(asked.ms_p50), _note(f"{counter(asked.questions, 'question')}, {what}")),
        ("95th percentile", _ms(asked.ms_p95), _note("")),
        *((f"  {name}", _ms(part), _bar(part / asked.ms_mean)) for name, part in stages.items() if part),
    ]


def _note(text: str) -> Text:
    return Text(text, style="not bold dim")


def _share(share: float, encode: Encoding) -> _Row:
    of = f"of the {encode.product_gflops:,.0f} GFLOP/s of plain {encode.product_precision} products"
    bar = _bar(share, "green" if share >= _GOOD else "yellow")
    return "share of the machine", f"{share:.0%}", bar.append(f" {of}", style="not bold dim")


def _bar(share: float, colour: str = "cyan") -> Text:
    """A bar that is full at 1."""
    eighths = round(8 * _BAR * min(1.0, max(0.0, share)))
    return Text().append("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip(), style=f"not bold {colour}")


def _ms(value: float) -> str:
    return f"{value / 1000:,.2f} s " if value >= 1000 else f"{_number(value)} ms"


def _mb(value: float) -> str:
    return f"{value:,.0f} MB"


def _number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
