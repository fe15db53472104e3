"""Made-up tables, with questions about their cells.

Public sets of questions are about prose; documents of one's own hold price lists and tables. Here rows are made of
common headers, of names that the training passages hold, and of numbers; and asked about by header and name. They are
written as spanseek's readers write rows of sheets (`Header: value; Header: value`), and as tables are in Markdown.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MONTHS = "January February March April May June July August September October November December".split()
_UNITS = "mm cm m km g kg ml l °C % V W A h min s days weeks months years".split()
_COLOURS = "red blue green grey black white yellow orange brown silver".split()
_STATES = (
    "open closed approved pending rejected shipped delayed active retired draft signed paid overdue".split()
)


def _price(rng: random.Random) -> str:
    amount = rng.choice([rng.randint(1, 99), rng.randint(100, 9999), round(rng.uniform(1, 500), 2)])
    return rng.choice([f"{amount}", f"€{amount}", f"${amount}", f"{amount} EUR"])


def _date(rng: random.Random) -> str:
    year, month, day = rng.randint(1995, 2030), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{day} {_MONTHS[month - 1]} {year}",
            f"{_MONTHS[month - 1]} {day}, {year}",
        ]
    )


def _measure(rng: random.Random) -> str:
    number = rng.choice([str(rng.randint(1, 500)), f"{rng.uniform(0, 99):.1f}", f"−{rng.randint(1, 40)}"])
    return rng.choice([f"{number} {rng.choice(_UNITS)}", number])


def _count(rng: random.Random) -> str:
    return str(rng.choice([rng.randint(0, 20), rng.randint(20, 5000)]))


def _code(rng: random.Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHKLMNPRSTUVWX", k=rng.randint(1, 3)))
    return f"{letters}{rng.choice(['-', ''])}{rng.randint(1, 9999)}"


Value = Callable[[random.Random], str]
_HEADERS: list[tuple[str, Value | None]] = [
    ("Price", _price), ("Net price (EUR)", _count), ("Unit cost", _price), ("Budget", _price), ("Salary", _price),
    ("Fee", _price), ("Deposit", _price), ("Discount (%)", _count), ("Date", _date), ("Due date", _date),
    ("Delivery date", _date), ("Valid until", _date), ("Approved until", _date), ("Start", _date), ("End", _date),
    ("Released", _date), ("Founded", _date), ("Last check", _date), ("Weight", _measure), ("Height", _measure),
    ("Length", _measure), ("Width", _measure), ("Capacity", _measure), ("Range", _measure), ("Accuracy", _measure),
    ("Temperature", _measure), ("Operating temperature", _measure), ("Power", _measure), ("Voltage", _measure),
    ("Battery life", _measure), ("Lead time (weeks)", _count), ("Delivery (days)", _count),
    ("Warranty (months)", _count), ("Minimum order", _count), ("Quantity", _count), ("Stock", _count),
    ("Seats", _count), ("Visitors", _count), ("Members", _count), ("Score", _count), ("Share (%)", _count),
    ("Rank", _count), ("Order number", _code), ("Serial number", _code), ("Version", _code), ("Room", _code),
    ("Invoice", _code), ("Part number", _code), ("Status", lambda rng: rng.choice(_STATES)),
    ("Colour", lambda rng: rng.choice(_COLOURS)), ("Contact", None), ("Owner", None), ("Manager", None),
    ("Supplier", None), ("Customer", None), ("City", None), ("Country", None), ("Location", None), ("Venue", None),
    ("Author", None), ("Director", None), ("Team", None), ("Responsible", None), ("Signed by", None),
    ("Remark", None), ("Category", None), ("Brand", None),
]  # fmt: skip
"""Headers and what stands under them; `None`: a name."""
_KEYS = (
    "Product",
    "Name",
    "Item",
    "Description",
    "Part",
    "Person",
    "Project",
    "Place",
    "Run",
    "Company",
    "Model",
)
_TEMPLATES = (
    "What is the {header} of {key}?",
    "What is the {header} for {key}?",
    "What {header} does {key} have?",
    "Which {header} is given for {key}?",
    "{key}: {header}?",
    "{header} {key}",
    "{key} {header}",
    "Can you tell me the {header} of the {key}?",
)
_BY_KIND: dict[Value | None, tuple[str, ...]] = {
    _price: ("How much is {key}?", "What does {key} cost?", "How much does the {key} cost?"),
    _date: ("When is the {header} of {key}?", "When is {key} {header}?"),
    _count: ("How many {header} does {key} have?", "How much {header} has {key}?"),
    _measure: ("How much {header} does {key} have?", "What {header} has the {key}?"),
    None: ("Who or what is the {header} of {key}?", "Who is {header} for {key}?"),
}
_PRICED = {"Price", "Net price (EUR)", "Unit cost", "Fee"}


@dataclass(frozen=True, slots=True)
class RowQuestion:
    """A question about a table; `start ... end` is the answering cell in `text`, and `end` 0 if none answers."""

    question: str
    text: str
    start: int
    end: int


def make_row_question(names: Sequence[str], rng: random.Random) -> RowQuestion:
    """A table of one row or several, and a question about a cell of it, or, one time in four, about none.

    Args:
        names: To be keys and names in cells; at least 20.
        rng: Draws everything.
    """
    headers = rng.sample(_HEADERS, rng.randint(2, 6))
    count = rng.choice([1, 1, 2, 3, 5, 7])
    keys = rng.sample(list(names), count + 1)
    key_header = rng.choice(_KEYS)
    rows = [
        [key, *(value(rng) if value else rng.choice(names) for _, value in headers)] for key in keys[:count]
    ]
    titles = [key_header, *(header for header, _ in headers)]
    order = list(range(len(titles)))
    if rng.random() < 0.3:
        rng.shuffle(order)
    row = rng.randrange(count)
    column = rng.randrange(1, len(titles))
    write = _as_fields if rng.random() < 0.6 else _as_table
    text, places = write([titles[i] for i in order], [[cells[i] for i in order] for cells in rows])
    answerable = rng.random() < 0.75
    asked, key = headers[column - 1], keys[row]
    if not answerable:
        if rng.random() < 0.5:
            key = keys[count]  # nothing is said of it
        else:
            asked = rng.choice([header for header in _HEADERS if header[0] not in titles])
    question = _ask(asked[0], asked[1], key, rng)
    start, end = places[row][order.index(column)] if answerable else (0, 0)
    return RowQuestion(question, text, start, end)


def _ask(header: str, value: Value | None, key: str, rng: random.Random) -> str:
    own: tuple[str, ...] = ()
    if value is not _price or header in _PRICED:
        own = _BY_KIND.get(value, ())
    plain = header.split(" (")[0]
    unit = header[len(plain) + 2 : -1] if "(" in header and "%" not in header else ""
    named = f"{plain} in {unit}" if unit and rng.random() < 0.4 else plain
    template = rng.choice(own) if own and rng.random() < 0.4 else rng.choice(_TEMPLATES)
    return template.format(header=named.lower(), key=key)


Places = list[list[tuple[int, int]]]


def _as_fields(titles: list[str], rows: list[list[str]]) -> tuple[str, Places]:
    """`Header: value; Header: value`, a row on each line."""
    return _written(rows, lambda i: ("" if i == 0 else "; ") + f"{titles[i]}: ", "", "")


def _as_table(titles: list[str], rows: list[list[str]]) -> tuple[str, Places]:
    """A table in Markdown."""
    head = f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n"
    return _written(rows, lambda i: "| " if i == 0 else " | ", " |", head)


def _written(
    rows: list[list[str]], before: Callable[[int], str], after: str, head: str
) -> tuple[str, Places]:
    """The text of a table, and where each cell stands in it."""
    text = head
    places: Places = []
    for row in rows:
        if places:
            text += "\n"
        places.append([])
        for i, cell in enumerate(row):
            text += before(i)
            places[-1].append((len(text), len(text) + len(cell)))
            text += cell
        text += after
    return text, places
