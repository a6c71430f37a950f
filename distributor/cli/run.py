"""`distributor run`."""

from __future__ import annotations

from typing import Annotated

import typer

from distributor.cli import console
from distributor.cli.console import JsonOption, SinceOption, several


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
    with console.app(max_age=console.a_span(max_age)) as app:
        if not once:
            from distributor import logs
            from distributor.daemon import Daemon

            with logs.logging_to(None, app.config):
                Daemon(app, tell=logs.tell).run(since=begin)
            return
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
        if ran.delivered.refused or ran.delivered.unclear or ran.delivered.later:
            raise typer.Exit(1)


def serve() -> None:
    """Answer on the web: pages, forms, webhooks.

    `distributor run` does so too, where `[web] listen` is set; this is for a process of its own. It goes on
    until it is stopped (Ctrl-C or SIGTERM).

    Examples:
      distributor serve
    """
    with console.app() as app:
        from distributor import logs
        from distributor.web.server import Server

        server = Server(app)
        with logs.logging_to(None, app.config):
            logs.tell(f"the web endpoint answers at {server.address}; Ctrl-C stops it")
            server.serve()
