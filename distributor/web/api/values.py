"""What the API takes and gives. Fields have the names that the command line gives them in its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from distributor.model import ArticleState, CampaignState, DeliveryState, EventType
from subscribers.model import Cadence, SubscriptionState, known_zone, normal_address

MOST = 1000  # of a page
LAST = 2**63 - 1  # the largest number that a database keeps


def text(most: int, *, least: int = 0) -> Any:
    """Text that every database takes: without NUL, and bounded."""
    return StringConstraints(min_length=least, max_length=most, pattern=r"^[^\u0000]*$")


def _zone(name: str) -> str:
    return known_zone(name) if name else name


def _of_our_time(moment: datetime) -> datetime:
    """One that every database and clock can say; at the ends of the calendar UTC has another year."""
    if not datetime(1970, 1, 1, tzinfo=UTC) <= moment < datetime(3000, 1, 1, tzinfo=UTC):
        raise ValueError("is no time between 1970 and 3000")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_of_our_time)]
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many.")]
After = Annotated[int, Query(ge=0, le=LAST, description="`next` of the page before.")]
Word = Annotated[str, text(100, least=1)]
Address = Annotated[
    str, text(320, least=3), AfterValidator(normal_address), Field(json_schema_extra={"format": "email"})
]
Zone = Annotated[str, text(60), AfterValidator(_zone)]
Language = Annotated[str, StringConstraints(max_length=35, pattern=r"^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$")]
Hour = Annotated[int, Field(ge=0, le=23)]
Topics = Annotated[tuple[Word, ...], Field(max_length=300)]


class Shown(BaseModel):
    """What is given: read off our own values."""

    model_config = ConfigDict(from_attributes=True, frozen=True, use_attribute_docstrings=True)


class Taken(BaseModel):
    """What is taken: a field that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


# --- articles ---


class ArticleShown(Shown):
    key: str
    """`article_id` if it has one, else its canonical address."""
    url: str
    title: str
    summary: str
    published_at: datetime
    source: str | None
    path: str
    """Of its file, in the content folder."""
    sequence: int | None
    """Given when it was first seen public."""
    state: ArticleState
    reason: str | None
    """Why it is not public."""
    banner: str | None
    qr: str | None


class ProblemShown(Shown):
    path: str
    line: int | None
    reason: str
    remedy: str | None


class ArticlesPage(Shown):
    articles: list[ArticleShown]
    problems: list[ProblemShown]
    """What is wrong with files; on the first page."""
    next: str | None


class ReasonShown(Shown):
    newsletter: str
    verdict: str
    details: tuple[str, ...]
    """A line for each delivery that carried it."""


class Explained(Shown):
    article: str
    subscriber: int
    reasons: list[ReasonShown]


# --- readers ---


class ListShown(Shown):
    name: str
    title: str | None
    """Null where it is not configured any more."""
    topics: list[str]
    cadences: list[Cadence]


class ListsShown(Shown):
    lists: list[ListShown]


class CountedList(ListShown):
    readers: Mapping[SubscriptionState, int]
    """State -> how many subscriptions. On a list of a million, counting takes about a second."""


class SubscriptionShown(Shown):
    list: str
    state: SubscriptionState
    cadence: Cadence
    topics: tuple[str, ...]
    """Empty: everything."""
    served_through: int
    """The sequence number up to which the reader has been served."""
    created_at: datetime | None
    asked_at: datetime | None
    """A form asked for it, and they did not answer yet."""
    confirmed_at: datetime | None
    paused_until: datetime | None
    left_at: datetime | None


class SubscriberShown(Shown):
    id: int
    address: str
    name: str
    timezone: str | None
    locale: str | None
    created_at: datetime
    suppressed: str | None
    """Why nothing may be sent to the address."""
    subscriptions: tuple[SubscriptionShown, ...]
    hour: int | None
    """Of their own day, at which they want digests."""
    attributes: Mapping[str, str]
    asked_at: datetime | None
    """When the address was last sent a question."""
    suppressed_until: datetime | None


class SubscribersPage(Shown):
    subscribers: list[SubscriberShown]
    next: int | None


class Consent(Taken):
    """How you know that the reader agreed. It is kept beside their subscription, and is your evidence."""

    wording: Annotated[str, text(1000, least=1)]
    """What stood beside the button, or how they said so."""
    at: Moment | None = None
    """When; now, if left out."""
    ip: Annotated[str, text(45)] = ""
    agent: Annotated[str, text(300)] = ""


class NewSubscriber(Taken):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "address": "ada@example.org",
                "lists": ["morning"],
                "name": "Ada",
                "consent": {"wording": "Send me the morning news", "at": "2026-11-29T08:00:00Z"},
            }
        }
    )

    address: Address
    lists: Annotated[tuple[Word, ...], Field(min_length=1, max_length=100)]
    consent: Consent | None = None
    """With it they are readers at once. Without it they are asked by mail first. Of who reads a list already
    nothing changes."""
    name: Annotated[str, text(200)] = ""
    topics: Topics | None = None
    """Empty or left out: everything."""
    cadence: Cadence | None = None
    hour: Hour | None = None
    timezone: Zone | None = None
    locale: Language | None = None
    attributes: Annotated[
        Mapping[Annotated[str, text(60, least=1)], Annotated[str, text(500)]], Field(max_length=50)
    ] = {}


class Joined(Shown):
    subscriber: int
    """Their number."""
    joined: tuple[str, ...]
    """The lists that they read from now on; none, if they read them before."""
    left_alone: tuple[str, ...]
    """Those that they left before. Only they themselves can come back."""


class Asked(Shown):
    asked: Literal[True] = True
    """The address is asked by mail, unless it was in the last day, reads all of it already, or takes nothing.
    Which of these is not told."""


class Sought(Taken):
    address: Address


class PlaceChange(Taken):
    topics: Topics | None = None
    """Empty: everything."""
    cadence: Cadence | None = None


class SubscriberChange(Taken):
    """What is left out stays; null takes a choice back."""

    name: Annotated[str, text(200)] | None = None
    hour: Hour | None = None
    timezone: Zone | None = None
    locale: Language | None = None
    paused_until: Moment | None = None
    """Nothing is sent to them before. Null ends the pause."""
    attributes: Annotated[
        Mapping[Annotated[str, text(60, least=1)], Annotated[str, text(500)] | None], Field(max_length=50)
    ] = {}
    """Those that are named change; null takes one away."""
    lists: Annotated[Mapping[Word, PlaceChange], Field(max_length=100)] = {}
    """List -> what changes of their subscription to it."""


class Changed(Shown):
    id: int
    changed: bool
    """False: it was so already."""


class Proof(Shown):
    subscriber: int
    address_hash: str
    """SHA-256 of the address, which is all that is kept of it."""
    erased_at: datetime
    subscriptions: int
    consents: int


# --- campaigns ---


class CountsShown(Shown):
    planned: int
    queued: int
    sending: int
    accepted: int
    refused: int
    skipped: int
    unclear: int


class CampaignShown(Shown):
    id: int
    channel: str
    slot: str
    state: CampaignState
    reason: str | None
    due_at: datetime
    content: str
    """The hash of all that was frozen: name it when you approve."""
    approved_at: datetime | None
    candidates: int
    excluded: Mapping[str, int]
    """Reason -> how many get nothing for it."""
    counts: CountsShown


class CampaignsPage(Shown):
    campaigns: list[CampaignShown]
    next: int | None


class HandLaid(Shown):
    campaign: CampaignShown
    recipients: int
    """How many it concerned."""


class Approval(Taken):
    content: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8,64}$")]
    """The campaign's `content` as you saw it, or its beginning: what was changed since is not approved."""


class Cancellation(Taken):
    reason: Annotated[str, text(300, least=1)] = "cancelled through the API"
    """Why, for those who ask later."""


class Settlement(Taken):
    as_: Literal["accepted", "refused", "again"]
    """What became of the unclear messages. `again` sends them once more: whom they had reached, twice."""

    model_config = ConfigDict(
        alias_generator=lambda name: name.rstrip("_"),
        json_schema_extra={"example": {"as": "accepted"}},
    )


class DeliveryShown(Shown):
    recipient: int
    """The subscriber's number; 0: the channel itself."""
    state: DeliveryState
    outcome: str | None
    """What its provider reported since."""
    reason: str | None
    provider: str | None
    receipt: str | None
    due_at: datetime


class DeliveriesPage(Shown):
    deliveries: list[DeliveryShown]
    next: int | None


# --- events ---


class EventShown(Shown):
    number: int
    """In the order of their coming."""
    provider: str
    id: str
    """The provider's own, or made of what tells it from every other."""
    type: EventType
    said: str
    """What the provider calls it."""
    occurred_at: datetime
    received_at: datetime
    campaign: int | None
    recipient: int | None
    """The subscriber's number."""
    message_id: str | None
    bounce_class: Literal["hard", "soft"] | None
    reject_reason: str | None
    by: Literal["human", "bot", "unknown"] | None
    """Whose open or click it was."""
    link: str | None
    description: str | None
    """The receiving server's words; they may name an address."""
    user_agent: str | None


class EventsPage(Shown):
    events: list[EventShown]
    next: int | None
