"""What a person has to be told, read off the tables: so whoever crashes, nothing goes untold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import Connection

from distributor.config import Config
from distributor.delivery.retry import MOST_ATTEMPTS
from distributor.delivery.routes import Route
from distributor.model import DeliveryState
from distributor.store import accounts, alerts, credentials, health
from distributor.vendors import OUTBOX

BEFORE = (14, 7, 1)  # days before an account's key ends
LOOKED_UP = timedelta(minutes=30)  # for so long a network is asked before a person is


def watch(db: Connection, config: Config, routes: Mapping[str, Route], now: datetime) -> None:
    """Raise what is to be raised at *now*; each alert once."""
    found = (
        *_unclear(db, routes, now),
        *_refused(db),
        *_homeless(db, config),
        *_untaken(db, routes),
        *_awaiting(db),
        *_expiring(db, config, routes, now),
        *_in_trouble(db, config, routes),
    )
    for key, text in found:
        alerts.raise_alert(db, key, text, now=now)


def _unclear(db: Connection, routes: Mapping[str, Route], now: datetime) -> Iterator[tuple[str, str]]:
    """Posts of which nobody can say whether they are there."""
    ways = {way.name: way for route in routes.values() for way in route.ways}
    for row in accounts.posts_in(db, DeliveryState.UNCLEAR):
        way = ways.get(row.provider or "")
        is_asked = way is not None and way.found_after is not None
        if is_asked and row.called_at and now - row.called_at < LOOKED_UP:
            continue
        yield (
            f"unclear {row.campaign} {row.attempt}",
            f"{row.channel}: nobody can say whether “{row.title}” was posted ({row.reason}). Look at the "
            f"account, then: distributor campaigns settle {row.campaign} --as accepted (it is there) or "
            "--as again (it is not)",
        )


def _homeless(db: Connection, config: Config) -> Iterator[tuple[str, str]]:
    """Posts that wait for a channel that is no more."""
    homeless: dict[str, int] = {}
    for row in accounts.posts_in(db, DeliveryState.QUEUED):
        if row.channel not in config.channels:
            homeless[row.channel] = homeless.get(row.channel, 0) + 1
    for channel, count in homeless.items():
        yield (
            f"homeless {channel}",
            f"{channel}: {count} of its posts wait, and it is not in the configuration any more: put it "
            "back, or cancel them: distributor campaigns list shows which",
        )


def _untaken(db: Connection, routes: Mapping[str, Route]) -> Iterator[tuple[str, str]]:
    """Posts that their network never answers and never has."""
    asked = {way.name for route in routes.values() for way in route.ways if way.found_after is not None}
    for row in (*accounts.posts_in(db, DeliveryState.QUEUED), *accounts.posts_in(db, DeliveryState.UNCLEAR)):
        if row.provider in asked and row.reason and row.attempt >= MOST_ATTEMPTS:
            yield (
                f"untaken {row.campaign}",
                f"{row.channel}: “{row.title}” was tried {row.attempt} times and is not there "
                f"({row.reason}). To stop it: distributor campaigns cancel {row.campaign}",
            )


def _refused(db: Connection) -> Iterator[tuple[str, str]]:
    """Posts that a network refused, or that were given up."""
    for row in accounts.posts_in(db, DeliveryState.REFUSED):
        yield (
            f"refused {row.campaign} {row.attempt}",
            f"{row.channel}: “{row.title}” was not posted: {row.reason}. Once that is mended: "
            f"distributor campaigns retry {row.campaign}",
        )


def _awaiting(db: Connection) -> Iterator[tuple[str, str]]:
    """Posts that are held back until a person has looked at them."""
    for row in accounts.posts_awaiting(db):
        yield (
            f"awaiting {row.campaign}",
            f"{row.channel}: “{row.title}” awaits approval ({row.reason}): distributor campaigns approve "
            f"{row.campaign}, or cancel",
        )


def _in_trouble(db: Connection, config: Config, routes: Mapping[str, Route]) -> Iterator[tuple[str, str]]:
    """Accounts on networks that take nothing until a person mends them, or have been away for long."""
    healths = health.healths(db)
    for name, channel in config.channels.items():
        own = healths.get(routes[name].ways[0].name) if channel.account != OUTBOX and name in routes else None
        if own and own.is_down and own.held_until:
            yield (
                f"down {own.name} {own.held_until:%Y-%m-%d}",
                f"{name}: {channel.account} on {channel.network} takes nothing now: {own.reason}. "
                "Its posts are tried for a day or more, and as long as it takes where only a key is wrong",
            )


def _expiring(
    db: Connection, config: Config, routes: Mapping[str, Route], now: datetime
) -> Iterator[tuple[str, str]]:
    """Accounts whose key ends soon, and cannot be renewed without a person."""
    kept = credentials.expiries(db)
    for name, channel in config.channels.items():
        if channel.account == OUTBOX or name not in routes:
            continue
        ends_at = kept.get(routes[name].ways[0].name)
        if channel.expires is not None:
            ends_at = datetime.combine(channel.expires, time(23, 59), UTC)
        if ends_at is None:
            continue
        due = [days for days in BEFORE if now >= ends_at - timedelta(days=days)]
        if due:
            left = "has ended" if now >= ends_at else f"ends on {ends_at:%Y-%m-%d}"
            yield (
                f"expires {name} {ends_at:%Y-%m-%d} {0 if now >= ends_at else due[-1]}",
                f"{name}: the key of {channel.account} on {channel.network} {left}; make a new one and "
                "put it into .env (docs/networks.md says how)",
            )
