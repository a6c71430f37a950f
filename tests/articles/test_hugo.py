"""The site's configuration, wherever Hugo would look for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributor.articles.hugo import read_site
from distributor.articles.scan import scan
from distributor.errors import ConfigError
from tests.articles.sites import CONFIG, hugo_pages, make_site, pages_of, toml

PAGE = toml(title='"T"', date="2026-05-01")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hugo.toml", 'BaseURL = "https://e.org/x/"\ntitle = "T"\n[permalinks]\nnews = "/:year/:slug/"\n'),
        ("config.toml", 'baseurl = "https://e.org/x"\ntitle = "T"\n[permalinks]\nnews = "/:year/:slug/"\n'),
        ("hugo.yaml", "baseURL: https://e.org/x/\ntitle: T\npermalinks: {news: '/:year/:slug/'}\n"),
        ("config.yml", "baseURL: https://e.org/x/\ntitle: T\npermalinks: {news: '/:year/:slug/'}\n"),
        ("hugo.json", '{"baseURL": "https://e.org/x", "title": "T", "permalinks": {"news": "/:year/:slug"}}'),
        (
            "hugo.toml",
            'baseURL = "https://e.org/x/"\ntitle = "T"\n[permalinks.page]\nnews = "/:year/:slug/"\n',
        ),
        (
            "config/_default/hugo.toml",
            'baseURL = "https://e.org/x/"\ntitle = "T"\npermalinks.news = ":year/:slug"\n',
        ),
    ],
)
def test_configuration_is_found_in_every_format(tmp_path: Path, name: str, text: str) -> None:
    """Each name and format Hugo takes gives the same site, whose path leads every address."""
    site = make_site(tmp_path, {"news/a.md": PAGE}, text, name)
    assert (site.base_url, site.title) == ("https://e.org/x", "T")
    assert pages_of(site)["news/a.md"].article.url == "https://e.org/x/2026/t/"


def test_a_configuration_folder_is_laid_over(tmp_path: Path) -> None:
    """Files of config/_default and config/production hold the tables they are named after."""
    folder = tmp_path / "config" / "_default"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("baseURL: https://default.example/\ntitle: Default\n")
    (folder / "permalinks.toml").write_text('news = "/:slug/"\n')
    (folder / "languages.toml").write_text("[en]\ntitle = 'In English'\ntimeZone = 'Asia/Tokyo'\n")
    (tmp_path / "config" / "production").mkdir()
    (tmp_path / "config" / "production" / "hugo.toml").write_text('baseURL = "https://live.example/"\n')
    (tmp_path / "content").mkdir()
    site = read_site(tmp_path / "content")
    assert (site.base_url, site.title, site.timezone) == ("https://live.example", "In English", "Asia/Tokyo")
    assert [pattern for _, pattern in site.permalinks] == ["/:slug/"]


def test_what_is_given_goes_before_the_sites_own(tmp_path: Path) -> None:
    """An address and a time zone from distributor.toml replace those of the site."""
    make_site(tmp_path, {"news/a.md": PAGE}, CONFIG + 'timeZone = "Asia/Tokyo"\n')
    site = read_site(tmp_path / "content", base_url="https://other.example/sub/", timezone="Europe/Oslo")
    article = pages_of(site)["news/a.md"].article
    assert article.url == "https://other.example/sub/news/a/"
    assert article.published_at.isoformat() == "2026-04-30T22:00:00+00:00"
    (tmp_path / "hugo.toml").unlink()
    assert (
        read_site(tmp_path / "content", base_url="https://other.example").base_url == "https://other.example"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title = 'x'\n", "base address is not known"),
        ("baseURL = ''\n", "base address is not known"),
        ("baseURL = '/'\n", "is not a web address"),
        ("baseURL = 'example.org'\n", "is not a web address"),
        ("baseURL = 'ftp://example.org'\n", "is not a web address"),
        ("baseURL = 5\n", "is not a web address"),
        ("baseURL = 'https://[x'\n", "is not a web address"),
        ("baseURL = \n", "cannot be read"),
        (CONFIG + "timeZone = 'Mars/Olympus'\n", "no time zone"),
        (CONFIG + "timeZone = '../../etc/passwd'\n", "no time zone"),
    ],
)
def test_a_wrong_configuration_says_what_to_do(tmp_path: Path, text: str, reason: str) -> None:
    """What is missing or wrong is told with the file; nothing is guessed."""
    with pytest.raises(ConfigError, match=reason) as caught:
        make_site(tmp_path, {}, text)
    assert str(tmp_path) in caught.value.problems[0].path


@pytest.mark.parametrize(
    ("name", "text"), [("hugo.json", "[1]"), ("hugo.yaml", "- a"), ("hugo.json", "{"), ("hugo.yaml", "a: [")]
)
def test_a_configuration_that_is_no_table_is_told(tmp_path: Path, name: str, text: str) -> None:
    """A list or a torn file is no configuration."""
    with pytest.raises(ConfigError, match="configuration"):
        make_site(tmp_path, {}, text, name)


def test_odd_settings_do_no_harm(tmp_path: Path) -> None:
    """Settings of another type than Hugo's are passed over; patterns nobody knows are told."""
    odd = (
        "title = 5\nlanguages = 'x'\nuglyURLs = 'x'\nignoreFiles = ['[', 'ok$']\nfrontmatter = []\n"
        "theme = 7\nstaticDir = [1]\ncascade = 'x'\ndisableLanguages = 3\ncontentDir = []\n"
        "[permalinks]\na = 5\nb = '/:nope/:slug/'\n"
    )
    site = make_site(tmp_path, {"b/x.md": PAGE}, 'baseURL = "https://e.org"\n' + odd)
    assert len(site.problems) == 2
    assert pages_of(site)["b/x.md"].article.url == "https://e.org/nope/t/"


def test_content_below_a_language_folder_is_found(tmp_path: Path, hugo: str) -> None:
    """Where languages have folders of their own, each page gets its language's address."""
    config = (
        'baseURL = "https://e.org/"\n'
        '[languages.en]\nweight = 1\ncontentDir = "content/english"\nlanguageCode = "en-GB"\n'
        '[languages.nb]\nweight = 2\ncontentDir = "content/norsk"\n'
    )
    site = make_site(tmp_path, {"english/news/a.md": PAGE, "norsk/news/a.md": PAGE}, config)
    articles = {path: page.article for path, page in pages_of(site).items()}
    # Hugo 0.111 lists these files below the language's folder, so the addresses are compared alone.
    assert {article.url for article in articles.values()} == {
        row["permalink"] for row in hugo_pages(hugo, tmp_path).values()
    }
    assert articles["english/news/a.md"].language == "en-GB"
    assert articles["norsk/news/a.md"].url == "https://e.org/nb/news/a/"
    one = read_site(tmp_path / "content" / "norsk")
    assert pages_of(one)["news/a.md"].article.url == "https://e.org/nb/news/a/"


def test_the_fingerprint_tells_when_pages_read_differently(tmp_path: Path) -> None:
    """It changes with the configuration, a section's cascade or a new section; not with pages or titles."""
    section = "---\ntitle: Before\ncascade: {draft: false}\n---\n"
    seen = [make_site(tmp_path, {"a/_index.md": section, "a/x.md": PAGE}).fingerprint]

    def after(pages: dict[str, str], config: str = CONFIG) -> str:
        return make_site(tmp_path, pages, config).fingerprint

    assert after({"a/y.md": PAGE, "a/_index.md": section.replace("Before", "After")}) == seen[0]
    seen.append(after({"a/_index.md": section.replace("false", "true")}))
    seen.append(after({"a/b/_index.md": "---\n---\n"}))
    seen.append(after({}, CONFIG + "uglyURLs = true\n"))
    seen.append(after({}, CONFIG + 'timeZone = "Asia/Tokyo"\n'))
    seen.append(after({"a/_index.md": "---\nbroken: [\n---\n"}))
    assert len(set(seen)) == len(seen) == 6


def test_permalinks_by_target_are_followed(tmp_path: Path) -> None:
    """A list of rules with targets, as later versions of Hugo take it: the first that matches wins."""
    config = CONFIG + (
        '[[permalinks]]\npattern = "/one/:slug/"\n[permalinks.target]\nkind = "page"\npath = "/news/{a,b}*"\n'
        '[[permalinks]]\npattern = "/two/:slug/"\n[permalinks.target]\npath = "/news/**"\n'
    )
    site = make_site(tmp_path, {"news/a.md": PAGE, "news/deep/c.md": PAGE, "other/a.md": PAGE}, config)
    urls = {path: page.article.url for path, page in pages_of(site).items()}
    assert urls == {
        "news/a.md": "https://example.org/one/t/",
        "news/deep/c.md": "https://example.org/two/t/",
        "other/a.md": "https://example.org/other/a/",
    }


def test_tokens_in_a_url_are_filled(tmp_path: Path) -> None:
    """`url` may hold permalink tokens, as in later versions of Hugo."""
    page = toml(title='"Big News"', date="2026-05-01", url='"/:year/:slug/:unknown"')
    site = make_site(tmp_path, {"news/a.md": page})
    assert pages_of(site)["news/a.md"].article.url == "https://example.org/2026/big-news/:unknown/"


def test_themes_and_other_folders_hold_static_files(tmp_path: Path) -> None:
    """Pictures are looked for in every folder Hugo serves."""
    for folder in ("assets-static", "themes/t/static"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{folder[:2]}.png").write_bytes(b"x")
    config = CONFIG + 'theme = "t"\nstaticDir = ["static", "assets-static"]\n'
    pages = {f"{n}.md": toml(date="2026-05-01", enclosure=f'"/{n}.png"') for n in ("as", "th")}
    found = pages_of(make_site(tmp_path, pages, config))
    assert found["as.md"].article.banner_file == str(tmp_path / "assets-static/as.png")
    assert found["th.md"].article.banner_file == str(tmp_path / "themes/t/static/th.png")


def test_a_relative_content_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site keeps its place when the program changes its own."""
    make_site(tmp_path, {"a.md": PAGE})
    monkeypatch.chdir(tmp_path)
    site = read_site(Path("content"))
    monkeypatch.chdir("/")
    assert len(scan(site, {}).read) == 1
