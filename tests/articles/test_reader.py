"""What front matter becomes, field by field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distributor.articles.page import UNDATED
from distributor.articles.reader import read_page
from distributor.model import Article, ArticleState, Wishes
from tests.articles.sites import CONFIG, NOW, make_site, page_of, problems_of, toml, yaml

DATE = "2026-05-01T10:00:00Z"


def _article(root: Path, **values: str) -> Article:
    return page_of(root, toml(**{"title": '"T"', "date": DATE} | values)).article


def test_every_known_name_arrives(tmp_path: Path) -> None:
    """Each name of the front matter is a field of the article."""
    text = """+++
title = "A storm over the fjord"
date = 2026-05-01T12:00:00+02:00
summary = "Waves of nine metres."
source = "Harbour Wire"
source_link = "https://wire.example.net/storm"
enclosure = "https://pictures.example.net/storm"
qrcode = "https://pictures.example.net/storm-qr.webp"
article_id = 4711
tags = ["Weather", "Sea"]
categories = ["News"]
authors = ["Ida Berg", {name = "Ola Dahl"}]
featured = true
aliases = ["/old/storm/", "gale"]
language = "nb_NO"

[distributor]
newsletter = "lead"
social = "skip"
social_text = "Nine metres!"
alt = "A wave breaks over a pier"
breaking = true
embargo = 2026-05-02T00:00:00Z
[distributor.text]
Mastodon = "Nine metres, says the harbour."
+++
Body
"""
    assert page_of(tmp_path, text, "news/2026/storm.md").article == Article(
        key="4711",
        url="https://example.org/news/2026/storm/",
        title="A storm over the fjord",
        summary="Waves of nine metres.",
        published_at=datetime(2026, 5, 1, 10, tzinfo=UTC),
        path="news/2026/storm.md",
        section="news",
        source="Harbour Wire",
        source_link="https://wire.example.net/storm",
        authors=("Ida Berg", "Ola Dahl"),
        tags=("Weather", "Sea"),
        categories=("News",),
        language="nb-NO",
        featured=True,
        banner="https://pictures.example.net/storm",
        qr="https://pictures.example.net/storm-qr.webp",
        aliases=("https://example.org/old/storm/", "https://example.org/news/2026/gale/"),
        wishes=Wishes(
            newsletter="lead",
            social="skip",
            social_text="Nine metres!",
            alt="A wave breaks over a pier",
            breaking=True,
            embargo=datetime(2026, 5, 2, tzinfo=UTC),
            text={"mastodon": "Nine metres, says the harbour."},
        ),
    )


def test_names_in_a_params_table_count(tmp_path: Path) -> None:
    """Our names may stand in [params]; Hugo's own names there mean nothing, as for Hugo."""
    text = (
        f'+++\ntitle = "Own"\ndate = {DATE}\nsource = "Top"\n'
        '[params]\nSource = "Below"\narticle_id = "x-1"\nenclosure = "https://p.example/a.jpg"\n'
        'draft = true\ntitle = "Other"\nurl = "/other/"\n[params.distributor]\nnewsletter = "skip"\n+++\n'
    )
    page = page_of(tmp_path, text)
    article = page.at(NOW)
    assert (article.state, article.title, article.key) == (ArticleState.PUBLIC, "Own", "x-1")
    assert (article.source, article.banner) == ("Top", "https://p.example/a.jpg")
    assert article.url == "https://example.org/news/page/"
    assert article.wishes.newsletter == "skip"


@pytest.mark.parametrize("nothing", ['"None"', '"none"', '"null"', '""', '"  "', '"\\t\\n"', "[]", "{}"])
def test_nothing_is_absent(tmp_path: Path, nothing: str) -> None:
    """ "None", "null", blanks and empty lists leave a field empty, never the word itself."""
    names = (
        "source",
        "source_link",
        "enclosure",
        "qrcode",
        "article_id",
        "tags",
        "authors",
        "summary",
        "aliases",
    )
    article = _article(tmp_path, **dict.fromkeys(names, nothing))
    assert article.source is article.source_link is article.banner is article.qr is None
    assert article.tags == article.authors == article.aliases == ()
    assert article.key == article.url
    assert article.summary == "Words."


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("7", "7"),
        ('"7"', "7"),
        ("7.0", "7"),
        ('" a  b "', "a b"),
        ("true", None),
        ("[1]", None),
        ("7.5", None),
        ('"日本-1"', "日本-1"),
    ],
)
def test_an_article_id_is_a_number_or_text(tmp_path: Path, written: str, key: str | None) -> None:
    """A number and its text are one identity; what is neither is reported and the address is the key."""
    text = toml(title='"T"', date=DATE, article_id=written)
    assert page_of(tmp_path, text).key == (key or "https://example.org/news/page/")
    assert bool(problems_of(tmp_path, text)) == (key is None)


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ('"A **bold** _claim_ & `code`"', "A bold claim & code"),
        ('"Q&amp;A &ndash; <em>live</em>"', "Q&A – live"),
        ('"[Linked](https://example.org) words"', "Linked words"),
        ('"5 < 6 and 7 > 3"', "5 < 6 and 7 > 3"),
        ('"snake_case_name and C#"', "snake_case_name and C#"),
        ('"#1 in the world"', "#1 in the world"),
        ('"~~Old~~ new \\\\* star"', "Old new * star"),
        ('"two\\nlines\\tand\\u0000 nul\\u001b[31m"', "two lines and nul[31m"),
        ('"safe\\u202Egnp.exe"', "safegnp.exe"),
        ('"<script>alert(1)</script>Words"', "Words"),
        ('"中文标题：**重点**"', "中文标题：重点"),
        ('"عنوان عربي"', "عنوان عربي"),
        ('"Family 👨‍👩‍👧 day"', "Family 👨‍👩‍👧 day"),
        ("2026", "2026"),
        ("1.5", "1.5"),
        ("true", "true"),
    ],
)
def test_no_mark_leaks_into_a_title(tmp_path: Path, written: str, title: str) -> None:
    """Markdown, HTML, entities and control characters are read, whatever the script; plain signs stay."""
    assert _article(tmp_path, title=written).title == title


@pytest.mark.parametrize(
    ("body", "path", "title"),
    [
        ("# First *things*\n\nText", "news/x.md", "First things"),
        ("Text\n\n## Later {#anchor}\n", "news/x.md", "Later"),
        ("Set\n===\n", "news/x.md", "Set"),
        ("<h2 class='a'>In <i>HTML</i></h2>", "news/x.html", "In HTML"),
        ("```\n# no heading\n```\nText", "news/2026-05-01-a-good-name.md", "A good name"),
        ("", "news/bundle-name/index.md", "Bundle name"),
        ("", "news/日本語.md", "日本語"),
        ("", "news/---.md", "---"),
    ],
)
def test_a_page_without_title_gets_one(tmp_path: Path, body: str, path: str, title: str) -> None:
    """The first heading speaks for the page, else its file's or bundle's name."""
    assert page_of(tmp_path, toml(body, date=DATE), path).article.title == title


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        ("First paragraph, *with* marks.\n\n<!--more-->\n\nRest.", "First paragraph, with marks."),
        ("Line one\nline two.\n\n<!-- MORE -->\nx", "Line one line two."),
        ("# Heading\n\nText with [a link](https://x.example) &amp; more.", "Text with a link & more."),
        ("<p>One &lt;tag&gt;.</p><p>Two.</p>", "One <tag>. Two."),
        ('{{< figure src="x.jpg" >}}\n\nAfter {{% note %}}it{{% /note %}}.', "After it."),
        ("```\ncode()\n```\n\nWords.", "Words."),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nWords.", "Words."),
        ("- one\n- two\n", "one two"),
        ("", ""),
        ("![Only a picture](x.jpg)", ""),
        ("<script>alert(1)</script>Words<style>p{}</style>", "Words"),
    ],
)
def test_a_summary_is_made_of_the_beginning(tmp_path: Path, body: str, summary: str) -> None:
    """Without one of its own, a page is summed up by its text before the fold, as plain text."""
    assert page_of(tmp_path, toml(body, title='"T"', date=DATE)).article.summary == summary


def test_a_long_beginning_is_cut_where_a_reader_would(tmp_path: Path) -> None:
    """At a sentence's end near 300 characters, else between words, and never inside a character."""
    sentences = "This is a sentence of some length, number one. " * 20
    summary = page_of(tmp_path, toml(sentences, date=DATE)).article.summary
    assert summary.endswith("one.")
    assert 180 <= len(summary) <= 300
    words = page_of(tmp_path, toml("word " * 200, date=DATE)).article.summary
    assert words.endswith("word…")
    assert len(words) <= 300
    for run in ("漢" * 1000, "👨‍👩‍👧" * 200):
        cut = page_of(tmp_path, toml(run, date=DATE)).article.summary
        assert cut.endswith("…")
        assert len(cut) <= 300
        assert run.startswith(cut[:-1])
        assert set(cut[:-1].split("👨‍👩‍👧")) <= {"", cut[:-1]}


def test_description_stands_in_for_a_summary(tmp_path: Path) -> None:
    """`summary` goes before `description`, and both before the text."""
    assert _article(tmp_path, description='"D"', summary='"S"').summary == "S"
    assert _article(tmp_path, description='"D &amp; **d**"', summary='"None"').summary == "D & d"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("enclosure", '"https://p.example/x"'),
        ("enclosure", '{url = "https://p.example/x"}'),
        ("images", '["", "https://p.example/x", "https://p.example/y"]'),
        ("images", '[{src = "https://p.example/x"}]'),
        ("featured_image", '"https://p.example/x"'),
        ("cover", '{image = "https://p.example/x", alt = "a"}'),
        ("image", '"https://p.example/x"'),
        ("thumbnail", '"https://p.example/x"'),
    ],
)
def test_a_banner_is_found_where_themes_have_it(tmp_path: Path, name: str, written: str) -> None:
    """Ours is `enclosure`; the names of widely used themes stand in for it."""
    assert _article(tmp_path, **{name: written}).banner == "https://p.example/x"


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("//cdn.example/x.jpg", "https://cdn.example/x.jpg"),
        ("HTTPS://p.example/x.jpg", "https://p.example/x.jpg"),
        ("https://p.example/a b/ü.jpg?x=1&y=é", "https://p.example/a%20b/%C3%BC.jpg?x=1&y=%C3%A9"),
        ("https://bücher.example/x.jpg", "https://xn--bcher-kva.example/x.jpg"),
        ("/images/x.jpg", "https://example.org/images/x.jpg"),
        ("images/x.jpg", "https://example.org/images/x.jpg"),
        ("../../etc/passwd", "https://example.org/etc/passwd"),
    ],
)
def test_a_banner_address_is_made_absolute(tmp_path: Path, written: str, url: str) -> None:
    """Protocol-relative, rooted and relative addresses become the ones Hugo would serve."""
    article = _article(tmp_path, enclosure=f'"{written}"')
    assert (article.banner, article.banner_file) == (url, None)


@pytest.mark.parametrize(
    "written",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
        "C:\\\\pictures\\\\x.jpg",
        "https://",
        "https://[bad/x",
        "https://a b.example/x",
        "x" * 3000,
    ],
)
def test_what_cannot_be_fetched_is_absent_and_told(tmp_path: Path, written: str) -> None:
    """Other schemes and impossible addresses are reported with their line, and another picture is taken."""
    text = toml(title='"T"', date=DATE, enclosure=f'"{written}"', image='"https://p.example/x.jpg"')
    assert page_of(tmp_path, text).article.banner == "https://p.example/x.jpg"
    problems = problems_of(tmp_path, text)
    assert len(problems) == 1
    assert problems[0].startswith("news/page.md:4: enclosure ")


def test_pictures_of_the_site_are_known_by_file(tmp_path: Path) -> None:
    """A picture in the bundle or among the static files has its address and its file."""
    config = 'baseURL = "https://example.org/sub/"\n'
    for name in ("static/images/ü x.png", "content/news/b/cover.jpg", "secret.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"picture")
    made = [
        (
            "news/b/index.md",
            "cover.jpg",
            "https://example.org/sub/news/b/cover.jpg",
            "content/news/b/cover.jpg",
        ),
        (
            "news/b/index.md",
            "./cover.jpg",
            "https://example.org/sub/news/b/cover.jpg",
            "content/news/b/cover.jpg",
        ),
        (
            "news/b/index.md",
            "images/ü x.png",
            "https://example.org/sub/images/%C3%BC%20x.png",
            "static/images/ü x.png",
        ),
        (
            "news/a.md",
            "/images/ü x.png",
            "https://example.org/sub/images/%C3%BC%20x.png",
            "static/images/ü x.png",
        ),
        (
            "news/a.md",
            "https://example.org/sub/images/ü x.png",
            "https://example.org/sub/images/%C3%BC%20x.png",
            "static/images/ü x.png",
        ),
        (
            "news/a.md",
            "/sub/images/ü x.png",
            "https://example.org/sub/images/%C3%BC%20x.png",
            "static/images/ü x.png",
        ),
        (
            "news/a.md",
            "images/%C3%BC%20x.png?v=2",
            "https://example.org/sub/images/%C3%BC%20x.png",
            "static/images/ü x.png",
        ),
        ("news/b/index.md", "../../../secret.txt", "https://example.org/sub/secret.txt", None),
        (
            "news/b/index.md",
            "%2e%2e/%2e%2e/%2e%2e/secret.txt",
            "https://example.org/sub/%2e%2e/%2e%2e/%2e%2e/secret.txt",
            None,
        ),
        (
            "news/a.md",
            "/static/images/ü x.png",
            "https://example.org/sub/images/%C3%BC%20x.png",
            "static/images/ü x.png",
        ),
        ("news/a.md", "/sub/missing.png", "https://example.org/sub/missing.png", None),
    ]
    for path, written, url, picture in made:
        article = page_of(
            tmp_path, toml(title='"T"', date=DATE, enclosure=f'"{written}"'), path, config
        ).article
        assert article.banner == url, written
        assert article.banner_file == (str(tmp_path / picture) if picture else None), written


def test_a_link_out_of_the_site_is_no_file_of_it(tmp_path: Path) -> None:
    """A symbolic link among the static files cannot name a file elsewhere."""
    (tmp_path / "outside.png").write_bytes(b"x")
    (tmp_path / "site" / "static").mkdir(parents=True)
    (tmp_path / "site" / "static" / "x.png").symlink_to(tmp_path / "outside.png")
    article = page_of(tmp_path / "site", toml(title='"T"', date=DATE, enclosure='"/x.png"')).article
    assert (article.banner, article.banner_file) == ("https://example.org/x.png", None)


@pytest.mark.parametrize(
    ("written", "year"),
    [("02 Jan 68 15:04 UTC", 2068), ("02 Jan 69 15:04 UTC", 1969), ("02 Jan 00 15:04 UTC", 2000)],
)
def test_two_digits_of_a_year_are_read_as_go_reads_them(tmp_path: Path, written: str, year: int) -> None:
    """From 69 on they are of the last century (https://pkg.go.dev/time#Parse)."""
    published_at = _article(tmp_path, date=f'"{written}"').published_at
    assert published_at == datetime(year, 1, 2, 15, 4, tzinfo=UTC)


@pytest.mark.parametrize("name", ["date", "publishDate", "expiryDate", "pubdate"])
@pytest.mark.parametrize("value", ['"tomorrow"', "[2026]", "true", '"2026-02-30"', "10:00:00"])
def test_an_unreadable_date_holds_the_page(tmp_path: Path, name: str, value: str) -> None:
    """Hugo would publish it silently; here it waits, and the file, line and remedy are told."""
    text = toml(**{"title": '"T"', "draft": "false", "date": DATE} | {name: value})
    article = page_of(tmp_path, text).at(NOW)
    assert article.state is ArticleState.HELD
    assert name.lower() in (article.reason or "")
    line = 2 + [row.split(" ")[0] for row in text.splitlines()[1:]].index(name)
    assert problems_of(tmp_path, text)[0].startswith(f"news/page.md:{line}: {name.lower()} ")


def test_an_unreadable_date_that_decides_nothing_is_only_told(tmp_path: Path) -> None:
    """When a page is published does not hang on its lastmod, but newer versions of Hugo stop at a bad one."""
    text = toml(title='"T"', date=DATE, lastmod='"yesterday"')
    assert page_of(tmp_path, text).at(NOW).state is ArticleState.PUBLIC
    assert problems_of(tmp_path, text)[0].startswith("news/page.md:4: lastmod 'yesterday'")


@pytest.mark.parametrize("value", ["maybe", "null", "", "[]", "yes", "on", '"y"', "2.5"])
def test_an_unclear_draft_is_held(tmp_path: Path, value: str) -> None:
    """Anything but a clear yes or no waits for a person: Hugo's versions disagree about it."""
    text = yaml(title="T", date=DATE, draft=value)
    assert page_of(tmp_path, text).at(NOW).state is ArticleState.HELD
    assert "write draft = true or draft = false" in problems_of(tmp_path, text)[0]


def test_a_page_without_date_is_held_without_a_problem(tmp_path: Path) -> None:
    """Hugo publishes it as of the year 1; it may be new or ages old, so a person must say when."""
    page = page_of(tmp_path, toml(title='"About"'))
    assert page.at(NOW).state is ArticleState.HELD
    assert page.article.published_at == UNDATED
    assert problems_of(tmp_path, toml(title='"About"')) == []


def test_dates_at_the_ends_of_the_calendar_are_kept(tmp_path: Path) -> None:
    """ "Never" as the last day there is, and the first day, are dates like others."""
    page = page_of(tmp_path, toml(date="0001-01-01T00:00:00+14:00", expiryDate="9999-12-31T23:59:59-12:00"))
    assert page.at(NOW).state is ArticleState.PUBLIC
    assert page.publish_at == datetime.min.replace(tzinfo=UTC)


def test_the_files_own_time_dates_a_page_where_the_site_says_so(tmp_path: Path) -> None:
    """With `:fileModTime` a page without a date is as old as its file."""
    site = make_site(tmp_path, {}, CONFIG + '[frontmatter]\ndate = [":default", ":fileModTime"]\n')
    page, _ = read_page(site, "x.md", b"---\ntitle: T\n---\n", modified_at=NOW - timedelta(days=1))
    assert page
    assert page.at(NOW).state is ArticleState.PUBLIC
    assert page.publish_at == NOW - timedelta(days=1)


def test_a_whole_address_as_url_is_held(tmp_path: Path) -> None:
    """Hugo refuses a `url` with a scheme, so nobody knows where the page will be."""
    text = toml(title='"T"', date=DATE, url='"https://example.org/x/"')
    page = page_of(tmp_path, text)
    assert page.at(NOW).state is ArticleState.HELD
    assert page.article.url == "https://example.org/x/"
    assert problems_of(tmp_path, text)[0].startswith("news/page.md:4: url ")


@pytest.mark.parametrize(
    ("table", "wishes", "problem"),
    [
        ('newsletter = "Skip"', Wishes(newsletter="skip"), None),
        ("newsletter = false\nsocial = false", Wishes(newsletter="skip", social="skip"), None),
        ('newsletter = "never"', Wishes(), "distributor.newsletter 'never' is not a wish"),
        ("newsletter = 5", Wishes(), "distributor.newsletter 5 is not a wish"),
        ('social = "lead"', Wishes(), "distributor.social 'lead' is not a wish"),
        ('breaking = "yes"', Wishes(), "distributor.breaking 'yes' is neither true nor false"),
        ("alt = 5", Wishes(alt="5"), None),
        ("alt = []", Wishes(), "distributor.alt [] is not a text"),
        ('alt = "None"', Wishes(), None),
        ('social_text = "a\\n\\nb\\u0007 "', Wishes(social_text="a\n\nb"), None),
        ('text = "x"', Wishes(), "distributor.text is not a table"),
        ("colour = 1", Wishes(), "distributor.colour is not a wish"),
        ("[distributor.text]\nX = 'a'\nbluesky = ''", Wishes(text={"x": "a"}), None),
    ],
)
def test_wishes_are_granted_or_told(tmp_path: Path, table: str, wishes: Wishes, problem: str | None) -> None:
    """What a page asks for is read leniently; what cannot be read is reported and does not stop it."""
    text = f'+++\ntitle = "T"\ndate = {DATE}\n[distributor]\n{table}\n+++\n'
    page = page_of(tmp_path, text)
    assert page.article.wishes == wishes
    assert page.at(NOW).state is ArticleState.PUBLIC
    problems = problems_of(tmp_path, text)
    assert len(problems) == (problem is not None)
    if problem:
        assert problems[0].startswith(f"news/page.md:5: {problem}")


def test_an_unreadable_embargo_holds_the_page(tmp_path: Path) -> None:
    """A wish to wait that cannot be read is honoured: announcing too early cannot be undone."""
    text = f'+++\ntitle = "T"\ndate = {DATE}\n[distributor]\nembargo = "next week"\n+++\n'
    assert page_of(tmp_path, text).at(NOW).state is ArticleState.HELD
    assert problems_of(tmp_path, text)[0].startswith("news/page.md:5: distributor.embargo 'next week'")


def test_a_wish_that_is_no_table_is_told(tmp_path: Path) -> None:
    """`distributor = "skip"` is no table of wishes."""
    text = toml(title='"T"', date=DATE, distributor='"skip"')
    assert "distributor is not a table" in problems_of(tmp_path, text)[0]


def test_an_unreadable_section_holds_the_pages_below(tmp_path: Path) -> None:
    """Nobody knows what a broken _index.md hands down, so its pages wait; others do not."""
    page = toml(title='"T"', date=DATE)
    site = make_site(tmp_path, {"a/_index.md": "---\ncascade: [\n---\n", "a/b/x.md": page, "c/x.md": page})
    assert [problem.path for problem in site.problems] == ["a/_index.md"]
    states = {}
    for path in ("a/b/x.md", "c/x.md"):
        made, _ = read_page(site, path, page.encode())
        assert made
        states[path] = made.at(NOW).state
    assert states == {"a/b/x.md": ArticleState.HELD, "c/x.md": ArticleState.PUBLIC}


def test_bytes_that_are_no_text_are_told_and_replaced(tmp_path: Path) -> None:
    """A body with invalid UTF-8 or NUL bytes is carried, and its line reported."""
    start = toml("", title='"T"', date=DATE).encode()
    assert problems_of(tmp_path, start + b"ok\nbad \xff\n")[0].startswith(
        "news/page.md:6: the text is not UTF-8"
    )
    assert problems_of(tmp_path, start + b"\nbad \x00\n")[0].startswith("news/page.md:6: the text has NUL")
    assert page_of(tmp_path, start + b"bad \xff\x00 end").article.summary == "bad \ufffd end"


KNOWN = (
    *("title", "slug", "url", "summary", "description", "source", "source_link", "enclosure", "images"),
    *("cover", "image", "qrcode", "article_id", "tags", "categories", "authors", "author", "featured"),
    *("aliases", "language", "lang", "headless", "build", "_build", "markup", "distributor", "params"),
)


@pytest.mark.parametrize(
    "value", ['"x"', "5", "2.5", "true", "[1, [2]]", '{a = {b = "c"}}', "2026-01-01", "nan", '[""]']
)
def test_no_field_trips_over_another_type(tmp_path: Path, value: str) -> None:
    """Each known name may hold any kind of value, and a page still comes of it."""
    for name in KNOWN:
        article = page_of(tmp_path, toml(**{"date": DATE, name: value})).article
        assert article.title
        assert article.url.startswith("https://example.org/")


def test_a_huge_field_is_cut(tmp_path: Path) -> None:
    """No single field can blow up what is made of it."""
    huge = f'"{"word " * 6_000}"'
    many = "[" + ",".join(f'"t{n}"' for n in range(1000)) + "]"
    article = _article(tmp_path, title=huge, summary=huge, source=huge, slug=huge, tags=many, aliases=many)
    assert len(article.title) <= 500
    assert len(article.summary) <= 2000
    assert len(article.source or "") <= 500
    assert len(article.tags) == len(article.aliases) == 200
    assert len(article.url) < 3000
