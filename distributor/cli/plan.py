"""`distributor plan`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from distributor.cli import console
from distributor.cli.console import JsonOption

if TYPE_CHECKING:
    from distributor.ahead import PostAhead


def plan(
    days: Annotated[int, typer.Option(min=1, max=366, help="How far to look ahead.")] = 7,
    json: JsonOption = False,
) -> None:
    """Say who gets what, when. Nothing is planned or sent by asking.

    Examples:
      distributor plan
      distributor plan --days 30 --json > plan.json
    """
    with console.app() as app:
        app.scan()
        editions = app.forecast(days=days)
        posts = app.posts_ahead()
        waiting = app.waiting()
        if json:
            console.document({"editions": editions, "posts": posts, "waiting": waiting})
            return
        zone = app.zone
        for article in waiting:
            console.say(f"{article.title}: {article.reason}")
        console.table(
            ("When", "Newsletter", "Cadences", "Readers", "Articles"),
            [
                (
                    f"{entry.local} there" if entry.local else console.moment(entry.at, zone),
                    entry.newsletter,
                    ", ".join(entry.cadences),
                    entry.readers,
                    "" if entry.articles is None else entry.articles,
                )
                for entry in editions
            ],
            right=("Readers", "Articles"),
            wrap=("Newsletter", "Cadences"),
        )
        if not posts:
            console.say(f"No posts are waiting. Times are in {zone.key}.")
            return
        console.table(
            ("When", "Article", "Channels"),
            [
                (console.moment(at, zone) if at else "next run", title, ", ".join(channels))
                for (at, title), channels in _together(posts).items()
            ],
            wrap=("Article", "Channels"),
        )
        console.say(f"Times are in {zone.key}.")


def _together(posts: Iterable[PostAhead]) -> dict[tuple[datetime | None, str], list[str]]:
    """The channels that post an article at the same time, on one line."""
    together: dict[tuple[datetime | None, str], list[str]] = {}
    for post in posts:
        together.setdefault((post.at, post.title), []).append(post.channel)
    return together
