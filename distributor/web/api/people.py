"""Lists and their readers. Readers are named by number, so that no address stands in an address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Path, Query, Response
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from distributor.reception import Choice, Wish
from distributor.store.tokens import TokenRow
from distributor.web.api.answers import CONFLICT, MISSING, Unfit
from distributor.web.api.gate import Endpoints, may, room
from distributor.web.api.values import (
    LAST,
    After,
    Asked,
    Changed,
    CountedList,
    Joined,
    Limit,
    ListShown,
    ListsShown,
    NewSubscriber,
    Proof,
    Sought,
    SubscriberChange,
    SubscriberShown,
    SubscribersPage,
    text,
)
from subscribers.choosing import ANY_HOUR
from subscribers.model import Evidence

Number = Annotated[int, Path(ge=1, le=LAST, description="The subscriber's number.")]
Name = Annotated[str, Path(description="The list's name."), text(100, least=1)]
Token = Annotated[TokenRow, may("subscribers:write")]


class Lists(Endpoints):
    def routes(self) -> list[BaseRoute]:
        router = room("/lists", about="lists")
        reading = [may("subscribers:read")]
        router.add_api_route("", self.list_lists, dependencies=reading)
        router.add_api_route("/{name}", self.show_list, dependencies=reading, responses=MISSING)
        return router.routes

    def list_lists(self) -> ListsShown:
        """The lists that there are: one for each newsletter, and those of newsletters that were."""
        return ListsShown(lists=[self._shown(name) for name in self._app.lists()])

    def show_list(self, name: Name) -> CountedList:
        """One list, and how many readers it has."""
        counts = self._app.readers_of(name)
        return CountedList(**dict(self._shown(name)), readers=counts)

    def _shown(self, name: str) -> ListShown:
        found = self._app.config.newsletters.get(name)
        return ListShown(
            name=name,
            title=found.title if found else None,
            topics=list(found.topics) if found else [],
            cadences=list(found.cadences) if found else [],
        )


class People(Endpoints):
    def routes(self) -> list[BaseRoute]:
        router = room("/subscribers", about="subscribers")
        reading = [may("subscribers:read")]
        add = router.add_api_route
        add("", self.list_subscribers, dependencies=reading)
        add("", self.add_subscriber, methods=["POST"], response_model=Joined, responses=CONFLICT | ADDING)
        add("/find", self.find_subscriber, methods=["POST"], dependencies=reading, responses=MISSING)
        add("/{subscriber}", self.show_subscriber, dependencies=reading, responses=MISSING)
        add("/{subscriber}", self.change_subscriber, methods=["PATCH"], responses=MISSING | CONFLICT)
        add("/{subscriber}", self.erase_subscriber, methods=["DELETE"], responses=MISSING)
        add("/{subscriber}/subscriptions", self.end_subscriptions, methods=["DELETE"], responses=MISSING)
        add(
            "/{subscriber}/subscriptions/{name}",
            self.end_subscription,
            methods=["DELETE"],
            responses=MISSING,
        )
        return router.routes

    # --- looking ---

    def list_subscribers(
        self,
        name: Annotated[
            str | None,
            Query(alias="list", description="Only of this list, whatever became of their place."),
            text(100),
        ] = None,
        limit: Limit = 100,
        after: After = 0,
    ) -> SubscribersPage:
        """Subscribers and their subscriptions, by number."""
        found = self._app.people(after=after, limit=limit, newsletter=name)
        last = found[-1].id if len(found) == limit else None
        return SubscribersPage.model_validate({"subscribers": found, "next": last})

    def find_subscriber(self, body: Sought) -> SubscriberShown:
        """The subscriber of an address. It is a POST, so that no log along the way has the address."""
        return SubscriberShown.model_validate(self._app.subscriber(body.address))

    def show_subscriber(self, subscriber: Number) -> SubscriberShown:
        """One subscriber."""
        return SubscriberShown.model_validate(self._app.person(subscriber))

    # --- coming ---

    def add_subscriber(self, body: NewSubscriber, token: Token, response: Response) -> Any:
        """Add a reader.

        With `consent` they are on the lists at once; sent again, nothing happens. Nobody who left is brought
        back: that is answered 409. Without `consent` the address is asked by mail, at most once a day.
        """
        wish = self._wish(body)
        if body.consent is None:
            with _understood():
                self._app.reception.subscribe(wish, self._evidence(token))
            return JSONResponse(Asked().model_dump(), 202)
        said = body.consent
        at = min(said.at or self._app.clock(), self._app.clock())
        evidence = Evidence(
            source="api", at=at, ip=said.ip, agent=said.agent, wording=said.wording, detail=_by(token)
        )
        with _understood():
            found = self._app.add_reader(wish, evidence)
        response.status_code = 201 if found.joined else 200
        return found

    def _wish(self, body: NewSubscriber) -> Wish:
        for name in body.lists:
            if name not in self._app.config.newsletters:
                raise Unfit(f"there is no list {name!r}", field="lists")
        return Wish(
            address=body.address,
            newsletters=body.lists,
            name=body.name,
            topics=body.topics,
            cadence=body.cadence,
            hour=body.hour,
            timezone=body.timezone or None,
            locale=body.locale or None,
            attributes=body.attributes,
        )

    # --- choosing ---

    def change_subscriber(self, subscriber: Number, body: SubscriberChange, token: Token) -> Changed:
        """Change what a reader chose. What is left out stays; null takes a choice back."""
        self._app.person(subscriber)
        evidence, said = self._evidence(token), body.model_fields_set
        taken_back = {"name": "", "timezone": "", "locale": "", "hour": ANY_HOUR}
        own: dict[str, Any] = {
            name: taken_back[name] if getattr(body, name) is None else getattr(body, name)
            for name in taken_back
            if name in said
        }
        choices = {
            name: Choice(topics=place.topics, cadence=place.cadence) for name, place in body.lists.items()
        }
        with _understood("lists"):
            changed = self._app.reception.change(
                subscriber, choices, **own, attributes=body.attributes, evidence=evidence
            )
        if "paused_until" in said:
            changed |= self._app.reception.rest(subscriber, body.paused_until, evidence)
        return Changed(id=subscriber, changed=changed)

    # --- going ---

    def end_subscription(self, subscriber: Number, name: Name, token: Token) -> Changed:
        """End one subscription. Only their reader can bring it back."""
        person = self._app.person(subscriber)
        if name not in self._app.lists():
            raise Unfit(f"there is no list {name!r}", field="name")
        changed = self._app.reception.end(person.id, name, self._evidence(token))
        return Changed(id=subscriber, changed=changed)

    def end_subscriptions(self, subscriber: Number, token: Token) -> Changed:
        """End all subscriptions of a reader, and let nobody put them on another one."""
        person = self._app.person(subscriber)
        changed = self._app.reception.end(person.id, None, self._evidence(token))
        return Changed(id=subscriber, changed=changed)

    def erase_subscriber(self, subscriber: Number, token: Token) -> Proof:
        """Forget a reader for ever. Only the hash of the address stays, so that nobody brings them back."""
        person = self._app.person(subscriber)
        return Proof.model_validate(self._app.erase_person(person.id, self._evidence(token)))

    def _evidence(self, token: TokenRow) -> Evidence:
        return Evidence(source="api", at=self._app.clock(), detail=_by(token))


def _by(token: TokenRow) -> str:
    return f"by {token.name}"


@contextmanager
def _understood(field: str = "") -> Iterator[None]:
    """What readers could not wish for is told to whoever wrote it."""
    try:
        yield
    except ValueError as error:
        raise Unfit(str(error), field=field) from None


ADDING: dict[int | str, dict[str, Any]] = {
    201: {"model": Joined, "description": "They are readers now, of at least one list more."},
    202: {"model": Asked, "description": "The address is asked by mail."},
}
