"""`distributor send` and `distributor post`: by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from distributor.cli import console
from distributor.cli.console import DryRunOption, SinceOption, YesOption, several
from distributor.errors import NotFound

if TYPE_CHECKING:
    from distributor.app import App
    from distributor.model import Article


def send(
    newsletter: Annotated[str, typer.Argument(help="Its name in the configuration.")],
    article: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="Only this article, to all who have not had it. May be given several times."
        ),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Only to this subscriber.")] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only to the readers of this segment.")
    ] = None,
    since: SinceOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Send an edition now. Each reader gets what is new to them, and nothing they have had.

    Examples:
      distributor send morning --dry-run
      distributor send morning --to editor@example.org --yes
      distributor send morning --article 4101
    """
    with console.app(rehearsal=dry_run) as app:
        app.scan(since=console.a_moment(since))
        order = app.order(newsletter, article or [], to=to, segment=segment)
        draft = app.draft(order)
        count = sum(cohort.size for cohort in draft.cohorts) - sum(draft.excluded.values())
        titles = [draft.articles[key].title for key in dict.fromkeys(k for c in draft.chosen() for k in c)]
        for title in titles[:20]:
            console.say(f"  {title}")
        for reason, readers in draft.excluded.items():
            console.say(f"  {several(readers, 'reader')} left out: {reason}")
        if not count:
            console.say("Nobody would get anything, so there is nothing to send.")
            return
        if draft.unusual:
            console.complain(f"unusual: {draft.unusual}")
        what = f"{several(len(titles), 'article')} to {several(count, 'reader')} of {newsletter}"
        if dry_run:
            console.say(
                f"Would send {what}, as {several(len(draft.chosen()), 'digest')}. Nothing was written."
            )
            return
        console.confirm(f"Send {what}?", yes=yes)
        campaign = app.make(order)
        if campaign is None:
            console.say("This was sent before; nothing was sent again.")
            return
        if campaign.state == "awaiting approval":
            why = f" ({campaign.reason})" if campaign.reason else ""
            console.say(
                f"Campaign {campaign.id} awaits approval{why}: distributor campaigns approve {campaign.id}"
            )
            return
        with console.progress("Sending", count) as done:
            app.deliver([campaign.id], progress=done)
        console.report(app, [campaign.id])


def post(
    article: Annotated[str, typer.Argument(help="Its key, address or path.")],
    channel: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only on this channel; may be given several times."),
    ] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take it back: delete its posts, and cancel those that wait.")
    ] = False,
    since: SinceOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Post an article on the channels now. Where it was posted before it is not posted again.

    Examples:
      distributor post 4101 --dry-run
      distributor post 4101 --channel mastodon --channel bluesky
      distributor post 4101 --withdraw
    """
    with console.app(rehearsal=dry_run) as app:
        names = list(dict.fromkeys(channel or app.config.channels))
        for name in names:
            console.known(name, app.config.channels)
        if not names:
            raise NotFound("there is no channel to post on; add a [channels.NAME] to the configuration")
        app.scan(since=console.a_moment(since))
        found = app.article(article)
        if withdraw:
            _withdraw(app, found, names, dry_run=dry_run, yes=yes)
            return
        if dry_run:
            for name in names:
                made = app.posts.render(name, found, app.clock())
                console.say(name, style="bold")
                console.say(f"{made.text}\n")
            console.say("Nothing was written.")
            return
        console.confirm(f"Post {found.title!r} on {', '.join(names)}?", yes=yes)
        made_now = app.post(found.key, names)
        if not made_now:
            console.say("It was posted or planned on all of them before; nothing was posted again.")
            return
        app.deliver([campaign.id for campaign in made_now])
        console.report(app, [campaign.id for campaign in made_now])


def _withdraw(app: App, article: Article, names: list[str], *, dry_run: bool, yes: bool) -> None:
    up = app.posts_of(article.key, names)
    for one in up:
        where = one.receipt.url or one.receipt.id if one.receipt else "not posted yet"
        console.say(f"  {one.channel}: {where}")
    if not up:
        console.say("It is posted on none of them, and waits on none.")
        return
    if dry_run:
        console.say("Nothing was written.")
        return
    console.confirm(f"Take {article.title!r} back on {', '.join(one.channel for one in up)}?", yes=yes)
    made = app.withdraw(article.key, names)
    deleting = [campaign.id for campaign in made if campaign.state == "scheduled"]
    for campaign in made:
        if campaign.id not in deleting:
            console.say(f"{campaign.channel}: {campaign.reason}")
    if deleting:
        app.deliver(deleting)
        console.report(app, deleting)
