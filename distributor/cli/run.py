"""`distributor run`, `worker` and `serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distributor.cli import console
from distributor.cli.console import JsonOption, SinceOption, several

if TYPE_CHECKING:
    from distributor.config import Config


def run(
    once: Annotated[bool, typer.Option("--once", help="One round: scan, plan, send; for cron.")] = False,
    since: SinceOption = None,
    max_age: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="Post no article that is older: P2D, PT6H. For all channels."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Do the job: scan, plan, send.

    It notices new articles, plans editions and posts, and sends what is due. Without --once it goes on until
    it is stopped (Ctrl-C or SIGTERM).

    Examples:
      distributor run --once
      distributor run
    """
    begin = console.a_moment(since)
    span = console.a_span(max_age)
    if not once:
        _go_on(lambda: console.settings(max_age=span), since=begin)
        return
    with console.app(max_age=span) as app:
        with console.progress("Sending", None) as done:
            ran = app.run_once(since=begin, progress=done)
        if json:
            console.document(ran)
        else:
            console.complain_of(ran.scanned.problems)
            published = several(len(ran.scanned.registered.published), "article")
            console.say(f"{several(ran.scanned.files, 'file')}, {published} newly public.")
            if ran.scanned.registered.is_first and since is None:
                console.say(
                    "This was the first look: what is public now counts as known, and is not announced."
                )
            planned = [campaign for campaign in ran.planned if campaign.state != "skipped"]
            console.say(f"{several(len(planned), 'campaign')} planned.")
            d = ran.delivered
            console.say(
                f"{d.accepted:,} accepted, {d.refused:,} refused, {d.skipped:,} skipped, "
                f"{d.unclear:,} unclear, {d.later:,} to be tried later."
            )
            for alert in app.alerts():
                if app.told(alert):
                    console.complain(alert.text)
            app.alarm.finish()
        if ran.delivered.refused or ran.delivered.unclear or ran.delivered.later:
            raise typer.Exit(1)


def worker() -> None:
    """Deliver what is due, in a process of its own.

    `distributor run` does so too. Any number of workers share one ledger, on one machine or, with PostgreSQL,
    on several; a `run` beside them looks at the site and plans. It goes on until it is stopped (Ctrl-C or
    SIGTERM).

    Examples:
      distributor worker
    """
    _go_on(console.config, parts=("delivery",))


def serve() -> None:
    """Answer on the web: pages, forms, webhooks.

    `distributor run` does so too, where `[web] listen` is set; this is for a process of its own. It goes on
    until it is stopped (Ctrl-C or SIGTERM).

    Examples:
      distributor serve
    """
    _go_on(console.config, parts=("web",))


def _go_on(load: Callable[[], Config], *, since: datetime | None = None, **which: Any) -> None:
    from distributor import tracing
    from distributor.daemon import Daemon

    tracing.export()
    if not Daemon(load, **which).run(since=since):
        sys.stderr.flush()
        os._exit(0)  # what is left would be waited for: it is taken up by the next
