"""The `[distributor]` table of a page's front matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any, Literal

from distributor.articles.dates import in_utc, read_date
from distributor.articles.text import one_line, text_of
from distributor.model import Wishes

TEXT_LIMIT = 10_000  # characters of a text the author wrote for a network
ALT_LIMIT = 2_000  # characters

Report = Callable[[str, str, str], None]  # name, what is wrong with it, remedy


class Unclear(ValueError):
    """A wish not to be announced yet that cannot be read: announcing would be the one wrong answer."""


def read_wishes(table: Any, zone: tzinfo, report: Report) -> Wishes:
    """What *table* asks for; what cannot be read is reported and left out.

    Raises:
        Unclear: its embargo cannot be read.
    """
    if not isinstance(table, Mapping):
        report("", "is not a table", "write [distributor] and its members below")
        return Wishes()
    own = {str(name).lower(): value for name, value in table.items()}
    for name in own.keys() - _MEMBERS:
        report(name, "is not a wish we know", f"the wishes are {', '.join(sorted(_MEMBERS))}")
    return Wishes(
        newsletter=_newsletter(own.get("newsletter"), report),
        social=_social(own.get("social"), report),
        social_text=_text("social_text", own.get("social_text"), TEXT_LIMIT, report),
        alt=_text("alt", own.get("alt"), ALT_LIMIT, report),
        breaking=_truth("breaking", own.get("breaking"), report),
        text=dict(_texts(own.get("text"), report)),
        embargo=_embargo(own.get("embargo"), zone, report),
    )


_MEMBERS = frozenset(("newsletter", "social", "social_text", "alt", "breaking", "embargo", "text"))


def _newsletter(value: Any, report: Report) -> Literal["", "skip", "lead"]:
    match _word(value):
        case "skip":
            return "skip"
        case "lead":
            return "lead"
        case "":
            return ""
    report("newsletter", f"{_shown(value)} is not a wish we know", 'write "skip" or "lead"')
    return ""


def _social(value: Any, report: Report) -> Literal["", "skip"]:
    match _word(value):
        case "skip":
            return "skip"
        case "":
            return ""
    report("social", f"{_shown(value)} is not a wish we know", 'write "skip"')
    return ""


def _word(value: Any) -> str | None:
    """*value* as one of our words; `false` plainly means to skip. None: it is neither."""
    if value is None or value is True:
        return ""
    if value is False:
        return "skip"
    return one_line(value).lower() if isinstance(value, str) else None


def _truth(name: str, value: Any, report: Report) -> bool:
    if isinstance(value, bool) or value is None:
        return bool(value)
    report(name, f"{_shown(value)} is neither true nor false", "write true or false")
    return False


def _embargo(value: Any, zone: tzinfo, report: Report) -> datetime | None:
    if value is None or (isinstance(value, str) and not one_line(value)):
        return None
    try:
        return in_utc(read_date(value, zone))
    except ValueError as error:
        remedy = "write it like 2026-12-01T09:00:00Z"
        report("embargo", f"{_shown(value)} {error}", remedy)
        raise Unclear(f"its embargo {_shown(value)} {error}") from error


def _text(name: str, value: Any, limit: int, report: Report) -> str | None:
    """*value* with its own line breaks, for the author set them; trimmed, no control characters."""
    if value is None:
        return None
    if isinstance(value, bool | list | dict) or not text_of(value):
        if value != "":
            report(name, f"{_shown(value)} is not a text", "write it in quotation marks")
        return None
    lines = [one_line(line) if line.strip() else "" for line in text_of(value)[:limit].splitlines()]
    return "\n".join(lines).strip() or None


def _texts(value: Any, report: Report) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        report("text", "is not a table", 'write [distributor.text] and below it mastodon = "…"')
        return
    for network, words in value.items():
        name = one_line(str(network)).lower()
        text = _text(f"text.{name}", words, TEXT_LIMIT, report)
        if name and text:
            yield name, text


def _shown(value: Any) -> str:
    return repr(value if len(repr(value)) < 60 else type(value).__name__)
