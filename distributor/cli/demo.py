"""`distributor demo`."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distributor.cli import console
from distributor.cli.console import several

if TYPE_CHECKING:
    from distributor.app import App
    from distributor.config import Config

BEGIN = datetime(2026, 11, 19, 12, tzinfo=UTC)  # the example newspaper has been read up to here
DAYS = 4


def demo(
    folder: Annotated[Path, typer.Argument(help="Where `var/` is made.")] = Path(),
) -> None:
    """Do the whole job on an example newspaper, into var/outbox.

    It lives through four days of digests and posts. Nothing is sent anywhere. What an earlier demo made is
    made anew.

    Example:
      distributor demo
    """
    from distributor.app import App
    from distributor.config import FILE_NAME

    if (folder / FILE_NAME).exists():
        console.complain(f"{folder / FILE_NAME} is a workspace of yours; run the demo in another folder")
        raise typer.Exit(2)
    var = (folder / "var").absolute()
    clock = _Clock(BEGIN)
    app = App(_config(var), clock=clock.now)
    try:
        _clear(var)
        app.open()
        _days(app, clock)
        _tell(app, var)
    finally:
        app.close()


class _Clock:
    """Goes when it is told to."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def go_on(self, by: timedelta) -> None:
        self._now += by


def _config(var: Path) -> Config:
    """The example's configuration, with everything it writes below *var*."""
    from distributor import config
    from distributor.resources import examples

    found = config.load(examples() / config.FILE_NAME, {})
    return found.model_copy(
        update={
            "database": config.Database(url=f"sqlite:///{var / 'demo.db'}"),
            "pictures": found.pictures.model_copy(update={"path": var / "media"}),
            "providers": {
                name: provider.model_copy(update={"path": var / "outbox/mail"})
                for name, provider in found.providers.items()
            },
            "channels": {
                name: channel.model_copy(update={"path": var / "outbox/social"})
                for name, channel in found.channels.items()
            },
        }
    )


def _clear(var: Path) -> None:
    for name in ("demo.db", "demo.db-wal", "demo.db-shm"):
        (var / name).unlink(missing_ok=True)
    for name in ("outbox", "media", "preview"):
        shutil.rmtree(var / name, ignore_errors=True)


def _days(app: App, clock: _Clock) -> None:
    """Live through the example's days, a round every six hours."""
    from distributor.resources import examples

    with console.progress("Demo", DAYS * 4) as done:
        app.scan()
        with (examples() / "subscribers.csv").open(encoding="utf-8", newline="") as lines:
            app.import_subscribers(lines)
        for _ in range(DAYS * 4):
            clock.go_on(timedelta(hours=6))
            app.run_once()
            for campaign in app.campaigns():
                if campaign.state == "awaiting approval":  # an editor looks at it, and is content
                    app.approve(campaign.id)
            done(1)


def _tell(app: App, var: Path) -> None:
    """What was made, and where to look."""
    made = [c for c in app.campaigns(limit=1000) if c.state != "skipped"]
    editions = [campaign for campaign in reversed(made) if campaign.kind == "newsletter"]
    console.say("The Harbour Courier, four days in November:", style="bold")
    console.table(
        ("Edition", "When", "Readers", "Accepted"),
        [
            (campaign.channel, console.moment(campaign.due_at, app.zone), balance.planned, balance.accepted)
            for campaign in editions
            if (balance := app.balance(campaign.id))
        ],
        right=("Readers", "Accepted"),
    )
    posts = [campaign for campaign in made if campaign.kind == "post"]
    networks = len({campaign.channel for campaign in posts})
    mails = sum(1 for _ in (var / "outbox/mail").rglob("*.eml"))
    page = app.preview_campaigns(
        [campaign.id for campaign in made], var / "preview", title="The Harbour Courier"
    )
    console.say(f"{several(mails, 'mail')} in {var / 'outbox/mail'}")
    console.say(f"{several(len(posts), 'post')} on {several(networks, 'network')} in {var / 'outbox/social'}")
    console.say("Nothing was sent anywhere. Look at everything here:")
    console.say(page.as_uri(), style="bold")
