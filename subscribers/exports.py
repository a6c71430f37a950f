"""What other programs call things in the files they export: their heading -> ours, their word -> ours.

A program is recognised by headings that no other has. What is of no use here ("-") is left out, and headings
that are not named at all become attributes of the subscriber. Tags are such attributes, being the publisher's
own labels: taken as topics, they would keep readers from everything without such a label.

Ours are the columns of `transfer.COLUMNS`, and: "first name", "last name"; "left", a moment that says that
they unsubscribed; "bounced", one that says that the address takes nothing; "ip", that they came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from subscribers.model import BOUNCED, BY_HAND, COMPLAINED

STATES = {  # in a file of no program in particular
    "confirmed": "confirmed",
    "unconfirmed": "unconfirmed",
    "unsubscribed": "unsubscribed",
    "subscribed": "confirmed",
    "enabled": "confirmed",
    "active": "confirmed",
    "pending": "unconfirmed",
    "unactivated": "unconfirmed",
    "disabled": "unsubscribed",
    "inactive": "unsubscribed",
    "cleaned": BOUNCED,
    "bounced": BOUNCED,
    "complained": COMPLAINED,
    "blocklisted": BY_HAND,
    "blocked": BY_HAND,
}

SPELLINGS = {  # headings in a file of no program in particular -> ours
    "e-mail": "email",
    "email address": "email",
    "address": "email",
    "full name": "name",
    "newsletter": "newsletters",
    "lists": "newsletters",
    "list": "newsletters",
    "tags": "topics",
    "time zone": "timezone",
    "language": "locale",
    "status": "state",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A program's file."""

    program: str
    known_by: tuple[Set[str], ...]  # headings, all of one set; in lower case, with spaces
    columns: Mapping[str, str]
    states: Mapping[str, str] = field(default_factory=dict)  # our state, or why nothing may be sent there
    state: str = "confirmed"  # where nothing else is said


# Three files of one form, for the subscribed, the unsubscribed and the cleaned. Seen in files of 2015 to 2026
# in public repositories (2026-11-23). That their times are UTC is not documented.
MAILCHIMP = Export(
    program="Mailchimp",
    known_by=({"leid", "euid"}, {"member rating", "optin time"}),
    columns={
        "email address": "email",
        "optin time": "joined",
        "confirm time": "confirmed",
        "optin ip": "ip",
        "confirm ip": "ip",
        "timezone": "timezone",
        "unsub time": "left",
        "clean time": "bounced",
        **dict.fromkeys(
            ("member rating", "latitude", "longitude", "gmtoff", "dstoff", "last changed", "leid", "euid"),
            "-",
        ),
        **dict.fromkeys(("unsub campaign title", "unsub campaign id", "unsub reason other"), "-"),
        **dict.fromkeys(("unsub reason", "clean campaign title", "clean campaign id"), "-"),
    },
)

# github.com/knadh/listmonk, cmd/subscribers.go, ExportSubscribers (2026-11-23). The state is the person's and
# not that of a subscription: so the file must be of one list, and of its confirmed subscriptions (see docs).
LISTMONK = Export(
    program="listmonk",
    known_by=({"uuid", "attributes", "status"},),
    columns={
        "status": "state",
        "subscription status": "state",
        "created at": "joined",
        "updated at": "-",
        "uuid": "-",
        "lists": "-",
    },
    states={
        "enabled": "confirmed",
        "disabled": "unsubscribed",
        "blocklisted": BY_HAND,
        "confirmed": "confirmed",
        "unconfirmed": "unconfirmed",
        "unsubscribed": "unsubscribed",
    },
)

# github.com/TryGhost/Ghost, members-csv, unparse (2026-11-23).
GHOST = Export(
    program="Ghost",
    known_by=({"subscribed to emails"},),
    columns={
        "subscribed to emails": "state",
        "created at": "joined",
        "deleted at": "left",
        "id": "-",
        "stripe customer id": "-",
        "gift id": "-",
    },
    states={"true": "confirmed", "false": "unsubscribed", "": "unsubscribed"},
)

# No description of its own; from files in the tests of public repositories (2026-11-23), which agree.
SUBSTACK = Export(
    program="Substack",
    known_by=({"active subscription", "expiry"}, {"active subscription", "email disabled"}),
    columns={
        "email disabled": "state",
        "created at": "joined",
        **dict.fromkeys(("active subscription", "expiry", "first payment at", "prefer digests"), "-"),
    },
    states={"false": "confirmed", "true": "unsubscribed", "": "confirmed"},
)

# Its words are those of its API (docs.buttondown.com; github.com/buttondown/openapi, enums.json; 2026-11-23);
# that the file heads its columns with the same is not documented: both spellings of its API are understood.
BUTTONDOWN = Export(
    program="Buttondown",
    known_by=({"creation date", "metadata"}, {"subscriber type"}, {"creation date", "type", "notes"}),
    columns={
        "email address": "email",
        "subscriber type": "state",
        "type": "state",
        "creation date": "joined",
        "unsubscription date": "left",
        "undeliverability date": "bounced",
        "ip address": "ip",
        "metadata": "attributes",
        **dict.fromkeys(("id", "secondary id", "avatar url", "stripe customer id"), "-"),
        **dict.fromkeys(("last open date", "last click date", "risk score"), "-"),
    },
    states={
        **dict.fromkeys(("regular", "premium", "trialed", "unpaid", "gifted", "churning"), "confirmed"),
        **dict.fromkeys(("churned", "paused", "past_due", "upcoming"), "confirmed"),
        "unactivated": "unconfirmed",
        "unsubscribed": "unsubscribed",
        "removed": "unsubscribed",
        "spammy": BY_HAND,
        "blocked": BY_HAND,
        "complained": COMPLAINED,
        "undeliverable": BOUNCED,
    },
)

PROGRAMS = (MAILCHIMP, LISTMONK, GHOST, SUBSTACK, BUTTONDOWN)


def recognised(headings: Sequence[str]) -> Export | None:
    """The program that wrote a file with these headings; None for no one in particular."""
    there = set(headings)
    return next((known for known in PROGRAMS if any(sign <= there for sign in known.known_by)), None)
