"""A real site, read whole."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from distributor.articles.body import body_html
from distributor.articles.hugo import HugoSite, read_site
from distributor.articles.scan import scan
from distributor.model import ArticleState
from tests.articles.sites import NOW, hugo_pages, pages_of


@pytest.fixture(scope="module")
def site(corpus: Path) -> HugoSite:
    return read_site(corpus / "content")


def test_every_file_is_read_without_a_problem(site: HugoSite) -> None:
    """Each file of the site gives a page with all that a digest shows."""
    found = scan(site, {})
    files = list(site.content.rglob("*.md"))
    assert len(found.read) == len(files) > 100
    for one in found.read:
        assert one.page, one.path
        assert not one.problems
        article = one.page.at(NOW)
        assert article.state is ArticleState.PUBLIC
        assert article.title
        assert article.summary
        assert article.source != "None"
        assert article.url.startswith(site.base_url + "/")


def test_permalinks_equal_hugos(site: HugoSite, hugo: str, tmp_path: Path) -> None:
    """Every address is the one Hugo gives the page; only the theme, which is not there, is left out."""
    shutil.copytree(site.content, tmp_path / "content", copy_function=shutil.copyfile)
    settings = (site.root / "hugo.toml").read_text().splitlines()
    kept = [line for line in settings if not line.startswith("theme")]
    (tmp_path / "hugo.toml").write_text("\n".join(kept))
    for folder in (tmp_path / "content").rglob("**"):
        folder.chmod(0o755)
    ours = {path: page.article.url for path, page in pages_of(site).items()}
    assert ours == {path: row["permalink"] for path, row in hugo_pages(hugo, tmp_path).items()}


def test_two_files_of_one_article_have_one_key(site: HugoSite) -> None:
    """Files that share an article_id share a key, though their addresses differ."""
    pages = pages_of(site).values()
    twice = {key for key, count in Counter(page.key for page in pages).items() if count == 2}
    assert len(twice) == 8
    assert all(key.isdecimal() for key in twice)
    assert len({page.article.url for page in pages if page.key in twice}) == 16


def test_bodies_can_stand_in_a_mail(site: HugoSite) -> None:
    """Every body is sanitised HTML with absolute links, and has some length."""
    for page in pages_of(site).values():
        html = body_html(site, page.article)
        assert html.startswith("<p>")
        assert "<script" not in html
        assert 'href="/' not in html
        assert len(html) > 500
