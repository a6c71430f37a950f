"""From subscribers' numbers to messages ready to go: addresses, and links that are each reader's own."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from distributor.delivery.desk import People
from distributor.model import Campaign, Email
from subscribers import store as audience
from subscribers.tokens import Tokens


class Addressing:
    """The audience as delivery sees it.

    *mark* tells this installation's message ids from every other's; *public_url* is where the links lead.
    """

    def __init__(self, tokens: Tokens, *, public_url: str, mark: str) -> None:
        self._tokens = tokens
        self._public_url = public_url
        self._mark = mark
        self._lists: dict[str, int] = {}  # newsletter -> its list

    def reachable(self, db: Connection, campaign: Campaign, ids: Sequence[int]) -> People:
        """Those of *ids* who may be written to at this moment, with address and name."""
        if campaign.channel not in self._lists:
            self._lists[campaign.channel] = audience.list_id(db, campaign.channel)
        return audience.reachable(db, campaign.channel, ids)

    def emails(self, campaign: Campaign, people: People) -> tuple[Email, ...]:
        """A message for each; signing their links takes longest, so no transaction is open meanwhile."""
        token_of = self._tokens.maker(self._lists[campaign.channel])
        view = f"{self._public_url}/archive/{campaign.id}"
        return tuple(
            self._email(campaign, id_, address, name, view, token_of(id_))
            for id_, (address, name) in people.items()
        )

    def _email(self, campaign: Campaign, id_: int, address: str, name: str, view: str, token: str) -> Email:
        return Email(
            key=f"{campaign.id}-{id_}-{self._mark}",
            recipient=id_,
            address=address,
            name=name,
            slots={
                "name": name,
                "unsubscribe_url": f"{self._public_url}/unsubscribe/{token}",
                "preferences_url": f"{self._public_url}/preferences/{token}",
                "view_url": view,
            },
        )
