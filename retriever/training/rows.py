"""Made-up tables, with questions about their cells.

Public sets of questions are about prose; documents of one's own hold price lists and data sheets. Here tables are made
of common headers, of names and phrases that the training passages hold, and of numbers; and they are asked about in
the ways in which people ask: for a cell by its row and column, for one of several rows of the same name by what else
stands there, for the row by a cell, for a property of the one thing that a list is about. They are written as
spanseek's readers write rows of sheets (`Header: value; Header: value`), as tables are in Markdown, and with nothing
but space between the columns, as in what is read from a PDF.
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
_REGIONS = "Europe|Asia|Japan|Germany|France, Spain|Scandinavia|the north|abroad|Switzerland|Elsewhere".split(
    "|"
)
_SIZES = "small|large|S|M|L|XL|60 × 40 cm|2 m|5 m|500 ml|Basic|Plus|Pro|standard|wired|heated".split("|")


@dataclass(frozen=True, slots=True)
class Words:
    """What a table may hold besides numbers.

    Attributes:
        names: Of persons, places, things; at least 20.
        phrases: Some words long, to be cells of text; may be few or none.
    """

    names: Sequence[str]
    phrases: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RowQuestion:
    """A question about a table; `start ... end` is the answering cell in `text`, and `end` 0 if none answers.

    Attributes:
        question: What is asked.
        text: The table.
        start: In code points.
        end: Likewise, half-open.
        title: What stands over the table; maybe nothing.
    """

    question: str
    text: str
    start: int
    end: int
    title: str = ""


Value = Callable[[random.Random, Words], str]


def _price(rng: random.Random, _: Words) -> str:
    amount = rng.choice([rng.randint(1, 99), rng.randint(100, 9999), round(rng.uniform(1, 500), 2)])
    return rng.choice([f"{amount}", f"€{amount}", f"${amount}", f"{amount} EUR", f"{amount:,}"])


def _date(rng: random.Random, _: Words) -> str:
    year, month, day = rng.randint(1995, 2030), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{day} {_MONTHS[month - 1]} {year}",
            f"{_MONTHS[month - 1]} {day}, {year}",
            f"{_MONTHS[month - 1]} {year}",
        ]
    )


def _measure(rng: random.Random, _: Words) -> str:
    number = rng.choice([str(rng.randint(1, 500)), f"{rng.uniform(0, 99):.1f}", f"−{rng.randint(1, 40)}"])
    unit = rng.choice(_UNITS)
    low, high = sorted(rng.sample(range(-40, 400), 2))
    return rng.choice(
        [f"{number} {unit}", number, f"±{rng.uniform(0, 9):.2f} {unit}", f"{low} to {high} {unit}"]
    )


def _count(rng: random.Random, _: Words) -> str:
    return rng.choice([str(rng.randint(0, 20)), str(rng.randint(20, 999)), f"{rng.randint(1000, 9999):,}"])


def _code(rng: random.Random, _: Words) -> str:
    letters = "".join(rng.choices("ABCDEFGHKLMNPRSTUVWX", k=rng.randint(1, 3)))
    tail = rng.choice(["", "", f"-{rng.choice('ABCDEFGH')}"])
    return f"{letters}{rng.choice(['-', '', ' '])}{rng.randint(1, 9999)}{tail}"


def _name(rng: random.Random, words: Words) -> str:
    return rng.choice(words.names)


def _phrase(rng: random.Random, words: Words) -> str:
    return rng.choice(words.phrases or words.names)


def _state(rng: random.Random, _: Words) -> str:
    return rng.choice(_STATES)


def _colour(rng: random.Random, _: Words) -> str:
    return rng.choice(_COLOURS)


_COST = "How much is {key}?|What does {key} cost?|How much does the {key} cost?|price of {key}"
_HEADERS: list[tuple[str, Value, str]] = [
    ("Price", _price, _COST), ("Net price (EUR)", _count, _COST), ("Unit cost", _price, _COST), ("Fee", _price, _COST),
    ("Budget", _price, "How much money does {key} have?|How much may {key} spend?"),
    ("Salary", _price, "How much does {key} earn?|What is {key} paid?"),
    ("Deposit", _price, "How much must be left as a deposit for {key}?"),
    ("Limit", _price, "How much may be spent on {key}?|Up to which amount is {key} paid?"),
    ("Discount (%)", _count, "How much cheaper is {key}?|What rebate is there on {key}?"),
    ("Date", _date, "When is {key}?|When was {key}?|On which day does {key} take place?"),
    ("Due date", _date, "When is {key} due?|By when must {key} be done?"),
    ("Delivery date", _date, "When will {key} arrive?|When is {key} delivered?"),
    ("Valid until", _date, "When does {key} expire?|How long is {key} valid?"),
    ("Approved until", _date, "Until when is {key} approved?"),
    ("Start", _date, "When does {key} begin?|When did {key} start?"),
    ("End", _date, "When does {key} end?|Until when does {key} run?"),
    ("Released", _date, "When did {key} come out?|When was {key} released?"),
    ("Founded", _date, "When was {key} founded?"), ("Last check", _date, "When was {key} checked last?"),
    ("Weight", _measure, "How heavy is {key}?|How much does {key} weigh?"),
    ("Height", _measure, "How tall is {key}?|How high is {key}?"), ("Length", _measure, "How long is {key}?"),
    ("Width", _measure, "How wide is {key}?"), ("Dimensions", _measure, "How big is {key}?|What size is {key}?"),
    ("Capacity", _measure, "How much does {key} hold?|How much fits into {key}?"),
    ("Range", _measure, "How far does {key} reach?|Which range does {key} cover?"),
    ("Accuracy", _measure, "How accurate is {key}?|How precisely is {key} measured?"),
    ("Resolution", _measure, "How fine is {key}?"), ("Temperature", _measure, "How hot is {key}?"),
    ("Operating temperature", _measure, "At which temperatures does {key} work?|How cold may it be for {key}?"),
    ("Power", _measure, "How much power does {key} draw?"), ("Voltage", _measure, "How many volts does {key} need?"),
    ("Consumption", _measure, "How much does {key} use?|How much energy does {key} need?"),
    ("Battery life", _measure, "How long does {key} run on its battery?"), ("Duration", _measure, "How long does {key} take?"),
    ("Lead time (weeks)", _count, "How many weeks does it take to get {key}?|How long must I wait for {key}?"),
    ("Delivery (days)", _count, "How many days until {key} comes?"),
    ("Warranty (months)", _count, "How long is {key} under warranty?|How many months of warranty has {key}?"),
    ("Minimum order", _count, "How many {key} must be ordered at least?"),
    ("Quantity", _count, "How many {key} are there?"), ("Stock", _count, "How many {key} are left?|How many {key} are in stock?"),
    ("Sold", _count, "How many {key} were sold?|How many of {key} did we sell?"),
    ("Seats", _count, "How many people fit into {key}?|How many seats does {key} have?"),
    ("Visitors", _count, "How many people came to {key}?"), ("Members", _count, "How many people belong to {key}?"),
    ("Score", _count, "How many points did {key} get?"), ("Share (%)", _count, "Which percentage falls to {key}?"),
    ("Rank", _count, "Which place did {key} take?"), ("Extension", _count, "Which number do I dial for {key}?|What is the extension of {key}?"),
    ("Phone", _count, "How can I call {key}?|What is the number of {key}?"),
    ("Order number", _code, "Under which number is {key} ordered?"), ("Serial number", _code, ""), ("Version", _code, "Which version is {key}?"),
    ("Room", _code, "Where does {key} sit?|In which room is {key}?"), ("Invoice", _code, ""), ("Part number", _code, ""),
    ("Protection class", _code, ""), ("Model", _code, "Which model is {key}?"),
    ("Status", _state, "How far is {key}?|What is the state of {key}?"), ("Colour", _colour, "What colour is {key}?|Which colour has {key}?"),
    ("Contact", _name, "Whom do I ask about {key}?|Who helps with {key}?"), ("Owner", _name, "Who owns {key}?|To whom does {key} belong?"),
    ("Manager", _name, "Who manages {key}?|Who runs {key}?"), ("Supplier", _name, "Who supplies {key}?|Where do we buy {key}?"),
    ("Customer", _name, "Who ordered {key}?|Who bought {key}?"), ("City", _name, "In which city is {key}?|Where is {key}?"),
    ("Country", _name, "In which country is {key}?|Where is {key}?"), ("Location", _name, "Where is {key}?|Where can I find {key}?"),
    ("Venue", _name, "Where does {key} take place?"), ("Author", _name, "Who wrote {key}?"), ("Director", _name, "Who directed {key}?"),
    ("Team", _name, "Which team is {key} in?"), ("Responsible", _name, "Who is responsible for {key}?|Who takes care of {key}?"),
    ("Signed by", _name, "Who signed {key}?"), ("Replaced by", _name, "What replaces {key}?|What came after {key}?"),
    ("Category", _name, ""), ("Brand", _name, "Who makes {key}?"),
    ("Remark", _phrase, "What is said about {key}?|What is noted on {key}?"), ("Meaning", _phrase, "What does {key} mean?|What does it mean when it says {key}?"),
    ("Reason", _phrase, "Why is there {key}?|What is the reason of {key}?"), ("Cause", _phrase, "What causes {key}?"),
    ("Do", _phrase, "What should I do in case of {key}?|What is to be done about {key}?"), ("Do not", _phrase, "What must I not do in case of {key}?"),
    ("Remedy", _phrase, "What helps against {key}?|How is {key} mended?"), ("Description", _phrase, "What is {key}?"),
    ("Use", _phrase, "What is {key} for?|What is {key} used for?"), ("Material", _phrase, "What is {key} made of?"),
]  # fmt: skip
"""Headers, what stands under them, and how people ask for it."""
_KEYS = (
    "Product",
    "Name",
    "Item",
    "Part",
    "Person",
    "Project",
    "Place",
    "Run",
    "Company",
    "Model",
    "Event",
    "Situation",
    "Question",
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
_QUALIFIERS: list[tuple[str, Value, str]] = [
    ("Year", lambda rng, _: str(rng.randint(1998, 2030)), " in {}"),
    ("Month", lambda rng, _: rng.choice(_MONTHS), " in {}"),
    ("Quarter", lambda rng, _: f"Q{rng.randint(1, 4)} {rng.randint(2015, 2029)}", " in {}"),
    ("Temperature (°C)", lambda rng, _: str(rng.randint(-40, 60)), " at {} °C"),
    ("Speed", lambda rng, _: f"{rng.randint(1, 9)} to {rng.randint(10, 40)} m/s", " at {}"),
    ("Region", lambda rng, _: rng.choice(_REGIONS), " for {}"),
    ("Version", lambda rng, _: f"{rng.randint(1, 9)}.{rng.randint(0, 9)}", " in version {}"),
    ("Variant", lambda rng, _: rng.choice(_SIZES), " ({})"),
    ("Size", lambda rng, _: rng.choice(_SIZES), " in size {}"),
    ("Colour", _colour, " in {}"),
    ("Customer", _name, " for {}"),
    ("Supplier", _name, " from {}"),
]
"""What tells rows of one name apart, and how a question says it."""
_MEASURES = (
    "Sales|Units sold|Revenue|Visitors|Mean error|Complaints|Rainfall|Population|Output|Members".split("|")
)

Cells = list[list[str]]
Places = list[list[tuple[int, int]]]


def make_row_question(words: Words, rng: random.Random) -> RowQuestion:
    """A table and a question about it; one time in four, a question that no cell answers.

    Args:
        words: To be keys and cells.
        rng: Draws everything.
    """
    draw = rng.random()
    if draw < 0.45:
        return _by_key(words, rng)
    if draw < 0.62:
        return _by_two(words, rng)
    if draw < 0.72:
        return _by_cell(words, rng)
    return _by_column(words, rng) if draw < 0.85 else _of_one_thing(words, rng)


def _by_key(words: Words, rng: random.Random) -> RowQuestion:
    """A cell, by the row's key and the column's header."""
    headers = rng.sample(_HEADERS, rng.randint(1, 6))
    count = rng.choice([1, 1, 2, 3, 5, 7])
    *keys, absent = _some_keys(words, count + 1, rng)
    titles = [rng.choice(_KEYS), *(header for header, *_ in headers)]
    rows = [[key, *(value(rng, words) for _, value, _ in headers)] for key in keys]
    row, column = rng.randrange(count), rng.randrange(len(headers))
    asked, key = headers[column], keys[row]
    answer: tuple[int, int] | None = (row, column + 1)
    if rng.random() < 0.25:
        answer = None
        if rng.random() < 0.5:
            key = absent
        else:
            asked = rng.choice([header for header in _HEADERS if header[0] not in titles])
    return _written(titles, rows, answer, _ask(asked, key, rng), rng)


def _by_two(words: Words, rng: random.Random) -> RowQuestion:
    """A cell of one of several rows with the same key, by what else stands in the row."""
    name, qualifier, said = rng.choice(_QUALIFIERS)
    headers = rng.sample([header for header in _HEADERS if header[0] != name], rng.randint(1, 4))
    keys = _some_keys(words, rng.randint(1, 3), rng)
    *given, absent = _different(qualifier, rng.randint(3, 4), words, rng)
    pairs = [(key, other) for key in keys for other in given]
    titles = [rng.choice(_KEYS), name, *(header for header, *_ in headers)]
    rows = [[key, other, *(value(rng, words) for _, value, _ in headers)] for key, other in pairs]
    row, column = rng.randrange(len(rows)), rng.randrange(len(headers))
    key, other = pairs[row]
    answerable = rng.random() < 0.75
    question = _ask(headers[column], key, rng, said.format(other if answerable else absent))
    return _written(titles, rows, (row, column + 2) if answerable else None, question, rng)


def _by_cell(words: Words, rng: random.Random) -> RowQuestion:
    """The row's key, by one of its cells."""
    headers = rng.sample(_HEADERS, rng.randint(1, 4))
    count = rng.randint(2, 6)
    keys = _some_keys(words, count, rng)
    title = rng.choice(_KEYS)
    column = rng.randrange(len(headers))
    header, value, _ = headers[column]
    *values, absent = _different(value, count + 1, words, rng)
    count = min(count, len(values))
    rows = [[key, *(value(rng, words) for _, value, _ in headers)] for key in keys[:count]]
    for row, cell in zip(rows, values, strict=False):
        row[column + 1] = cell
    row_asked = rng.randrange(count)
    answerable = rng.random() < 0.75
    given = values[row_asked] if answerable else absent
    question = rng.choice(
        [
            f"Which {title.lower()} has {header.lower()} {given}?",
            f"What has the {header.lower()} {given}?",
            f"Which {title.lower()} has the {header.lower()} {given}?",
            f"For which {title.lower()} is the {header.lower()} {given}?",
            f"{header.lower()} {given}",
        ]
    )
    answer = (row_asked, 0) if answerable else None
    return _written([title, *(name for name, *_ in headers)], rows, answer, question, rng)


def _by_column(words: Words, rng: random.Random) -> RowQuestion:
    """One figure of many: rows are things, columns are years or the like, and what is counted stands above."""
    name, qualifier, said = rng.choice(_QUALIFIERS)
    value = rng.choice([_count, _measure, _price])
    measure = rng.choice(_MEASURES)
    *columns, absent_column = _different(qualifier, rng.randint(3, 5), words, rng)
    *keys, absent_key = _some_keys(words, rng.randint(3, 6), rng)
    rows = [[key, *(value(rng, words) for _ in columns)] for key in keys]
    row, column = rng.randrange(len(rows)), rng.randrange(len(columns))
    key, given = keys[row], columns[column]
    answerable = rng.random() < 0.75
    if not answerable:
        if rng.random() < 0.5:
            key = absent_key
        else:
            given = absent_column
    asked = rng.choice(
        [
            f"What was the {measure.lower()} of {key}{said.format(given)}?",
            f"{measure} of {key}{said.format(given)}?",
            f"What is the {measure.lower()} for {key}{said.format(given)}?",
            f"How much {measure.lower()} did {key} have{said.format(given)}?",
            f"How many {key}{said.format(given)}?",
        ]
    )
    made = _written(
        [rng.choice([*_KEYS, name]), *columns], rows, (row, column + 1) if answerable else None, asked, rng
    )
    return _under(made, measure, rng)


def _of_one_thing(words: Words, rng: random.Random) -> RowQuestion:
    """A property in a list of them, of the thing that the title names."""
    headers = rng.sample(_HEADERS, rng.randint(4, 10))
    *listed, absent = headers
    thing = _name(rng, words)
    rows = [[header, value(rng, words)] for header, value, _ in listed]
    row = rng.randrange(len(rows))
    answerable = rng.random() < 0.75
    question = _ask(listed[row] if answerable else absent, thing, rng)
    write = rng.choice([_as_columns, _as_columns, _as_lines, _as_markdown])
    text, places = write(None, rows, rng)
    start, end = places[row][1] if answerable else (0, 0)
    return _under(RowQuestion(question, text, start, end), thing, rng)


def _written(
    titles: list[str], rows: Cells, answer: tuple[int, int] | None, question: str, rng: random.Random
) -> RowQuestion:
    """The table in one of the ways; `answer` is a row and a column."""
    order = list(range(len(titles)))
    if rng.random() < 0.3:
        rng.shuffle(order)
    draw = rng.random()
    write = _as_fields if draw < 0.45 else _as_markdown if draw < 0.7 else _as_columns
    text, places = write([titles[i] for i in order], [[cells[i] for i in order] for cells in rows], rng)
    start, end = places[answer[0]][order.index(answer[1])] if answer is not None else (0, 0)
    return RowQuestion(question, text, start, end)


def _under(made: RowQuestion, heading: str, rng: random.Random) -> RowQuestion:
    """With a heading: as the title, or in the text itself."""
    if rng.random() < 0.6:
        return RowQuestion(made.question, made.text, made.start, made.end, heading)
    above = f"{heading}\n\n"
    moved = len(above) if made.end else 0
    return RowQuestion(made.question, above + made.text, made.start + moved, made.end + moved)


def _ask(header: tuple[str, Value, str], key: str, rng: random.Random, which: str = "") -> str:
    """A question for what stands under a header; `which` says more of the row."""
    name, _, own = header
    plain = name.split(" (")[0]
    unit = name[len(plain) + 2 : -1] if "(" in name and "%" not in name else ""
    named = f"{plain} in {unit}" if unit and rng.random() < 0.4 else plain
    template = rng.choice(own.split("|")) if own and rng.random() < 0.5 else rng.choice(_TEMPLATES)
    mark = "?" if template.endswith("?") else ""
    return template.removesuffix("?").format(header=named.lower(), key=key) + which + mark


def _some_keys(words: Words, count: int, rng: random.Random) -> list[str]:
    """Different keys; names, or now and then phrases. None is part of another."""
    pool = words.phrases if len(words.phrases) > 2 * count and rng.random() < 0.2 else words.names
    keys: list[str] = []
    for key in rng.sample(list(pool), min(len(pool), 4 * count)):
        if len(keys) < count and not any(key in other or other in key for other in keys):
            keys.append(key)
    while len(keys) < count:  # a poor pool
        keys.append(f"{keys[0] if keys else 'No.'} {len(keys) + 1}")
    return keys


def _different(value: Value, count: int, words: Words, rng: random.Random) -> list[str]:
    """Different values of one kind; fewer, but at least two, where there are no more."""
    found: dict[str, None] = {}
    for _ in range(10 * count):
        found[value(rng, words)] = None
        if len(found) == count:
            break
    if len(found) < 2:
        found["none"] = None
    return list(found)


def _as_fields(titles: list[str], rows: Cells, _: random.Random) -> tuple[str, Places]:
    """`Header: value; Header: value`, a row on each line."""
    return _lines(rows, lambda i, _: ("" if i == 0 else "; ") + f"{titles[i]}: ")


def _as_markdown(titles: list[str] | None, rows: Cells, _: random.Random) -> tuple[str, Places]:
    head = f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n" if titles else ""
    return _lines(rows, lambda i, _: "| " if i == 0 else " | ", " |", head)


def _as_columns(titles: list[str] | None, rows: Cells, rng: random.Random) -> tuple[str, Places]:
    """Nothing but space between the cells: two, or as many as it takes for the columns to stand straight."""
    table = [titles, *rows] if titles else rows
    widths = [max(len(cells[i]) for cells in table) + 2 for i in range(len(table[0]))]
    straight = rng.random() < 0.4

    def before(i: int, left: str) -> str:
        if i == 0:
            return ""
        return " " * (widths[i - 1] - len(left) if straight else 2)

    text, places = _lines(table, before)
    return text, places[1:] if titles else places


def _as_lines(_: list[str] | None, rows: Cells, rng: random.Random) -> tuple[str, Places]:
    """`Header: value` on a line of its own."""
    mark = rng.choice(["", "- ", "* "])
    return _lines(rows, lambda i, _: mark if i == 0 else ": ")


def _lines(
    rows: Cells, before: Callable[[int, str], str], after: str = "", head: str = ""
) -> tuple[str, Places]:
    """The text of a table, and where each cell stands in it.

    Args:
        rows: Their cells.
        before: What stands before a cell, by its column and the cell to the left.
        after: What ends a line.
        head: What stands above.
    """
    text = head
    places: Places = []
    for row in rows:
        if places:
            text += "\n"
        places.append([])
        for i, cell in enumerate(row):
            text += before(i, row[i - 1] if i else "")
            places[-1].append((len(text), len(text) + len(cell)))
            text += cell
        text += after
    return text, places
