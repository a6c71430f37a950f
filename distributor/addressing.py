"""From subscribers' numbers to messages ready to go: addresses, and links that are each reader's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from distributor.delivery.desk import People
from distributor.model import Campaign, Email, EventType
from distributor.store import campaigns, events
from distributor.store.events import EventRow
from subscribers import store as audience
from subscribers.model import address_hash
from subscribers.tokens import Tokens

VALID_FOR = timedelta(days=8)  # a notice's question: from the day of its campaign, so a whole week at least


class Addressing:
    """The audience as delivery sees it.

    *mark* tells this installation's message ids from every other's; *public_url* is where the links lead.
    """

    def __init__(self, tokens: Tokens, *, public_url: str, mark: str, clock: Callable[[], datetime]) -> None:
        self._tokens = tokens
        self._public_url = public_url
        self._mark = mark
        self._clock = clock
        self._lists: dict[str, int] = {}  # newsletter -> its list

    def reachable(self, db: Connection, campaign: Campaign, ids: Sequence[int]) -> People:
        """Those of *ids* who may be written to at this moment, with address and name."""
        if campaign.channel not in self._lists:
            self._lists[campaign.channel] = audience.list_id(db, campaign.channel)
        # Read first: what is followed up between the two is then seen by the second.
        waiting = events.urgent(db)
        if campaign.notice:
            people = audience.may_be_asked(db, ids, now=self._clock())
        else:
            people = audience.reachable(db, campaign.channel, ids, now=self._clock())
        return _heeded(db, campaign, people, waiting) if waiting else people

    def emails(self, campaign: Campaign, people: People) -> tuple[Email, ...]:
        """A message for each; signing their links takes longest, so no transaction is open meanwhile."""
        token_of = self._tokens.maker(self._lists[campaign.channel])
        view = f"{self._public_url}/archive/{campaign.id}"
        return tuple(
            self._email(campaign, id_, address, name, view, token_of(id_))
            for id_, (address, name) in people.items()
        )

    def _email(self, campaign: Campaign, id_: int, address: str, name: str, view: str, token: str) -> Email:
        slots = {
            "name": name,
            "unsubscribe_url": f"{self._public_url}/unsubscribe/{token}",
            "preferences_url": f"{self._public_url}/preferences/{token}",
            "view_url": view,
        }
        if campaign.notice:
            slots["confirm_url"] = f"{self._public_url}/confirm/{self._question(campaign, id_)}"
        key = f"{campaign.id}-{id_}-{self._mark}"
        return Email(key=key, recipient=id_, address=address, name=name, slots=slots)

    def _question(self, campaign: Campaign, id_: int) -> str:
        """The token that answers a notice: the same each time that the mail is handed over."""
        assert campaign.notice is not None
        until = campaign.created_at + VALID_FOR
        return self._tokens.expiring(campaign.notice, id_, self._lists[campaign.channel], until)


def _heeded(db: Connection, campaign: Campaign, people: People, waiting: Sequence[EventRow]) -> People:
    """*people* without those whom a report silences that was kept, and not followed up yet.

    Its vendor was told that it is known, so it counts from then on: whatever else waits before it, and though
    the program was killed in between.
    """
    numbers = {address_hash(address): id_ for id_, (address, _) in people.items()}
    silent = {_silenced(db, campaign, event, numbers) for event in waiting}
    return {id_: person for id_, person in people.items() if id_ not in silent}


def _silenced(
    db: Connection, campaign: Campaign, event: EventRow, numbers: Mapping[bytes, int]
) -> int | None:
    """Whom of *numbers*, by the hash of the address, that report lets no mail of the campaign go to."""
    # The address that it names: its reader may have another by now.
    person = numbers.get(event.address_hash) if event.address_hash else event.recipient
    if event.type is EventType.UNSUBSCRIBED:
        left = campaigns.campaign_of(db, event.campaign) if event.campaign is not None else None
        return event.recipient or person if left is None or left.channel == campaign.channel else None
    return person if event.type is EventType.COMPLAINED or event.bounce_class == "hard" else None
