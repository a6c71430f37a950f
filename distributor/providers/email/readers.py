"""What vendors' calls for many readers have in common: who is in one, what is left open, who spoils it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markupsafe import escape

from distributor.errors import SomeRefused
from distributor.model import Answer, Digest, Email
from distributor.providers.reasons import reason
from distributor.slots import SLOTS, split

Blank = tuple[str, str, Callable[[str], str]]  # a variable, the slot it stands for, how a value is written


def blanks(digest: Digest, variable: Callable[[str, str], str]) -> list[Blank]:
    """What a digest leaves open, for vendors who fill in themselves.

    *variable* names a slot of the html or the text. Values for the html are escaped here: for vendors it is
    all text.
    """
    html, text = (dict.fromkeys(split(part).names) for part in (digest.html, digest.text))
    return [(variable("html", slot), slot, escape) for slot in html] + [
        (variable("text", slot), slot, str) for slot in text
    ]


def values(email: Email, open_: Sequence[Blank]) -> dict[str, str]:
    """One reader's values, by variable."""
    return {variable: write(email.slots[slot]) for variable, slot, write in open_}


def marks(part: str, mark: Callable[[str, str], str]) -> dict[str, str]:
    """How a vendor writes each slot of the html or the text: a table for `translate`."""
    return {slot: mark(part, slot) for slot in SLOTS}


def contact(name: str, address: str) -> dict[str, str]:
    """A person in JSON, as most vendors write one."""
    return {"email": address} | ({"name": name} if name else {})


def once_each(emails: Sequence[Email]) -> tuple[list[Email], dict[int, str]]:
    """Those to ask for now, and why not the others: an address may stand in the call once, in any case."""
    first: dict[str, Email] = {}
    for email in emails:
        first.setdefault(email.address.lower(), email)
    asked = list(first.values())
    if len(asked) == len(emails):
        return asked, {}
    now = {email.recipient for email in asked}
    return asked, {e.recipient: TWICE for e in emails if e.recipient not in now}


def all_but(places: Mapping[int, str], asked: Sequence[Email]) -> Answer:
    """None of a call was accepted, for the sake of those at *places*: they are refused, and the others later.

    Raises:
        SomeRefused: a place is not in the call, so nobody knows whom it is about.
    """
    if not places or not set(places) <= set(range(len(asked))):
        raise SomeRefused(reason(f"of nobody in the call: {dict(places)}"))
    refused = {asked[place].recipient: reason(why) for place, why in places.items()}
    return Answer(refused=refused, later={e.recipient: SPOILT for e in asked if e.recipient not in refused})


TWICE = "the same address is in the same call already"
SPOILT = "others of the same call were refused"
