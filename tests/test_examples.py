"""The example newspaper is whole: what a newcomer sees first has to work without a word of explanation."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import rtoml
import yaml
import zxingcpp
from email_validator import validate_email
from PIL import Image

from distributor.config import Config, load
from distributor.resources import examples

SITE = examples() / "site"
CONTENT = SITE / "content"
ARTICLES = sorted(path for path in CONTENT.rglob("*.md") if path.name != "_index.md")
PUBLISHED = [path for path in ARTICLES if path.parent.name != "house-style"]
BANNERS = sorted(path for path in (SITE / "static/img").iterdir() if path.is_file()) + sorted(
    CONTENT.rglob("*.jpg")
)
CODES = sorted((SITE / "static/img/qr").iterdir())

MISSING_ON_PURPOSE = {"/img/choir.jpg"}
ZONE = ZoneInfo("Europe/Copenhagen")


@pytest.fixture(scope="module")
def config() -> Config:
    return load(examples() / "distributor.toml", {})


def test_the_configuration_has_no_problem(config: Config) -> None:
    """A newcomer's first `check` is clean, and needs neither secrets nor an environment."""
    assert config.site.content == CONTENT
    assert {"morning", "weekend"} == set(config.newsletters)
    assert len(config.channels) >= 6


def test_nothing_in_the_example_leaves_the_computer(config: Config) -> None:
    """Every provider and every account writes into a folder below the example."""
    assert {provider.type for provider in config.providers.values()} == {"outbox"}
    assert {channel.account for channel in config.channels.values()} == {"outbox"}
    folders = [provider.path for provider in config.providers.values()]
    folders += [channel.path for channel in config.channels.values()]
    assert all(folder.is_relative_to(config.home) for folder in folders)


def test_channels_show_every_way_to_carry_a_picture_and_a_link(config: Config) -> None:
    """The example has a channel for each kind of picture, and one whose link is only a QR code."""
    channels = config.channels.values()
    assert {channel.media for channel in channels} == {"banner", "card", "qr", "none"}
    assert config.channels["x"].link == "qr"
    assert len({channel.network for channel in channels}) == len(channels)


@pytest.mark.parametrize("path", ARTICLES, ids=lambda path: str(path.relative_to(CONTENT)))
def test_front_matter_can_be_read(path: Path) -> None:
    """Each article has a title, and a date unless it is never published."""
    _, fields = front_matter(path)
    assert fields["title"].strip()
    assert fields.get("headless") or published_at(fields).year >= 2026


def test_front_matter_comes_in_all_three_forms() -> None:
    """Mostly TOML, with some YAML and JSON beside it, as in a site that has grown."""
    forms = Counter(front_matter(path)[0] for path in ARTICLES)
    assert set(forms) == {"toml", "yaml", "json"}
    assert forms["toml"] > forms["yaml"] + forms["json"]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: str(path.relative_to(CONTENT)))
def test_articles_are_worth_reading(path: Path) -> None:
    """A body has 120 to 300 words, so that digests and previews look as they would in life."""
    words = re.sub(r"<[^>]+>|\{\{.*?\}\}", " ", body(path), flags=re.DOTALL).split()
    assert 120 <= len(words) <= 300


def test_one_picture_is_missing_on_purpose() -> None:
    """Every banner and QR picture that an article names is there, but for one."""
    named = {
        (path, name)
        for path in ARTICLES
        for key in ("enclosure", "qrcode")
        if (name := front_matter(path)[1].get(key))
    }
    assert len(named) > 15
    assert {name for path, name in named if not picture(path, name).is_file()} == MISSING_ON_PURPOSE


@pytest.mark.parametrize("path", BANNERS, ids=lambda path: path.name)
def test_banners_are_light_and_whole(path: Path) -> None:
    """A banner is 1200 x 675, at most 90 kB, and decodes to its last row."""
    assert path.stat().st_size <= 90_000
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        image.load()
        assert image.size == (1200, 675)


def test_pictures_are_light_together() -> None:
    """The whole example weighs less than a megabyte, for it travels with every installation."""
    assert sum(path.stat().st_size for path in (*BANNERS, *CODES)) <= 900_000


def test_banners_come_in_the_forms_a_site_has() -> None:
    """JPEG, PNG and WebP occur, and one file has no extension to go by."""
    forms = set()
    for path in BANNERS:
        with Image.open(path) as image:
            forms.add(image.format)
    assert forms == {"JPEG", "PNG", "WEBP"}
    assert [path.name for path in BANNERS if not path.suffix] == ["bread"]


def test_every_picture_is_used() -> None:
    """No banner or QR picture lies about that no article names."""
    used = {
        picture(path, name)
        for path in ARTICLES
        for key in ("enclosure", "qrcode")
        if (name := front_matter(path)[1].get(key))
    }
    assert {*BANNERS, *CODES} <= used


def test_one_qr_picture_leads_elsewhere() -> None:
    """The QR pictures can be read; one leads to another article, so that a wrong one can be seen mended."""
    wrong = []
    for path in ARTICLES:
        fields = front_matter(path)[1]
        if name := fields.get("qrcode"):
            address = decoded(picture(path, name))
            assert address.startswith("https://courier.example/")
            if address.split("/")[-2] not in (path.stem, fields.get("slug"), slug(fields["title"])):
                wrong.append(path.stem)
    assert wrong == ["draw-in-the-fog"]


def test_articles_show_what_a_site_may_contain() -> None:
    """Every case that the documentation speaks of occurs in the example."""
    fields = [front_matter(path)[1] for path in ARTICLES]
    wishes = [each.get("distributor", {}) for each in fields]
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert sum(each.get("draft") is True for each in fields) == 1
    assert sum(each.get("headless") is True for each in fields) == 1
    assert sum("expiryDate" in each and each["expiryDate"] < now for each in fields) == 1
    assert sum(published_at(each) > now for each in fields if "headless" not in each) == 1
    assert sum("summary" not in each for each in fields if "headless" not in each) == 1
    assert sum(each.get("source") == "None" for each in fields) == 2
    assert {"aliases", "url", "slug", "language", "featured", "publishDate"} <= set().union(*fields)
    assert {"newsletter", "social", "social_text", "alt", "breaking", "text"} <= set().union(*wishes)


def test_the_readme_names_every_article() -> None:
    """A newcomer who wonders what an article is there for finds it in the table."""
    table = (examples() / "README.md").read_text(encoding="utf-8")
    named = {CONTENT / name for name in re.findall(r"`((?:harbour|town|culture)/[^`]+)`", table)}
    assert named == {path.parent if path.name == "index.md" else path for path in ARTICLES}


def test_two_files_are_one_article() -> None:
    """Exactly one `article_id` is carried by two files, written as a number or as text."""
    ids = Counter(
        str(fields["article_id"]) for path in ARTICLES if "article_id" in (fields := front_matter(path)[1])
    )
    assert [name for name, files in ids.items() if files > 1] == ["4112"]


def test_every_article_has_its_readers(config: Config) -> None:
    """Whoever chose all topics gets every article, and no topic is empty."""
    for newsletter in config.newsletters.values():
        reached = Counter(
            topic
            for path in PUBLISHED
            for topic, names in newsletter.topics.items()
            if labels(path) & set(names)
        )
        assert set(reached) == {"harbour", "town", "culture", "sport"}
        everything = set().union(*newsletter.topics.values())
        assert all(labels(path) & everything for path in PUBLISHED)


def test_subscribers_choose_from_what_is_offered(config: Config) -> None:
    """Readers are invented ones at reserved domains, and their newsletters, topics and cadences exist."""
    with (examples() / "subscribers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert len({row["email"] for row in rows}) == 12
    for row in rows:
        assert validate_email(row["email"], check_deliverability=False).domain in {
            "example.org",
            "example.net",
        }
        ZoneInfo(row["timezone"])
        for name in row["newsletters"].split(";"):
            newsletter = config.newsletters[name]
            assert set(filter(None, row["topics"].split(";"))) <= set(newsletter.topics)
            assert row["cadence"] in newsletter.cadences
    assert {row["state"] for row in rows} == {"confirmed", "unconfirmed", "unsubscribed"}
    assert any("," in row["name"] for row in rows)
    assert any(not row["name"] for row in rows)
    assert sum(not row["name"].isascii() for row in rows) >= 5


def test_hugo_publishes_what_we_say(hugo: str, tmp_path: Path) -> None:
    """Hugo itself sees one draft, one scheduled and one expired article; all the rest is public."""
    site = shutil.copytree(SITE, tmp_path / "site")
    listing = run(hugo, "list", "all", "--source", str(site))
    now = datetime(2026, 11, 23, tzinfo=UTC)
    states = Counter(state(row, now) for row in csv.DictReader(listing.splitlines()))
    assert states == {"public": 17, "draft": 1, "scheduled": 1, "expired": 1}
    assert "https://courier.example/culture/2026/11/draw-in-the-fog/" in listing
    assert "https://courier.example/harbour/4112-the-old-crane-may-stay/" in listing
    assert "house-style" not in listing


def test_hugo_builds_the_site(hugo: str, tmp_path: Path) -> None:
    """The site has its own few templates: `hugo server` shows it, without a theme and without a warning."""
    site = shutil.copytree(SITE, tmp_path / "site")
    said = run(
        hugo,
        "--source",
        str(site),
        "--destination",
        str(tmp_path / "public"),
        "--clock",
        "2026-11-23T00:00:00Z",
    )
    assert "WARN" not in said
    assert '<td style="text-align:right">8.4 °C</td>' in (
        tmp_path / "public/town/winter-swimmers/index.html"
    ).read_text(encoding="utf-8")
    assert (tmp_path / "public/town/market-hall-roof/index.html").is_file()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def state(row: Mapping[str, str], now: datetime) -> str:
    """What Hugo makes of one row of its listing at *now*."""
    if row["draft"] == "true":
        return "draft"
    if datetime.fromisoformat(row["publishDate"]) > now:
        return "scheduled"
    expires = datetime.fromisoformat(row["expiryDate"])
    return "expired" if expires.year > 1 and expires <= now else "public"


def front_matter(path: Path) -> tuple[str, dict[str, Any]]:
    """The form of an article's front matter, and its fields."""
    text = path.read_text(encoding="utf-8")
    if text.startswith("+++"):
        return "toml", rtoml.loads(text.split("+++\n", 2)[1])
    if text.startswith("---"):
        return "yaml", yaml.safe_load(text.split("---\n", 2)[1])
    return "json", json.JSONDecoder().raw_decode(text)[0]


def body(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if text.startswith("{"):
        return text[json.JSONDecoder().raw_decode(text)[1] :]
    return text.split(f"{text[:3]}\n", 2)[2]


def published_at(fields: Mapping[str, Any]) -> datetime:
    """When an article goes out: `publishDate`, else `date`; aware."""
    value = fields.get("publishDate", fields["date"])
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=ZONE)
    assert isinstance(value, datetime)
    return value if value.tzinfo else value.replace(tzinfo=ZONE)


def labels(path: Path) -> set[str]:
    """What a topic can match an article by."""
    fields = front_matter(path)[1]
    return {*fields.get("tags", ()), *fields.get("categories", ()), path.relative_to(CONTENT).parts[0]}


def picture(article: Path, name: str) -> Path:
    """The file that an article's picture is: below static/, or beside the article."""
    name = name.removeprefix("https://courier.example")
    return SITE / "static" / name.lstrip("/") if name.startswith("/") else article.parent / name


def decoded(path: Path) -> str:
    with Image.open(path) as image:
        found = zxingcpp.read_barcodes(image.convert("L"))
    assert len(found) == 1
    return str(found[0].text)


def slug(title: str) -> str:
    return re.sub(r"[\W_]+", "-", title.lower()).strip("-")
