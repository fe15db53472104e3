"""Made-up tables, with questions about their cells.

Public sets of questions are about prose; documents of one's own hold price lists and data sheets. Here tables are made
of common headers, of names and phrases that the training passages hold, and of numbers; and they are asked about in
the ways in which people ask: for a cell by its row and column, for one of several rows of the same name by what else
stands there, for one whose name they give in part, by what it looks like, for the row by a cell, for a property of the
one thing that a list is about. They are written as spanseek's readers write rows of sheets (`Header: value; Header:
value`), as tables are in Markdown, and with nothing but space between the columns, as in what is read from a PDF.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from retriever.training.cells import (
    FILES,
    HEADERS,
    KEYS,
    KINDS,
    MEASURES,
    QUALIFIERS,
    VARIANTS,
    Value,
    Words,
    count_of,
    different,
    look_of,
    measure_of,
    name_of,
    price_of,
    some_keys,
)
from retriever.training.tables import Cells, as_columns, as_fields, as_lines, as_markdown

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


_THINGS = ("Product", "Name", "Item", "Part", "Model")


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


def make_row_question(words: Words, rng: random.Random) -> RowQuestion:
    """A table and a question about it; one time in four, a question that no cell answers.

    Args:
        words: To be keys and cells.
        rng: Draws everything.
    """
    draw = rng.random()
    if draw < 0.4:
        return _by_key(words, rng)
    if draw < 0.5:
        return _by_part(words, rng)
    if draw < 0.62:
        return _by_two(words, rng)
    if draw < 0.72:
        return _by_cell(words, rng)
    return _by_column(words, rng) if draw < 0.85 else _of_one_thing(words, rng)


def _by_key(words: Words, rng: random.Random) -> RowQuestion:
    """A cell, by the row's key and the column's header."""
    headers = rng.sample(HEADERS, rng.randint(1, 6))
    count = rng.choice([1, 1, 2, 3, 5, 7])
    *keys, absent = some_keys(words, count + 1, rng)
    titles = [rng.choice(KEYS), *(header for header, *_ in headers)]
    rows = [[key, *(value(rng, words) for _, value, _ in headers)] for key in keys]
    row, column = rng.randrange(count), rng.randrange(len(headers))
    asked, key = headers[column], keys[row]
    answer: tuple[int, int] | None = (row, column + 1)
    if rng.random() < 0.25:
        answer = None
        if rng.random() < 0.5:
            key = absent
        else:
            asked = rng.choice([header for header in HEADERS if header[0] not in titles])
    return _written(titles, rows, answer, _ask(asked, key, rng), words, rng)


def _by_two(words: Words, rng: random.Random) -> RowQuestion:
    """A cell of one of several rows with the same key, by what else stands in the row."""
    name, qualifier, said = rng.choice(QUALIFIERS)
    headers = rng.sample([header for header in HEADERS if header[0] != name], rng.randint(1, 4))
    keys = some_keys(words, rng.randint(1, 3), rng)
    *given, absent = different(qualifier, rng.randint(3, 4), words, rng)
    pairs = [(key, other) for key in keys for other in given]
    titles = [rng.choice(KEYS), name, *(header for header, *_ in headers)]
    rows = [[key, other, *(value(rng, words) for _, value, _ in headers)] for key, other in pairs]
    row, column = rng.randrange(len(rows)), rng.randrange(len(headers))
    key, other = pairs[row]
    answerable = rng.random() < 0.75
    question = _ask(headers[column], key, rng, said.format(other if answerable else absent))
    return _written(titles, rows, (row, column + 2) if answerable else None, question, words, rng)


def _by_part(words: Words, rng: random.Random) -> RowQuestion:
    """A cell of one of several rows whose names begin alike, by that beginning and by what the thing looks like.

    So people ask who don't know, or don't say, what its maker calls it: 'the brass Harrow', not 'the Harrow Classic'.
    """
    headers = rng.sample(
        [header for header in HEADERS if header[0] not in ("Colour", "Description")], rng.randint(1, 4)
    )
    name, absent_name = (
        f"{key}{rng.choice(['', '', ' 2', ' 3', ' 40'])}" for key in some_keys(words, 2, rng)
    )
    count = rng.choice([1, 1, 2, 3, 4])
    apart: dict[str, str] = {}  # by the last word: who asks for the grey one may mean a light grey one
    for look in different(look_of, 4 * (count + 1), words, rng):
        apart.setdefault(look.split()[-1], look)
    *looks, absent = [*apart.values()][: count + 1]
    parts = rng.sample(VARIANTS, len(looks))
    kind = rng.choice(KINDS)
    column, described = rng.choice(
        [("Description", f"{kind}, {{}}"), ("Description", f"{{}} {kind}"), ("Finish", "{}")]
    )
    titles = [rng.choice(_THINGS), column, *(header for header, *_ in headers)]
    rows = [
        [f"{name} {part}", described.format(look), *(value(rng, words) for _, value, _ in headers)]
        for part, look in zip(parts, looks, strict=True)
    ]
    row, asked = rng.randrange(len(rows)), rng.randrange(len(headers))
    answerable = rng.random() < 0.75
    look = looks[row]
    if not answerable:
        look, name = rng.choice([(absent, name), (look, absent_name)])
    question = _ask(
        headers[asked], rng.choice([f"{look} {name}", f"{look} {name}", f"{name} in {look}"]), rng
    )
    return _written(titles, rows, (row, asked + 2) if answerable else None, question, words, rng)


def _by_cell(words: Words, rng: random.Random) -> RowQuestion:
    """The row's key, by one of its cells."""
    headers = rng.sample(HEADERS, rng.randint(1, 4))
    count = rng.randint(2, 6)
    keys = some_keys(words, count, rng)
    title = rng.choice(KEYS)
    column = rng.randrange(len(headers))
    header, value, _ = headers[column]
    *values, absent = different(value, count + 1, words, rng)
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
    return _written([title, *(name for name, *_ in headers)], rows, answer, question, words, rng)


def _by_column(words: Words, rng: random.Random) -> RowQuestion:
    """One figure of many: rows are things, columns are years or the like, and what is counted stands above."""
    name, qualifier, said = rng.choice(QUALIFIERS)
    value = rng.choice([count_of, measure_of, price_of])
    measure = rng.choice(MEASURES)
    *columns, absent_column = different(qualifier, rng.randint(3, 5), words, rng)
    *keys, absent_key = some_keys(words, rng.randint(3, 6), rng)
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
        [rng.choice([*KEYS, name]), *columns],
        rows,
        (row, column + 1) if answerable else None,
        asked,
        words,
        rng,
    )
    return _under(made, measure, rng)


def _of_one_thing(words: Words, rng: random.Random) -> RowQuestion:
    """A property in a list of them, of the thing that the title names."""
    headers = rng.sample(HEADERS, rng.randint(4, 10))
    *listed, absent = headers
    thing = name_of(rng, words)
    rows = [[header, value(rng, words)] for header, value, _ in listed]
    row = rng.randrange(len(rows))
    answerable = rng.random() < 0.75
    question = _ask(listed[row] if answerable else absent, thing, rng)
    write = rng.choice([as_columns, as_columns, as_lines, as_markdown])
    text, places = write(None, rows, rng)
    start, end = places[row][1] if answerable else (0, 0)
    return _under(RowQuestion(question, text, start, end), thing, rng)


def _written(
    titles: list[str],
    rows: Cells,
    answer: tuple[int, int] | None,
    question: str,
    words: Words,
    rng: random.Random,
) -> RowQuestion:
    """The table in one of the ways; `answer` is a row and a column."""
    order = list(range(len(titles)))
    if rng.random() < 0.3:
        rng.shuffle(order)
    draw = rng.random()
    write = as_fields if draw < 0.45 else as_markdown if draw < 0.7 else as_columns
    text, places = write([titles[i] for i in order], [[cells[i] for i in order] for cells in rows], rng)
    start, end = places[answer[0]][order.index(answer[1])] if answer is not None else (0, 0)
    return RowQuestion(question, text, start, end, _file(words, rng) if rng.random() < 0.6 else "")


def _file(words: Words, rng: random.Random) -> str:
    """What stands over a table in a file: its title, and mostly the sheet's or the section's.

    Without it the span scorer learns that a row under a title answers nothing: most of those that a search puts before
    it are neighbours of the row that does.
    """
    subject = rng.choice([name_of(rng, words), rng.choice(KINDS).capitalize(), rng.choice(KEYS)])
    title = rng.choice(FILES).format(subject=subject, year=rng.randint(1998, 2031))
    if rng.random() < 0.2:
        return title
    sheet = rng.choice(
        [name_of(rng, words), rng.choice(MEASURES), f"{rng.choice([*KINDS, *KEYS]).capitalize()}s"]
    )
    return f"{title} > {sheet}"


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
