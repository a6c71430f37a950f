"""When bounces and complaints are too many, and what is done about it before a provider does it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from distributor.config import Reputation
from distributor.logs import Log
from distributor.model import CampaignState
from distributor.store import campaigns, tallies
from distributor.store.tallies import Standing

log = Log(__name__)

BADLY_RECEIVED = "paused by itself: "
FEWEST = 5  # bounces, or complaints: below it chance speaks


def is_too_much(standing: Standing, count: int, most: float, *, least: int) -> bool:
    """Whether *count* of the accepted mails is *most* percent or more, with enough of both to say so."""
    return standing.accepted >= least and count >= FEWEST and count >= standing.accepted * most / 100


def guard(db: Connection, ids: Iterable[int], limits: Reputation) -> None:
    """Pause those of these campaigns that are badly received, unless a person has overruled it."""
    for campaign_id in sorted(ids):
        if not campaigns.is_guarded(db, campaign_id):
            continue
        if why := verdict(tallies.standing_of(db, campaign_id), limits):
            going_on = (CampaignState.SCHEDULED, CampaignState.SENDING)
            reason = BADLY_RECEIVED + why
            campaigns.change_state(db, campaign_id, CampaignState.PAUSED, only_from=going_on, reason=reason)
            log.warning("paused", campaign=campaign_id, reason=reason)


def verdict(standing: Standing, limits: Reputation) -> str | None:
    """Why a campaign is to be paused; None, if it is not."""
    for count, most, what in (
        (standing.complained, limits.pause_complaints, "called spam by their readers"),
        (standing.bounced, limits.pause_bounces, "returned for good"),
    ):
        if is_too_much(standing, count, most, least=limits.least):
            return f"of {standing.accepted:,} mails {percent(count, standing.accepted)} were {what}"
    return None


def percent(count: int, of: int) -> str:
    return f"{count / of * 100:.2f} %"
