"""A small site and its distributor.toml, made where a test wants them; and a clock that goes when told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from distributor.app import App
from distributor.config import load
from subscribers import store as audience

MONDAY = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)  # a Monday, an hour before the morning's slot

SITE = """
baseURL = "https://news.example"
title = "The Example"
languageCode = "en"
"""

CONFIG = """
[site]
content = "content"

[web]
public_url = "https://mail.news.example"

[database]
url = "{database}"

[providers.outbox]
type = "outbox"

[newsletters.morning]
title = "The Morning"
from = "The Morning <news@news.example>"
providers = ["outbox"]
schedule = "0 7 * * *"
"""


class Clock:
    """Stands until it is told to go on."""

    def __init__(self, start: datetime = MONDAY) -> None:
        self.time = start

    def __call__(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Nobody waits: the clock goes on instead, a little past the moment."""
        self.go_on(seconds=seconds + 0.001)

    def go_on(self, **by: float) -> datetime:
        self.time += timedelta(**by)
        return self.time


def workspace(
    folder: Path, *, config: str = "", database: str = "sqlite:///var/distributor.db", newsletter: str = ""
) -> Path:
    """Lay out a site without articles and a distributor.toml; the path of the latter.

    *newsletter* is added to the table of the newsletter "morning", *config* to the end of the file.
    """
    (folder / "content").mkdir(parents=True)
    (folder / "hugo.toml").write_text(SITE)
    path = folder / "distributor.toml"
    path.write_text(CONFIG.format(database=database) + newsletter + "\n" + config)
    return path


def write_article(
    folder: Path,
    name: str,
    *,
    title: str | None = None,
    published_at: datetime = MONDAY,
    body: str = "It happened, and here is how.",
    **front_matter: Any,
) -> Path:
    """Write `content/NAME.md`, as an editor would."""
    values = {"title": title or name, "date": published_at.isoformat(), **front_matter}
    lines = (f"{key} = {_toml(value)}" for key, value in values.items())
    path = folder / "content" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("+++\n" + "\n".join(lines) + "\n+++\n\n" + body + "\n")
    return path


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(member)}" for key, member in value.items()) + "}"
    return str(value) if isinstance(value, int) else '"' + str(value).replace('"', '\\"') + '"'


@contextmanager
def opened(config: Path, clock: Clock) -> Iterator[App]:
    """The program on a workspace, its tables made."""
    app = App(load(config, {}), clock=clock, sleep=clock.sleep)
    try:
        app.open()
        yield app
    finally:
        app.close()


def subscribe(app: App, *addresses: str, **columns: str) -> None:
    """Put confirmed readers on the newsletter "morning", all with the same *columns*."""
    names = ["email", *columns]
    rows = [",".join([address, *columns.values()]) for address in addresses]
    result = app.import_subscribers(
        [",".join(names) + "\n", *(row + "\n" for row in rows)], default_lists=["morning"]
    )
    assert not result.problems, result.problems


def leave(app: App, address: str) -> None:
    """Let a reader leave the newsletter "morning"."""
    now = app.clock()
    person = app.subscriber(address).id
    with app.database.write() as db:
        evidence = audience.Evidence(source="one-click", at=now)
        audience.unsubscribe(db, subscriber=person, list_name="morning", evidence=evidence, now=now)


def mails(folder: Path) -> list[EmailMessage]:
    """The messages in the outbox, in the order of their campaigns."""
    found = sorted((folder / "var/outbox/mail").rglob("*.eml"))
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in found]


def text_of(mail: EmailMessage) -> str:
    """The plain text that a reader without HTML sees."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def titles_by_reader(folder: Path, titles: list[str]) -> dict[str, list[str]]:
    """Address -> which of *titles* it got, once for every mail that has it."""
    found: dict[str, list[str]] = {}
    for mail in mails(folder):
        said = text_of(mail)
        found.setdefault(str(mail["To"]), []).extend(title for title in titles if title in said)
    return found
