"""The page in a real browser: what a person sees, with the mouse, the keyboard, in the dark, on a phone."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi", reason="what [serve] needs isn't installed")
pytest.importorskip("playwright", reason="playwright isn't installed")

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from indexer import Indexer
from retriever.serving.security import Gate
from tests.served import Served

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "documents"
DOCUMENTS = (
    "handbook/onboarding-first-month.md",
    "handbook/office-map.txt",
    "policies/lab-safety.pdf",
    "policies/purchasing-approvals.md",
)
ODD = "notes/50% #1 ü?.md"
SIGNS = "# 😀😀\n\nThe 🧭 compass is kept by Ola Nordmann 👩‍🚀 in room 12.\n"
ARTEFACTS = ROOT / "build" / "screenshots"
CHROMIUM = os.environ.get("SPANSEEK_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000
ASSEMBLY = "where is the assembly point?"
SLIPWAY = "the slipway behind the boat shed"
TOKEN = "a-secret-of-some-length"  # noqa: S105
MARKER = (255, 226, 122)
"""The colour of a mark, in the light."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    for name in DOCUMENTS:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLE / name, folder / name)
    (folder / ODD).parent.mkdir()
    (folder / ODD).write_text(SIGNS)
    with Indexer.open(folder / ".spanseek") as indexer:
        indexer.add_paths([folder])
    return folder / ".spanseek"


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    with Served(root, Gate()) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


Open = Callable[..., Page]


@pytest.fixture
def page_at(browser: Browser, address: str) -> Iterator[Open]:
    """Opens the page at a path; whatever the browser complains of, or fetches from elsewhere, fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_(path: str = "/", base: str = address, **options: Any) -> Page:
        size = {"width": 1180, "height": 860}
        context = browser.new_context(**{"viewport": size, "reduced_motion": "reduce", **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((base, "data:")) else complaints.append(asked.url),
        )
        page.goto(f"{base}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [line for line in complaints if not re.search("status of (401|503)", line)] == []


def picture(page: Page, name: str) -> Image.Image:
    """What is on the screen, kept for people to look at."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    content = page.screenshot(path=ARTEFACTS / f"{name}.png", animations="disabled")
    return Image.open(io.BytesIO(content)).convert("RGB")


def share_of(seen: Image.Image, colour: tuple[int, int, int], box: dict[str, float], near: int = 12) -> float:
    """How much of a rectangle of the screen has about a colour."""
    corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
    pixels = np.asarray(seen.crop(tuple(round(c) for c in corners)), dtype=np.int16)  # type: ignore[arg-type]
    return float((abs(pixels - colour).max(axis=-1) <= near).mean())


def box_of(page: Page, selector: str) -> dict[str, float]:
    """Where an element stands on the screen; of one that wraps, its first line."""
    first = "element => { const { x, y, width, height } = element.getClientRects()[0]; return { x, y, width, height }; }"
    found: dict[str, float] = page.locator(selector).first.evaluate(first)
    return found


def test_a_question_is_answered_while_it_is_typed(page_at: Open) -> None:
    page = page_at()
    expect(page.locator("#holdings")).to_contain_text("5 documents")
    expect(page.locator("#question")).to_be_focused()
    picture(page, "start")
    page.keyboard.type(ASSEMBLY)
    answer = page.locator(".answer").first
    expect(answer.locator(".words")).to_have_text(SLIPWAY)
    expect(answer.locator("mark")).to_have_text(SLIPWAY)
    expect(answer.locator("blockquote")).to_contain_text(f"The assembly point is {SLIPWAY}.")
    expect(answer.locator(".place")).to_contain_text("onboarding-first-month.md")
    expect(answer.locator(".place")).to_contain_text("line 12")
    expect(answer.locator(".verdict")).to_contain_text(re.compile(r"(Very likely|Likely|Perhaps)\D+\d\d %"))
    expect(page.locator("#told")).to_contain_text(f"{SLIPWAY}. ")
    assert page.locator(".passage").count() >= 2
    assert page.url.endswith(f"/?q={quote(ASSEMBLY).replace('%20', '+')}")
    seen = picture(page, "answer")
    assert share_of(seen, MARKER, box_of(page, ".answer mark")) > 0.3


def test_an_older_question_never_overwrites_a_newer_one(page_at: Open) -> None:
    page = page_at()
    page.keyboard.type("who signs orders above 25,000", delay=60)
    page.locator("#question").fill(ASSEMBLY)
    expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)
    page.wait_for_timeout(1500)
    expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)


def test_a_text_is_opened_at_the_words(page_at: Open) -> None:
    page = page_at(f"/?q={quote(ASSEMBLY)}")
    page.locator(".answer .go").first.click()
    mark = page.locator("#document mark")
    expect(mark).to_have_text(SLIPWAY)
    expect(mark).to_be_in_viewport()
    expect(page.locator(".line:has(mark)")).to_have_attribute("data-line", "12")
    expect(page.locator("#title")).to_have_text("Your first month at Cairnlow")
    assert share_of(picture(page, "text"), MARKER, box_of(page, "#document mark")) > 0.3
    page.go_back()
    expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)
    page.go_forward()
    expect(mark).to_have_text(SLIPWAY)
    again = page_at(page.url.removeprefix(page.url.split("/?")[0]))  # somebody was sent the address
    expect(again.locator("#document mark")).to_have_text(SLIPWAY)
    again.get_by_role("link", name="Results", exact=True).click()
    expect(again.locator(".answer .words").first).to_have_text(SLIPWAY)


def test_signs_that_are_two_units_to_javascript_move_no_mark(page_at: Open) -> None:
    start = SIGNS.index("Ola")
    page = page_at(f"/?doc={quote(ODD, safe='')}&start={start}&end={start + len('Ola Nordmann 👩‍🚀')}")
    expect(page.locator("#document mark")).to_have_text("Ola Nordmann 👩‍🚀")
    expect(page.locator("#document h1")).to_have_text("😀😀")
    with page.expect_download() as started:
        page.get_by_role("link", name="Original file").click()
    assert Path(started.value.path()).read_text() == SIGNS


def test_a_pdf_is_opened_at_its_page_with_a_box_on_the_words(page_at: Open) -> None:
    page = page_at(f"/?q={quote('what shall I wear when I touch metal inside a climate chamber?')}")
    answer = page.locator(".answer").first
    expect(answer.locator(".place")).to_contain_text("lab-safety.pdf")
    expect(answer.locator(".place")).to_contain_text("page 1")
    words = answer.locator(".words").inner_text()
    assert "gloves" in words
    answer.locator(".go").click()
    box = page.locator(".sheet .box").first
    expect(box).to_be_in_viewport()
    expect(page.locator(".pager")).to_contain_text("Page 1 of 2")
    expect(page.locator(".quote mark")).to_have_text(words)
    seen = picture(page, "pdf")
    place = box_of(page, ".sheet .box")
    yellow = share_of(seen, (255, 227, 148), place, near=30)
    ink = share_of(seen, (30, 30, 20), place, near=60)
    assert yellow > 0.4, "the box is drawn"
    assert ink > 0.01, "over words, which can still be read"
    sheet = box_of(page, ".sheet")
    assert share_of(seen, (255, 227, 148), {**sheet, "height": place["y"] - sheet["y"] - 4}, near=30) < 0.001
    page.get_by_role("button", name="Next page").click()
    expect(page.locator(".pager")).to_contain_text("Page 2 of 2")
    expect(page.locator(".sheet img")).to_have_attribute("alt", re.compile("^Page 2 of Safety"))
    expect(page.locator(".sheet .box")).to_have_count(0)
    page.get_by_role("button", name="Text").click()
    expect(page.locator("#document mark")).to_have_text(words)


def test_no_answer_is_said_plainly(page_at: Open) -> None:
    page = page_at(f"/?q={quote('who won the football world cup?')}")
    expect(page.get_by_role("heading", name="No answer found")).to_be_visible()
    expect(page.get_by_role("heading", name="Nearest passages")).to_be_visible()
    assert page.locator(".answer").count() == 0
    assert page.locator(".passage").count() >= 1
    expect(page.locator("#told")).to_contain_text("No answer found")
    picture(page, "no answer")


def test_filters_are_in_the_address_and_can_be_taken_out(page_at: Open) -> None:
    page = page_at(f"/?q={quote(ASSEMBLY)}")
    expect(page.locator(".answer")).not_to_have_count(0)
    page.get_by_label("Folder").select_option("policies (2)")
    expect(page.locator(".passage .path").first).to_contain_text("policies/")
    assert "where=path%3Dpolicies%2F*" in page.url
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false")
    assert all("policies/" in path for path in page.locator(".passage .path").all_inner_texts())
    page.get_by_label("Folder").select_option("All folders")
    expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)
    page.goto(page.url + "&where=author%3DNobody")
    chip = page.get_by_role("button", name="Remove the filter author=Nobody")
    expect(chip).to_be_visible()
    expect(page.get_by_role("heading", name="No answer found")).to_be_visible()
    page.get_by_role("button", name="Search without filters").click()
    expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)


def test_explaining_shades_words_and_shows_the_parts_of_a_score(page_at: Open) -> None:
    page = page_at(f"/?q={quote(ASSEMBLY)}")
    switch = page.get_by_role("switch", name="Explain")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    shade = page.locator(".answer .shade.inside", has_text="behind")
    expect(shade.first).to_be_visible()
    strong = float(shade.first.evaluate("element => element.style.getPropertyValue('--likely')"))
    faint = page.locator(".answer .shade:not(.inside)")
    weak = [float(item.evaluate("e => e.style.getPropertyValue('--likely')")) for item in faint.all()]
    assert strong > 0.5
    assert all(share < strong for share in weak)
    expect(page.locator(".answer .bars").first).to_contain_text("Meaning")
    widths = page.locator(".answer .bar i").evaluate_all("bars => bars.map(bar => bar.offsetWidth)")
    assert max(widths) > 20
    picture(page, "explain")


def test_everything_can_be_done_with_the_keyboard(page_at: Open) -> None:
    page = page_at(f"/?q={quote(ASSEMBLY)}")
    expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)
    page.keyboard.press("/")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".go").first).to_be_focused()
    picture(page, "keyboard")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".go").nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#document mark")).to_have_text(SLIPWAY)
    expect(page.locator("#title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".go").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#question")).to_be_focused()


@pytest.mark.parametrize("how", ["system", "button"])
def test_it_is_dark_where_that_is_wanted(page_at: Open, how: str) -> None:
    page = page_at(f"/?q={quote(ASSEMBLY)}", color_scheme="dark" if how == "system" else "light")
    if how == "button":
        page.locator("#theme").click()
        page.locator("#theme").click()
        expect(page.locator("#theme")).to_have_attribute("aria-label", "Colours: dark")
    expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)
    seen = picture(page, f"dark by {how}")
    assert max(seen.getpixel((5, 500))) < 40, "the paper is dark"  # type: ignore[arg-type]
    page.reload()
    expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)
    assert max(picture(page, f"dark by {how}").getpixel((5, 500))) < 40  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/", f"/?q={quote(ASSEMBLY)}", "pdf", "text", "/reference"])
def test_nothing_is_wider_than_a_phone(page_at: Open, path: str) -> None:
    shown = {"pdf": "/?doc=policies/lab-safety.pdf", "text": "/?doc=policies/purchasing-approvals.md"}
    page = page_at(
        shown.get(path, path), viewport={"width": 360, "height": 740}, device_scale_factor=2, has_touch=True
    )
    if path in shown:
        expect(page.locator("#title")).to_be_visible()
        expect(page.locator(".sheet:not(.loading), .line").first).to_be_visible()
    elif "?q" in path:
        expect(page.locator(".answer .words").first).to_have_text(SLIPWAY)
    picture(page, f"phone {path.strip('/').partition('?')[0] or ('answer' if '?q' in path else 'start')}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["start", "answer", "explain", "none", "text", "pdf", "reference"])
def test_nobody_is_kept_out(page_at: Open, view: str, scheme: str) -> None:
    """axe-core finds nothing serious: contrast, names, order of headings, what a screen reader is told."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe isn't installed")
    question = f"/?q={quote(ASSEMBLY)}"
    paths = {
        "start": ("/", "#filters select"),
        "answer": (question, ".answer .words"),
        "explain": (f"{question}&explain", ".answer .bars"),
        "none": (f"/?q={quote('who won the football world cup?')}", ".none"),
        "text": ("/?doc=handbook/onboarding-first-month.md&start=544&end=576", "#place"),
        "pdf": ("/?doc=policies/lab-safety.pdf&start=200&end=240", ".sheet:not(.loading)"),
        "reference": ("/reference", ".route"),
    }
    path, there = paths[view]
    page = page_at(path, color_scheme=scheme, bypass_csp=True)
    expect(page.locator(there).first).to_be_visible()
    found = axe.Axe().run(page).response["violations"]
    serious = [
        f"{item['id']}: {node['target']} {node['failureSummary']}"
        for item in found
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]
    assert serious == []


def test_a_token_is_asked_for_once(page_at: Open, root: Path) -> None:
    with Served(root, Gate(TOKEN)) as guarded:
        page = page_at("/?q=gloves", base=guarded)
        expect(page.get_by_role("heading", name="This index needs a token")).to_be_visible()
        picture(page, "token")
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("this isn't the token")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator(".passage").first).to_be_visible()
        page.reload()
        expect(page.locator(".passage").first).to_be_visible()
        handed = page_at(f"/#token={TOKEN}", base=guarded)
        expect(handed.locator("#holdings")).to_contain_text("5 documents")
        assert TOKEN not in handed.url


def test_a_server_that_is_gone_is_said(page_at: Open) -> None:
    page = page_at()
    expect(page.locator("#holdings")).to_contain_text("5 documents")
    page.route("**/api/**", lambda route: route.fulfill(status=503, json={"error": "the index is away"}))
    page.locator("#question").fill("anything")
    expect(page.get_by_role("alert").filter(has_text="the index is away")).to_be_visible()
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".passage").first).to_be_visible()
