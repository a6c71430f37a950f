"""The ways out of a newsletter or channel, composed by the app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from distributor.config import Channel
from distributor.delivery import quota
from distributor.delivery.quota import Limit
from distributor.model import Health
from distributor.planning.pacing import Pace
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import Allowance, EmailProvider, SocialProvider
from distributor.vendors import OUTBOX

DAY = 86_400  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailWay:
    """A newsletter's way through one provider."""

    name: str  # of the provider, as the ledger records it
    provider: EmailProvider
    sender: Sender
    limits: tuple[Limit, ...] = ()
    domain: str = ""  # that sends
    warmed_since: date | None = None  # the day of its first mail, while it is new

    @property
    def repeatable_for(self) -> timedelta | None:
        return self.provider.limits.repeatable_for

    @property
    def recipients_per_call(self) -> int:
        return self.provider.limits.recipients_per_call

    @property
    def in_flight(self) -> int:
        return self.provider.limits.in_flight

    @property
    def found_after(self) -> timedelta | None:
        return self.provider.limits.found_after


@dataclass(frozen=True, slots=True, kw_only=True)
class SocialWay:
    """A channel's way to its account."""

    name: str
    provider: SocialProvider
    network: str = ""  # the only one whose posts it takes; "": those of any
    limits: tuple[Limit, ...] = ()
    seal: bytes = b""  # the configured secret: what the network makes of it is kept under it
    recipients_per_call: int = 1
    domain: str = ""
    warmed_since: date | None = None

    @property
    def repeatable_for(self) -> timedelta | None:
        return self.provider.limits.repeatable_for

    @property
    def in_flight(self) -> int:
        return self.provider.limits.in_flight

    @property
    def found_after(self) -> timedelta | None:
        return self.provider.limits.found_after


Way = EmailWay | SocialWay


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A newsletter's or channel's ways, in the order in which they are tried."""

    ways: tuple[Way, ...]
    resends: bool = False  # what nobody can say anything about is sent again, at the risk of a second copy
    pace: Pace | None = None  # of a channel

    def open(self, healths: Mapping[str, Health], now: datetime) -> Way:
        """The first that is not out; the first of all, if they all are."""
        well = (way for way in self.ways if not _is_out(healths.get(way.name), now))
        return next(well, self.ways[0])

    def through(self, name: str) -> Way | None:
        return next((way for way in self.ways if way.name == name), None)

    def after(self, name: str) -> Way | None:
        """The way to try when *name* refused."""
        names = [way.name for way in self.ways]
        place = names.index(name) + 1 if name in names else 0
        return self.ways[place] if place < len(self.ways) else None


def pace_of(channel: Channel, timezone: str) -> Pace:
    """When a channel's account wants posts; *timezone* is the site's, for one that has none of its own."""
    return Pace(
        zone=ZoneInfo(channel.timezone or timezone),
        min_gap=channel.min_gap,
        max_per_day=channel.max_per_day,
        quiet_hours=channel.quiet_hours,
        max_age=channel.max_age,
    )


Routes = Mapping[str, Route]  # by newsletter or channel


def way_name(name: str, channel: Channel) -> str:
    """How the ledger calls the way out of the channel *name*.

    The account of a webhook may have any name, so its address, hashed, tells it from others.
    """
    if channel.account == OUTBOX:
        return outbox_name(name)
    account = f"{channel.network} {channel.account}"
    webhook = channel.webhook.get_secret_value().strip()
    return f"{account} {sha256(webhook.encode()).hexdigest()[:8]}" if webhook else account


def outbox_name(channel: str) -> str:
    return f"{channel} outbox"


def _is_out(health: Health | None, now: datetime) -> bool:
    return health is not None and health.is_out(now)


def limits_of(way: Way, allowance: Allowance | None, now: datetime) -> Sequence[Limit]:
    """All that bounds a call at *now*: what is configured, what the vendor allows, and a domain's warm-up."""
    found = list(way.limits)
    if allowance is not None and allowance.per_second is not None:
        found.append(_messages(way.name, 1, max(1, int(allowance.per_second))))
    if allowance is not None and allowance.per_day is not None:
        found.append(_messages(way.name, DAY, int(allowance.per_day)))
    if way.warmed_since is not None:
        most = quota.warm_up((now.date() - way.warmed_since).days)
        if most is not None:
            found.append(_messages(f"warm-up {way.domain}", DAY, most))
    tightest: dict[tuple[str, str, int], Limit] = {}
    for limit in found:
        key = (limit.name, limit.counts, limit.seconds)
        if key not in tightest or limit.most < tightest[key].most:
            tightest[key] = limit
    return list(tightest.values())


def _messages(name: str, seconds: int, most: int) -> Limit:
    return Limit(name=name, counts="messages", seconds=seconds, most=most)
