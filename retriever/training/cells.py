"""What stands in made-up tables: headers with their values and how people ask for them, and what tells rows apart."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MONTHS = "January February March April May June July August September October November December".split()
_UNITS = "mm cm m km g kg ml l °C % V W A h min s days weeks months years".split()
_COLOURS = "red blue green grey black white yellow orange brown silver".split()
_SHADES = "light dark pale moss navy signal lime stone ruby sand".split()
_STUFFS = "oak walnut steel brass leather linen glass bamboo copper felt aluminium wicker".split()
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


Value = Callable[[random.Random, Words], str]


def price_of(rng: random.Random, _: Words) -> str:
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


def measure_of(rng: random.Random, _: Words) -> str:
    number = rng.choice([str(rng.randint(1, 500)), f"{rng.uniform(0, 99):.1f}", f"−{rng.randint(1, 40)}"])
    unit = rng.choice(_UNITS)
    low, high = sorted(rng.sample(range(-40, 400), 2))
    return rng.choice(
        [f"{number} {unit}", number, f"±{rng.uniform(0, 9):.2f} {unit}", f"{low} to {high} {unit}"]
    )


def count_of(rng: random.Random, _: Words) -> str:
    return rng.choice([str(rng.randint(0, 20)), str(rng.randint(20, 999)), f"{rng.randint(1000, 9999):,}"])


def _code(rng: random.Random, _: Words) -> str:
    letters = "".join(rng.choices("ABCDEFGHKLMNPRSTUVWX", k=rng.randint(1, 3)))
    tail = rng.choice(["", "", f"-{rng.choice('ABCDEFGH')}"])
    return f"{letters}{rng.choice(['-', '', ' '])}{rng.randint(1, 9999)}{tail}"


def name_of(rng: random.Random, words: Words) -> str:
    return rng.choice(words.names)


def _phrase(rng: random.Random, words: Words) -> str:
    return rng.choice(words.phrases or words.names)


def _state(rng: random.Random, _: Words) -> str:
    return rng.choice(_STATES)


def _colour(rng: random.Random, _: Words) -> str:
    return rng.choice(_COLOURS)


def look_of(rng: random.Random, words: Words) -> str:
    """What something looks like: a colour, its shade, what it is made of."""
    return rng.choice(
        [_colour(rng, words), f"{rng.choice(_SHADES)} {_colour(rng, words)}", rng.choice(_STUFFS)]
    )


_COST = "How much is {key}?|What does {key} cost?|How much does the {key} cost?|price of {key}"
HEADERS: list[tuple[str, Value, str]] = [
    ("Price", price_of, _COST), ("Net price (EUR)", count_of, _COST), ("Unit cost", price_of, _COST), ("Fee", price_of, _COST),
    ("Budget", price_of, "How much money does {key} have?|How much may {key} spend?"),
    ("Salary", price_of, "How much does {key} earn?|What is {key} paid?"),
    ("Deposit", price_of, "How much must be left as a deposit for {key}?"),
    ("Limit", price_of, "How much may be spent on {key}?|Up to which amount is {key} paid?"),
    ("Discount (%)", count_of, "How much cheaper is {key}?|What rebate is there on {key}?"),
    ("Date", _date, "When is {key}?|When was {key}?|On which day does {key} take place?"),
    ("Due date", _date, "When is {key} due?|By when must {key} be done?"),
    ("Delivery date", _date, "When will {key} arrive?|When is {key} delivered?"),
    ("Valid until", _date, "When does {key} expire?|How long is {key} valid?"),
    ("Approved until", _date, "Until when is {key} approved?"),
    ("Start", _date, "When does {key} begin?|When did {key} start?"),
    ("End", _date, "When does {key} end?|Until when does {key} run?"),
    ("Released", _date, "When did {key} come out?|When was {key} released?"),
    ("Founded", _date, "When was {key} founded?"), ("Last check", _date, "When was {key} checked last?"),
    ("Weight", measure_of, "How heavy is {key}?|How much does {key} weigh?"),
    ("Height", measure_of, "How tall is {key}?|How high is {key}?"), ("Length", measure_of, "How long is {key}?"),
    ("Width", measure_of, "How wide is {key}?"), ("Dimensions", measure_of, "How big is {key}?|What size is {key}?"),
    ("Capacity", measure_of, "How much does {key} hold?|How much fits into {key}?"),
    ("Range", measure_of, "How far does {key} reach?|Which range does {key} cover?"),
    ("Accuracy", measure_of, "How accurate is {key}?|How precisely is {key} measured?"),
    ("Resolution", measure_of, "How fine is {key}?"), ("Temperature", measure_of, "How hot is {key}?"),
    ("Operating temperature", measure_of, "At which temperatures does {key} work?|How cold may it be for {key}?"),
    ("Power", measure_of, "How much power does {key} draw?"), ("Voltage", measure_of, "How many volts does {key} need?"),
    ("Consumption", measure_of, "How much does {key} use?|How much energy does {key} need?"),
    ("Battery life", measure_of, "How long does {key} run on its battery?"), ("Duration", measure_of, "How long does {key} take?"),
    ("Lead time (weeks)", count_of, "How many weeks does it take to get {key}?|How long must I wait for {key}?"),
    ("Delivery (days)", count_of, "How many days until {key} comes?"),
    ("Warranty (months)", count_of, "How long is {key} under warranty?|How many months of warranty has {key}?"),
    ("Minimum order", count_of, "How many {key} must be ordered at least?"),
    ("Quantity", count_of, "How many {key} are there?"), ("Stock", count_of, "How many {key} are left?|How many {key} are in stock?"),
    ("Sold", count_of, "How many {key} were sold?|How many of {key} did we sell?"),
    ("Seats", count_of, "How many people fit into {key}?|How many seats does {key} have?"),
    ("Visitors", count_of, "How many people came to {key}?"), ("Members", count_of, "How many people belong to {key}?"),
    ("Score", count_of, "How many points did {key} get?"), ("Share (%)", count_of, "Which percentage falls to {key}?"),
    ("Rank", count_of, "Which place did {key} take?"), ("Extension", count_of, "Which number do I dial for {key}?|What is the extension of {key}?"),
    ("Phone", count_of, "How can I call {key}?|What is the number of {key}?"),
    ("Order number", _code, "Under which number is {key} ordered?"), ("Serial number", _code, ""), ("Version", _code, "Which version is {key}?"),
    ("Room", _code, "Where does {key} sit?|In which room is {key}?"), ("Invoice", _code, ""), ("Part number", _code, ""),
    ("Protection class", _code, ""), ("Model", _code, "Which model is {key}?"),
    ("Status", _state, "How far is {key}?|What is the state of {key}?"), ("Colour", _colour, "What colour is {key}?|Which colour has {key}?"),
    ("Contact", name_of, "Whom do I ask about {key}?|Who helps with {key}?"), ("Owner", name_of, "Who owns {key}?|To whom does {key} belong?"),
    ("Manager", name_of, "Who manages {key}?|Who runs {key}?"), ("Supplier", name_of, "Who supplies {key}?|Where do we buy {key}?"),
    ("Customer", name_of, "Who ordered {key}?|Who bought {key}?"), ("City", name_of, "In which city is {key}?|Where is {key}?"),
    ("Country", name_of, "In which country is {key}?|Where is {key}?"), ("Location", name_of, "Where is {key}?|Where can I find {key}?"),
    ("Venue", name_of, "Where does {key} take place?"), ("Author", name_of, "Who wrote {key}?"), ("Director", name_of, "Who directed {key}?"),
    ("Team", name_of, "Which team is {key} in?"), ("Responsible", name_of, "Who is responsible for {key}?|Who takes care of {key}?"),
    ("Signed by", name_of, "Who signed {key}?"), ("Replaced by", name_of, "What replaces {key}?|What came after {key}?"),
    ("Category", name_of, ""), ("Brand", name_of, "Who makes {key}?"),
    ("Remark", _phrase, "What is said about {key}?|What is noted on {key}?"), ("Meaning", _phrase, "What does {key} mean?|What does it mean when it says {key}?"),
    ("Reason", _phrase, "Why is there {key}?|What is the reason of {key}?"), ("Cause", _phrase, "What causes {key}?"),
    ("Do", _phrase, "What should I do in case of {key}?|What is to be done about {key}?"), ("Do not", _phrase, "What must I not do in case of {key}?"),
    ("Remedy", _phrase, "What helps against {key}?|How is {key} mended?"), ("Description", _phrase, "What is {key}?"),
    ("Use", _phrase, "What is {key} for?|What is {key} used for?"), ("Material", _phrase, "What is {key} made of?"),
]  # fmt: skip
"""Headers, what stands under them, and how people ask for it."""
KEYS = (
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
QUALIFIERS: list[tuple[str, Value, str]] = [
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
    ("Customer", name_of, " for {}"),
    ("Supplier", name_of, " from {}"),
]
"""What tells rows of one name apart, and how a question says it."""
VARIANTS = (
    "Trail Sport Classic Mini Max Plus Pro Lite Compact Home Studio Garden Marine Nordic XL 200 S".split()
)
"""What makers add to a name to tell its kinds apart."""
FILES = (
    "{subject} {year}|{subject}|List of {subject} {year}|{subject} register|Stock {year}|Orders {year}|Inventory of {subject}|"
    "Budget {year}|{subject}, rates from {year}|Annex: {subject}|{year}|Schedule {year}|Directory of {subject}"
).split("|")
"""What files with tables are called."""
KINDS = "lamp|desk|clock|bicycle|tent|kettle|jacket|camera|speaker|bench|heater|sensor|backpack|chair".split(
    "|"
)
"""What the thing is."""
MEASURES = "Sales|Units sold|Revenue|Visitors|Mean error|Complaints|Rainfall|Population|Output|Members".split(
    "|"
)


def some_keys(words: Words, count: int, rng: random.Random) -> list[str]:
    """Different keys; names, or now and then phrases. None is part of another."""
    pool = words.phrases if len(words.phrases) > 2 * count and rng.random() < 0.2 else words.names
    keys: list[str] = []
    for key in rng.sample(list(pool), min(len(pool), 4 * count)):
        if len(keys) < count and not any(key in other or other in key for other in keys):
            keys.append(key)
    while len(keys) < count:  # a poor pool
        keys.append(f"{keys[0] if keys else 'No.'} {len(keys) + 1}")
    return keys


def different(value: Value, count: int, words: Words, rng: random.Random) -> list[str]:
    """Different values of one kind; fewer, but at least two, where there are no more."""
    found: dict[str, None] = {}
    for _ in range(10 * count):
        found[value(rng, words)] = None
        if len(found) == count:
            break
    if len(found) < 2:
        found["none"] = None
    return list(found)
