"""Campaigns: what was planned, how far it is, and the controls."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path, Query
from pydantic import StringConstraints
from starlette.routing import BaseRoute

from distributor.access import Once
from distributor.model import DeliveryState
from distributor.store.accounts import DeliveryRow
from distributor.store.tokens import TokenRow
from distributor.web.api.answers import CONFLICT, MISSING
from distributor.web.api.gate import Endpoints, may, room
from distributor.web.api.values import (
    LAST,
    After,
    Approval,
    CampaignShown,
    CampaignsPage,
    Cancellation,
    DeliveriesPage,
    DeliveryShown,
    HandLaid,
    Limit,
    Settlement,
    text,
)

Number = Annotated[int, Path(ge=1, le=LAST, description="The campaign's number.")]
Token = Annotated[TokenRow, may("campaigns:write")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Made up by you for this one request. Sent again within a day under the same key, it is "
        "not done again, and answered as if it had been.",
    ),
    StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$"),
]


class Campaigns(Endpoints):
    def routes(self) -> list[BaseRoute]:
        router = room("/campaigns", about="campaigns")
        reading = [may("campaigns:read")]
        add = router.add_api_route
        add("", self.list_campaigns, dependencies=reading)
        add("/{campaign}", self.show_campaign, dependencies=reading, responses=MISSING)
        add("/{campaign}/deliveries", self.list_deliveries, dependencies=reading, responses=MISSING)
        for name in ("approve", "pause", "resume", "cancel", "retry", "settle"):
            hand = getattr(self, f"{name}_campaign")
            add(f"/{{campaign}}/{name}", hand, methods=["POST"], responses=MISSING | CONFLICT)
        return router.routes

    def list_campaigns(
        self,
        channel: Annotated[
            str | None, Query(description="Only of this newsletter or channel."), text(100)
        ] = None,
        limit: Annotated[int, Query(ge=1, le=100, description="At most so many.")] = 30,
        after: After = LAST,
    ) -> CampaignsPage:
        """Editions and posts, the newest first."""
        found = self._app.overviews(channel=channel, before=after, limit=limit)
        last = found[-1].id if len(found) == limit else None
        return CampaignsPage.model_validate({"campaigns": found, "next": last})

    def show_campaign(self, campaign: Number) -> CampaignShown:
        """One campaign, and where its recipients are."""
        return CampaignShown.model_validate(self._app.overview(campaign))

    def list_deliveries(
        self,
        campaign: Number,
        state: Annotated[DeliveryState | None, Query(description="Only those.")] = None,
        limit: Limit = 100,
        after: Annotated[int, Query(ge=-1, le=LAST, description="`next` of the page before.")] = -1,
    ) -> DeliveriesPage:
        """What became of a campaign for each recipient, by their number.

        With `state`, a page may have few or none and not be the last: go on while `next` is not null.
        """
        found, last = self._app.deliveries(campaign, after=after, limit=limit, state=state)
        return DeliveriesPage(deliveries=[_delivery(row) for row in found], next=last)

    # --- hands ---

    def approve_campaign(
        self, campaign: Number, body: Approval, token: Token, idempotency_key: Key = None
    ) -> HandLaid:
        """Let a campaign that awaits approval be sent, as it was frozen."""
        once = _once(token, idempotency_key, f"approve {campaign} {body.content}")
        self._app.approve(campaign, content=body.content, once=once)
        return self._laid(campaign)

    def pause_campaign(self, campaign: Number, token: Token, idempotency_key: Key = None) -> HandLaid:
        """Stop a campaign after the calls that are under way."""
        self._app.pause(campaign, once=_once(token, idempotency_key, f"pause {campaign}"))
        return self._laid(campaign)

    def resume_campaign(self, campaign: Number, token: Token, idempotency_key: Key = None) -> HandLaid:
        """Go on with a paused campaign, exactly where it stopped."""
        self._app.resume(campaign, once=_once(token, idempotency_key, f"resume {campaign}"))
        return self._laid(campaign)

    def cancel_campaign(
        self, campaign: Number, token: Token, body: Cancellation | None = None, idempotency_key: Key = None
    ) -> HandLaid:
        """Stop a campaign for good. Its articles go into the next edition of those who did not get it."""
        reason = (body or Cancellation()).reason
        once = _once(token, idempotency_key, f"cancel {campaign} {reason}")
        return self._laid(campaign, self._app.cancel(campaign, reason=reason, once=once))

    def retry_campaign(self, campaign: Number, token: Token, idempotency_key: Key = None) -> HandLaid:
        """Queue those who were refused again, and nobody else."""
        once = _once(token, idempotency_key, f"retry {campaign}")
        return self._laid(campaign, self._app.retry(campaign, once=once))

    def settle_campaign(
        self, campaign: Number, body: Settlement, token: Token, idempotency_key: Key = None
    ) -> HandLaid:
        """Say what became of unclear messages. Look into the provider's log first."""
        once = _once(token, idempotency_key, f"settle {campaign} {body.as_}")
        return self._laid(campaign, self._app.settle(campaign, body.as_, once=once))

    def _laid(self, campaign: int, recipients: int = 0) -> HandLaid:
        return HandLaid.model_validate({"campaign": self._app.overview(campaign), "recipients": recipients})


def _once(token: TokenRow, key: str | None, asked: str) -> Once | None:
    return Once(token=token.id, key=key, asked=asked) if key else None


def _delivery(row: DeliveryRow) -> DeliveryShown:
    return DeliveryShown(
        recipient=row.recipient,
        state=row.state,
        outcome=row.outcome.name.lower() if row.outcome is not None else None,
        reason=row.reason,
        provider=row.provider,
        receipt=row.receipt,
        due_at=row.due_at,
    )
