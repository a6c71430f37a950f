"""What providers reported."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.routing import BaseRoute

from distributor.model import EventType
from distributor.web.api.gate import Endpoints, may, room
from distributor.web.api.values import LAST, After, EventsPage, Limit, text


class Events(Endpoints):
    def routes(self) -> list[BaseRoute]:
        router = room("/events", about="events")
        router.add_api_route("", self.list_events, dependencies=[may("events:read")])
        return router.routes

    def list_events(
        self,
        kind: Annotated[EventType | None, Query(alias="type", description="Only those.")] = None,
        provider: Annotated[
            str | None, Query(description="Only of this one, as distributor.toml calls it."), text(100)
        ] = None,
        campaign: Annotated[int | None, Query(ge=1, le=LAST, description="Only of this campaign.")] = None,
        limit: Limit = 100,
        after: After = 0,
    ) -> EventsPage:
        """What providers reported, in the order of its coming, some ten seconds after it came.

        With a filter, a page may have few or none and not be the last: go on while `next` is not null. To
        learn of more later, ask again with the highest `number` that you have seen as `after`.
        """
        found, last = self._app.events(
            after=after, limit=limit, type_=kind, provider=provider, campaign_id=campaign
        )
        return EventsPage.model_validate({"events": found, "next": last})
