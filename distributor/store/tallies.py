"""Where recipients are, and what was reported of them, added up, so that nobody counts all rows again.

A campaign that is over is counted once, into `tally`; of the others the batches are counted, never the
deliveries but for those that differ. An event is counted into `report` in the transaction in which it takes
effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, exists, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from distributor.model import CampaignState, DeliveryState, EventType
from distributor.store.dialect import upsert
from distributor.store.events import EventRow
from distributor.store.ledger import OPEN, is_state
from distributor.store.schema import batch, campaign, pulse, report, tally

GAP = "gap"  # a tally's state for candidates that are in no other
OVER = (CampaignState.DONE, CampaignState.CANCELLED, CampaignState.SKIPPED)

Counts = Counter[tuple[str, str]]  # (provider, state) -> recipients


# --- recipients ---


def close(db: Connection, *, limit: int = 200) -> int:
    """Tally campaigns that are over; how many."""
    is_open = exists(batch.c.number).where(batch.c.campaign == campaign.c.id, is_state(*OPEN))
    query = (
        select(campaign.c.id, campaign.c.kind, campaign.c.candidates, campaign.c.excluded)
        .where(campaign.c.tallied.is_(False), campaign.c.state.in_(OVER), ~is_open)
        .order_by(campaign.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    closed = 0
    for row in db.execute(query).all():
        counts = counts_of(db, row.id, kind=row.kind)
        if not any(state == DeliveryState.UNCLEAR for _, state in +counts):  # that may be settled yet
            counts["", GAP] = abs(row.candidates - sum(row.excluded.values()) - counts.total())
            _keep(db, row.id, counts)
            closed += 1
    return closed


def _keep(db: Connection, campaign_id: int, counts: Counts) -> None:
    db.execute(delete(tally).where(tally.c.campaign == campaign_id))
    rows = [
        {"campaign": campaign_id, "provider": provider, "state": state, "count": count}
        for (provider, state), count in counts.items()
        if count
    ]
    if rows:
        db.execute(insert(tally), rows)
    db.execute(update(campaign).where(campaign.c.id == campaign_id).values(tallied=True))


def counts_of(db: Connection, campaign_id: int, *, kind: str = "newsletter") -> Counts:
    """Where a campaign's recipients are, by provider."""
    by_batch = (
        select(func.coalesce(batch.c.provider, ""), batch.c.state, func.sum(batch.c.size))
        .where(batch.c.campaign == campaign_id)
        .group_by(batch.c.provider, batch.c.state)
    )
    counts: Counts = Counter({(row[0], row[1]): int(row[2]) for row in db.execute(by_batch)})
    if kind == "newsletter":
        _move_differing(db, campaign_id, counts)
    return counts


def _move_differing(db: Connection, campaign_id: int, counts: Counts) -> None:
    """Count those who have a state of their own where they are, rather than with their batch."""
    query = _DIFFERING_ON_SQLITE if db.dialect.name == "sqlite" else _DIFFERING
    for provider, theirs, own, count in db.execute(query, {"campaign": campaign_id}):
        counts[provider, theirs] -= count
        counts[provider, own] += count


_QUERY = (
    "SELECT coalesce(b.provider, ''), b.state, d.state, count(*) FROM delivery d {index}"
    " JOIN batch b ON b.campaign = d.campaign AND b.number = d.batch"
    " WHERE d.campaign = :campaign AND d.state IS NOT NULL GROUP BY 1, 2, 3"
)
_DIFFERING = text(_QUERY.format(index=""))
# By itself SQLite reads the whole campaign: it keeps no statistics, and this index does not have the state.
_DIFFERING_ON_SQLITE = text(_QUERY.format(index="INDEXED BY ix_delivery_differing"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Recipients of a channel's campaigns who are in one state."""

    channel: str
    provider: str
    state: str  # of a delivery, or GAP
    count: int


def placed(db: Connection) -> list[Placed]:
    """Where all recipients there ever were are; GAP is what the accounts are short of."""
    found: Counter[tuple[str, str, str]] = Counter()
    closed = (
        select(campaign.c.channel, tally.c.provider, tally.c.state, func.sum(tally.c.count))
        .join(campaign, campaign.c.id == tally.c.campaign)
        .where(campaign.c.tallied)
        .group_by(campaign.c.channel, tally.c.provider, tally.c.state)
    )
    for row in db.execute(closed):
        found[row[0], row[1], row[2]] += int(row[3])
    _add_untallied(db, found)
    return [
        Placed(channel=channel, provider=provider, state=state, count=count)
        for (channel, provider, state), count in sorted(found.items())
    ]


def gap(db: Connection) -> int:
    """How many candidates are in no state, of all campaigns together: 0, or the ledger is wrong."""
    closed = select(func.sum(tally.c.count)).join(campaign, campaign.c.id == tally.c.campaign)
    found: Counter[tuple[str, str, str]] = Counter()
    _add_untallied(db, found)
    open_ = sum(count for (_, _, state), count in found.items() if state == GAP)
    return int(db.scalar(closed.where(campaign.c.tallied, tally.c.state == GAP)) or 0) + open_


def _add_untallied(db: Connection, found: Counter[tuple[str, str, str]]) -> None:
    query = select(
        campaign.c.id, campaign.c.channel, campaign.c.kind, campaign.c.candidates, campaign.c.excluded
    )
    for row in db.execute(query.where(campaign.c.tallied.is_(False))).all():
        counts = counts_of(db, row.id, kind=row.kind)
        gap = row.candidates - sum(row.excluded.values()) - counts.total()
        for (provider, state), count in counts.items():
            found[row.channel, provider, state] += count
        found[row.channel, "", GAP] += abs(gap)


# --- reports ---


def count_reports(db: Connection, rows: Iterable[EventRow]) -> None:
    """Count events that take effect in this transaction."""
    counted = Counter(
        (row.campaign or 0, row.provider, str(row.type), row.bounce_class or "") for row in rows
    )
    names = ("campaign", "provider", "type", "bounce_class")
    values = [  # in one order, so that two processes never wait for each other
        dict(zip(names, key, strict=True)) | {"count": count} for key, count in sorted(counted.items())
    ]
    add = (sqlite if db.dialect.name == "sqlite" else postgresql).insert(report)
    more = {"count": report.c.count + add.excluded.count}
    db.execute(add.on_conflict_do_update(index_elements=list(names), set_=more), values)


def reported(db: Connection) -> dict[tuple[str, str], int]:
    """(provider, type) -> how many events took effect."""
    query = select(report.c.provider, report.c.type, func.sum(report.c.count))
    rows = db.execute(query.group_by(report.c.provider, report.c.type))
    return {(row[0], row[1]): int(row[2]) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What became of the mails that one provider accepted."""

    accepted: int = 0
    bounced: int = 0  # for good: soft bounces count nowhere (Amazon SES counts so, too)
    complained: int = 0

    @property
    def bounce_rate(self) -> float:
        return self.bounced / self.accepted if self.accepted else 0.0

    @property
    def complaint_rate(self) -> float:
        return self.complained / self.accepted if self.accepted else 0.0


def standing_of(db: Connection, campaign_id: int) -> Standing:
    """How a campaign was received, through whichever provider."""
    accepted = sum(
        n for (_, state), n in counts_of(db, campaign_id).items() if state == DeliveryState.ACCEPTED
    )
    query = select(report.c.type, func.sum(report.c.count)).where(
        report.c.campaign == campaign_id, _counts_against
    )
    against = {row[0]: int(row[1]) for row in db.execute(query.group_by(report.c.type))}
    return _standing(accepted, against)


def standings_since(db: Connection, since: datetime) -> dict[str, Standing]:
    """Provider -> how the campaigns that were due since then were received."""
    is_recent = and_(campaign.c.due_at >= since, campaign.c.kind == "newsletter")
    accepted: Counter[str] = Counter()
    for row in db.execute(select(campaign.c.id).where(is_recent)).all():
        for (provider, state), count in _tallied(db, row.id).items():
            accepted[provider] += count if state == DeliveryState.ACCEPTED else 0
    query = (
        select(report.c.provider, report.c.type, func.sum(report.c.count))
        .join(campaign, campaign.c.id == report.c.campaign)
        .where(is_recent, _counts_against)
        .group_by(report.c.provider, report.c.type)
    )
    against: dict[str, dict[str, int]] = {}
    for provider, type_, count in db.execute(query):
        against.setdefault(provider, {})[type_] = int(count)
    return {name: _standing(accepted[name], against.get(name, {})) for name in sorted(+accepted)}


def _tallied(db: Connection, campaign_id: int) -> Counts:
    """Where a campaign's recipients are, from its tally if it has one."""
    query = (
        select(tally.c.provider, tally.c.state, tally.c.count)
        .join(campaign, campaign.c.id == tally.c.campaign)
        .where(tally.c.campaign == campaign_id, campaign.c.tallied)
    )
    kept: Counts = Counter({(row[0], row[1]): row[2] for row in db.execute(query)})
    return kept or counts_of(db, campaign_id)


def unheard(db: Connection, since: datetime, until: datetime) -> dict[str, int]:
    """Provider -> mails it accepted of campaigns due in that span, if it reported of none of them."""
    query = select(campaign.c.id).where(
        campaign.c.due_at >= since, campaign.c.due_at < until, campaign.c.kind == "newsletter"
    )
    ids = db.scalars(query).all()
    heard = set(db.scalars(select(report.c.provider).where(report.c.campaign.in_(ids)).distinct()))
    accepted: Counter[str] = Counter()
    for campaign_id in ids:
        for (provider, state), count in _tallied(db, campaign_id).items():
            accepted[provider] += count if state == DeliveryState.ACCEPTED else 0
    return {name: count for name, count in (+accepted).items() if name not in heard}


_counts_against = (report.c.type == EventType.COMPLAINED) | (
    report.c.type.in_((EventType.BOUNCED, EventType.REJECTED)) & (report.c.bounce_class == "hard")
)


def _standing(accepted: int, against: Mapping[str, int]) -> Standing:
    complained = against.get(EventType.COMPLAINED, 0)
    return Standing(accepted=accepted, bounced=sum(against.values()) - complained, complained=complained)


# --- signs of life ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """When a kind of work was last done."""

    name: str
    at: datetime
    seconds: float | None  # that it took


def beat(db: Connection, name: str, *, now: datetime, seconds: float | None = None) -> None:
    """Note that a kind of work was done just now."""
    upsert(db, pulse, [{"name": name, "at": now, "seconds": seconds}], key=["name"])


def pulses(db: Connection) -> dict[str, Pulse]:
    return {row.name: Pulse(**row._mapping) for row in db.execute(select(pulse))}
