"""The same sites read by us and by the real Hugo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from distributor.articles.feed import read_feed
from distributor.articles.reader import read_page
from distributor.model import ArticleState
from tests.articles.sites import (
    CONFIG,
    NOW,
    build,
    hugo_pages,
    hugo_published,
    make_site,
    pages_of,
    toml,
    yaml,
)

DATE = "2026-01-02T23:30:00-05:00"
NAMES = [
    "Upper Case",
    "ünï",
    "a.b.c",
    "trans.fr",
    "it's",
    "a#b",
    "a+b",
    "日本語",
    "مرحبا بالعالم",
    "a  b",
    "-x-",
    "a_b",
    "a,b",
    "100%",
    "a%20b",
    "x (1)",
    "_under",
    "a=b",
    "[x]",
    "Ä",
    "a..b",
    "İstanbul",
    "ΟΔΟΣ",
    "emoji 😀 x",
    "e\u0301",
    "a – b",
]
SLUGS = [*NAMES, "a/b", "../up", "...", "index", "a?b", "a:b", r"a\\b", "trail-", "  lead", "123"]
URLS = [
    "/about/me.html",
    "rel/path",
    "/no-trailing",
    "/Up Case/x y",
    "/dots/a.b/",
    "/a//b/",
    "/../x/",
    "/ünï/",
    "/q?x=1",
    "/h#frag",
    "/100%25/",
    "/it's/",
    "/it's-é/",
    "/semi;colon,/",
    "./dot/x",
    "/index.html",
    "/sub/index.html",
    "/x.php",
    "/",
    "index",
    " /lead/",
    "/[br]/",
    "/back\\\\slash/",
    "/a|b/",
    "/<lt>/",
    "/dir.with.dot/page",
    "/%C3%BC/",
    "/*star*/",
    "/emoji😀/",
]
PATTERNS = {
    "dated": "/:section/:sections/:year-:month-:day/:slug/",
    "named": "/f/:filename/:slugorfilename/",
    "titled": "/t/:title/:monthname/:weekday/:weekdayname/:yearday/",
    "sliced": "/s/:sections[1:]/:sections[1]/:2006/:Jan/:slug/",
    "bare": "/n/:slug",
    "suffix": "/e/:slug.html",
    "spaced": "/A B/:filename",
    "/": "/rooted/:slug/",
}


def _addresses_differ(hugo: str, root: Path) -> dict[str, tuple[str, str]]:
    site = make_site(root, {}, (root / "hugo.toml").read_text())
    ours = {path: page.article.url for path, page in pages_of(site).items()}
    theirs = {path: row["permalink"] for path, row in hugo_pages(hugo, root).items()}
    assert ours.keys() == theirs.keys()
    assert len(ours) > 5
    return {path: (ours[path], theirs[path]) for path in ours if ours[path] != theirs[path]}


def _many_pages() -> dict[str, str]:
    pages = {f"plain/{name}.md": toml(title='"T"', date=DATE) for name in NAMES}
    pages |= {f"Mixed Dir/Sub.Dir/{name}.md": toml(title='"T"', date=DATE) for name in NAMES}
    pages |= {f"named/{name}.md": toml(title='"T"', date=DATE) for name in NAMES}
    for number, slug in enumerate(SLUGS):
        for section in ("plain", "dated", "named", "bare", "suffix"):
            pages[f"{section}/slug{number}.md"] = toml(title='"T"', date=DATE, slug=f'"{slug}"')
        for section in ("dated", "titled"):
            pages[f"{section}/title{number}.md"] = toml(title=f'"{slug}"', date=DATE)
    for number, url in enumerate(URLS):
        pages[f"plain/url{number}.md"] = toml(title='"T"', date=DATE, url=f'"{url}"')
    for section in ("dated", "sliced", "named", "plain", "spaced"):
        pages |= _nested(section)
    pages["rootpage.md"] = toml(title='"Root Page"', date=DATE)
    pages["rootbundle/index.md"] = toml(title='"Root Bundle"', date=DATE)
    pages["dated/untitled.md"] = toml(date=DATE)
    pages["dated/undated.md"] = toml(title='"Undated"')
    pages["both/index.md"] = toml(title='"Leaf and branch"', date=DATE)
    pages["both/_index.md"] = toml(title='"Branch"')
    pages["both/page.md"] = toml(title='"Page"', date=DATE)
    return pages


def _nested(section: str) -> dict[str, str]:
    return {
        f"{section}/a/_index.md": toml(title='"A"'),
        f"{section}/a/b/_index.md": toml(title='"B"'),
        f"{section}/a/b/c/page.md": toml(title='"Page"', date=DATE),
        f"{section}/a/b/bundle/index.md": toml(title='"A Bundle"', date=DATE),
        f"{section}/a/b/bundle/resource.md": toml(title='"no page"', date=DATE),
        f"{section}/a/b/bundle/deep/index.md": toml(title='"no page"', date=DATE),
        f"{section}/a/slugged/index.md": toml(title='"A Bundle"', date=DATE, slug='"Other Name"'),
    }


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "disablePathToLower = true\n",
        "removePathAccents = true\n",
        "uglyURLs = true\n",
        "[uglyURLs]\nplain = true\ndated = true\n",
    ],
)
def test_every_address_is_hugos(hugo: str, tmp_path: Path, setting: str) -> None:
    """Whatever a page is called and wherever it lies, its address is the one Hugo gives it."""
    patterns = "".join(f'"{section}" = "{pattern}"\n' for section, pattern in PATTERNS.items())
    config = f'baseURL = "https://example.org/base"\n{setting}[permalinks]\n{patterns}'
    make_site(tmp_path, _many_pages(), config)
    assert not _addresses_differ(hugo, tmp_path)


def test_what_is_no_page_is_left_out(hugo: str, tmp_path: Path) -> None:
    """Hidden files, backups, other kinds of files and resources of a bundle are no pages, as for Hugo."""
    page = toml(title='"T"', date=DATE)
    paths = [
        ".hidden/x.md",
        "news/.x.md",
        "news/x.md~",
        "news/#x.md",
        "#folder/x.md",
        "backup~/x.md",
        "news/x.txt",
        "news/x.mdown",
        "news/y.markdown",
        "news/Z.MD",
        "news/plain.html",
        "news/page.htm",
        "_folder/x.md",
        "bundle/index.md",
        "bundle/part.md",
        "bundle/deep/part.md",
        "news/_index.md",
        "skipped/x.md",
        "news/more.md",
        "news/still.md",
    ]
    pages = dict.fromkeys(paths, page) | {"news/plain.html": "<p>without front matter</p>"}
    make_site(tmp_path, pages, CONFIG + 'ignoreFiles = ["skipped/"]\n')
    assert not _addresses_differ(hugo, tmp_path)


@pytest.mark.parametrize(
    "languages",
    [
        "[languages.en]\nweight = 1\n[languages.fr]\nweight = 2\n",
        "defaultContentLanguageInSubdir = true\n[languages.en]\nweight = 1\n[languages.fr]\nweight = 2\n",
        '[languages.en]\nbaseURL = "https://en.example.org/"\n[languages.fr]\nbaseURL = "https://fr.example.org/x/"\n',
    ],
)
def test_languages_are_hugos(hugo: str, tmp_path: Path, languages: str) -> None:
    """A language in a file's name decides its address, with one host or several."""
    plain, url = toml(title='"T"', date=DATE), toml(title='"T"', date=DATE, url='"/abs/u/"')
    pages = dict.fromkeys(
        ("a.md", "a.fr.md", "p/b.md", "p/b.fr.md", "p/d.en.md", "p/e.de.md", "q/index.fr.md"), plain
    )
    pages |= {"p/u.fr.md": url, "p/v.fr.md": toml(title='"T"', date=DATE, url='"rel/u"'), "q/index.md": plain}
    make_site(tmp_path, pages, 'baseURL = "https://example.org/sub/"\n' + languages)
    assert not _addresses_differ(hugo, tmp_path)


CASCADES = {
    "c/_index.md": "+++\n[cascade]\ndate = 2030-01-01\ndraft = true\n+++\n",
    "c/x.md": toml(title='"X"'),
    "c/y.md": toml(title='"X"', draft="false"),
    "c/z.md": toml(title='"X"', draft="false", date=DATE),
    "c/sub/_index.md": '+++\n[cascade]\nslug = "sub-slug"\n+++\n',
    "c/sub/x.md": toml(title='"X"'),
    "c/sub/y.md": toml(title='"X"', draft="false", date=DATE),
    "l/_index.md": """---
cascade:
- {draft: true, _target: {path: "/l/sub/**"}}
- {url: /one/, _target: {kind: page, path: "/l/{a,b}*"}}
- {date: 2031-01-01, _target: {kind: section}}
- {date: 2027-01-01, _target: {lang: en}}
- {slug: first}
---
""",
    "l/a.md": toml(title='"X"'),
    "l/b/x.md": toml(title='"X"'),
    "l/sub/q.md": toml(title='"X"'),
    "l/z.md": toml(title='"X"', date=DATE),
    "conf/x.md": toml(title='"X"', date=DATE),
    "h/page.md": toml(title='"X"', date=DATE, headless="true"),
}


def test_sections_hand_down_what_hugo_hands_down(hugo: str, tmp_path: Path) -> None:
    """Cascades reach the pages Hugo would reach: nearest first, by target, and from the configuration."""
    cascade = '[[cascade]]\nslug = "handed-down"\n[cascade._target]\npath = "/conf/**"\n'
    site = make_site(tmp_path, CASCADES, CONFIG + cascade)
    assert not _addresses_differ(hugo, tmp_path)
    theirs = hugo_pages(hugo, tmp_path)
    for path, page in pages_of(site).items():
        assert page.is_draft == (theirs[path]["draft"] == "true"), path
        assert page.publish_at == datetime.fromisoformat(theirs[path]["publishDate"]), path


def test_what_hugo_does_not_list_is_held(hugo: str, tmp_path: Path) -> None:
    """Pages that are headless, or not to be listed or rendered, are held; Hugo's list lacks them."""
    site = make_site(
        tmp_path,
        {
            "h/bundle/index.md": toml(title='"X"', date=DATE, headless="true"),
            "h/never.md": yaml(date=DATE, _build="{list: never}"),
            "h/local.md": yaml(date=DATE, _build="{list: local}"),
            "h/false.md": yaml(date=DATE, _build="{list: false}"),
            "h/seen.md": yaml(date=DATE, _build="{list: always, render: always}"),
        },
    )
    states = {path: page.at(NOW).state for path, page in pages_of(site).items()}
    listed = hugo_pages(hugo, tmp_path).keys()
    assert listed == {"h/seen.md"}
    assert {path for path, state in states.items() if state is ArticleState.PUBLIC} == listed
    assert len(states) == 5


DATES = [
    "2026-05-01T10:00:00Z",
    "2026-05-01T10:00:00+02:00",
    "2026-05-01T10:00:00+0200",
    "2026-05-01T10:00:00.123456Z",
    "2026-05-01T10:00:00",
    "2026-05-01T9:00:00Z",
    "2026-05-01 10:00:00",
    "2026-05-01 10:00:00Z",
    "2026-05-01 10:00:00+02:00",
    "2026-05-01 10:00:00 +0200",
    "2026-05-01 10:00:00 +02:00",
    "2026-05-01 10:00:00 +0200 CEST",
    "2026-05-01",
    "Fri, 01 May 2026 10:00:00 +0200",
    "Fri, 01 May 2026 10:00:00 GMT",
    "01 May 26 10:00 +0200",
    "01 May 26 10:00 GMT",
    "Friday, 01-May-26 10:00:00 GMT",
    "Fri May  1 10:00:00 2026",
    "Fri May  1 10:00:00 GMT 2026",
    "Fri May 01 10:00:00 +0200 2026",
    "01 May 2026",
]
NO_DATES = [
    "2026-05-01 10:00",
    "2026-05-01T10:00",
    "May 1, 2026",
    "1 May 2026",
    "2026/05/01",
    "2026-5-1",
    "20260501",
    "2026-02-30",
    "2026-05-01T24:00:00Z",
    "2026-05-01t10:00:00z",
    "2026-05-01T10:00:60Z",
    "tomorrow",
    "２０２６-05-01",
    "2026-W18-5",
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_dates_are_read_as_hugo_reads_them(hugo: str, tmp_path: Path, zone: str) -> None:
    """Each form Hugo reads gives the same moment; each it does not read holds the page."""
    pages = {f"d/{n}.md": yaml(title="T", publishDate=f'"{text}"') for n, text in enumerate(DATES)}
    pages |= {f"n/{n}.md": yaml(title="T", publishDate=f'"{text}"') for n, text in enumerate(NO_DATES)}
    site = make_site(tmp_path, pages, CONFIG + f'timeZone = "{zone}"\n')
    theirs = {path: row["publishDate"] for path, row in hugo_pages(hugo, tmp_path).items()}
    for path, page in pages_of(site).items():
        if path.startswith("n/"):
            assert theirs[path].startswith("0001-01-01"), path
            assert page.at(NOW).state is ArticleState.HELD, path
        else:
            assert page.publish_at, path
            said = datetime.fromisoformat(theirs[path]).replace(microsecond=0)
            assert page.publish_at.replace(microsecond=0) == said, path


def test_date_types_of_each_format_are_read(hugo: str, tmp_path: Path) -> None:
    """TOML's own dates and Unix seconds mean to us what they mean to Hugo."""
    written = {
        "a": toml(date="2026-05-01"),
        "b": toml(date="2026-05-01T10:00:00"),
        "c": toml(date="2026-05-01 10:00:00.5"),
        "d": toml(date="2026-05-01T10:00:00-05:00"),
        "e": toml(date="1777888999"),
        "f": yaml(date="1777888999"),
        "g": yaml(date="2026"),
        "h": yaml(date="2026-05-01"),
        "i": yaml(date="2026-05-01T10:00:00+02:00"),
        "j": '{"date": "2026-05-01"}',
    }
    site = make_site(
        tmp_path,
        {f"p/{name}.md": text for name, text in written.items()},
        CONFIG + 'timeZone = "America/New_York"\n',
    )
    theirs = {path: row["publishDate"] for path, row in hugo_pages(hugo, tmp_path).items()}
    for path, page in pages_of(site).items():
        assert page.publish_at, path
        moment = datetime.fromisoformat(theirs[path])
        assert abs(page.publish_at - moment) < timedelta(seconds=1), path


PUBLISHING = {
    "date-past": toml(date="2026-01-01"),
    "date-future": toml(date="2099-01-01"),
    "publish-rules": toml(date="2099-01-01", publishDate="2026-01-01"),
    "publish-future": toml(date="2026-01-01", publishDate="2099-01-01"),
    "exactly-now": toml(date="2026-06-01T12:00:00Z"),
    "a-second-later": toml(date="2026-06-01T12:00:01Z"),
    "expired": toml(date="2026-01-01", expiryDate="2026-02-01"),
    "expires-now": toml(date="2026-01-01", expiryDate="2026-06-01T12:00:00Z"),
    "expires-later": toml(date="2026-01-01", unpublishdate="2026-06-01T12:00:01Z"),
    "draft": toml(date="2026-01-01", draft="true"),
    "draft-text": toml(date="2026-01-01", draft='"true"'),
    "draft-one": yaml(date="2026-01-01", draft="1"),
    "draft-false": toml(date="2026-01-01", draft="false"),
    "draft-no": yaml(date="2026-01-01", draft="no"),
    "draft-false-text": yaml(date="2026-01-01", draft='"False"'),
    "published-false": toml(date="2026-01-01", published="false"),
    "published-true": toml(date="2026-01-01", published="true"),
    "draft-wins": toml(date="2026-01-01", draft="false", published="false"),
    "pubdate": toml(pubdate="2099-01-01", date="2026-01-01"),
    "published-date": toml(published="2099-01-01", date="2026-01-01"),
    "underscore": toml(publish_date="2099-01-01", date="2026-01-01"),
    "upper-case": yaml(DATE="2099-01-01"),
    "mixed-case": yaml(Draft="true", Date="2026-01-01"),
    "empty-expiry": yaml(date="2026-01-01", expiryDate='""'),
}


def test_publication_is_hugos(hugo: str, tmp_path: Path) -> None:
    """What Hugo publishes at a moment is public for us at that moment, and nothing else."""
    site = make_site(tmp_path, {f"p/{name}.md": text for name, text in PUBLISHING.items()})
    for now in (
        NOW,
        NOW - timedelta(seconds=1),
        NOW + timedelta(seconds=1),
        datetime(2100, 1, 1, tzinfo=UTC),
    ):
        public = {p for p, page in pages_of(site).items() if page.at(now).state is ArticleState.PUBLIC}
        assert public == hugo_published(hugo, tmp_path, now), now


def test_dated_file_names_are_read_where_the_site_says_so(hugo: str, tmp_path: Path) -> None:
    """With `:filename`, a date before a file's name dates the page and leaves its slug, as in Hugo."""
    names = [
        "2026-05-06-name",
        "2026-05-06_name",
        "2026-05-06",
        "20260506-x",
        "2026-05-06 spaced name",
        "2026-13-06-bad",
        "2026-05-06-bundle/index",
    ]
    pages = {f"p/{name}.md": yaml(title="T") for name in names}
    pages["p/2026-05-07-both.md"] = toml(date="2026-01-01")
    pages["p/2026-05-08-slug.md"] = toml(slug='"own"')
    site = make_site(tmp_path, pages, CONFIG + '[frontmatter]\ndate = [":filename", ":default"]\n')
    assert not _addresses_differ(hugo, tmp_path)
    theirs = {path: row["date"][:10] for path, row in hugo_pages(hugo, tmp_path).items()}
    for path, page in pages_of(site).items():
        # Where publishDate is given as `date`, Hugo 0.111 and we publish by that one.
        if page.publish_at and path != "p/2026-05-07-both.md":
            assert f"{page.publish_at:%Y-%m-%d}" == theirs[path], path


def test_files_beside_a_page_are_where_hugo_puts_them(hugo: str, tmp_path: Path) -> None:
    """Aliases, and pictures of bundles and static folders, have the addresses Hugo serves them at."""
    base = "https://example.org/sub"
    (tmp_path / "static" / "img").mkdir(parents=True)
    (tmp_path / "static" / "img" / "s.png").write_bytes(b"static")
    aliases = '["/old/", "beside", "/old.html", "/deep/er"]'
    pages: dict[str, str | bytes] = {
        "news/plain.md": toml(date=DATE, aliases=aliases, enclosure='"/img/s.png"'),
        "news/own.md": toml(date=DATE, url='"/somewhere/else/"', aliases='["near"]', image='"img/s.png"'),
        "news/file.md": toml(date=DATE, url='"/some/file.html"', aliases='["by-file"]'),
        "news/bundle/index.md": toml(date=DATE, images='["Pic One.png"]', aliases='["../up"]'),
        "news/bundle/Pic One.png": b"bundle",
        "news/moved/index.md": toml(date=DATE, url='"/moved/here/"', cover='{image = "in/pic.png"}'),
        "news/moved/in/pic.png": b"bundle",
    }
    site = make_site(tmp_path, pages, f'baseURL = "{base}/"\n')
    public = build(hugo, tmp_path)

    def served(url: str) -> Path:
        path = unquote(url.removeprefix(base + "/"))
        return public / (path + "index.html" if path.endswith("/") else path)

    articles = [page.article for page in pages_of(site).values()]
    for article in articles:
        assert served(article.url).is_file(), article.url
        for alias in article.aliases:
            assert article.url in served(alias).read_text(), alias
        if article.banner:
            assert article.banner_file
            assert served(article.banner).read_bytes() == Path(article.banner_file).read_bytes()
    assert sum(len(article.aliases) for article in articles) == 7
    assert sum(article.banner is not None for article in articles) == 4


def test_the_sites_own_feed_gives_the_same_articles(hugo: str, tmp_path: Path) -> None:
    """Whether a site is read from its folder or from its feed, an article keeps its identity."""
    pages = {f"news/{name}.md": toml(title='"T & T"', date=DATE, summary='"S"') for name in NAMES[:8]}
    site = make_site(tmp_path, pages, 'baseURL = "https://example.org/sub/"\n')
    feed = (build(hugo, tmp_path) / "index.xml").read_bytes()
    from_feed = {
        page.key: page.article for page in read_feed("https://example.org/sub/index.xml", feed).pages
    }
    from_folder = {page.key: page.article for page in pages_of(site).values()}
    assert from_feed.keys() == from_folder.keys()
    for key, article in from_folder.items():
        assert from_feed[key].title == article.title
        assert from_feed[key].published_at == article.published_at


BROKEN = [
    "- a list\n",
    "+ plus\n",
    "---\ntitle: x\n",
    "---\n- a\n- b\n---\n",
    "---\nwords\n---\n",
    "----\na: b\n----\n",
]
WHOLE = {
    '+++ \ntitle = "whole"\n+++ \nb': "whole",
    "---title: whole\n---\n": "whole",
    '{"title": "whole"}\n{x}': "whole",
    "\n\n\ufeff---\ntitle: whole\n---\n": "whole",
    "<!--\n---\ntitle: whole\n---\n-->\nx": "whole",
    "---\n---\nempty": "",
    "+++\n+++": "",
    "---\r\ntitle: whole\r\n---\r\nx": "whole",
    "---\ntitle: first\ntitle: whole\n---\n": "whole",
    "# Heading\n\ntext": "",
    "": "",
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_stops_hugo_is_a_problem(hugo: str, tmp_path: Path, text: str) -> None:
    """A front matter that Hugo refuses makes no page, and is reported."""
    site = make_site(tmp_path, {"p/x.md": text})
    with pytest.raises(AssertionError, match="Error building"):
        hugo_pages(hugo, tmp_path)
    page, problems = read_page(site, "p/x.md", text.encode())
    assert page is None
    assert [problem.path for problem in problems] == ["p/x.md"]


def test_what_hugo_reads_is_read(hugo: str, tmp_path: Path) -> None:
    """Every way to fence front matter that Hugo takes gives us the same title."""
    make_site(tmp_path, {f"p/{n}.md": text for n, text in enumerate(WHOLE)})
    theirs = hugo_pages(hugo, tmp_path)
    for n, (text, title) in enumerate(WHOLE.items()):
        site = make_site(tmp_path, {})
        page, problems = read_page(site, f"p/{n}.md", text.encode())
        assert page, problems
        assert theirs[f"p/{n}.md"]["title"] == title
        assert page.article.title == title or not title
