"""Time zones as a reader chooses them: by region, in their language, with the time that it is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from babel.dates import format_time, get_timezone_location

from distributor.rendering.filters import locale_of

# The first part of a zone's name -> the territory that CLDR has a name for; the files of words name oceans.
REGIONS = {
    "Africa": "002",
    "America": "019",
    "Antarctica": "AQ",
    "Arctic": "150",  # Svalbard alone
    "Asia": "142",
    "Atlantic": "",
    "Australia": "009",
    "Europe": "150",
    "Indian": "",
    "Pacific": "009",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A time zone to choose."""

    name: str  # IANA
    city: str
    time: str  # that it is there now


def zones(language: str, now: datetime, oceans: dict[str, str], *, also: str = "") -> dict[str, list[Zone]]:
    """Region -> its zones, both in alphabetical order; *also* is there too, though it be an old name."""
    names = _cities(language)
    if also and also not in _names():
        names = (*names, (also, _city(also, language)))
    found: dict[str, list[Zone]] = {}
    times: dict[timedelta | None, str] = {}
    for name, city in names:
        there = now.astimezone(_zone(name))
        offset = there.utcoffset()
        if offset not in times:
            times[offset] = _clock(there, language)
        first = name.partition("/")[0]
        region = _region(first, language) or oceans.get(first, first)
        found.setdefault(region, []).append(Zone(name=name, city=city, time=times[offset]))
    return {region: sorted(found[region], key=lambda zone: zone.city) for region in sorted(found)}


def time_in(name: str, now: datetime, language: str) -> str:
    """The time that it is in a zone now."""
    return _clock(now.astimezone(ZoneInfo(name)), language)


@lru_cache(maxsize=8)
def hours(language: str) -> tuple[str, ...]:
    """The hours of a day, from 0 to 23."""
    return tuple(_clock(datetime(2000, 1, 1, hour), language) for hour in range(24))  # noqa: DTZ001 of no zone


@lru_cache(maxsize=1000)
def _zone(name: str) -> ZoneInfo:
    """A zone that stays read: by itself ZoneInfo keeps eight."""
    return ZoneInfo(name)


def _clock(moment: datetime, language: str) -> str:
    return format_time(moment, "short", locale=locale_of(language))


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """One zone for each country and its parts; the hundreds of old names are left out."""
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return frozenset(row[2] for row in rows if len(row) > 2)


@lru_cache(maxsize=8)
def _cities(language: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, _city(name, language)) for name in sorted(_names()))


def _city(name: str, language: str) -> str:
    return get_timezone_location(name, locale_of(language), return_city=True)


@lru_cache(maxsize=100)
def _region(first: str, language: str) -> str:
    """What is said for the first part of a zone's name; empty for an ocean, and for a zone of no place."""
    territory = REGIONS.get(first)
    return (locale_of(language).territories.get(territory) if territory else None) or ""
