"""The form that the documents show, on a page of the publisher's own, elsewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Route, sync_playwright

from distributor.config import load
from tests.conftest import ROOT
from tests.web.forms import forms, press
from tests.web.visits import READER, WEEKEND, Visit, heading, visited
from tests.workspace import Clock, mails

DAILY = WEEKEND.replace("weekend]", "daily]")
ELSEWHERE = {
    "origin": "https://example.org",
    "referer": "https://example.org/about/",
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "cookie": "session=of-another",
}


def shown(language: str) -> str:
    """The one block of this language in the page that describes all this."""
    text = (ROOT / "docs/pages.md").read_text(encoding="utf-8")
    [block] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return str(block)


@pytest.fixture
def daily(tmp_path: Path):
    with visited(tmp_path, Clock(), config=DAILY) as visit:
        yield visit


def page_with(html: str) -> httpx.Response:
    return httpx.Response(200, text=html, request=httpx.Request("GET", "https://example.org/about/"))


def here(visit: Visit, html: str) -> httpx.Response:
    return page_with(html.replace("https://mail.example.org", str(visit.client.base_url).rstrip("/")))


def test_the_form_shown_asks_the_reader(daily: Visit):
    """Posted from another origin, without cookie, stamp or key; what is wrong is said on our page."""
    page = here(daily, shown("html"))
    daily.client.headers.update(ELSEWHERE)
    wrong = press(daily.client, page, "Subscribe", {"email": "ada"})
    assert (wrong.status_code, heading(wrong)) == (422, "Subscribe to our newsletters")
    asked = press(daily.client, page, "Subscribe", {"email": READER})
    assert (asked.status_code, heading(asked)) == (200, "Please look into your mailbox")
    for answer in (wrong, asked):
        assert not [
            name for name in answer.headers if name.startswith("access-control") or name == "set-cookie"
        ]
    assert daily.states() == {"daily": "unconfirmed"}


def test_the_form_shown_has_its_trap(daily: Visit):
    """A program that fills in every field is thanked, and nobody is asked."""
    page = here(daily, shown("html"))
    assert heading(press(daily.client, page, "Subscribe", {"email": READER, "homepage": "x"})).startswith(
        "Please"
    )
    daily.app.deliver()
    assert mails(daily.folder) == []


def test_a_forged_form_can_do_no_more_than_ask(daily: Visit):
    """Another site may post what it wants in a reader's browser: without a token nothing changes."""
    token = daily.join(READER, "daily")
    before = daily.tables()
    for path in (
        "/preferences",
        "/unsubscribe",
        f"/preferences/{token[:-2]}",
        "/confirm/x",
        "/api/v1/subscribers",
    ):
        answer = daily.post(path, data={"save": "yes", "unsubscribe": "everything"}, headers=ELSEWHERE)
        assert answer.status_code in (401, 404, 405)
    daily.post("/subscribe", data={"email": READER, "newsletter": "daily", "name": "Eve"}, headers=ELSEWHERE)
    after = daily.tables()
    assert {name for name in before if before[name] != after[name]} <= {"consent"}


def test_hugo_makes_the_form_of_the_shortcode(tmp_path: Path, hugo: str):
    """What a page gives it stands in the form, and nothing that a page gives it breaks out."""
    for name, text in {
        "hugo.toml": 'baseURL = "https://example.org"\n',
        "layouts/shortcodes/subscribe.html": shown("go-html-template"),
        "layouts/_default/single.html": "{{ .Content }}",
        "layouts/_default/list.html": "",
        "content/usual.md": "---\ntitle: x\n---\n" + "{{< subscribe >}}",
        "content/own.md": "---\ntitle: x\n---\n"
        '{{< subscribe newsletter="a\\"><script>" button="Ja & <b>" to="https://news.example/letters" >}}',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    subprocess.run([hugo, "--quiet"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    usual, own = (
        page_with((tmp_path / f"public/{name}/index.html").read_text()) for name in ("usual", "own")
    )
    [form] = forms(usual)
    assert form.action == "https://mail.example.org/subscribe"
    assert form.fields == {"newsletter": ["daily"], "email": [""], "homepage": [""]}
    [form] = forms(own)
    assert form.action == "https://news.example/letters/subscribe"
    assert form.fields["newsletter"] == ['a"><script>']
    assert [*form.buttons] == ["Ja & <b>"]
    assert "<script>" not in own.text


def test_a_browser_takes_the_reader_there(daily: Visit, chromium: str):
    """From a page on another host to ours, by its button."""
    html = here(daily, shown("html")).text

    def answer(route: Route) -> None:
        route.fulfill(body=f"<!doctype html><title>Elsewhere</title>{html}", content_type="text/html")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.route("http://example.org/**", answer)
        page.goto("http://example.org/about/")
        trap = page.get_by_label("Leave this empty")
        assert trap.evaluate("one => one.getBoundingClientRect().right") < 0
        page.get_by_label("E-mail address").fill(READER)
        page.get_by_role("button", name="Subscribe").click()
        assert page.locator("h1").inner_text() == "Please look into your mailbox"
        browser.close()
    assert daily.states() == {"daily": "unconfirmed"}


def test_the_settings_shown_are_settings(tmp_path: Path):
    """The table is read as the page says."""
    config = tmp_path / "distributor.toml"
    config.write_text('[site]\ncontent = "."\n' + shown("toml"))
    web = load(config, {}).web
    assert (web.public_url, web.listen, web.proxies) == (
        "https://mail.example.org",
        "127.0.0.1:8080",
        ("127.0.0.1",),
    )


def test_the_style_shown_changes_what_it_says(daily: Visit):
    """A file beside the configuration goes before the program's, and keeps the rest of it."""
    folder = daily.folder / "templates/pages"
    folder.mkdir(parents=True)
    (folder / "style.css.j2").write_text(shown("jinja"))
    style = daily.get("/pages.css").text
    assert "Source Serif 4" in style
    assert ".card { border-radius: 0; }" in style
    assert ".masthead" in style
