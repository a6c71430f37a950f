"""Questions to single readers, through the same ledger and engine as everything else that is sent.

Those of one newsletter and day are one campaign. A reader is in it once, so whoever writes a stranger's
address into a form again and again has one mail sent there, and no more.
"""

from __future__ import annotations

from datetime import datetime

from jinja2 import Environment
from sqlalchemy import Connection

from distributor.config import Config
from distributor.model import Campaign, CampaignState, Digest, Notice, Publication
from distributor.rendering.notice import notice
from distributor.store import campaigns
from distributor.store.notices import add_recipient

MOST_KEPT = 50  # mails, rendered
AT_ONCE = 0  # priority: somebody sits there and waits


class Notices:
    """Renders and queues them."""

    def __init__(self, config: Config, *, publication: Publication, environment: Environment) -> None:
        self._config = config
        self._publication = publication
        self._environment = environment
        self._contents: dict[tuple[str, str, str], Digest] = {}

    def send(self, db: Connection, newsletter: str, kind: Notice, subscriber: int, *, now: datetime) -> bool:
        """Queue a notice; False when the reader was sent the same one today.

        In the transaction that notes why it is sent: there is neither without the other.
        """
        rendition = campaigns.keep_rendition(db, self._content(newsletter, kind, now), {})
        campaign = self._campaign(newsletter, kind, now)
        return add_recipient(db, campaign, subscriber, rendition=rendition, due_at=now)

    def _content(self, newsletter: str, kind: Notice, now: datetime) -> Digest:
        """The same for all of a day, so it is made once."""
        key = (newsletter, kind, f"{now:%Y-%m-%d}")
        if key not in self._contents:
            while len(self._contents) >= MOST_KEPT:
                self._contents.pop(next(iter(self._contents)))
            self._contents[key] = notice(
                self._publication,
                self._config.newsletters[newsletter],
                kind,
                asked_at=now,
                environment=self._environment,
            )
        return self._contents[key]

    def _campaign(self, newsletter: str, kind: Notice, now: datetime) -> Campaign:
        return Campaign(
            id=0,
            channel=newsletter,
            kind="newsletter",
            slot=f"{kind} {now:%Y-%m-%d}",
            state=CampaignState.SCHEDULED,
            created_at=now,
            due_at=now,
            priority=AT_ONCE,
            through=0,
            notice=kind,
        )
