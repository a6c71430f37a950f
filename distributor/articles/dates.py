"""Dates as Hugo reads them.

Hugo takes the forms of https://github.com/spf13/cast (`StringToDateInDefaultLocation`), Unix seconds, and
TOML's own dates. Forms without a year (`3:04PM`), which Hugo takes for the year 0, are refused here.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_CLOCK = r"(?P<hour>\d\d?):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?"
_OFFSET = r"(?P<offset>[+-]\d{4})"
_ZONE = r"(?:[A-Z]{3,5})"  # a name without an offset says nothing to Hugo: its time is the site's
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DAY = rf"(?:{'|'.join(_DAYS)})"
_LONG_DAY = rf"(?:{'|'.join(_LONG_DAYS)})"

_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_ISO = re.compile(rf"{_DATE}(?:T{_CLOCK}(?P<offset>Z|[+-]\d\d:?\d\d)?)?")
_SPACED = re.compile(rf"{_DATE} +{_CLOCK}(?P<offset>Z|[+-]\d\d:?\d\d| +[+-]\d\d:?\d\d(?: +{_ZONE})?)?")
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_DAY}, +(?P<day>\d\d) +{_MONTH} +(?P<year>\d{{4}}) +{_CLOCK} +(?:{_OFFSET}|(?-i:{_ZONE}))",
        rf"(?P<day>\d\d) +{_MONTH} +(?P<year>\d\d) +(?P<hour>\d\d?):(?P<minute>\d\d)"
        rf" +(?:{_OFFSET}|(?-i:{_ZONE}))",
        rf"{_LONG_DAY}, +(?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) +{_CLOCK} +(?-i:{_ZONE})",
        rf"{_DAY} +{_MONTH} +(?P<day>\d\d?) +{_CLOCK}(?: +(?:{_OFFSET}|(?-i:{_ZONE})))? +(?P<year>\d{{4}})",
        rf"(?P<day>\d\d) +{_MONTH} +(?P<year>\d{{4}})",
    )
)


def read_date(value: Any, zone: tzinfo) -> datetime:
    """The moment *value* names, aware and in its own offset; without one it is in *zone*.

    Raises:
        ValueError: Hugo cannot read it either.
    """
    if isinstance(value, str):
        return _read_text(value, zone)
    if isinstance(value, datetime):
        return _own_offset(value) if value.tzinfo else value.replace(tzinfo=zone)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=zone)
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_seconds(value)
    raise ValueError("is no date")


def in_utc(moment: datetime) -> datetime:
    """*moment* in UTC; at the ends of the calendar, the nearest moment there is."""
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return _FIRST if moment.year < 5000 else _LAST


_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def _own_offset(value: datetime) -> datetime:
    """TOML parsers bring time zones of their own kind; ours compare and copy cheaply."""
    offset = value.utcoffset()
    return value.replace(tzinfo=timezone(offset) if offset else UTC)


def _from_seconds(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError("is a number of seconds beyond the calendar") from error


def _read_text(text: str, zone: tzinfo) -> datetime:
    if not text.isascii() or len(text) > 80:
        raise ValueError("is not in a form Hugo reads")
    if found := _ISO.fullmatch(text) or _SPACED.fullmatch(text):
        return _made(found.groupdict(), zone)
    for form in _FORMS:
        if found := form.fullmatch(text):
            parts = found.groupdict()
            parts["month"] = str(_MONTHS.index(parts["month"].lower()) + 1)
            return _made(parts, zone)
    raise ValueError("is not in a form Hugo reads")


def _made(parts: dict[str, Any], zone: tzinfo) -> datetime:
    year = int(parts["year"])
    if len(parts["year"]) == 2:
        year += 1900 if year >= 69 else 2000  # as Go reads two digits
    month, day, get = int(parts["month"]), int(parts["day"]), parts.get
    if not get("hour"):
        return datetime(year, month, day, tzinfo=zone)
    offset = get("offset")
    return datetime(
        year,
        month,
        day,
        int(parts["hour"]),
        int(parts["minute"]),
        int(get("second") or 0),
        int((get("fraction") or "")[:6].ljust(6, "0")),
        tzinfo=_offset(offset.strip()) if offset else zone,
    )


def _offset(text: str) -> tzinfo:
    if text[0] == "Z":
        return UTC
    digits = text[1:].replace(":", "")[:4]
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59:
        raise ValueError("has an offset beyond sixty minutes")
    size = timedelta(hours=hours, minutes=minutes)
    return timezone(size if text[0] == "+" else -size) if size else UTC
