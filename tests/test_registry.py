"""What is one article, and when it is new: through renames, ids, aliases, withdrawal and broken files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from distributor.app import App
from distributor.config import load
from distributor.errors import ContentError
from tests.workspace import MONDAY, Clock, opened, workspace, write_article


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    """A site that was empty at the first scan."""
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        app.scan()
        yield app


def url(name: str) -> str:
    return f"https://news.example/{name}/"


def published(app: App) -> list[str]:
    return app.scan().registered.published


def test_the_first_scan_takes_what_is_public_as_known(tmp_path: Path, database_url: str, clock: Clock):
    """An existing site is numbered by date, oldest first, and nothing of it is new."""
    config = workspace(tmp_path, database=database_url)
    for days in (1, 3, 2):
        write_article(tmp_path, f"old-{days}", published_at=MONDAY - timedelta(days=days))
    with opened(config, clock) as app:
        assert published(app) == [url("old-3"), url("old-2"), url("old-1")]
        assert app.articles(new=True) == ([], [])


def test_since_makes_exceptions_at_the_first_scan(tmp_path: Path, database_url: str, clock: Clock):
    """What was published from a date on can be counted as new."""
    config = workspace(tmp_path, database=database_url)
    for days in (1, 3, 2):
        write_article(tmp_path, f"old-{days}", published_at=MONDAY - timedelta(days=days))
    with opened(config, clock) as app:
        app.scan(since=MONDAY - timedelta(days=2))
        assert [article.key for article in app.articles(new=True)[0]] == [url("old-1"), url("old-2")]


def test_since_moves_back_what_has_announced_nothing_yet(tmp_path: Path, database_url: str, clock: Clock):
    """After the first scan, a date still moves back those newsletters that have sent nothing."""
    config = workspace(tmp_path, database=database_url)
    write_article(tmp_path, "old", published_at=MONDAY - timedelta(days=1))
    with opened(config, clock) as app:
        app.scan()
        assert app.scan(since=MONDAY - timedelta(days=2)).rewound == ["morning"]
        clock.go_on(hours=1)
        app.plan()
        assert app.scan(since=MONDAY - timedelta(days=2)).kept == []  # nothing to move
        assert app.scan(since=MONDAY - timedelta(days=9)).rewound == []


def test_two_files_with_one_id_are_one_article(app: App, tmp_path: Path, clock: Clock):
    """The first published of them speaks for it; the other changes nothing."""
    write_article(tmp_path, "b", title="B", published_at=clock() - timedelta(hours=1), article_id=7)
    write_article(tmp_path, "a", title="A", published_at=clock(), article_id=7)
    assert published(app) == ["7"]
    [article] = app.articles()[0]
    assert (article.title, article.url, article.sequence) == ("B", url("b"), 1)


def test_when_the_speaking_file_goes_the_other_speaks(app: App, tmp_path: Path, clock: Clock):
    """An article with two pages is withdrawn only with the last of them."""
    first = write_article(tmp_path, "a", title="A", article_id=7)
    second = write_article(tmp_path, "b", title="B", article_id=7)
    app.scan()
    first.unlink()
    assert app.scan().registered.withdrawn == []
    assert [article.title for article in app.articles()[0]] == ["B"]
    second.unlink()
    write_article(tmp_path, "other")
    assert app.scan().registered.withdrawn == ["7"]


def test_an_alias_that_names_a_known_address_is_no_new_article(app: App, tmp_path: Path):
    """A page that says where it used to be is the page that used to be there."""
    write_article(tmp_path, "before", title="Then").unlink()
    path = write_article(tmp_path, "before", title="Then")
    assert published(app) == [url("before")]
    path.unlink()
    write_article(tmp_path, "after", title="Now, and longer", aliases=["/before/"])
    assert published(app) == []
    [article] = app.articles()[0]
    assert (article.key, article.url, article.title) == (url("before"), url("after"), "Now, and longer")


def test_a_page_that_is_only_moved_is_no_new_article(app: App, tmp_path: Path):
    """The same words at another path, where the old file is gone, are the same article."""
    path = write_article(tmp_path, "draft-folder/story", title="The story")
    app.scan()
    (tmp_path / "content/town").mkdir()
    path.rename(tmp_path / "content/town/story.md")
    assert published(app) == []
    assert [article.url for article in app.articles()[0]] == [url("town/story")]


def test_a_page_whose_address_changes_in_place_is_no_new_article(app: App, tmp_path: Path):
    """A new slug in the same file, with the same title or date, makes no new article."""
    write_article(tmp_path, "story", title="The story")
    app.scan()
    write_article(tmp_path, "story", title="The story", slug="the-story")
    assert published(app) == []
    assert [article.url for article in app.articles()[0]] == [url("the-story")]


def test_a_file_that_is_filled_anew_is_a_new_article(app: App, tmp_path: Path, clock: Clock):
    """Another address, title and date in an old file are another article."""
    write_article(tmp_path, "latest", title="Monday", url="/monday/")
    app.scan()
    write_article(
        tmp_path, "latest", title="Tuesday", url="/tuesday/", published_at=clock() - timedelta(hours=1)
    )
    assert published(app) == [url("tuesday")]


def test_an_id_that_is_added_later_makes_no_new_article(app: App, tmp_path: Path):
    """An article that was known by its address is still itself when it gets an article_id."""
    write_article(tmp_path, "story", title="The story")
    app.scan()
    write_article(tmp_path, "story", title="The story", article_id=99)
    assert published(app) == []
    assert [article.key for article in app.articles()[0]] == ["99"]


def test_permalinks_may_change_for_the_whole_site(app: App, tmp_path: Path):
    """When the site's configuration gives every page a new address, no article is new."""
    for name in ("a", "b"):
        write_article(tmp_path, f"town/{name}", title=f"Town {name}")
    assert len(published(app)) == 2
    with (tmp_path / "hugo.toml").open("a") as config:
        config.write('\n[permalinks]\ntown = "/:year/:slug/"\n')
    assert published(app) == []
    assert sorted(article.url for article in app.articles()[0]) == [url("2026/town-a"), url("2026/town-b")]


def test_what_returns_is_new_for_those_who_have_not_had_it(app: App, tmp_path: Path):
    """A withdrawn article that returns gets the next number."""
    path = write_article(tmp_path, "story")
    write_article(tmp_path, "other")
    app.scan()
    text = path.read_text()
    path.write_text(text.replace("+++\n", "+++\ndraft = true\n", 1))
    assert app.scan().registered.withdrawn == [url("story")]
    path.write_text(text)
    assert published(app) == [url("story")]
    assert {article.key: article.sequence for article in app.articles()[0]} == {
        url("other"): 1,
        url("story"): 3,
    }


def test_what_was_known_from_the_start_returns_as_known(tmp_path: Path, database_url: str, clock: Clock):
    """An old article that vanishes and returns, with a whole checkout perhaps, is not announced."""
    config = workspace(tmp_path, database=database_url)
    path = write_article(tmp_path, "old")
    write_article(tmp_path, "older")
    with opened(config, clock) as app:
        app.scan()
        text = path.read_text()
        path.unlink()
        assert app.scan().registered.withdrawn == [url("old")]
        path.write_text(text)
        app.scan()
        assert app.articles(new=True)[0] == []


def test_time_alone_publishes_and_expires(app: App, tmp_path: Path, clock: Clock):
    """An article comes out and goes at its moments although its file does not change."""
    clock.time = MONDAY.replace(year=2099)  # long after the file's own time
    write_article(
        tmp_path,
        "later",
        published_at=clock() + timedelta(hours=2),
        expiryDate=(clock() + timedelta(hours=4)).isoformat(),
    )
    assert published(app) == []
    assert [article.state for article in app.articles()[0]] == ["scheduled"]
    clock.go_on(hours=2)
    scanned = app.scan()
    assert (scanned.registered.published, scanned.read) == ([url("later")], 0)
    clock.go_on(hours=2)
    assert app.scan().registered.withdrawn == [url("later")]


def test_a_file_that_breaks_goes_on_as_it_was(app: App, tmp_path: Path):
    """Half a file, met while an editor saves it, withdraws nothing, and is named with its line."""
    path = write_article(tmp_path, "story", title="The story")
    app.scan()
    path.write_text('+++\ntitle = "The st')
    scanned = app.scan()
    assert scanned.registered.withdrawn == []
    assert [(problem.path, bool(problem.line)) for problem in scanned.problems] == [("story.md", True)]
    listed, problems = app.articles()
    assert [article.title for article in listed] == ["The story"]
    assert len(problems) == 1


def test_an_unmounted_content_folder_concludes_nothing(app: App, tmp_path: Path):
    """A content folder that is gone or empty is an error; no article counts as deleted."""
    path = write_article(tmp_path, "story")
    app.scan()
    path.unlink()
    with pytest.raises(ContentError):
        app.scan()
    (tmp_path / "content").rmdir()
    with pytest.raises(ContentError):
        app.scan()
    assert [article.state for article in app.articles()[0]] == ["public"]


def test_unchanged_files_are_not_read_again(app: App, tmp_path: Path, clock: Clock):
    """A second scan reads only what was saved since."""
    clock.time = MONDAY.replace(year=2099)  # long after the files' own times
    for name in ("a", "b", "c"):
        write_article(tmp_path, name)
    assert app.scan().read == 3
    assert app.scan().read == 0
    write_article(tmp_path, "b", title="B, mended")
    assert app.scan().read == 1


FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Elsewhere</title>
<link>https://elsewhere.example/</link>{items}</channel></rss>"""
ITEM = """<item><title>{0}</title><link>https://elsewhere.example/{0}</link><guid>{0}</guid>
<pubDate>Mon, 01 Jun 2026 05:00:00 GMT</pubDate><description>All about {0}</description></item>"""


def test_a_feed_brings_articles_too(tmp_path: Path, database_url: str, clock: Clock):
    """Entries of a feed are articles; an unchanged or unreachable feed withdraws nothing."""
    answers = [
        httpx.Response(200, text=FEED.format(items=ITEM.format("one")), headers={"ETag": '"1"'}),
        httpx.Response(200, text=FEED.format(items=ITEM.format("two") + ITEM.format("one"))),
        httpx.Response(304),
        httpx.Response(500),
        httpx.Response(200, text=FEED.format(items=ITEM.format("two"))),
    ]
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("If-None-Match"))
        return answers.pop(0)

    config = tmp_path / "distributor.toml"
    config.write_text(
        f"""
[site]
feeds = ["https://elsewhere.example/index.xml"]
base_url = "https://elsewhere.example"
title = "Elsewhere"
[database]
url = "{database_url}"
[providers.outbox]
type = "outbox"
[newsletters.morning]
title = "M"
from = "m@elsewhere.example"
providers = ["outbox"]
schedule = "0 7 * * *"
"""
    )
    http = httpx.Client(transport=httpx.MockTransport(answer))
    app = App(load(config, {}), clock=clock, http=http)
    app.open()
    assert published(app) == ["https://elsewhere.example/one"]
    assert published(app) == ["https://elsewhere.example/two"]
    assert published(app) == []
    assert "500" in str(app.scan().problems[0])
    assert app.scan().registered.withdrawn == []
    assert asked[:2] == [None, '"1"']
    assert [article.title for article in app.articles()[0]] == ["two", "one"]
    app.close()


def test_a_feed_that_comes_later_announces_nothing_old(tmp_path: Path, database_url: str, clock: Clock):
    """A feed that failed at the first scan, or was added since, begins with what it brings next."""
    answers = [
        httpx.Response(503),
        httpx.Response(200, text=FEED.format(items=ITEM.format("one") + ITEM.format("two"))),
        httpx.Response(200, text=FEED.format(items=ITEM.format("three") + ITEM.format("two"))),
    ]
    config = workspace(tmp_path, database=database_url)
    site = '[site]\nfeeds = ["https://elsewhere.example/index.xml"]\n'
    config.write_text(config.read_text().replace("[site]\n", site))
    write_article(tmp_path, "own")
    http = httpx.Client(transport=httpx.MockTransport(lambda request: answers.pop(0)))
    app = App(load(config, {}), clock=clock, http=http)
    app.open()
    assert published(app) == [url("own")]
    write_article(tmp_path, "next")
    assert published(app) == [url("next")]
    assert [article.key for article in app.articles(new=True)[0]] == [url("next")]
    assert published(app) == ["https://elsewhere.example/three"]
    assert len(app.articles()[0]) == 5
    app.close()
