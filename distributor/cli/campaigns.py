"""`distributor campaigns`: what was planned, how far it is, and the controls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from distributor.cli import console
from distributor.cli.console import Commands, JsonOption, YesOption, several

if TYPE_CHECKING:
    from distributor.model import Campaign

app = Commands(help="Editions and posts, and what can be done with them.", no_args_is_help=True)
CampaignId = Annotated[int, typer.Argument(help="Its number, from `campaigns list`.")]


@app.command("list")
def list_(
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this newsletter or channel.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 30,
    json: JsonOption = False,
) -> None:
    """List campaigns, the newest first.

    Example:
      distributor campaigns list --channel morning
    """
    with console.app() as program:
        found = program.campaigns(channel=channel, limit=limit)
        if channel and not found:
            console.known(channel, [*program.config.newsletters, *program.config.channels])
        if json:
            console.document({"campaigns": program.overviews(channel=channel, limit=limit)})
            return
        if not found:
            console.say("Nothing was planned so far.")
            return
        zone, titles = program.zone, program.titles(found)
        console.table(
            ("No.", "Due", "Channel", "State", "What"),
            [
                (
                    c.id,
                    console.moment(c.due_at, zone),
                    c.channel,
                    c.state,
                    _described(c, titles.get(c.id)),
                )
                for c in found
            ],
            right=("No.",),
            wrap=("Channel", "What"),
        )


def _described(campaign: Campaign, title: str | None) -> str:
    """What it is and for how many, and below it why it is as it is."""
    is_edition = campaign.kind == "newsletter"
    what = title or ("an edition" if is_edition else "a post")
    if is_edition:
        what += f", {several(campaign.candidates, 'reader')}"
    if " by hand" in f" {campaign.slot}":
        what += " (by hand)"
    return f"{what}\n  {campaign.reason}" if campaign.reason else what


@app.command()
def show(campaign: CampaignId, json: JsonOption = False) -> None:
    """Show one campaign. Whatever is not accepted stands there with its reason.

    Example:
      distributor campaigns show 12 --json
    """
    with console.app() as program:
        if json:
            console.document(program.overview(campaign))
            return
        found = program.campaign(campaign)
        zone = program.zone
        what = _described(replace(found, reason=None), program.titles([found]).get(campaign))
        why = f" ({found.reason})" if found.reason else ""
        console.say(f"{found.channel}, {what}: {found.state}{why}")
        console.say(
            f"planned {console.moment(found.created_at, zone)}, due {console.moment(found.due_at, zone)}"
        )
        console.say(f"content {program.content_of(campaign)[:12]}")
        for reason, count in found.excluded.items():
            console.say(f"  {several(count, 'reader')} left out: {reason}")
        console.report(program, [campaign])


@app.command()
def approve(
    campaign: CampaignId,
    content: Annotated[
        str | None, typer.Option(metavar="HASH", help="Only if this is its content, as `show` named it.")
    ] = None,
    yes: YesOption = False,
) -> None:
    """Let a campaign that awaits approval be sent, as it was frozen.

    Examples:
      distributor campaigns approve 12
      distributor campaigns approve 12 --content 9f86d081884c --yes
    """
    with console.app() as program:
        found = program.campaign(campaign)
        readers = several(program.balance(campaign).queued, "reader")
        seen = content or program.content_of(campaign)
        why = f" It waits because: {found.reason}." if found.reason else ""
        console.confirm(
            f"Send campaign {found.id} of {found.channel}, content {seen[:12]}, to {readers}?{why}", yes=yes
        )
        program.approve(campaign, content=seen)
        console.say(f"Campaign {campaign} is scheduled; the next run sends it.")


@app.command()
def pause(campaign: CampaignId) -> None:
    """Stop a campaign after the calls that are under way.

    Example:
      distributor campaigns pause 12
    """
    with console.app() as program:
        program.pause(campaign)
        console.say(f"Campaign {campaign} is paused. To go on: distributor campaigns resume {campaign}")


@app.command()
def resume(campaign: CampaignId) -> None:
    """Go on with a paused campaign, exactly where it stopped.

    Example:
      distributor campaigns resume 12
    """
    with console.app() as program:
        program.resume(campaign)
        console.say(f"Campaign {campaign} goes on with the next run.")


@app.command()
def cancel(
    campaign: CampaignId,
    reason: Annotated[str, typer.Option(help="Why, for those who ask later.")] = "cancelled by hand",
    yes: YesOption = False,
) -> None:
    """Stop a campaign for good. Its articles go into the next edition of those who did not get it.

    Example:
      distributor campaigns cancel 12 --reason "wrong picture"
    """
    with console.app() as program:
        console.confirm(f"Cancel what is left of campaign {campaign}?", yes=yes)
        count = program.cancel(campaign, reason=reason)
        console.say(f"Campaign {campaign} is cancelled; {several(count, 'recipient')} will not get it.")


@app.command()
def retry(campaign: CampaignId, yes: YesOption = False) -> None:
    """Queue those who were refused again, and nobody else.

    Example:
      distributor campaigns retry 12
    """
    with console.app() as program:
        count = program.balance(campaign).refused
        if not count:
            console.say(f"Nobody in campaign {campaign} was refused.")
            return
        console.confirm(f"Try {several(count, 'recipient')} of campaign {campaign} again?", yes=yes)
        console.say(f"{several(program.retry(campaign), 'recipient')} queued again.")


@app.command()
def settle(
    campaign: CampaignId,
    as_: Annotated[
        Literal["accepted", "refused", "again"],
        typer.Option("--as", help="What became of them; again: send them once more."),
    ],
    yes: YesOption = False,
) -> None:
    """Say what became of unclear messages. Look into the provider's log first.

    Examples:
      distributor campaigns settle 12 --as accepted
      distributor campaigns settle 12 --as again
    """
    with console.app() as program:
        count = program.balance(campaign).unclear
        if not count:
            console.say(f"Nothing in campaign {campaign} is unclear.")
            return
        twice = " Readers whom it had reached get it twice." if as_ == "again" else ""
        console.confirm(f"Settle {several(count, 'message')} as {as_}?{twice}", yes=yes)
        program.settle(campaign, as_)
        console.say(f"{several(count, 'message')} settled as {as_}.")
