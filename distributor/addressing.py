"""From subscribers' numbers to messages ready to go: addresses, and links that are each reader's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from distributor.delivery.desk import People
from distributor.model import Campaign, Email
from subscribers import store as audience
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
        if campaign.notice:
            return audience.may_be_asked(db, ids, now=self._clock())
        return audience.reachable(db, campaign.channel, ids, now=self._clock())

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
