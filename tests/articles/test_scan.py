"""Walking the content folder, again and again, whatever lies in it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distributor.articles.hugo import HugoSite, read_site
from distributor.articles.page import Page
from distributor.articles.reader import read_page
from distributor.articles.scan import MAX_BYTES, Scan, Stamp, scan
from distributor.errors import ContentError
from tests.articles.sites import NOW, make_site, toml

PAGE = toml(title='"T"', date="2026-05-01")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def _settled(site: HugoSite) -> HugoSite:
    """The site, all its files last changed long ago."""
    for file in site.content.rglob("*"):
        if file.is_file():
            os.utime(file, (LONG_AGO, LONG_AGO))
    return site


def _stamps(found: Scan) -> dict[str, Stamp]:
    return {one.path: one.stamp for one in found.read}


def _problems(found: Scan) -> dict[str, str]:
    told = [problem for one in found.read for problem in one.problems]
    return {problem.path: problem.reason for problem in (*told, *found.problems)}


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    """New and changed files are read, unchanged ones counted, vanished ones named."""
    site = _settled(make_site(tmp_path, {"a.md": PAGE, "n/b.md": PAGE, "n/c.md": PAGE, "n/_index.md": PAGE}))
    first = scan(site, {}, now=NOW)
    assert [one.path for one in first.read] == ["a.md", "n/b.md", "n/c.md"]
    known = _stamps(first)
    again = scan(site, known, now=NOW)
    assert (again.read, again.gone, again.unchanged) == ((), frozenset(), 3)

    (site.content / "a.md").write_text(PAGE + "longer")
    os.utime(site.content / "a.md", (LONG_AGO, LONG_AGO))
    os.utime(site.content / "n/b.md", (LONG_AGO + 1, LONG_AGO + 1))
    (site.content / "n/c.md").unlink()
    (site.content / "new.md").write_text(PAGE)
    third = scan(site, known, now=NOW)
    assert [one.path for one in third.read] == ["a.md", "n/b.md", "new.md"]
    assert (set(third.gone), third.unchanged) == ({"n/c.md"}, 0)


def test_a_file_just_written_is_looked_at_again(tmp_path: Path) -> None:
    """Within two seconds a file may change without a new stamp, so its stamp matches nothing."""
    site = make_site(tmp_path, {"a.md": PAGE})
    moment = datetime.fromtimestamp(LONG_AGO + 1, UTC)
    os.utime(site.content / "a.md", (LONG_AGO, LONG_AGO))
    early = scan(site, {}, now=moment)
    again = scan(site, _stamps(early), now=moment)
    assert len(early.read) == len(again.read) == 1
    late = scan(site, _stamps(again), now=NOW)
    assert len(late.read) == 1
    assert scan(site, _stamps(late), now=NOW).unchanged == 1


def test_a_page_that_becomes_a_resource_is_gone(tmp_path: Path) -> None:
    """An index.md makes its folder one page: what lay there as pages belongs to it now."""
    site = make_site(tmp_path, {"n/b/x.md": PAGE, "n/b/deep/y.md": PAGE})
    known = _stamps(scan(site, {}, now=NOW))
    (site.content / "n/b/index.md").write_text(PAGE)
    found = scan(site, known, now=NOW)
    assert [one.path for one in found.read] == ["n/b/index.md"]
    assert found.gone == {"n/b/x.md", "n/b/deep/y.md"}


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """A content folder that is missing, or is a file, says so and concludes nothing."""
    site = make_site(tmp_path, {})
    site.content.rmdir()
    with pytest.raises(ContentError, match="does not exist"):
        scan(site, {})
    with pytest.raises(ContentError, match="does not exist"):
        read_site(site.content)
    site.content.write_text("no folder")
    with pytest.raises(ContentError, match="is not a folder"):
        read_site(site.content)


def test_an_emptied_folder_is_no_deletion(tmp_path: Path) -> None:
    """An empty folder where pages were known is taken for one that is not mounted."""
    site = make_site(tmp_path, {})
    assert scan(site, {}).read == ()
    with pytest.raises(ContentError, match="is it mounted"):
        scan(site, {"a.md": Stamp(1, 1)})


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc: unreadable files were not tried")
def test_a_file_that_cannot_be_read_is_told_and_tried_again(tmp_path: Path) -> None:
    """An error of the disk is one file's problem; next time it is read again, whatever its stamp."""
    site = make_site(tmp_path, {"good.md": PAGE})
    (site.content / "bad.md").symlink_to("/proc/self/mem")  # reading its first byte fails for everybody
    found = scan(site, {}, now=NOW)
    assert _problems(found) == {"bad.md": "cannot be read: Input/output error"}
    assert {one.path: bool(one.page) for one in found.read} == {"bad.md": False, "good.md": True}
    assert "bad.md" in _stamps(scan(site, _stamps(found), now=NOW))


def test_unreadable_files_and_folders_are_told(tmp_path: Path) -> None:
    """What may not be read is a problem; nothing below an unreadable folder is taken for gone."""
    site = make_site(tmp_path, {"a.md": PAGE, "closed/b.md": PAGE, "c.md": PAGE})
    known = _stamps(scan(site, {}, now=NOW))
    (site.content / "a.md").chmod(0)
    (site.content / "closed").chmod(0)
    if os.access(site.content / "a.md", os.R_OK):
        pytest.skip("this user may read everything: unreadable folders were not tried")
    found = scan(site, {"closed/b.md": known["closed/b.md"]}, now=NOW)
    (site.content / "closed").chmod(0o755)
    assert found.gone == frozenset()
    assert _problems(found).keys() == {"a.md", "closed"}
    assert [one.path for one in found.read if one.page] == ["c.md"]
    assert scan(site, _stamps(found), now=NOW).read[0].path == "a.md"


def test_odd_things_in_the_folder_stop_nothing(tmp_path: Path) -> None:
    """Loops, dead links, pipes, huge, binary and foreign files are told, and the others are read."""
    site = make_site(
        tmp_path,
        {
            "good.md": PAGE,
            "huge.md": PAGE.encode() + b"x" * (MAX_BYTES + 10),
            "nul.md": b"\0" * 100,
            "latin.md": PAGE.encode() + b"caf\xe9",
            "broken.md": "---\ntitle: [\n---\n",
            "endless.md": b"+++\n" + b"x" * (MAX_BYTES + 10),
            "notes.org": "#+title: x\n",
            "empty.md": b"",
            "real/page.md": PAGE,
        },
    )
    (site.content / "real/loop").symlink_to("..")
    (site.content / "self").symlink_to("self")
    (site.content / "dead.md").symlink_to("nowhere.md")
    (site.content / "linked").symlink_to("real")
    (site.content / "folder.md").mkdir()
    os.mkfifo(site.content / "pipe.md")
    (site.content / os.fsdecode(b"bad\xff.md")).write_text(PAGE)
    found = scan(site, {})
    pages = {one.path for one in found.read if one.page}
    told = _problems(found)
    assert pages == {
        "good.md", "huge.md", "nul.md", "latin.md", "empty.md", "real/page.md", "linked/page.md",
    }  # fmt: skip
    assert told.keys() == {
        "huge.md", "nul.md", "latin.md", "broken.md", "endless.md", "notes.org", "real/loop",
        "linked/loop", "dead.md", "bad?.md",
    }  # fmt: skip
    assert "longer than 4 MiB" in told["huge.md"]
    assert "Org" not in told["notes.org"]
    assert "a .org file" in told["notes.org"]
    assert "holds it" in told["real/loop"]


def test_static_html_is_no_page(tmp_path: Path) -> None:
    """An HTML file without front matter is served as it is, and is no article."""
    site = make_site(tmp_path, {"a.html": "<p>x</p>", "b.html": toml("<p>x</p>", title='"T"')})
    assert {one.path: bool(one.page) for one in scan(site, {}).read} == {"a.html": False, "b.html": True}


@pytest.fixture(scope="module")
def plain_site(tmp_path_factory: pytest.TempPathFactory) -> HugoSite:
    return make_site(tmp_path_factory.mktemp("site"), {})


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=400), st.sampled_from(["", "+++\n", "---\n", "{", "---\ntitle: ", '+++\ndate = "']))
@example(b"\xef\xbb\xbf+++\n+++", "")
@example(b"x" * 20 + b"\n---\n", "---\na: &a [*a]\n")
@example(b"\n+++\n" + b"[" * 5000, "+++\nx = '''")
@example(b'"\\ud800"}', '{"title":')
def test_no_bytes_break_the_reader(plain_site: HugoSite, tail: bytes, start: str) -> None:
    """Any bytes give a page that can be kept, or a problem; never an exception."""
    page, problems = read_page(plain_site, "news/x.md", start.encode() + tail)
    assert page or problems
    if page:
        assert Page.load(page.dump()) == page
        assert page.article.title.isprintable()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["None", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    (
        *("title", "date", "publishDate", "expiryDate", "draft", "summary", "url", "slug", "enclosure"),
        *("cover", "images", "tags", "authors", "aliases", "article_id", "distributor", "params", "build"),
        *("headless", "language", "source_link", "qrcode", "published"),
    )
)


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(NAMES, VALUES, max_size=6), st.text(max_size=50))
def test_no_values_break_the_reader(plain_site: HugoSite, values: dict[str, object], body: str) -> None:
    """Any values under any known names give a page that can be kept and judged."""
    data = (json.dumps(values) + "\n" + body).encode(errors="replace")
    page, problems = read_page(plain_site, "news/x.md", data)
    assert page, problems
    assert Page.load(page.dump()) == page
    assert page.at(NOW).url.startswith("https://example.org/")
    assert page.at(NOW).url.isascii()


def test_what_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    """A file written to just now may be half of itself: it is not read, and when it may be is said."""
    site = _settled(make_site(tmp_path, {"a.md": PAGE, "b.md": PAGE}))
    known = _stamps(scan(site, {}, now=NOW))
    at = NOW.timestamp()
    os.utime(site.content / "a.md", (at - 0.1, at - 0.1))
    os.utime(site.content / "b.md", (at - 5, at - 5))
    found = scan(site, known, now=NOW, settle=timedelta(seconds=1))
    assert [one.path for one in found.read] == ["b.md"]
    assert found.settles_at == NOW + timedelta(seconds=0.9)
    later = scan(site, known, now=NOW + timedelta(seconds=1), settle=timedelta(seconds=1))
    assert [one.path for one in later.read] == ["a.md", "b.md"]
    assert later.settles_at is None


def test_a_page_is_not_gone_while_its_other_name_is_being_written(tmp_path: Path) -> None:
    """A rename is seen whole or not at all: else it would be one article gone and another one new."""
    site = _settled(make_site(tmp_path, {"a.md": PAGE}))
    known = _stamps(scan(site, {}, now=NOW))
    (site.content / "a.md").rename(site.content / "b.md")
    at = NOW.timestamp()
    os.utime(site.content / "b.md", (at, at))
    found = scan(site, known, now=NOW, settle=timedelta(seconds=1))
    assert (found.read, found.gone) == ((), frozenset())
    later = scan(site, known, now=NOW + timedelta(seconds=2), settle=timedelta(seconds=1))
    assert ([one.path for one in later.read], later.gone) == (["b.md"], frozenset({"a.md"}))


def test_a_file_from_the_future_is_not_waited_for(tmp_path: Path) -> None:
    """A file time that is yet to come is a wrong clock's: the page is read like any other."""
    site = make_site(tmp_path, {"a.md": PAGE})
    os.utime(site.content / "a.md", (NOW.timestamp() + 3600, NOW.timestamp() + 3600))
    assert [one.path for one in scan(site, {}, now=NOW, settle=timedelta(seconds=1)).read] == ["a.md"]
