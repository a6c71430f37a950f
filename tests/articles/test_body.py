"""Bodies as mail can show them."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributor.articles.body import MAX_BODY, TAGS, body_html
from distributor.articles.hugo import HugoSite
from distributor.errors import ContentError
from distributor.model import Article
from tests.articles.sites import CONFIG, NOW, make_site, page_of, toml

FEED_ARTICLE = Article(key="k", url="https://example.org/news/k/", title="T", published_at=NOW, path="id")


def _html(root: Path, body: str, path: str = "news/page.md", config: str = CONFIG) -> str:
    text = toml(body, title='"T"', date="2026-05-01")
    page = page_of(root, text, path, config)
    return body_html(make_site(root, {path: text}, config), page.article)


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("*a* **b** ~~c~~ `d`", "<p><em>a</em> <strong>b</strong> <s>c</s> <code>d</code></p>"),
        ("# H {#id .class}\n\ntext", "<h1>H</h1>\n<p>text</p>"),
        ("| a | b |\n|:-:|--:|\n| 1 | 2 |", '<td style="text-align:center">1</td>'),
        ("- [x] done\n- [ ] open", "☑ done"),
        ("See https://example.net/a.", '<a href="https://example.net/a">https://example.net/a</a>.'),
        ("Not a.link.md", "<p>Not a.link.md</p>"),
        ("Term\n: Meaning", "<dt>Term</dt>\n<dd>Meaning</dd>"),
        ("Note[^1].\n\n[^1]: The note.", "The note."),
        ("> quote\n\n1. one\n2. two", "<ol>\n<li>one</li>"),
        ("line  \nbreak", "line<br>\nbreak"),
        ("para\r\n\r\nnext", "<p>para</p>\n<p>next</p>"),
        ("<p>raw <b>HTML</b></p>", "<p>raw <b>HTML</b></p>"),
        ("日本語 **強調** text", "<strong>強調</strong>"),
        ('<p dir="rtl" lang="ar">مرحبا</p>', '<p dir="rtl" lang="ar">مرحبا</p>'),
        ("{.lead}\nWords", "<p>Words</p>"),
    ],
)
def test_markdown_is_read_as_hugo_reads_it(tmp_path: Path, markdown: str, html: str) -> None:
    """CommonMark, GFM, footnotes and definition lists; raw HTML is let through to be sanitised."""
    assert html in _html(tmp_path, markdown)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href="java&#10;script:alert(1)">x</a>',
        "[x](<javascript:alert(1)>)",
        "<javascript:x>",
        "<iframe src='https://evil.example/'></iframe>",
        "<form action='https://evil.example/'><input name=a><button>b</button></form>",
        "<object data=x></object><embed src=x>",
        "<svg onload=alert(1)></svg>",
        "<style>p{display:none}</style>",
        '<p style="position:fixed" onclick="x()">words</p>',
        "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
        "<link rel=stylesheet href=https://evil.example/x.css>",
        "<base href=https://evil.example/>",
        "<math><mtext><img src=x onerror=alert(1)></mtext></math>",
        '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    ],
)
def test_nothing_active_gets_through(tmp_path: Path, hostile: str) -> None:
    """Scripts, handlers, forms, frames, styles and foreign documents are gone; the words around stay."""
    html = _html(tmp_path, f"Before\n\n{hostile}\n\nAfter")
    seen = _Seen()
    seen.feed(html)
    assert seen.tags <= TAGS
    assert seen.attributes <= {"href", "src", "alt"}
    assert all(link.startswith("https://example.org/") for link in seen.links)
    assert "Before" in html
    assert "After" in html


class _Seen(HTMLParser):
    """What a reader's client would find in a document."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


@pytest.mark.parametrize(
    "pixel",
    [
        '<img src="https://t.example/p.gif" width="1" height="1">',
        '<img src="https://t.example/p.gif" height=0>',
        '<img src="https://t.example/p.gif" style="width:1px;height:1px">',
        '<img src="https://t.example/p.gif" style="display: none">',
        '<img src="data:image/gif;base64,R0lGOD">',
        '<img alt="no address">',
    ],
)
def test_tracking_pixels_are_gone(tmp_path: Path, pixel: str) -> None:
    """A picture nobody could see is not carried."""
    assert "<img" not in _html(tmp_path, f"<p>Words{pixel}</p>")


def test_a_picture_is_kept_with_its_size_and_words(tmp_path: Path) -> None:
    """Pictures keep address, size and alternative text, and always have one."""
    html = _html(
        tmp_path,
        '<img src="https://p.example/a.jpg" width="600" style="width:100%">\n\n![A "quoted" view](b.jpg "T")',
    )
    assert '<img alt="" src="https://p.example/a.jpg" width="600">' in html
    assert '<img alt="A &quot;quoted&quot; view" src="https://example.org/news/page/b.jpg" title="T">' in html


@pytest.mark.parametrize(
    ("canonify", "link", "address"),
    [
        ("", "/about/", "https://example.org/about/"),
        ("canonifyURLs = true\n", "/about/", "https://example.org/sub/about/"),
        ("canonifyURLs = true\n", "/sub/about/", "https://example.org/sub/about/"),
        ("canonifyURLs = true\n", "//cdn.example/x", "https://cdn.example/x"),
        ("", "other/", "https://example.org/sub/news/page/other/"),
        ("", "../other/?a=1&b=2", "https://example.org/sub/news/other/?a=1&amp;b=2"),
        ("", "#part", "https://example.org/sub/news/page/#part"),
        ("", "mailto:desk@example.org", "mailto:desk@example.org"),
        ("", "tel:+4712345678", "tel:+4712345678"),
        ("", "https://ex.example/ü x", "https://ex.example/%C3%BC%20x"),
    ],
)
def test_links_are_absolute(tmp_path: Path, canonify: str, link: str, address: str) -> None:
    """A link leads where it leads on the site, also from a mail."""
    config = f'baseURL = "https://example.org/sub/"\n{canonify}'
    assert f'<a href="{address}">x</a>' in _html(tmp_path, f'<a href="{link}">x</a>', config=config)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            '{{< figure src="a.jpg" alt="A" caption="C & D" >}}',
            '<figure><img alt="A" src="https://example.org/news/page/a.jpg">'
            "<figcaption>C &amp; D</figcaption></figure>",
        ),
        ('{{< figure src="a.jpg" link="https://l.example" >}}', '<a href="https://l.example"><img alt=""'),
        ("{{< youtube w7Ft2ymGmfc >}}", "https://www.youtube.com/watch?v=w7Ft2ymGmfc"),
        ('{{< vimeo id="146022717" >}}', "https://vimeo.com/146022717"),
        ('{{< youtube "\\"><script>" >}}x', "<p>x</p>"),
        ("a {{% note %}}**kept**{{% /note %}} b", "<p>a <strong>kept</strong> b</p>"),
        ("{{< unknown a=1 b=`x` />}}words", "<p>words</p>"),
        ("{{</* shown */>}}", "<p>{{&lt; shown &gt;}}</p>"),
        ("{{< highlight go >}}\na <b> c\n{{< /highlight >}}", "<code>a &lt;b&gt; c\n</code>"),
        ('[other]({{< ref "other.md" >}})', '<a href="https://example.org/2026/other/">other</a>'),
        (
            '[other]({{< relref "/news/other#part" >}})',
            '<a href="https://example.org/2026/other/#part">other</a>',
        ),
        ('[lost]({{< ref "../../etc/passwd" >}})', '<a href="https://example.org/news/page/">lost</a>'),
        (
            '<iframe width="5" src="https://www.youtube.com/embed/abc?x=1"></iframe>',
            "https://www.youtube.com/watch?v=abc",
        ),
        ("{{< broken", "<p>{{&lt; broken</p>"),
    ],
)
def test_shortcodes_become_what_mail_can_show(tmp_path: Path, text: str, html: str) -> None:
    """Hugo's own shortcodes turn into pictures and links, unknown ones into the text between them."""
    make_site(tmp_path, {"news/other.md": toml(title='"O"', date="2026-01-01", url='"/2026/other/"')})
    assert html in _html(tmp_path, text)


def test_an_html_page_is_not_read_as_markdown(tmp_path: Path) -> None:
    """Stars and hashes of an HTML file are its own."""
    assert (
        _html(tmp_path, "<p>a *b* c</p>\n\n    <p>d</p>", "news/x.html") == "<p>a *b* c</p>\n\n    <p>d</p>"
    )


def test_a_feed_entrys_text_needs_no_file() -> None:
    """The body of a feed is HTML, seen from the entry's address."""
    html = body_html(None, FEED_ARTICLE, text='<p>a *b* <a href="../c/">c</a><script>x</script></p>')
    assert html == '<p>a *b* <a href="https://example.org/news/c/">c</a></p>'
    with pytest.raises(ContentError, match="neither in a file nor in a feed"):
        body_html(None, FEED_ARTICLE)


@pytest.mark.parametrize("path", ["gone.md", "../secret.md", "/etc/passwd", "a/../../secret.md", "x\0.md"])
def test_a_body_that_cannot_be_read_is_an_error(tmp_path: Path, path: str) -> None:
    """A file that vanished, or lies outside the content folder, is told and never read."""
    (tmp_path / "secret.md").write_text("secret")
    site = make_site(tmp_path, {})
    article = Article(key="k", url="https://example.org/", title="T", published_at=NOW, path=path)
    with pytest.raises(ContentError):
        body_html(site, article)


def test_a_body_broken_since_it_was_scanned_is_an_error(tmp_path: Path) -> None:
    """Half a front matter is no body."""
    site = make_site(tmp_path, {"a.md": "+++\ntitle = "})
    article = Article(key="k", url="https://example.org/", title="T", published_at=NOW, path="a.md")
    with pytest.raises(ContentError, match=r"a\.md cannot be read"):
        body_html(site, article)


@pytest.mark.parametrize(
    "run", ["[", "*", "> ", "<div>", "- ", "![](", "`", "<!--", "{{<", "&", "\\", "<a href='"]
)
def test_hostile_lengths_take_no_hours(tmp_path: Path, run: str) -> None:
    """A page of nothing but marks is read and worked off in seconds."""
    started = time.process_time()
    _html(tmp_path, run * 5000)
    assert time.process_time() - started < 5


def test_a_huge_body_is_cut(tmp_path: Path) -> None:
    """A mail carries no megabytes; the rest is on the site."""
    html = _html(tmp_path, "word " * 300_000)
    assert len(html) < MAX_BODY + 100


@pytest.fixture(scope="module")
def plain_site(tmp_path_factory: pytest.TempPathFactory) -> HugoSite:
    return make_site(tmp_path_factory.mktemp("site"), {})


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet=st.sampled_from("<>/=\"'ab:&;#x{}%*_[]()!`~-\n\0\ud7ffé"), max_size=60))
def test_no_text_breaks_the_body(plain_site: HugoSite, text: str) -> None:
    """Any text gives HTML without active parts."""
    (plain_site.content / "a.md").write_bytes(f"---\ntitle: T\n---\n{text}".encode())
    article = Article(key="k", url="https://example.org/", title="T", published_at=NOW, path="a.md")
    html = body_html(plain_site, article)
    assert "<script" not in html.lower()
    assert "\0" not in html
