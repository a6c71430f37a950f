"""The values that travel from a Hugo page to a reader."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What the site calls itself: the face of every mail, post and card."""

    title: str
    base_url: str  # absolute, without a slash at the end
    language: str = "en"  # BCP 47
    timezone: str = "UTC"  # IANA name
    color: str = "#1a4f8b"  # of headings, buttons and cards
    logo: str | None = None  # absolute URL
    imprint: str = ""  # who publishes, and where; may have lines
    font: str | None = None  # TrueType file for cards


class ArticleState(StrEnum):
    """Where an article stands on the site, at one moment."""

    PUBLIC = "public"
    SCHEDULED = "scheduled"  # its publishDate lies ahead
    DRAFT = "draft"
    EXPIRED = "expired"
    HELD = "held"  # public or unclear on the site, and not to be announced now: `reason` says why


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What an article asks of us in the `[distributor]` table of its front matter."""

    newsletter: Literal["", "skip", "lead"] = ""
    social: Literal["", "skip"] = ""
    social_text: str | None = None
    alt: str | None = None  # the banner's alternative text
    breaking: bool = False
    embargo: datetime | None = None  # aware, UTC: not announced before
    text: Mapping[str, str] = field(default_factory=dict)  # network -> the post's own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One page of the site, as its front matter (or feed entry) describes it."""

    key: str  # article_id if it has one, else its canonical URL
    url: str  # canonical, absolute
    title: str
    summary: str = ""  # plain text
    published_at: datetime  # aware, UTC
    state: ArticleState = ArticleState.PUBLIC
    reason: str | None = None  # why it is not public, for a person
    sequence: int | None = None  # given when it is first seen public

    path: str  # of the file, relative to the content folder; a feed entry's id
    markup: Literal["markdown", "html"] = "markdown"
    section: str = ""
    source: str | None = None  # who wrote it first, never the text "None"
    source_link: str | None = None
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    language: str | None = None  # BCP 47
    featured: bool = False
    banner: str | None = None  # absolute URL
    banner_file: str | None = None  # its absolute path, where the site's own folder has it
    qr: str | None = None  # absolute URL of the QR picture the site offers
    qr_file: str | None = None
    aliases: tuple[str, ...] = ()  # absolute URLs under which it was known before
    wishes: Wishes = field(default_factory=Wishes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture in the media folder, named by the hash of its bytes."""

    hash: str  # SHA-256, hex
    media_type: str  # image/jpeg, image/png
    width: int  # pixels
    height: int
    size: int  # bytes
    alt: str = ""
    url: str | None = None  # where it came from; None when it was drawn
    note: str | None = None  # what was done to it and why: "drawn: the banner answered 404"

    @property
    def name(self) -> str:
        """Its file name in the media folder."""
        return f"{self.hash}.{self.media_type.removeprefix('image/').replace('jpeg', 'jpg')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """An article in a rendition, and how much of it is there."""

    key: str
    role: Literal["lead", "item", "headline", "folded"]  # folded: counted in "more on the site"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The frozen content of one edition for one cohort: a whole mail but for the reader's slots."""

    subject: str
    preheader: str
    html: str  # a full document; readers' slots are still marked (see distributor.slots)
    text: str  # its twin in plain text, with the same slots
    language: str = "en"
    pictures: tuple[Picture, ...] = ()  # those the html names as cid:HASH
    articles: tuple[Carried, ...] = ()

    @property
    def hash(self) -> str:
        return _hash(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The provider accepted one message."""

    id: str  # the provider's own
    url: str | None = None  # where a post can be seen
    kept: Mapping[str, Any] = field(default_factory=dict)  # what it takes to edit or delete a post, besides


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """The frozen content of one announcement on one channel."""

    network: str
    text: str
    language: str = "en"
    action: Literal["post", "reply", "edit", "delete", "repost"] = "post"
    of: Receipt | None = None  # the post that is replied to, edited, deleted or posted anew
    of_campaign: int | None = None  # that announced it
    link: str | None = None  # the article's address, where the text carries it or a card does
    title: str = ""  # for link cards
    summary: str = ""
    pictures: tuple[Picture, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)  # the JSON the network would be sent
    more: tuple[Mapping[str, Any], ...] = ()  # the payloads of a thread's further parts, in order
    more_text: tuple[str, ...] = ()  # and their texts
    articles: tuple[Carried, ...] = ()
    notes: tuple[str, ...] = ()  # what had to be left out or cut, for a person

    @property
    def hash(self) -> str:
        return _hash(self)


Rendition = Digest | Post


def _hash(rendition: Rendition) -> str:
    """Name frozen content by what it says: two renditions with one hash are one."""
    return hash_of(asdict(rendition))


def hash_of(content: Mapping[str, Any]) -> str:
    """The hash of a rendition's fields, as they are or as they were when it was frozen."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A place and a cadence whose readers a slot serves, but for those who were served since *begin*."""

    place: str  # as `subscribers.schema` writes it
    cadence: str
    begin: datetime  # of the window that the slot is in, aware, UTC


class EventType(StrEnum):
    """What a provider reports of a message that it took; the field's own words."""

    QUEUED = "queued"
    SENT = "sent"
    REJECTED = "rejected"  # the provider itself would not send it
    FAILED = "failed"  # the provider could not send it
    BOUNCED = "bounced"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    SUBSCRIBED = "subscribed"
    UNKNOWN = "unknown"  # vendors add kinds without asking


class RejectReason(StrEnum):
    """Why a message did not reach its reader."""

    INVALID = "invalid"
    BOUNCED = "bounced"
    TIMED_OUT = "timed_out"
    BLOCKED = "blocked"
    SPAM = "spam"
    UNSUBSCRIBED = "unsubscribed"
    OTHER = "other"


class Outcome(IntEnum):
    """What became of an accepted message, as far as its provider told; a higher one hides a lower.

    Events come in any order and more than once: the highest that was told is what stays.
    """

    TAKEN = 0  # the provider has it, and said no more
    DEFERRED = 1
    DELIVERED = 2
    OPENED = 3
    CLICKED = 4
    UNSUBSCRIBED = 5
    REJECTED = 6
    FAILED = 7
    BOUNCED = 8
    COMPLAINED = 9


BounceClass = Literal["hard", "soft"]  # hard: the address takes nothing, now or later
Hand = Literal["human", "bot", "unknown"]  # whose open or click it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that a provider reports of one message, in our words."""

    type: EventType
    id: str  # the vendor's own, or made of what tells this event from every other
    occurred_at: datetime  # aware, UTC
    said: str  # what the vendor calls it
    address: str = ""  # the recipient's, as the vendor writes it
    key: str = ""  # our delivery's, which the message carried
    message_id: str = ""  # the vendor's
    reject_reason: RejectReason | None = None
    bounce_class: BounceClass | None = None
    description: str = ""  # the receiving server's words, or the vendor's
    link: str = ""  # that was clicked
    user_agent: str = ""
    by: Hand | None = None  # of opens and clicks
    raw: bytes = b""  # this event alone, as JSON


Notice = Literal["confirmation", "change"]  # of a subscription; of an address


class CampaignState(StrEnum):
    """draft → (awaiting approval) → scheduled → sending ⇄ paused → done | cancelled | skipped."""

    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting approval"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # nothing to say, or nobody to say it to


class DeliveryState(StrEnum):
    """What we know of one message to one recipient; what the provider reports later is its outcome."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    SKIPPED = "skipped"  # suppressed, unsubscribed or cancelled since it was planned
    UNCLEAR = "unclear"


BREAKING = 0  # the priority of what waits for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """One announcement on one channel: an edition of a newsletter, or a post."""

    id: int
    channel: str  # the newsletter's or channel's name
    kind: Literal["newsletter", "post"]
    slot: str  # with `channel`, its key: planning it twice is planning it once
    state: CampaignState
    created_at: datetime  # aware, UTC
    due_at: datetime
    through: int  # the sequence number up to which it looked
    candidates: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)  # reason -> how many
    overlaps: bool = False  # its readers may stand before articles that they have from it
    priority: int = 20  # lower goes first
    audience: int | None = None  # confirmed readers of its list when it was planned
    approved_at: datetime | None = None
    approved_content: str | None = None  # the hash of what a person approved
    reason: str | None = None  # why it was skipped, paused or cancelled
    notice: Notice | None = None  # what it asks of single readers; None: it tells all of them news


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one provider call carries, claimed under a lease."""

    campaign: int
    number: int
    rendition: str  # hash
    recipients: tuple[int, ...]  # subscriber ids; (0,) for a post
    state: DeliveryState
    attempt: int
    provider: str | None
    key: str  # the request key: the same for every repetition of the same call
    due_at: datetime
    called_at: datetime | None = None  # the first call under this key that may have been accepted
    lease_owner: str | None = None
    lease_until: datetime | None = None
    reason: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)  # what its provider noted between calls

    @property
    def is_begun(self) -> bool:
        return is_begun(self.called_at, self.kept)


def is_begun(called_at: datetime | None, kept: Mapping[str, Any] | None) -> bool:
    """Whether some of a batch may be seen: an earlier call may have been accepted, or a thread's part was."""
    return called_at is not None or any(name.startswith("part ") for name in kept or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a provider is doing, as all workers know it."""

    name: str
    failures: int = 0  # calls in a row without an answer of use
    held_until: datetime | None = None  # nobody calls it before
    is_down: bool = False  # others take over until it is called again
    reason: str | None = None  # what it said last

    def is_held(self, now: datetime) -> bool:
        return self.held_until is not None and self.held_until > now

    def is_out(self, now: datetime) -> bool:
        """Whether its batches go to the next provider, where there is one."""
        return self.is_down and self.is_held(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """One reader's message, ready for a provider."""

    key: str  # the delivery's: campaign and recipient; tags the message at the provider
    recipient: int  # subscriber id
    address: str
    name: str
    slots: Mapping[str, str]  # what the digest's marks stand for, for this reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a provider said of one call: accepted, but for the recipients named otherwise."""

    receipt: str | None = None  # its id for the whole call
    receipts: Mapping[int, str] = field(default_factory=dict)  # recipient -> an id of its own
    refused: Mapping[int, str] = field(default_factory=dict)  # recipient -> why
    later: Mapping[int, str] = field(default_factory=dict)  # recipient -> why not now; certainly not accepted
    unclear: Mapping[int, str] = field(default_factory=dict)  # recipient -> why nobody can say
    pause: float = 0  # seconds for which the provider wants no further call
    post: Receipt | None = None  # of a post: the network's own
