"""Programs that open the links of a mail before its reader does: none of what they do leaves a trace."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, urljoin

import httpx
import pytest

from tests.web.visits import HTML, READER, Visit
from tests.workspace import text_of

SAFE_LINKS = {
    "user-agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36",
    "x-forwarded-for": "40.94.31.5",
    "referer": "https://eur03.safelinks.protection.outlook.com/",
}
STRANGE = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
TAILS = (
    ".",
    ",",
    ")",
    ">",
    "%3E",
    "=",
    "=3D",
    "/",
    "//",
    "%20",
    "%00",
    "%0d%0a",
    "?utm_source=x",
    "#top",
    "'",
)


def linked(visit: Visit, page: httpx.Response) -> list[str]:
    """Everything that a page leads to on this host."""
    found = re.findall(r'(?:href|src|action)="([^"]*)"', page.text)
    here = str(visit.client.base_url)
    places = (urljoin(str(page.url), place.replace("&amp;", "&")) for place in found)
    return [place for place in places if place.startswith(here)]


def look(visit: Visit, paths: list[str], method: str = "GET", **headers: str) -> None:
    for path in paths:
        answer = visit.client.request(method, path, headers=headers)
        assert answer.status_code in (200, 304, 404, 405), (method, path, answer.status_code)
        assert "set-cookie" not in answer.headers


def follow_everything(visit: Visit, paths: list[str]) -> None:
    """From each page to all that it links, and on from there; forms' addresses too."""
    seen, left = set(paths), list(paths)
    while left:
        page = visit.get(left.pop())
        assert page.status_code == 200, page.url
        new = [place for place in linked(visit, page) if place not in seen]
        seen.update(new)
        left += new
    assert len(seen) > len(paths) + 5


def post_without_a_field(visit: Visit, paths: list[str]) -> None:
    for path in paths:
        for told in ({}, {"content": b"{}", "headers": {"content-type": "application/json"}}):
            assert visit.post(path, **told).status_code in (400, 404, 405)


def post_nonsense(visit: Visit, paths: list[str]) -> None:
    """What fills in forms with its own values: "on", its name, nothing."""
    names = ("confirm", "unsubscribe", "save", "erase", "data", "weeks", "undo", "List-Unsubscribe")
    for path in paths:
        for value in ("", "on", "true", "submit"):
            answer = visit.post(path, data=dict.fromkeys(names, value))
            assert answer.status_code in (400, 404, 405)


def use_strange_methods(visit: Visit, paths: list[str]) -> None:
    for method in STRANGE:
        look(visit, paths, method)


SCANNERS: dict[str, Callable[[Visit, list[str]], None]] = {
    "sends HEAD": lambda visit, paths: look(visit, paths, "HEAD"),
    "looks twice": lambda visit, paths: look(visit, paths * 2),
    "follows every link": follow_everything,
    "prefetches": lambda visit, paths: look(visit, paths, purpose="prefetch", **{"sec-purpose": "prefetch"}),
    "wraps links as Outlook does": lambda visit, paths: look(visit, paths, **SAFE_LINKS),
    "posts nothing": post_without_a_field,
    "posts nonsense": post_nonsense,
    "uses strange methods": use_strange_methods,
    "cuts or lengthens links": lambda visit, paths: look(
        visit, [path + tail for path in paths for tail in TAILS] + [path[:-3] for path in paths]
    ),
    "asks for something else": lambda visit, paths: look(visit, paths, accept="application/json"),
    "writes links in other letters": lambda visit, paths: look(
        visit, [path.lower() for path in paths] + [path.upper() for path in paths] + [quote(p) for p in paths]
    ),
}


@pytest.mark.parametrize("scanner", SCANNERS)
def test_a_scanner_leaves_no_trace(visit: Visit, scanner: str):
    """Not in a single row of any table: the question still waits, the reader still reads."""
    visit.join()
    mail = text_of(visit.edition())
    visit.ask("bo@example.org", "weekend")
    paths = [
        visit.mailed("confirm", "bo@example.org"),
        *(path for path in re.findall(r"https://mail\.news\.example(/\S+)", mail)),
    ]
    assert len(paths) == 4, paths  # confirm, and of the edition: unsubscribe, preferences, view
    before = visit.tables()
    SCANNERS[scanner](visit, paths)
    assert visit.tables() == before
    assert visit.states() == {"morning": "confirmed"}
    assert visit.states("bo@example.org") == {"weekend": "unconfirmed"}


def test_looking_keeps_nothing_of_a_visitor(visit: Visit):
    """No page sets a cookie, and none is kept by another's cache that has a reader's token in its address."""
    token = visit.join()
    visit.edition()
    for path in ("/", "/subscribe", "/archive", f"/preferences/{token}", f"/unsubscribe/{token}"):
        page = visit.get(path, headers=HTML | {"cookie": "session=1"})
        assert "set-cookie" not in page.headers
        is_open = path.startswith("/archive")
        assert page.headers["cache-control"] == ("public, max-age=300" if is_open else "no-store")
        assert ("noindex" in page.text) is not is_open
        assert page.headers["x-robots-tag"] == ("all" if is_open else "noindex")
        assert READER not in page.text
