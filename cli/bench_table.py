"""What a bench looks like: a line on the machine, then a table; each figure with what it is of, and bars for shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cli.terminal import counter, shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from cli.commands.bench_run import Bench

_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LIBRARIES = ("torch", "openvino", "onnxruntime", "faiss-cpu", "tantivy")
_GOOD = 0.6
"""Share of the machine's products from which little is left to gain."""


def print_bench(out: Console, found: Bench) -> None:
    """Prints all that was measured."""
    _print_machine(out, found)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="green", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    for number, (group, rows) in enumerate(_groups(found).items()):
        if number:
            table.add_row()
        for i, (what, figure, note) in enumerate(rows):
            table.add_row(group if i == 0 else "", what, figure, note)
    out.print(table)
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


def _groups(found: Bench) -> dict[str, list[tuple[str, str, Text]]]:
    """By group: what, its figure, and a note."""
    start, encode, search, rerank = found.start, found.encode, found.search, found.rerank
    stages = search.stages
    times = "once each" if start.runs == 1 else f"medians of {start.runs}"
    in_products = f"of the {encode.product_gflops:,.0f} GFLOP/s of plain {encode.product_precision} products"
    share = [("share of the machine", f"{encode.share:.0%}", _share(encode.share, in_products))]
    return {
        "start": [
            ("spanseek --help", _ms(start.help_ms), Text(f"process start to output, {times}")),
            ("a cold search", _ms(start.search_ms), Text("passages alone (--no-rerank)")),
            ("a cold search with answers", _ms(start.answer_ms), Text()),
        ],
        "encode": [
            ("passages", f"{_number(encode.passages_per_s)}/s", Text(encode.precision)),
            (
                "tokens",
                f"{_number(encode.tokens_per_s)}/s",
                Text(f"{encode.tokens / encode.passages:.0f} a passage"),
            ),
            *(share if encode.share is not None else []),
        ],
        "index": [
            (
                "passages, from rows to disk",
                f"{_number(found.index.passages_per_s)}/s",
                Text(f"{found.index.passages:,} in {found.index.seconds:.1f} s"),
            )
        ],
        "search": [
            ("median", _ms(search.ms_p50), Text(f"{search.questions:,} questions, index open")),
            ("95th percentile", _ms(search.ms_p95), Text()),
            *(
                (f"  {name}", _ms(part), _bar(part / search.ms_mean))
                for name, part in (
                    ("question to vector", stages.encode),
                    ("nearest vectors", stages.vectors),
                    ("words", stages.words),
                    ("the rest", stages.rest),
                )
            ),
        ],
        "read": [
            (
                counter(rerank.candidates, "passage") + ", median",
                _ms(rerank.ms_p50),
                Text(f"for an answer, {counter(rerank.questions, 'question')}"),
            ),
            ("95th percentile", _ms(rerank.ms_p95), Text()),
        ],
        "memory": [
            ("a search", _mb(found.memory.search_mb), Text("at most, of the process")),
            ("a search with answers", _mb(found.memory.answer_mb), Text()),
            ("indexing", _mb(found.memory.indexing_mb), Text()),
        ],
    }


def _share(share: float, note: str) -> Text:
    bar = _bar(share)
    bar.style = "green" if share >= _GOOD else "yellow"
    return Text.assemble(bar, (f" {note}", "dim"))


def _bar(share: float) -> Text:
    """A bar that is full at 1."""
    eighths = round(8 * _BAR * min(1.0, max(0.0, share)))
    return Text("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip(), style="cyan")


def _ms(value: float) -> str:
    return f"{value / 1000:,.2f} s " if value >= 1000 else f"{_number(value)} ms"


def _mb(value: float) -> str:
    return f"{value:,.0f} MB"


def _number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
