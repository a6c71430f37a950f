"""The first steps: a workspace that is ready, and a demo that shows the whole job."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from distributor import config
from tests.cli.conftest import Cli
from tests.workspace import SITE, mails


@pytest.fixture
def site(house: Path) -> Path:
    """A Hugo site that distributor has not seen yet."""
    folder = house / "newsroom"
    (folder / "content").mkdir(parents=True)
    (folder / "hugo.toml").write_text(SITE)
    (folder / "content/first.md").write_text('+++\ntitle = "First"\ndate = 2026-06-01T06:00:00Z\n+++\nText\n')
    return folder


def test_a_new_workspace_is_ready(cli: Cli, site: Path, monkeypatch: pytest.MonkeyPatch):
    """What `init` makes passes `check` beside a small site, and sends into the outbox."""
    said = cli("init", str(site))
    assert (said.code, said.err) == (0, "")
    assert f"Now open {site / 'distributor.toml'}, then: distributor check" in said.out
    monkeypatch.chdir(site)
    said = cli("check")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("All is well: 1 newsletter, 1 channel, database sqlite:")
    assert cli("subscribers", "add", "ada@example.org", "--newsletter", "daily").code == 0
    assert cli("send", "daily", "--since", "2020-01-01", "--yes").code == 0
    [mail] = mails(site)
    assert (mail["To"], mail["Subject"]) == ("ada@example.org", "First")


def test_a_new_workspaces_secrets_are_its_own(cli: Cli, site: Path):
    """The secret is made up anew, for this user alone to read, and is kept out of version control."""
    (site / "other").mkdir()
    assert cli("init", str(site)).code == cli("init", str(site / "other")).code == 0
    one, other = (
        re.search(r"(?m)^DISTRIBUTOR_SECRET=(.+)$", (f / ".env").read_text()) for f in (site, site / "other")
    )
    assert one
    assert other
    assert one[1] != other[1]
    assert len(one[1]) >= 32
    assert stat.S_IMODE((site / ".env").stat().st_mode) == 0o600
    assert ".env" in (site / ".gitignore").read_text().splitlines()
    assert config.load(site / "distributor.toml", {}).web.secret.get_secret_value() == one[1]


def test_init_overwrites_nothing(cli: Cli, site: Path):
    """Whatever is there already stays, byte for byte, and is said to be kept."""
    (site / "templates/email").mkdir(parents=True)
    kept = {
        site / "distributor.toml": "# mine",
        site / ".env": "KEY=mine",
        site / ".gitignore": "mine",
        site / "templates/email/digest.mjml.j2": "mine",
    }
    for path, text in kept.items():
        path.write_text(text)
    said = cli("init", str(site))
    assert said.code == 0
    assert {path: path.read_text() for path in kept} == kept
    for name in ("distributor.toml", ".env", ".gitignore"):
        assert re.search(rf"(?m)^kept +{re.escape(str(site / name))}$", said.out)
    assert cli("init", str(site)).code == 0
    assert {path: path.read_text() for path in kept} == kept


def test_init_finds_the_content_of_a_site_below(cli: Cli, house: Path):
    """Beside a folder `site/` with the content in it, the configuration points there."""
    (house / "beside/site/content").mkdir(parents=True)
    assert cli("init", str(house / "beside")).code == 0
    assert config.load(house / "beside/distributor.toml", {}).site.content == house / "beside/site/content"


def test_the_demo_keeps_its_word(cli: Cli, house: Path):
    """It ends well, what it says it made is there, and in a workspace of one's own it does not run."""
    said = cli("demo", "show")
    assert (said.code, said.err.count("Traceback")) == (0, 0)
    made = house / "show/var/outbox"
    mail_count = len(list((made / "mail").rglob("*.eml")))
    post_count = len(list((made / "social").rglob("post.txt")))
    assert mail_count
    assert post_count
    assert f"{mail_count} mails in {made / 'mail'}" in said.out
    networks = len(list((made / "social").iterdir()))
    assert f"{post_count} posts on {networks} networks in {made / 'social'}" in said.out
    rows = re.findall(r"(?m)^ \w+ +\d{4}-\d\d-\d\d \d\d:\d\d +(\d+) +(\d+) *$", said.out)
    assert rows
    assert all(readers == accepted for readers, accepted in rows)
    assert sum(int(accepted) for _, accepted in rows) == mail_count
    assert (house / "show/var/preview/index.html").as_uri() in said.out
    assert (house / "show/var/preview/index.html").exists()
    refused = cli("demo")
    assert (refused.code, refused.out) == (2, "")
    assert "is a workspace of yours; run the demo in another folder" in refused.err
