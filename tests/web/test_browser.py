"""The pages in a real browser: phone and desktop, by day and by night, with JavaScript and without."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.web.visits import READER, WEEKEND, Visit, visited
from tests.workspace import Clock, text_of

Answer = TypeVar("Answer")
Scheme = Literal["light", "dark"]

PHONE, DESKTOP = (320, 640), (1280, 800)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]  # of axe
MOVED = "ada@new.example.org"
LONG = "Rindfleischetikettierung" * 3
TOPICS = f'description = "{LONG}"\ntopics = ["science", "{LONG}"]\n'


@contextmanager
def window(
    browser: Browser,
    visit: Visit,
    *,
    size: tuple[int, int] = DESKTOP,
    scheme: Scheme = "light",
    has_script: bool = True,
) -> Iterator[Page]:
    """A browser's window in which nothing that a page does may go wrong."""
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if not re.search(r"status of 4\d\d", message.text):  # which a page that says what is wrong has
            said.append(message.text)

    with browser.new_context(
        base_url=str(visit.client.base_url),
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        java_script_enabled=has_script,
    ) as context:
        # Pictures and the logo stand at the public address, which is not this machine's.
        context.route(re.compile("^https:"), lambda route: route.abort())
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page
        assert [text for text in said if "ERR_FAILED" not in text] == []
        assert context.cookies() == []


def beside(step: Callable[..., Answer], *told: Any) -> Answer:
    """Do a step of ours; in another thread, because Playwright has this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(step, *told).result()


def fits(page: Page) -> bool:
    """Whether nothing sticks out at the side, once the page has settled."""
    try:
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth", timeout=5000)
    except PlaywrightTimeout:
        return False
    return True


def looked_at(page: Page, heading: str, *, has_script: bool = True) -> None:
    """It is the page meant, fits its window, and axe finds nothing."""
    assert page.locator("h1").inner_text() == heading
    assert fits(page)
    if has_script:
        found = Axe().run(page, options={"runOnly": RULES}).response
        assert len(found["passes"]) > 10
        assert not found["violations"], json.dumps(found["violations"], indent=1)[:3000]


LIVES = [
    (PHONE, "light", False),
    (PHONE, "dark", True),
    (DESKTOP, "light", True),
    (DESKTOP, "dark", False),
]


@pytest.mark.parametrize(("size", "scheme", "has_script"), LIVES)
def test_a_reader_lives_on_these_pages(
    browser: Browser, tmp_path: Path, size: tuple[int, int], scheme: Scheme, has_script: bool
):
    """From the form to the last page, by what stands on buttons alone."""
    with (
        visited(tmp_path, Clock(), newsletter=TOPICS, config=WEEKEND) as visit,
        window(browser, visit, size=size, scheme=scheme, has_script=has_script) as page,
    ):

        def look(heading: str) -> None:
            looked_at(page, heading, has_script=has_script)

        come(page, visit, look)
        choose(page, visit, look)
        move(page, visit, look)
        read(page, visit, look)
        go(page, visit, look)


def come(page: Page, visit: Visit, look: Callable[[str], None]) -> None:
    page.goto("/")
    look("Newsletters from The Example")
    page.get_by_role("link", name="Subscribe: The Morning").click()
    page.get_by_label("E-mail address").fill("ada@")
    page.get_by_role("button", name="Subscribe").click()
    look("Subscribe to our newsletters")
    assert page.title().startswith("Error: ")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "alert"
    page.get_by_role("link", name="Enter a whole e-mail address").click()
    assert page.evaluate("document.activeElement.id || location.hash.slice(1)") == "email"
    page.get_by_label("E-mail address").fill(READER)
    page.get_by_role("button", name="Subscribe").click()
    look("Please look into your mailbox")
    page.goto(beside(visit.mailed, "confirm"))
    look("One more step")
    page.get_by_role("button", name="Yes, send it to me").click()
    look("Welcome!")
    assert visit.states() == {"morning": "confirmed"}


def choose(page: Page, visit: Visit, look: Callable[[str], None]) -> None:
    page.goto(f"/preferences/{visit.token()}")
    look("What you receive")
    page.get_by_label("Science").check()
    page.get_by_role("group", name="The Weekend").get_by_label("Send it to me").check()
    page.get_by_label("How often").select_option("Once a week")
    page.get_by_label("Time of day").select_option("7:00\u202fAM")
    page.get_by_label("Time zone").select_option("Europe/Paris")
    page.get_by_role("button", name="Save").click()
    look("What you receive")
    assert page.get_by_role("status").inner_text() == "Your choices are saved."
    assert (visit.place().topics, visit.place().cadence) == (("science",), "weekly")
    assert (visit.person().hour, visit.person().timezone) == (7, "Europe/Paris")
    assert visit.states()["weekend"] == "confirmed"
    page.get_by_role("button", name="For two weeks").click()
    assert "You take a break until" in page.inner_text("main")
    page.get_by_role("button", name="End the break now").click()
    assert page.get_by_role("status").inner_text() == "Your break is over."
    page.get_by_label("How often").select_option("Once a day")
    page.get_by_label("Science").uncheck()
    page.get_by_role("button", name="Save").click()


def move(page: Page, visit: Visit, look: Callable[[str], None]) -> None:
    page.get_by_label("New e-mail address").fill("nonsense")
    page.get_by_role("button", name="Change address").click()
    look("What you receive")
    page.get_by_label("New e-mail address").fill(MOVED)
    page.get_by_role("button", name="Change address").click()
    assert MOVED in page.get_by_role("status").inner_text()
    page.goto(beside(visit.mailed, "confirm", MOVED))
    look("Is this your new address?")
    page.get_by_role("button", name="Yes, use this address").click()
    look("Your address is changed")
    page.goto(f"/preferences/{visit.token(MOVED)}")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download my data").click()
    assert json.loads(coming.value.path().read_text())["address"] == MOVED


def read(page: Page, visit: Visit, look: Callable[[str], None]) -> None:
    mail = beside(visit.edition, f"Market hall {LONG}", MOVED)
    page.goto("/archive")
    look("Past editions")
    page.get_by_role("link", name="The Morning").click()
    look("The Morning")
    page.get_by_role("link", name="Market hall").click()
    assert LONG in page.inner_text("body")
    assert fits(page)
    page.goto(re.findall(r"https://mail\.news\.example(/preferences/\S+)", text_of(mail))[0])
    look("What you receive")
    page.goto("/nowhere")
    look("There is nothing here")


def go(page: Page, visit: Visit, look: Callable[[str], None]) -> None:
    path = f"/unsubscribe/{visit.token(MOVED)}"
    page.goto(path)
    look("Leave The Morning?")
    page.get_by_role("button", name="Unsubscribe", exact=True).click()
    look("You have left")
    assert visit.states(MOVED) == {"morning": "unsubscribed", "weekend": "confirmed"}
    page.get_by_role("button", name="Stay subscribed").click()
    assert page.get_by_role("status").inner_text() == "You stay subscribed."
    page.get_by_role("button", name="Unsubscribe from everything").click()
    look("You have left")
    assert visit.states(MOVED) == {"morning": "unsubscribed", "weekend": "unsubscribed"}
    page.get_by_role("link", name="See everything you can choose").click()
    page.get_by_role("link", name="Delete all my data").click()
    look("Delete all your data?")
    page.get_by_role("button", name="Delete everything").click()
    look("You are forgotten")
    assert MOVED not in str(visit.tables())
    page.goto(path)
    look("This link does not work")


def test_a_scanner_with_a_browser_leaves_no_trace(browser: Browser, visit: Visit):
    """It opens every link of a mail, runs what is on the page, waits, scrolls and hovers; nothing happens."""
    beside(visit.join)
    mail = text_of(beside(visit.edition))
    visit.ask("bo@example.org", "weekend")
    paths = [beside(visit.mailed, "confirm", "bo@example.org")]
    paths += re.findall(r"https://mail\.news\.example(/\S+)", mail)
    before = visit.tables()
    with window(browser, visit) as page:
        for path in paths:
            page.goto(path, wait_until="load")
            page.mouse.wheel(0, 2000)
            for button in page.get_by_role("button").all():
                button.hover()
            page.keyboard.press("Tab")
            page.reload()
            page.go_back()
    assert visit.tables() == before


def test_arabic_is_read_from_the_right(browser: Browser, tmp_path: Path):
    """The whole page is the other way round; a title in Latin letters stands at its right edge too."""
    with visited(tmp_path, Clock(), language="ar") as visit, window(browser, visit, size=PHONE) as page:
        page.goto("/subscribe")
        looked_at(page, "اشترك في نشراتنا")
        page.goto("/archive")
        title = page.locator("h2").first
        assert title.inner_text() == "The Morning"
        assert title.evaluate("one => getComputedStyle(one).textAlign") == "right"
        assert page.locator(".masthead a").evaluate("one => one.getBoundingClientRect().right") > 290


def test_what_is_pressed_is_large_enough_for_a_thumb(browser: Browser, visit: Visit):
    """Buttons, fields and ticks are 44 pixels high on a phone, which is more than WCAG's 24."""
    token = beside(visit.join)
    with window(browser, visit, size=PHONE) as page:
        for path in ("/subscribe", f"/preferences/{token}", f"/unsubscribe/{token}"):
            page.goto(path)
            for one in page.locator("button, select, label.tick, input[type=email], input#name").all():
                box = one.bounding_box()
                assert box is not None
                assert box["height"] >= 43.9, one.evaluate("one => one.outerHTML")
