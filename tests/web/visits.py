"""A site with two newsletters and its web endpoint, as readers meet it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from distributor.app import App
from distributor.web.server import Server
from subscribers import store as audience
from subscribers.model import Subscriber, Subscription
from subscribers.schema import metadata
from subscribers.tokens import Place
from tests.web import forms
from tests.workspace import SITE, Clock, mails, opened, subscribe, text_of, workspace, write_article

WEB = 'public_url = "{}"\n'
PUBLIC = "https://mail.news.example"
TOPICS = 'description = "What happened, with the first coffee"\ntopics = ["science", "sport", "town hall"]\n'
WEEKEND = """
[newsletters.weekend]
title = "The Weekend"
from = "The Weekend <weekend@news.example>"
description = "A slow look at the week"
providers = ["outbox"]
schedule = "0 7 * * 6"
cadences = ["weekly"]
"""
READER = "ada@example.org"
HTML = {"accept": "text/html,application/xhtml+xml"}  # as browsers ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A browser's client of the pages, and what is behind them."""

    app: App
    client: httpx.Client
    folder: Path
    clock: Clock

    def get(self, path: str, **told: Any) -> httpx.Response:
        return self.client.get(path, **told)

    def post(self, path: str, **told: Any) -> httpx.Response:
        return self.client.post(path, **told)

    def press(self, page: httpx.Response, button: str, filled: forms.Filled | None = None) -> httpx.Response:
        return forms.press(self.client, page, button, filled)

    def ask(self, address: str = READER, *newsletters: str, **filled: str) -> httpx.Response:
        """Fill in the form of `/subscribe`, and press its button."""
        told = {"email": address, "newsletter": newsletters or ("morning",), **filled}
        return self.press(self.get("/subscribe"), "Subscribe", told)

    def mailed(self, kind: str, to: str = READER) -> str:
        """Send what waits; the path of a link of this kind in the newest mail to an address."""
        self.app.deliver()
        return path_in(newest(self.folder, to), kind)

    def join(self, address: str = READER, *newsletters: str) -> str:
        """Let somebody become a reader as people do; the token of their place on the first newsletter."""
        self.ask(address, *newsletters)
        self.press(self.get(self.mailed("confirm", address)), "Yes, send it to me")
        return self.token(address, *newsletters[:1])

    def token(self, address: str = READER, newsletter: str = "morning") -> str:
        with self.app.database.read() as db:
            place = Place(subscriber=self.person(address).id, list=audience.list_id(db, newsletter))
        return self.app.tokens.make(place)

    def person(self, address: str = READER) -> Subscriber:
        return self.app.subscriber(address)

    def place(self, address: str = READER, newsletter: str = "morning") -> Subscription:
        return next(place for place in self.person(address).subscriptions if place.list == newsletter)

    def states(self, address: str = READER) -> dict[str, str]:
        return {place.list: place.state for place in self.person(address).subscriptions}

    def edition(self, title: str = "News of the day", address: str = READER) -> EmailMessage:
        """Send the readers of the morning an edition of one article; the mail that one of them got."""
        if address not in {person.address for person in self.app.everybody()}:
            subscribe(self.app, address)
        name = f"article-{self.clock():%m-%d}"
        write_article(self.folder, name, title=title, published_at=self.clock() - timedelta(minutes=1))
        self.clock.go_on(days=1)
        self.app.run_once()
        return newest(self.folder, address)

    def tables(self) -> dict[str, list[str]]:
        """All that is written down, to compare."""
        with self.app.database.read() as db:
            return {
                table.name: sorted(map(str, db.execute(select(table)))) for table in metadata.sorted_tables
            }


@contextmanager
def visited(
    folder: Path,
    clock: Clock,
    *,
    database: str = "",
    language: str = "en",
    site: str = "",
    web: str = "",
    public_url: str = PUBLIC,
    newsletter: str = TOPICS,
    config: str = WEEKEND,
) -> Iterator[Visit]:
    """The program, and a browser's client of its endpoint; *site* and *web* are added to these tables."""
    database = database or f"sqlite:///{folder}/distributor.db"
    path = workspace(folder, database=database, newsletter=newsletter, config=config)
    text = path.read_text().replace('[site]\ncontent = "content"\n', f'[site]\ncontent = "content"\n{site}')
    theirs = f'{WEB.format(public_url)}listen = "127.0.0.1:0"\n{web}'
    path.write_text(text.replace(WEB.format(PUBLIC), theirs))
    (folder / "hugo.toml").write_text(SITE.replace('"en"', f'"{language}"'))
    with opened(path, clock) as app:
        app.scan()
        server = Server(app)
        server.start()
        try:
            with httpx.Client(base_url=f"http://{server.address}", headers=HTML, timeout=30) as client:
                yield Visit(app=app, client=client, folder=folder, clock=clock)
        finally:
            server.stop()
            server.join(30)


def newest(folder: Path, to: str = READER) -> EmailMessage:
    """The last mail in the outbox to an address."""
    return [mail for mail in mails(folder) if to in mail["To"]][-1]


def path_in(mail: EmailMessage, kind: str) -> str:
    """Where the mail's link of a kind leads: `/confirm/TOKEN`."""
    found = re.search(rf"https://mail\.news\.example(/{kind}/\S+)", text_of(mail))
    assert found, f"no link to {kind}"
    return found[1]


def heading(page: httpx.Response) -> str:
    """The text of a page's only h1."""
    [found] = re.findall(r"<h1[^>]*>(.*?)</h1>", page.text, re.DOTALL)
    return str(found)
