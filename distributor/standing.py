"""Why a provider takes nothing at this moment, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from distributor.delivery.quota import Limit, Window
from distributor.delivery.routes import Route, Way, limits_of
from distributor.store import health

SPANS = {1: "second", 60: "minute", 3600: "hour", 86_400: "24 hours"}  # seconds -> what a person calls them


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds a provider up."""

    provider: str
    until: datetime
    reason: str
    is_down: bool  # rather than held for a moment, or by a limit


def standings(db: Connection, routes: Mapping[str, Route], now: datetime) -> list[Standing]:
    """What holds providers up at *now*, by name; those that are well are not there."""
    ways = {way.name: way for route in routes.values() for way in route.ways}
    return [found for name in sorted(ways) for found in _of(db, ways[name], now)]


def _of(db: Connection, way: Way, now: datetime) -> Iterator[Standing]:
    own = health.healths(db).get(way.name)
    if own and own.held_until and own.is_held(now):
        reason = own.reason or "it asked for a pause"
        yield Standing(provider=way.name, until=own.held_until, reason=reason, is_down=own.is_down)
    for window in _used_up(db, limits_of(way, None, now), now):
        limit = window.limit
        until = datetime.fromtimestamp(now.timestamp() + window.wait(1, now.timestamp()), UTC)
        what = f"the limit of {limit.most:,} {limit.counts} in {_span(limit)} is used up"
        yield Standing(provider=way.name, until=until, reason=what, is_down=False)


def _used_up(db: Connection, limits: Iterable[Limit], now: datetime) -> Iterator[Window]:
    for limit in limits:
        history = health.history(db, (limit.name, limit.counts, limit.seconds))
        window = Window(limit=limit, history=history).at(now.timestamp())
        if not window.free:
            yield window


def _span(limit: Limit) -> str:
    return SPANS.get(limit.seconds, f"{limit.seconds} seconds")
