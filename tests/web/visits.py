"""A site with two newsletters and its web endpoint, as readers meet it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import httpx

from distributor.app import App
from distributor.web.server import Server
from tests.workspace import SITE, Clock, mails, opened, text_of, workspace

WEB = '[web]\npublic_url = "https://mail.news.example"\n'
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


@contextmanager
def visited(
    folder: Path,
    clock: Clock,
    *,
    database: str = "",
    language: str = "en",
    site: str = "",
    web: str = "",
    newsletter: str = TOPICS,
    config: str = WEEKEND,
) -> Iterator[tuple[App, httpx.Client]]:
    """The program, and a browser's client of its endpoint; *site* and *web* are added to these tables."""
    database = database or f"sqlite:///{folder}/distributor.db"
    path = workspace(folder, database=database, newsletter=newsletter, config=config)
    text = path.read_text().replace('[site]\ncontent = "content"\n', f'[site]\ncontent = "content"\n{site}')
    path.write_text(text.replace(WEB, f'{WEB}listen = "127.0.0.1:0"\n{web}'))
    (folder / "hugo.toml").write_text(SITE.replace('"en"', f'"{language}"'))
    with opened(path, clock) as app:
        app.scan()
        server = Server(app)
        server.start()
        try:
            with httpx.Client(base_url=f"http://{server.address}", headers=HTML, timeout=30) as client:
                yield app, client
        finally:
            server.stop()


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
