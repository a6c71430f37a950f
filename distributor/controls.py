"""What a person may do with a campaign that is planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection

from distributor.errors import NotFound, WrongState
from distributor.model import Campaign, CampaignState, DeliveryState
from distributor.store import accounts, campaigns, hands, ledger

UNFINISHED = (
    CampaignState.AWAITING_APPROVAL,
    CampaignState.SCHEDULED,
    CampaignState.SENDING,
    CampaignState.PAUSED,
)
SETTLED = {
    "accepted": DeliveryState.ACCEPTED,
    "refused": DeliveryState.REFUSED,
    "again": DeliveryState.QUEUED,
}


def the_campaign(db: Connection, campaign_id: int) -> Campaign:
    """The campaign of that number.

    Raises:
        NotFound: there is none.
    """
    found = campaigns.campaign_of(db, campaign_id)
    if found is None:
        raise NotFound(f"there is no campaign {campaign_id}; `distributor campaigns list` shows them")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Where the recipients of a campaign are."""

    planned: int
    queued: int
    sending: int
    accepted: int
    refused: int
    skipped: int
    unclear: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A campaign as programs are told of it; its fields are those of the JSON."""

    id: int
    channel: str
    slot: str
    state: CampaignState
    reason: str | None
    due_at: datetime
    content: str  # the hash of all that was frozen
    approved_at: datetime | None
    candidates: int
    excluded: Mapping[str, int]  # reason -> how many
    counts: Counts


def overview(db: Connection, found: Campaign) -> Overview:
    balance = accounts.balance(db, found.id)
    of_campaign = {field.name for field in fields(Overview)} - {"content", "counts"}
    return Overview(
        **{name: getattr(found, name) for name in of_campaign},
        content=campaigns.content_of(db, found.id),
        counts=Counts(**{field.name: getattr(balance, field.name) for field in fields(Counts)}),
    )


def approve(db: Connection, campaign_id: int, *, content: str | None, now: datetime) -> None:
    """Let a campaign be sent; if *content* is given, only if the hash of what was frozen begins with it.

    Raises:
        NotFound: there is no such campaign.
        WrongState: it awaits no approval, or its content is another.
    """
    hands.hold(db, campaign_id)
    the_campaign(db, campaign_id)
    found = campaigns.content_of(db, campaign_id)
    if content is not None and (len(content) < 8 or not found.startswith(content.lower())):
        raise WrongState(
            f"the content of campaign {campaign_id} is {found[:12]}, not {content}; look at it again"
        )
    _change(db, campaign_id, CampaignState.SCHEDULED, only_from=[CampaignState.AWAITING_APPROVAL])
    campaigns.approve(db, campaign_id, content=found, now=now)


def pause(db: Connection, campaign_id: int) -> None:
    only_from = [CampaignState.SCHEDULED, CampaignState.SENDING]
    _change(db, campaign_id, CampaignState.PAUSED, only_from=only_from, reason="paused by hand")


def resume(db: Connection, campaign_id: int) -> None:
    _change(db, campaign_id, CampaignState.SENDING, only_from=[CampaignState.PAUSED])
    campaigns.overrule(db, campaign_id)
    ledger.close_finished(db, campaign_id)


def cancel(db: Connection, campaign_id: int, *, reason: str) -> int:
    """Skip what was not claimed; those readers' next edition carries the articles. How many they are."""
    hands.hold(db, campaign_id)
    _change(db, campaign_id, CampaignState.CANCELLED, only_from=UNFINISHED, reason=reason)
    return hands.cancel(db, campaign_id, reason=reason)


def retry(db: Connection, campaign_id: int, *, now: datetime) -> int:
    """Queue those who were refused again; how many.

    Raises:
        NotFound: there is no such campaign.
        WrongState: it is paused or cancelled.
    """
    hands.hold(db, campaign_id)
    found = the_campaign(db, campaign_id)
    if found.state in (CampaignState.PAUSED, CampaignState.CANCELLED):
        raise WrongState(f"campaign {campaign_id} is {found.state}, so nobody in it is tried again")
    return hands.queue_refused(db, campaign_id, now=now)


def settle(db: Connection, campaign_id: int, as_: str, *, now: datetime) -> int:
    """Settle what is unclear as accepted, refused or to be sent again; how many.

    Raises:
        NotFound: there is no such campaign, or no such way to settle.
    """
    hands.hold(db, campaign_id)
    the_campaign(db, campaign_id)
    if as_ not in SETTLED:
        raise NotFound(f"unclear messages are settled as {', '.join(SETTLED)}, not as {as_!r}")
    count = hands.settle(db, campaign_id, SETTLED[as_], now=now)
    hands.cancel_returned(db)
    ledger.close_finished(db, campaign_id)
    return count


def _change(
    db: Connection,
    campaign_id: int,
    state: CampaignState,
    *,
    only_from: Iterable[CampaignState],
    reason: str | None = None,
) -> None:
    found = the_campaign(db, campaign_id)
    if not campaigns.change_state(db, campaign_id, state, only_from=only_from, reason=reason):
        raise WrongState(f"campaign {campaign_id} is {found.state}, so it cannot become {state}")
